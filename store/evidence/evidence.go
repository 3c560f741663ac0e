package evidence

import (
	"errors"
	"time"

	"consentgate/consent"
)

// Case is what is known of one grant and its recording. Numbers and names in it
// are personal data; what a document shows of them is the Reader's.
type Case struct {
	Recording string   // its id
	Records   []Logged // the Granted record, and those that act on it, as logged
	Started   time.Time
	Reason    string    // why the recording ended, "" while it is being written
	Due       time.Time // when its retention is over, by what is configured now; zero: counted from its end
	Erased    time.Time // zero: it isn't
	Accesses  []Access
	// Elsewhere: who asks was called, and another number answered. What was said and
	// agreed to is somebody else's then, and isn't shown.
	Elsewhere bool
	Rendered
}

// Rendered is what is known of the audio once it has been read.
type Rendered struct {
	Length  time.Duration
	Gaps    []Gap
	Unheard []string // encodings that can't be rendered, so are silence in the audio
	Damaged string   // what can't be read, "" if nothing
}

// Logged is a record with its place in the audit log.
type Logged struct {
	consent.Record
	Seq  int64  // -1: not known
	Leaf string // SHA-256 of the log's leaf as the tree holds it, hexadecimal; "": not known
}

// Gap is a span in which a party wasn't recorded, and why.
type Gap struct {
	Party    consent.Party
	Cause    string
	From, To time.Duration // since Case.Started
	Times    int           // several short ones that lie close together; 0: it is one
	Missing  time.Duration // of several, in all
}

// Short gaps of one cause that lie close together are told as one: a bad network
// makes a thousand in an hour, which nobody reads.
const (
	brief = time.Second // the longest that is joined with others
	near  = time.Second // how far they lie apart at most
)

// Joined joins short neighbours of one party and cause. The gaps are in the order
// of their beginnings, and stay so.
func Joined(gaps []Gap) (out []Gap) {
	last := map[Gap]int{} // by party and cause: which is the last of them, if it was short
	for _, g := range gaps {
		of := Gap{Party: g.Party, Cause: g.Cause}
		i, ok := last[of]
		if g.To-g.From > brief {
			delete(last, of)
			out = append(out, g)
			continue
		}
		if !ok || g.From-out[i].To > near {
			last[of] = len(out)
			out = append(out, g)
			continue
		}
		if out[i].Times == 0 {
			out[i].Times, out[i].Missing = 1, out[i].To-out[i].From
		}
		out[i].Times++
		out[i].Missing += g.To - max(g.From, out[i].To)
		out[i].To = max(out[i].To, g.To)
	}
	return out
}

// SubjectAccess is the purpose of an export to who is heard in it: not one that
// they consented to, but their right (GDPR Art. 15, 20).
const SubjectAccess = "subject access"

// LegalClaims is the purpose of a use of a restricted recording: it needs no
// consent (GDPR Art. 18(2)).
const LegalClaims = "legal claims"

// Access is somebody's use of a recording, as logged.
type Access struct {
	At       time.Time
	By       string // a user's name, or "system"
	Exported bool   // taken out, else listened to
	Purpose  string
	To       string        // who got an export
	From, Up time.Duration // the part listened to; both zero: all of it
}

// Setting is what the controller knows and no recording tells. What is empty is
// said to be unknown, where a document must say something.
type Setting struct {
	Address    string   // postal address of the controller
	Country    string   // whose law applies and where the data lies, ISO 3166-1 alpha-2, or EU; "": not stated
	Authority  string   // where to complain (Art. 77)
	Recipients []string // processors and others who get recordings (Art. 15(1)(c))
	Transfers  string   // to third countries and their safeguards (Art. 15(2))
}

// Reader is whom a document is for, and so what it may show.
type Reader struct {
	// Party is the person it is for: only their own consent, and their own
	// number in full. nil: whoever may see both parties' consent.
	Party *consent.Party
	// Numbers shows every number in full, but to a party not the other's that
	// was withheld in the call. Else numbers that aren't the reader's own are
	// left out, masked or replaced by a pseudonym.
	Numbers bool
}

// shows reports whether a party's number may be shown in full: not to the other
// party, who was not to see it in the call either (RFC 3323).
func (c *Case) shows(r Reader, p consent.Party) bool {
	if r.Party == nil {
		return r.Numbers
	}
	return *r.Party == p || r.Numbers && !c.withheld(p)
}

// withheld reports whether a party called and asked that its number be kept from
// the other.
func (c *Case) withheld(p consent.Party) bool {
	call := c.grant().Call
	return call.Withheld && (p == consent.Local) == (call.Direction == consent.Outbound)
}

// sees reports whether a party's own consent may be shown.
func (r Reader) sees(p consent.Party) bool { return r.Party == nil || *r.Party == p }

var (
	errNoGrant  = errors.New("evidence: a case begins with the record of the consent that was given")
	errNotAsked = errors.New("evidence: that party wasn't asked for consent, so there is no receipt of one")
	errCountry  = errors.New("evidence: a country is two capital letters (ISO 3166-1), or EU")
)

// check refuses what no document can be made of.
func (c *Case) check() error {
	if len(c.Records) == 0 || c.Records[0].Kind != consent.Granted {
		return errNoGrant
	}
	return nil
}

func (s *Setting) check() error {
	if s.Country == "" {
		return nil
	}
	if len(s.Country) != 2 || s.Country[0] < 'A' || s.Country[0] > 'Z' || s.Country[1] < 'A' || s.Country[1] > 'Z' {
		return errCountry
	}
	return nil
}

// country names the place, or says that nobody did: none is assumed.
func (s *Setting) country() any {
	if s.Country == "" {
		return node{"dct:description": unknown}
	}
	return "loc:" + s.Country
}

func (c *Case) grant() *Logged { return &c.Records[0] }

// Until is when the recording's retention ends.
func (c *Case) Until() time.Time {
	if !c.Due.IsZero() {
		return c.Due
	}
	return c.Started.Add(c.Length).Add(c.grant().Purpose.Retention)
}

// number is a party's, as the call had it. Outside, who answered is who was on the
// line, and not who was called; what a PBX says of who answered is a telephone of its
// own, and the number that was called the one that people know.
func (c *Case) number(p consent.Party) string {
	call := &c.grant().Call
	switch {
	case p == consent.Local:
		return call.Local
	case call.Called() == consent.Remote && call.Connected != "" && !c.Elsewhere:
		return call.Connected
	}
	return call.Remote
}
