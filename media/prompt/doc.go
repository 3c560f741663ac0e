// Package prompt makes what parties hear: from the WAV files that come with the
// program, from the operator's own, or from text by a text-to-speech program.
//
// A consent prompt must say who asks and for what (GDPR recital 42), which key
// means yes and which no, that a no changes nothing, and how to withdraw
// (Art. 7(3)). The built-in texts say all of it; a WAV that comes with the
// program is played only where its words are exactly those that a policy's text
// would have.
package prompt
