package consent

import (
	"slices"
	"strings"
	"testing"
)

// TestANewPartyIsAskedAndContinuesOnlyOnTheirOwnYes: the segment before is
// closed at once, the new one has a grant of its own that names it.
func TestANewPartyIsAskedAndContinuesOnlyOnTheirOwnYes(t *testing.T) {
	m := walk(t, testPolicy(), reach[Recording])
	first := m.grant
	ev := parseEvent(t, m, "changed")
	ev.Who = "+442079460999"
	m, acts, _ := m.Step(ev)
	if acts[0].Do != CloseTap || m.State != Asking {
		t.Fatalf("%s: %s", m.State, does(acts))
	}
	for _, no := range [][]string{{"remote key 2"}, {"remote unheard"}, {"remote heard", "remote silence", "remote heard", "remote silence"}, {"changed"}} {
		n := m
		var all []Act
		for _, l := range no {
			var acts []Act
			n, acts, _ = n.Step(parseEvent(t, n, l))
			all = append(all, acts...)
		}
		if n.State != Unrecorded || slices.ContainsFunc(all, func(a Act) bool { return a.Do == Commit || a.Do == Create }) {
			t.Errorf("after %q: %s, %s", no, n.State, does(all))
		}
	}
	m, _, _ = m.Step(parseEvent(t, m, "remote heard"))
	m, acts, _ = m.Step(parseEvent(t, m, "remote key 1"))
	r := acts[len(acts)-1].Record
	if m.State != Committing || r.Kind != Granted || r.Continues == nil || *r.Continues != first || r.Call.Remote != "+442079460999" {
		t.Errorf("%s: %s, %+v", m.State, does(acts), r)
	}
	for _, l := range []string{"durable", "opened"} {
		m, acts, _ = m.Step(parseEvent(t, m, l))
	}
	if m.State != Recording || does(acts) != "tap" || m.grant == first {
		t.Errorf("%s: %s", m.State, does(acts))
	}
}

// TestWhoAnsweredIsForgottenWithWhoWasCalled: the new one on the line is nobody else. A
// change of the caller leaves it.
func TestWhoAnsweredIsForgottenWithWhoWasCalled(t *testing.T) {
	for direction, want := range map[Direction]string{Outbound: "", Inbound: "205"} {
		m := walk(t, testPolicy(), reach[Recording])
		call := *m.call
		call.Direction, call.Connected = direction, "205"
		m.call = &call
		ev := parseEvent(t, m, "changed") // the remote party
		ev.Who = "+442079460999"
		if m, _, _ = m.Step(ev); m.call.Connected != want || call.Connected != "205" {
			t.Errorf("%s: %q answered, want %q", direction, m.call.Connected, want)
		}
	}
}

// TestTheOthersYesStands when one of two changes: only the new one is asked, and
// the record has both answers.
func TestTheOthersYesStands(t *testing.T) {
	p := testPolicy()
	p.Parties = []Party{Remote, Local}
	m := walk(t, p, []string{"start", "remote heard", "local heard", "remote key 1", "local key 1", "durable", "opened"})
	m, acts, _ := m.Step(parseEvent(t, m, "local changed"))
	if does(acts) != "close_tap part play(local) notice(remote)" {
		t.Fatalf("%s", does(acts))
	}
	m, _, _ = m.Step(parseEvent(t, m, "local heard"))
	_, acts, _ = m.Step(parseEvent(t, m, "local key 1"))
	if r := acts[len(acts)-1].Record; len(r.Answers) != 2 {
		t.Errorf("answers %+v", r.Answers)
	}
}

// TestNobodyNewIsRecordedWhereNobodyIsAsked: on a side that the policy doesn't
// ask, a new party ends the recording.
func TestNobodyNewIsRecordedWhereNobodyIsAsked(t *testing.T) {
	m := walk(t, testPolicy(), reach[Recording])
	m, acts, _ := m.Step(parseEvent(t, m, "local changed"))
	if m.State != Unrecorded || does(acts) != "close_tap" {
		t.Errorf("%s: %s", m.State, does(acts))
	}
}

// TestAPauseOfWhoStaysOutlivesAChange: nobody new ends another's pause.
func TestAPauseOfWhoStaysOutlivesAChange(t *testing.T) {
	for _, pause := range []string{"local pause", "console-pause"} {
		m := walk(t, testPolicy(), append(slices.Clone(reach[Recording]), pause))
		if m, acts, _ := m.Step(parseEvent(t, m, "changed")); m.State != Unrecorded {
			t.Errorf("after %s: %s, %s", pause, m.State, does(acts))
		}
	}
}

// TestAYesCanBeTakenBackWhileTheNewPartyIsAsked, and on_withdrawal reaches what
// was recorded with it, but not what others consented to.
func TestAYesCanBeTakenBackWhileTheNewPartyIsAsked(t *testing.T) {
	p := testPolicy()
	p.Parties, p.OnWithdrawal = []Party{Remote, Local}, Erase
	m := walk(t, p, []string{"start", "remote heard", "local heard", "remote key 1", "local key 1", "durable", "opened"})
	first := m.grant
	m, _, _ = m.Step(parseEvent(t, m, "changed"))
	m, _, _ = m.Step(parseEvent(t, m, "local key *"))
	n, acts, _ := m.Step(parseEvent(t, m, "local key 9"))
	if does(acts) != "stop_all append(withdrawn) bridge erase" || n.State != Unrecorded || acts[3].Of != first {
		t.Errorf("who stays: %s: %s", n.State, does(acts))
	}
	for _, l := range []string{"remote heard", "remote key 1", "durable", "opened"} {
		m, _, _ = m.Step(parseEvent(t, m, l))
	}
	_, acts, _ = m.Step(parseEvent(t, m, "remote withdraw"))
	if n := strings.Count(does(acts), "erase"); n != 1 || acts[len(acts)-1].Of != m.grant {
		t.Errorf("the new party: %s", does(acts))
	}
	_, acts, _ = m.Step(parseEvent(t, m, "local withdraw"))
	if n := strings.Count(does(acts), "erase"); n != 2 {
		t.Errorf("who was there from the start: %s", does(acts))
	}
}

// TestATransferSuspendsUntilItFailed: and only its failure resumes.
func TestATransferSuspendsUntilItFailed(t *testing.T) {
	m := walk(t, testPolicy(), reach[Recording])
	m, acts, _ := m.Step(Event{Kind: Pause, At: noon, Reason: ByTransfer})
	if does(acts) != "pause_tap append(paused)" || m.State != Suspended {
		t.Fatalf("%s: %s", m.State, does(acts))
	}
	if n, acts, _ := m.Step(parseEvent(t, m, "remote resume")); n.State != Suspended || len(acts) > 0 {
		t.Errorf("a party's resumption: %s: %s", n.State, does(acts))
	}
	m, acts, _ = m.Step(Event{Kind: Resume, At: noon, Reason: ByTransfer})
	if does(acts) != "commit(resumed)" || m.State != Resuming {
		t.Errorf("%s: %s", m.State, does(acts))
	}
}
