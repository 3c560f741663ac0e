package consent

// start asks every party of the policy at once; the others hear the notice. With
// a Reason why nothing can be recorded nobody is asked for what can't be had.
func (m *Machine) start(ev Event) []Act {
	if m.policy.Action == Bypass {
		m.State = Unrecorded
		return []Act{{Do: Bridge}, {Do: Append, Record: m.record(Bypassed, ev, "")}}
	}
	if ev.Reason != "" {
		m.State = Unrecorded
		return []Act{{Do: Bridge}, {Do: Append, Record: m.record(Failed, ev, ev.Reason)}}
	}
	m.State = Asking
	if m.against != nil {
		objection := *m.against
		objection.At = ev.At
		return m.takenBack(objection)
	}
	var acts []Act
	for _, p := range []Party{Remote, Local} {
		if m.policy.Asks(p) {
			acts = append(acts, m.prompt(p))
		} else {
			acts = append(acts, Act{Do: Notice, Party: p})
		}
	}
	return acts
}

func (m *Machine) prompt(p Party) Act {
	a := &m.asks[p]
	a.attempt++
	a.state, a.heard = prompting, Heard{}
	return Act{Do: Play, Party: p, Attempt: a.attempt}
}

func (m *Machine) promptEnd(ev Event) []Act {
	a := &m.asks[ev.Party]
	if a.state != prompting {
		return nil
	}
	if !ev.Heard.Complete {
		return m.promptFailed(ev)
	}
	a.state, a.heard = waiting, ev.Heard
	return []Act{{Do: Wait, Party: ev.Party, For: m.policy.Timeout}}
}

// promptFailed: who can't be told can't say yes, nor who has heard it all and has
// no audio any more to answer by.
func (m *Machine) promptFailed(ev Event) []Act {
	if a := m.asks[ev.Party].state; a != prompting && a != waiting {
		return nil
	}
	reason := ev.Reason
	if reason == "" {
		reason = "the prompt was not heard to its end"
	}
	if m.asks[ev.Party].state == prompting {
		m.asks[ev.Party].heard = ev.Heard
	}
	return m.refuse(Failed, ev, reason)
}

// answer judges a key. A yes counts only once the purpose was heard to its end,
// unless the policy lets one barge in; a no counts at any time, for it needs no
// information to be valid.
func (m *Machine) answer(ev Event) []Act {
	a := &m.asks[ev.Party]
	early := a.state == prompting
	switch {
	case a.state != prompting && a.state != waiting:
		return nil // not asked, or said yes already: a yes stands until withdrawn
	case ev.Press.Key == m.policy.Decline:
		return m.refuse(Declined, ev, "")
	case ev.Press.Key == m.policy.Accept && early && m.policy.BargeIn:
		a.heard = ev.Heard
		return m.yes(ev)
	case early:
		a.early++
		return nil
	case ev.Press.Key == m.policy.Accept:
		return m.yes(ev)
	default:
		return m.again(WrongKey, ev)
	}
}

func (m *Machine) silence(ev Event) []Act {
	if m.asks[ev.Party].state != waiting {
		return nil
	}
	return m.again(Silent, ev)
}

// again asks once more, or takes the last attempt's outcome as the answer: no.
func (m *Machine) again(k Kind, ev Event) []Act {
	if m.asks[ev.Party].attempt < m.policy.Attempts {
		return []Act{m.prompt(ev.Party)}
	}
	return m.refuse(k, ev, "")
}

func (m *Machine) yes(ev Event) []Act {
	a := &m.asks[ev.Party]
	a.state, a.press = saidYes, ev.Press
	for _, p := range m.policy.Parties {
		if m.asks[p].state != saidYes {
			return []Act{{Do: Notice, Party: ev.Party}}
		}
	}
	r := m.record(Granted, ev, "")
	r.Answers = m.answers()
	m.grant = r.Hash()
	m.pending = m.grant
	m.State = Committing
	// The parties talk while the disk works: law 2. The tap waits for it: law 1.
	return []Act{{Do: StopAll}, {Do: Bridge}, {Do: Commit, Record: r}}
}

func (m *Machine) answers() []Answer {
	var out []Answer
	for _, p := range m.policy.Parties {
		if a := m.asks[p]; a.state == saidYes {
			out = append(out, Answer{Party: p, Heard: a.heard, Press: a.press, Attempt: a.attempt, Early: a.early})
		}
	}
	return out
}

// refuse ends the asking of everybody with a no: one no is enough.
func (m *Machine) refuse(k Kind, ev Event, reason string) []Act {
	r := m.recordOf(k, ev, reason)
	r.Answers = m.answers()
	m.State = Unrecorded
	acts := []Act{{Do: StopAll}, {Do: Append, Record: r}}
	// A failure of ours isn't a refusal of theirs: it never ends the call.
	if m.policy.OnRefusal == Disconnect && k != Failed {
		return append(acts, Act{Do: EndCall, Reason: string(k)})
	}
	return append(acts, Act{Do: Bridge})
}

// objectedBefore keeps an objection until there is something to refuse.
func (m *Machine) objectedBefore(ev Event) []Act {
	m.against = &ev
	return nil
}

// takenBack ends the asking of the others: somebody who said yes takes it back,
// or the console ends it. What an earlier segment recorded of them falls under
// the policy's on_withdrawal.
func (m *Machine) takenBack(ev Event) []Act {
	if m.prior == (Hash{}) {
		return m.refuse(Declined, ev, ev.Reason)
	}
	r := m.recordOf(Withdrawn, ev, ev.Reason)
	m.State = Unrecorded
	return append([]Act{{Do: StopAll}, {Do: Append, Record: r}, {Do: Bridge}}, m.erasures(ev)...)
}

func (m *Machine) hungUpWhileAsking(ev Event) []Act {
	m.State = Ended
	r := m.record(HungUp, ev, ev.Reason)
	r.Answers = m.answers()
	return []Act{{Do: StopAll}, {Do: Append, Record: r}}
}
