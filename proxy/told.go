package proxy

import (
	"consentgate/proxy/sdp"
)

// told is a description as a leg's peer got it, and what it says of recording.
type told struct {
	from   []byte // as the far end made it, with our addresses
	body   []byte
	record string
}

// says is what the peer knows of recording: who was told nothing takes it that
// there is none.
func (t told) says() string {
	if t.record == "" {
		return sdp.RecordOff
	}
	return t.record
}

// versions keeps the o= lines that a leg's peer gets in order: one that knows of
// recording gets descriptions that the far end didn't make, so their versions
// get ahead of the far end's (RFC 3264 section 8: one more with each change).
type versions struct {
	who     string
	version uint64
	shift   uint64
}

// tell makes a description ready for a leg's peer: with what it is to know of
// recording, and with an o= line that goes on from the one that it knows.
func (c *call) tell(to *leg, body []byte) told {
	out := told{from: body, body: body}
	if to.aware {
		out.record = c.recording()
		out.body = sdp.WithRecord(body, out.record)
	}
	out.body = c.protect(to, out.body)
	if c.ring != nil && to == c.a { // its o= line is ours throughout
		c.ring.version++
		out.body = sdp.WithOrigin(out.body, sdp.Origin(c.address(to).Addr(), c.ring.id, c.ring.version))
	} else {
		out.body = to.origin.follow(to.told.body, out.body, to.aware)
	}
	return out
}

// follow gives body a version that suits what was told before. Nothing is
// changed for who gets only what the far end made.
func (o *versions) follow(before, body []byte, aware bool) []byte {
	who, version, ok := sdp.ReadOrigin(body)
	if !ok {
		return body
	}
	if who != o.who {
		*o = versions{who: who, version: version} // somebody else's descriptions from here on
		return body
	}
	if aware && version+o.shift <= o.version && !sdp.SameBut(before, body) {
		o.shift = o.version + 1 - version
	}
	o.version = max(o.version, version+o.shift)
	if o.shift == 0 {
		return body
	}
	return sdp.WithVersion(body, version+o.shift)
}

// answered: the peer has answered what it was offered, so that is in force.
func (l *leg) answered() {
	if l.offered.body != nil {
		l.told, l.offered = l.offered, told{}
	}
}

// recording is what RFC 7866 calls the call's state.
func (c *call) recording() string {
	switch {
	case c.media.tap == nil || !c.media.tap.Open():
		return sdp.RecordOff
	case c.media.tap.Paused():
		return sdp.RecordPaused
	}
	return sdp.RecordOn
}
