package consent

import (
	"slices"
	"strings"
	"time"
)

// together is how far apart the beginnings of one press may seem that comes by
// more than one way: an INFO may be sent again after half a second (RFC 3261
// section 17.1.2.2), and comes when the key is let go.
const together = time.Second

// presses are a party's latest, the oldest first: more than anybody presses
// within that time.
type presses [8]Press

// took notes a press. It returns false for one that came before by another way:
// then was is that one, with all the ways in Via. The same key by the same way
// is another press.
func (l *presses) took(p Press) (was Press, is bool) {
	for i := range l {
		q := &l[i]
		if q.Key != p.Key || q.Via == "" || slices.Contains(strings.Split(q.Via, "+"), p.Via) {
			continue
		}
		if apart := p.began().Sub(q.began()); apart < together && apart > -together {
			q.Via += "+" + p.Via
			return *q, false
		}
	}
	copy(l[:], l[1:])
	l[len(l)-1] = p
	return p, true
}

// began is when the key went down, as far as it is known.
func (p Press) began() time.Time { return p.At.Add(-p.Duration) }

// alsoBy notes that a press has come by a further way: evidence, while the record
// of it isn't made yet.
func (m *Machine) alsoBy(party Party, p Press) {
	if a := &m.asks[party]; a.state == saidYes && a.press.Key == p.Key && a.press.At.Equal(p.At) {
		a.press.Via = p.Via
	}
}
