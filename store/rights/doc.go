// Package rights decides what may happen to a recording: whether it may be
// erased, whether it may be played, and by when a person who asks must have an
// answer. It is pure: no clock, no disk; times come in with the questions.
//
// A recording's File has the legal holds on it, the restrictions that its
// subjects obtained (GDPR Art. 18) and the erasures that were asked for
// (Art. 17). Decide is the law, as a table. Request is what a subject asked for,
// with its one month (Art. 12(3)); its states are a table, too.
package rights
