// Package scenario plays calls that are written down: one text file a call, in
// words that a telephone engineer reads. Two raw SIP sockets, carrier and pbx,
// say what the file tells them and wait for what must come; a gate stands
// between them. README.md beside the files has the words.
//
// The package reads SIP by itself, so that a fault of the library that the gate
// uses isn't overlooked by both. It knows the gate through the Gate interface
// only, and nothing of package testing: what a scenario finds is an error.
package scenario
