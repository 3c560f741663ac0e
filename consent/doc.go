// Package consent is the law of the gate: who is asked, what counts as a yes,
// and what a yes allows.
//
// A call may be recorded only after everyone whose voice the policy protects
// was told the purpose and said yes by a key (GDPR Art. 4(11), 6(1)(a), 7).
// The package turns that into a value: a Grant can be made by a Session alone,
// and by it only after the Ledger has made the Granted record durable.
//
// Machine is pure: state and event in, state and actions out. It knows no
// clock, no socket and no lock; times come in with the events. Session adds
// the ledger. Nothing here imports anything but the standard library.
package consent
