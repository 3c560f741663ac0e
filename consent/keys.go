package consent

import (
	"strings"
	"time"
)

// keyGap is the longest pause between two keys of one sequence.
const keyGap = 4 * time.Second

// keySequence holds a party's latest keys, to find a sequence such as *9 in
// them. It keeps no more than the longest sequence can use.
type keySequence struct {
	keys string
	at   time.Time
}

const longestSequence = 8

func (s *keySequence) add(k Key, at time.Time) {
	if at.Sub(s.at) > keyGap {
		s.keys = ""
	}
	s.keys += string(rune(k))
	if n := len(s.keys) - longestSequence; n > 0 {
		s.keys = s.keys[n:]
	}
	s.at = at
}

// ends reports whether the latest keys are seq, and forgets them if so.
func (s *keySequence) ends(seq string) bool {
	if seq == "" || !strings.HasSuffix(s.keys, seq) {
		return false
	}
	s.keys = ""
	return true
}

// translate takes a key pressed during the call and turns the last key of a
// sequence into the event that the sequence stands for; any other key stays
// what it is. Only who consented can withdraw; either party may pause. While
// others are being asked, who said yes may take it back.
func (m *Machine) translate(ev Event) Event {
	asking := m.State == Asking
	if m.State < Asking || asking && m.asks[ev.Party].state != saidYes {
		return ev
	}
	s := &m.keys[ev.Party]
	s.add(ev.Press.Key, ev.At)
	switch {
	case s.ends(m.policy.Withdraw):
		if m.policy.Asks(ev.Party) {
			ev.Kind = Withdraw
		}
	case asking:
	case s.ends(m.policy.Pause):
		ev.Kind = Pause
	case s.ends(m.policy.Resume):
		ev.Kind = Resume
	}
	return ev
}
