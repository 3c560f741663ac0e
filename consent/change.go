package consent

import "slices"

// partyChanged ends the segment at once. Where the policy wants that party's yes
// the new one is asked, and recording goes on, as a linked segment, only on
// their own; the others' yes stands. On a side that isn't asked nobody can say
// yes, so nothing more is recorded. Nor is it while somebody who stays wants a
// pause.
func (m *Machine) partyChanged(ev Event) []Act {
	closed := Act{Do: CloseTap, Reason: EndChanged}
	other := ev.Party.Other()
	if !m.policy.Asks(ev.Party) || m.console || m.paused[other] {
		m.State = Unrecorded
		return []Act{closed}
	}
	m.segments = append(slices.Clone(m.segments), segment{m.grant, m.persons})
	m.prior, m.grant, m.pending = m.grant, Hash{}, Hash{}
	m.opened, m.closed, m.moving, m.paused = false, false, false, [2]bool{}
	m.persons[ev.Party]++
	m.asks[ev.Party], m.keys[ev.Party] = ask{}, keySequence{}
	call := *m.call
	if ev.Party == Remote {
		call.Remote = ev.Who
	} else {
		call.Local = ev.Who
	}
	if ev.Party == call.Called() {
		call.Connected = "" // of who was there before
	}
	m.call = &call
	m.State = Asking
	return []Act{closed, {Do: Part}, m.prompt(ev.Party), {Do: Notice, Party: other}}
}

// changedTooEarly: a change before there is anything to continue.
func (m *Machine) changedTooEarly(Event) []Act {
	m.State = Unrecorded
	return []Act{{Do: CloseTap, Reason: EndChanged}}
}

func (m *Machine) changedWhileAsking(ev Event) []Act {
	return m.refuse(Failed, ev, "the party changed while being asked")
}
