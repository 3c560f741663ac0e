package consent

// granted runs when the Granted record is durable: only now may a recorder be
// made, and only Session can put a Grant into the act.
func (m *Machine) granted(ev Event) []Act {
	if ev.Record != m.pending {
		return nil
	}
	m.pending = Hash{}
	m.State = Opening
	return []Act{{Do: Create}}
}

func (m *Machine) grantNotDurable(ev Event) []Act {
	if ev.Record != m.pending {
		return nil // a Resumed record of the segment before
	}
	// The record may yet reach the disk, if it is a slow one: so the grant is closed here.
	m.State, m.closed = Unrecorded, true
	return []Act{{Do: Append, Record: m.record(Failed, ev, "the consent could not be made durable: "+ev.Reason)}}
}

func (m *Machine) openTap(Event) []Act {
	m.State, m.opened = Recording, true
	return []Act{{Do: Tap}}
}

func (m *Machine) openFailed(ev Event) []Act {
	m.State, m.closed = Unrecorded, true
	return []Act{{Do: Append, Record: m.record(Failed, ev, ev.Reason)}}
}

// grantedTooLate closes a grant that became durable, or whose recorder failed,
// after the call had moved on: every grant has one end in the log.
func (m *Machine) grantedTooLate(ev Event) []Act {
	if m.grant == (Hash{}) || m.opened || m.closed || ev.Kind == Committed && ev.Record != m.grant {
		return nil
	}
	m.closed = true
	return []Act{{Do: Append, Record: m.record(Failed, ev, EndUnbegun)}}
}

// openedTooLate throws away a recorder that nobody may use any more. The
// recorder accounts for the grant.
func (m *Machine) openedTooLate(Event) []Act {
	if m.opened {
		return nil
	}
	m.opened = true
	return []Act{{Do: Discard, Reason: EndUnbegun}}
}

// withdraw stops first and writes afterwards: the barrier must not wait for a disk.
func (m *Machine) withdraw(ev Event) []Act {
	acts := []Act{{Do: CloseTap, Reason: EndWithdrawn},
		{Do: Append, Record: m.recordOf(Withdrawn, ev, ev.Reason)}}
	m.State = Unrecorded
	return append(acts, m.erasures(ev)...)
}

// erasures are of what was recorded with the yes of who withdraws: of a party,
// only since it is the same person.
func (m *Machine) erasures(ev Event) (acts []Act) {
	if m.policy.OnWithdrawal != Erase {
		return nil
	}
	for _, s := range m.segments {
		if ev.Reason == byConsole || s.persons[ev.Party] == m.persons[ev.Party] {
			acts = append(acts, Act{Do: EraseIt, Reason: EndWithdrawn, Of: s.grant})
		}
	}
	if m.grant != (Hash{}) {
		acts = append(acts, Act{Do: EraseIt, Reason: EndWithdrawn, Of: m.grant})
	}
	return acts
}

func (m *Machine) pause(ev Event) []Act {
	m.State = Suspended
	return append([]Act{{Do: PauseTap}}, m.pauseAgain(ev)...)
}

// pauseAgain adds a party to those who want the pause.
func (m *Machine) pauseAgain(ev Event) []Act {
	m.State, m.pending = Suspended, Hash{}
	switch ev.Reason {
	case byConsole:
		m.console = true
		return []Act{{Do: Append, Record: m.record(Paused, ev, ev.Reason)}}
	case byTransfer:
		if m.moving {
			return nil
		}
		m.moving = true
		return []Act{{Do: Append, Record: m.record(Paused, ev, ev.Reason)}}
	}
	m.paused[ev.Party] = true
	return []Act{{Do: Append, Record: m.recordOf(Paused, ev, ev.Reason)}}
}

// pauseTooEarly: a pause asked for before there is a tap to pause. Any doubt
// means not recorded.
func (m *Machine) pauseTooEarly(ev Event) []Act {
	m.State = Unrecorded
	return nil // the grant is closed when its commit or its recorder reports
}

// byTransfer as an event's Reason says that somebody else may be on the line.
const byTransfer = "transfer"

// ByTransfer marks Pause and Resume events of a transfer that is under way, and
// that failed; set it as the event's Reason.
const ByTransfer = byTransfer

// byConsole as an event's Reason says that no party on the line did it.
const byConsole = "console"

// ByConsole marks Withdraw, Pause and Resume events that a person at the
// console caused; set it as the event's Reason, and who it is as By. A withdrawal
// there is made for the party that was asked, or for all that were.
const ByConsole = byConsole

// Pauses are who wants that nothing is recorded for now. All of them must have
// ended theirs before recording goes on.
type Pauses struct {
	Remote, Local bool // the parties, by keys or by their telephones' word
	Console       bool
	Transfer      bool // somebody else may be on the line
}

func (m *Machine) pauses() Pauses {
	if m.State != Suspended && m.State != Resuming {
		return Pauses{}
	}
	return Pauses{Remote: m.paused[Remote], Local: m.paused[Local], Console: m.console, Transfer: m.moving}
}

// resume needs everyone who paused to resume: nobody can end another's pause.
func (m *Machine) resume(ev Event) []Act {
	r := m.record(Resumed, ev, ev.Reason)
	switch ev.Reason {
	case byConsole:
		m.console = false
	case byTransfer:
		m.moving = false
	default:
		m.paused[ev.Party] = false
		r = m.recordOf(Resumed, ev, ev.Reason)
	}
	if m.console || m.moving || m.paused[Remote] || m.paused[Local] {
		return nil
	}
	m.State, m.pending = Resuming, r.Hash()
	return []Act{{Do: Commit, Record: r}}
}

func (m *Machine) resumed(ev Event) []Act {
	if ev.Record != m.pending {
		return nil
	}
	m.State, m.pending = Recording, Hash{}
	return []Act{{Do: ResumeTap}}
}

// resumeNotDurable leaves the tap paused: a resumption nobody can prove doesn't
// happen. The party may try again.
func (m *Machine) resumeNotDurable(ev Event) []Act {
	if ev.Record != m.pending {
		return nil
	}
	m.State, m.pending = Suspended, Hash{}
	return nil
}

func (m *Machine) recorderFailed(ev Event) []Act {
	m.State = Unrecorded
	return []Act{{Do: CloseTap, Reason: EndFailed + ": " + ev.Reason}}
}

func (m *Machine) end(ev Event) []Act {
	was := m.State
	m.State = Ended
	if was == Idle || was == Unrecorded {
		return nil
	}
	return []Act{{Do: CloseTap, Reason: EndHangUp}}
}
