package proxy

import (
	"consentgate/consent"
	"consentgate/media/srtp"
	"consentgate/proxy/sdp"
)

// SRTP with keys in SDP (RFC 4568). Where nobody needs the plain text, and both
// sides want the same, profiles, keys and packets pass as they are. Where the
// gate stands in between, each side has keys of the gate's: descriptions lose
// theirs where they come in, so that everything else sees plain ones, and get
// ours where they go out.

// SRTP says whether a side's media are sealed.
type SRTP uint8

const (
	SRTPOff      SRTP = iota // what comes passes
	SRTPOptional             // if the side's peer can do it
	SRTPRequired             // or there is no call
)

// standing is whether the gate stands between the parties' keys. It stays so for
// the whole of a call: who has keys of ours can't be given the far end's.
type standing uint8

const (
	undecided standing = iota
	aside              // keys and packets pass
	between
)

// form is how we offer SRTP to a leg's peer.
type form uint8

const (
	unknown   form = iota
	clear          // not
	perhaps        // RTP/AVP with keys (RFC 8643)
	certainly      // RTP/SAVP with keys
)

// pair are the two keys of a leg.
type pair struct{ theirs, ours srtp.Crypto }

// seal is how a leg's media are sealed.
type seal struct {
	proto   string        // of its peer's latest description
	said    []srtp.Crypto // the keys in it that we can use
	refused bool          // its audio: the keys in force stay, for packets may still come
	form    form          // of our offers to it
	owes    bool          // what it gets next answers its offer
	reply   pair          // to its offer; zero: in the clear
	ours    []srtp.Crypto // keys that it was offered
	now     pair          // in force; zero: in the clear
	in      *srtp.Receiver
	senders []*srtp.Sender // of each key of ours: a key never begins anew, its numbers would be used twice
}

func (l *leg) mode() SRTP { return l.side.conf.SRTP }

// usable are the keys of a description that we can use.
func (l *leg) usable(p sdp.Protection) (out []srtp.Crypto) {
	if l.mode() == SRTPOff || !p.Clear() && !p.Sealed() {
		return nil
	}
	for _, v := range p.Crypto {
		if k, err := srtp.Parse(v); err == nil { // others are passed over (RFC 4568 section 5.1.2)
			out = append(out, k)
		}
	}
	return out
}

// answered are the keys that the keys in an answer agree on: one of those that
// we have offered.
func (s *seal) answered(said []srtp.Crypto) pair {
	for _, theirs := range said {
		for _, ours := range s.ours {
			if ours.Tag == theirs.Tag && ours.Suite == theirs.Suite {
				return pair{theirs, ours}
			}
		}
	}
	return pair{}
}

// decide decides, by the call's first description, whether we stand between.
func (c *call) decide(l *leg, p sdp.Protection, said []srtp.Crypto) {
	if c.standing != undecided {
		return
	}
	far := l.other()
	foreign := !p.Clear() && len(said) == 0 // DTLS-SRTP, suites that we don't have
	same := l.mode() == far.mode() && (p.Sealed() || !l.strict() && !far.strict())
	if c.media.relay == nil || foreign || same && !c.wantsPlain() {
		c.standing = aside
		return
	}
	c.standing = between
}

// wantsPlain reports whether somebody is to hear a prompt.
func (c *call) wantsPlain() bool { return c.policy != nil && c.policy.Action == consent.Ask }

// unseal makes a description of l's peer a plain one and keeps its keys. Where
// the gate has none of its own, keys that a description doesn't insist on are
// taken out of calls that are asked: a prompt needs plain text.
func (c *call) unseal(l *leg, s *sdp.Session) {
	p, ok := s.Protection()
	switch {
	case ok && c.standing == between:
		l.seal.proto, l.seal.said, l.seal.refused = p.Proto, l.usable(p), p.Refused
		s.Unseal()
	case ok && c.wantsPlain() && p.Clear():
		s.Unseal()
	}
}

// keysTaken is what becomes of descriptions for want of plain text.
func (c *call) keysTaken() (l liberty) {
	if c.standing == between || c.wantsPlain() {
		l |= ownKeys
	}
	if c.insecure {
		l |= ownBody
	}
	return l
}

// noteOffer readies our answer to an offer of l's peer: the key that it prefers
// of those that we can use, and ours of that suite.
func (c *call) noteOffer(l *leg) {
	k := &l.seal
	k.owes, l.other().seal.owes = true, false
	k.reply = pair{}
	if len(k.said) > 0 {
		theirs := k.said[0]
		ours := k.now.ours
		if ours.Zero() || ours.Suite != theirs.Suite {
			ours = srtp.New(theirs.Tag, theirs.Suite)
		}
		k.reply = pair{theirs, ours.WithTag(theirs.Tag)}
	}
	if k.form == unknown {
		k.form = k.asSaid()
	}
}

// asSaid is the form of its peer's own description.
func (s *seal) asSaid() form {
	switch {
	case (sdp.Protection{Proto: s.proto}).Sealed():
		return certainly
	case len(s.said) > 0:
		return perhaps
	}
	return clear
}

// agree puts what we answer to an offer into force.
func (s *seal) agree() {
	if !s.refused {
		s.now = s.reply
	}
}

// noteAnswer puts the keys of an answer into force.
func (s *seal) noteAnswer() {
	if !s.refused {
		s.now = s.answered(s.said)
	}
}

// protect seals a plain description for a leg's peer.
func (c *call) protect(to *leg, body []byte) []byte {
	k := &to.seal
	switch {
	case c.standing != between:
		return body
	case k.owes && k.reply.ours.Zero():
		return sdp.WithKeys(body, k.itsProfile, nil)
	case k.owes:
		return sdp.WithKeys(body, k.itsProfile, []string{k.reply.ours.Attribute()})
	}
	switch to.offerForm() {
	case certainly:
		return sdp.WithKeys(body, sdp.Seal, k.offer())
	case perhaps:
		return sdp.WithKeys(body, nil, k.offer())
	}
	return body
}

// itsProfile: an answer has the offer's (RFC 3264 section 6).
func (s *seal) itsProfile(string) string { return s.proto }

// offerForm is how a leg's peer is offered SRTP, throughout a call the same.
func (l *leg) offerForm() form {
	k := &l.seal
	switch {
	case l.mode() == SRTPOff:
		k.form = clear
	case l.mode() == SRTPRequired:
		k.form = certainly
	case k.form != unknown:
	case l.other().mode() == SRTPOptional: // as the far end offers it
		k.form = l.other().seal.asSaid()
	default:
		k.form = perhaps
	}
	return k.form
}

// offer is the key in force, said again, else one for each suite.
func (s *seal) offer() (out []string) {
	switch {
	case !s.now.ours.Zero():
		s.ours = []srtp.Crypto{s.now.ours}
	case s.ours == nil:
		s.ours = srtp.Offer()
	}
	for _, k := range s.ours {
		out = append(out, k.Attribute())
	}
	return out
}

// contexts open what the leg's peer sends and seal what it is sent; nil while it
// is in the clear.
func (l *leg) contexts() (*srtp.Receiver, *srtp.Sender) {
	k := &l.seal
	if k.now.theirs.Zero() {
		return nil, nil
	}
	if k.in == nil || !k.in.Crypto().SameKey(k.now.theirs) {
		k.in = srtp.NewReceiver(k.now.theirs, k.in)
	}
	for _, s := range k.senders {
		if s.Crypto().SameKey(k.now.ours) {
			return k.in, s
		}
	}
	out := srtp.NewSender(k.now.ours)
	k.senders = append(k.senders, out)
	return k.in, out
}
