// Package chaos is a crowd of callers and called parties that behave badly at
// random moments: they cancel, hang up both at once, send re-INVITEs into each
// other's, lose, repeat and hold up messages, refuse, fall silent. What each
// does is drawn from a seed; when exactly it meets what is the run's. They write
// and read SIP as text on two UDP sockets and share no code with the gate.
//
// All of a crowd's state belongs to one goroutine; sockets and timers hand it
// events.
package chaos
