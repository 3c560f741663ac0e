// Package office is what somebody may see of the store and the live calls, and do
// with them. API and page stand on it, so that each rule is there once: numbers are
// shown by role, audio is given out for the purpose that was consented to and
// logged before its first byte, some acts wait for a second officer.
//
// Who may call what is decided before, by access.Table; the office takes the
// principal at their word. It knows no HTTP but the status that an error deserves.
package office
