// Package proxy is the SIP side of the gate: a back-to-back user agent
// (RFC 3261 section 6) that shows each side the other's call as if the gate
// weren't there. Call-ID, tags and CSeq are the same on both sides; Via,
// Contact, route sets and SDP addresses are its own.
//
// A call is one goroutine with a mailbox. It owns both legs, the media relay
// and the consent session; everything that happens reaches it as an event, and
// a table of state and event says what it does.
package proxy
