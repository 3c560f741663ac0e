package consent

import "testing"

// TestTheConsoleWithdrawsForWhoeverGaveConsent: in the name of the one party that
// was asked; where it was both, of neither more than of the other. The record
// says who did it.
func TestTheConsoleWithdrawsForWhoeverGaveConsent(t *testing.T) {
	one, both := []Party{Local}, []Party{Remote, Local}
	for name, c := range map[string]struct {
		parties []Party
		way     []string
		kind    Kind
	}{
		"one":                    {one, []string{"start", "local heard", "local key 1", "durable", "opened"}, Withdrawn},
		"both":                   {both, []string{"start", "remote heard", "local heard", "remote key 1", "local key 1", "durable", "opened"}, Withdrawn},
		"one while being asked":  {one, []string{"start", "local heard"}, Declined},
		"both while being asked": {both, []string{"start", "remote heard", "remote key 1"}, Declined},
	} {
		p := testPolicy()
		p.Parties = c.parties
		m := walk(t, p, c.way)
		m, acts, _ := m.Step(Event{Kind: Withdraw, At: noon, Reason: ByConsole, By: "dana"})
		var r *Record
		for _, a := range acts {
			if a.Do == Append {
				r = a.Record
			}
		}
		switch {
		case m.State != Unrecorded || r == nil:
			t.Errorf("%s: %s, %s", name, m.State, does(acts))
		case r.Kind != c.kind || r.By != "dana" || r.Reason != ByConsole:
			t.Errorf("%s: %+v", name, r)
		case len(c.parties) == 1 && (r.Party == nil || *r.Party != Local), len(c.parties) == 2 && r.Party != nil:
			t.Errorf("%s: it is %v's", name, r.Party)
		}
	}
}

// TestPausesTellWhoStillWantsOne, and nothing where there is no recording any more.
func TestPausesTellWhoStillWantsOne(t *testing.T) {
	m := walk(t, testPolicy(), append(reach[Suspended], "console-pause", "local pause"))
	if got := m.pauses(); got != (Pauses{Remote: true, Local: true, Console: true}) {
		t.Errorf("%+v", got)
	}
	m, _, _ = m.Step(Event{Kind: Pause, At: noon, Reason: ByTransfer})
	m, _, _ = m.Step(parseEvent(t, m, "remote resume"))
	if got := m.pauses(); got != (Pauses{Local: true, Console: true, Transfer: true}) {
		t.Errorf("%+v", got)
	}
	m, _, _ = m.Step(parseEvent(t, m, "remote withdraw"))
	if got := m.pauses(); got != (Pauses{}) {
		t.Errorf("%+v", got)
	}
}
