package consent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func testPolicy() *Policy {
	return &Policy{Name: "default", Direction: Any, Action: Ask, Purpose: Purpose{Name: "training"},
		Parties: []Party{Remote}, Accept: '1', Decline: '2', Timeout: 8 * time.Second, Attempts: 2,
		OnRefusal: Connect, Withdraw: "*9", OnWithdrawal: Keep, Pause: "*7", Resume: "*8"}
}

func heard(complete bool) Heard { return Heard{Prompt: "p", Heard: time.Second, Complete: complete} }

// line is one event in the words of the tables below, for instance "remote key 1".
func parseEvent(t *testing.T, m Machine, line string) Event {
	t.Helper()
	f := strings.Fields(line)
	ev := Event{At: noon, Heard: heard(true)}
	switch f[0] {
	case "remote":
		f = f[1:]
	case "local":
		ev.Party = Local
		f = f[1:]
	}
	kinds := map[string]EventKind{"start": Start, "heard": PromptEnd, "unheard": PromptEnd, "untold": PromptFailed,
		"key": KeyPressed, "silence": Silence, "durable": Committed, "lost": CommitFailed, "opened": Opened,
		"unopened": OpenFailed, "broken": RecorderFailed, "withdraw": Withdraw, "pause": Pause, "resume": Resume,
		"changed": PartyChanged, "objects": Objected, "hangup": HangUp, "console-pause": Pause, "console-resume": Resume}
	k, ok := kinds[f[0]]
	if !ok {
		t.Fatalf("unknown event %q", line)
	}
	ev.Kind = k
	switch f[0] {
	case "unheard":
		ev.Heard = heard(false)
	case "key":
		ev.Press.Key = Key(f[1][0])
	case "durable", "lost":
		ev.Record = m.pending
		if ev.Record == (Hash{}) {
			ev.Record = m.grant
		}
	case "console-pause", "console-resume":
		ev.Reason = ByConsole
	}
	return ev
}

// does writes acts in short, for instance "bridge append(silent)".
func does(acts []Act) string {
	var out []string
	for _, a := range acts {
		s := a.Do.String()
		switch a.Do {
		case Commit, Append:
			s += "(" + string(a.Record.Kind) + ")"
		case Play, Wait, Notice:
			s += "(" + a.Party.String() + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// reach are the shortest ways into every state, for a policy that asks the
// remote party.
var reach = map[State][]string{
	Idle:       nil,
	Asking:     {"start", "remote heard"},
	Committing: {"start", "remote heard", "remote key 1"},
	Opening:    {"start", "remote heard", "remote key 1", "durable"},
	Recording:  {"start", "remote heard", "remote key 1", "durable", "opened"},
	Suspended:  {"start", "remote heard", "remote key 1", "durable", "opened", "remote pause"},
	Resuming:   {"start", "remote heard", "remote key 1", "durable", "opened", "remote pause", "remote resume"},
	Unrecorded: {"start", "remote heard", "remote key 2"},
	Ended:      {"hangup"},
}

func walk(t *testing.T, p *Policy, lines []string) Machine {
	t.Helper()
	m := NewMachine(&Call{ID: "c1"}, p)
	for _, l := range lines {
		next, _, expected := m.Step(parseEvent(t, m, l))
		if !expected {
			t.Fatalf("%q isn't expected in %s", l, m.State)
		}
		m = next
	}
	return m
}

// TestEveryStateTimesEveryEvent is the whole machine as a table: what becomes of
// each event in each state. "-" is unexpected, "." changes nothing.
func TestEveryStateTimesEveryEvent(t *testing.T) {
	events := []string{"start", "remote heard", "remote untold", "remote key 1", "remote silence", "durable", "lost",
		"opened", "unopened", "broken", "remote withdraw", "remote pause", "remote resume", "changed", "hangup", "local objects"}
	want := map[State][]string{
		Idle: {"asking: play(remote) notice(local)", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", ".", "ended:", "."},
		Asking: {"-", ".", "unrecorded: stop_all append(failed) bridge", "committing: stop_all bridge commit(granted)", "asking: play(remote)", ".", ".", "-", "-", ".",
			"unrecorded: stop_all append(declined) bridge", "-", "-", "unrecorded: stop_all append(failed) bridge",
			"ended: stop_all append(hung_up)", "unrecorded: stop_all append(declined) bridge"},
		Committing: {"-", ".", ".", ".", ".", "opening: create", "unrecorded: append(failed)", "-", "-", ".",
			"unrecorded: close_tap append(withdrawn)", "unrecorded:", ".", "unrecorded: close_tap", "ended: close_tap", "unrecorded: close_tap append(withdrawn)"},
		Opening: {"-", "-", "-", ".", "-", "-", "-", "recording: tap", "unrecorded: append(failed)", ".",
			"unrecorded: close_tap append(withdrawn)", "unrecorded:", ".", "unrecorded: close_tap", "ended: close_tap", "unrecorded: close_tap append(withdrawn)"},
		Recording: {"-", "-", "-", ".", "-", "-", "-", "-", "-", "unrecorded: close_tap",
			"unrecorded: close_tap append(withdrawn)", "suspended: pause_tap append(paused)", ".",
			"asking: close_tap part play(remote) notice(local)", "ended: close_tap", "unrecorded: close_tap append(withdrawn)"},
		Suspended: {"-", "-", "-", ".", "-", ".", ".", "-", "-", "unrecorded: close_tap",
			"unrecorded: close_tap append(withdrawn)", "suspended: append(paused)", "resuming: commit(resumed)",
			"asking: close_tap part play(remote) notice(local)", "ended: close_tap", "unrecorded: close_tap append(withdrawn)"},
		Resuming: {"-", "-", "-", ".", "-", "recording: resume_tap", "suspended:", "-", "-", "unrecorded: close_tap",
			"unrecorded: close_tap append(withdrawn)", "suspended: append(paused)", ".",
			"asking: close_tap part play(remote) notice(local)", "ended: close_tap", "unrecorded: close_tap append(withdrawn)"},
		Unrecorded: {"-", ".", ".", ".", ".", ".", ".", "unrecorded: discard", ".", ".", ".", ".", ".", ".", "ended:", "."},
		Ended:      {"-", ".", ".", ".", ".", ".", ".", "ended: discard", ".", ".", ".", ".", ".", ".", ".", "."},
	}
	for s := State(0); s < states; s++ {
		for i, line := range events {
			m := walk(t, testPolicy(), reach[s])
			if m.State != s {
				t.Fatalf("the way to %s leads to %s", s, m.State)
			}
			next, acts, expected := m.Step(parseEvent(t, m, line))
			got := strings.TrimSpace(fmt.Sprintf("%s: %s", next.State, does(acts)))
			if next.State == s && len(acts) == 0 {
				got = "."
			}
			if !expected {
				got = "-"
			}
			// a state that ends where it began with no act is "."; "ended:" and the like say a change
			if w := strings.TrimSpace(want[s][i]); got != w && got != strings.TrimSuffix(w, ":")+":" {
				t.Errorf("%s, %s: got %q, want %q", s, line, got, w)
			}
		}
	}
}

// TestInvariant2_OnlyAnExplicitYes: every way not to say yes ends unrecorded.
func TestInvariant2_OnlyAnExplicitYes(t *testing.T) {
	for name, lines := range map[string][]string{
		"silence":                 {"start", "remote heard", "remote silence", "remote heard", "remote silence"},
		"wrong key":               {"start", "remote heard", "remote key 5", "remote heard", "remote key 9"},
		"wrong key, then silence": {"start", "remote heard", "remote key 5", "remote heard", "remote silence"},
		"decline":                 {"start", "remote heard", "remote key 2"},
		"early decline":           {"start", "remote key 2"},
		"hang-up":                 {"start", "remote heard", "hangup"},
		"hang-up in the prompt":   {"start", "hangup"},
		"unheard prompt":          {"start", "remote unheard"},
		"failed prompt":           {"start", "remote untold"},
		"key before the end":      {"start", "remote key 1", "remote heard", "remote silence", "remote heard", "remote silence"},
		"the other party's key":   {"start", "remote heard", "local key 1", "remote silence", "remote heard", "remote silence"},
		"party changed":           {"start", "remote heard", "changed"},
		"objection":               {"start", "remote heard", "remote objects", "remote key 1"},
		"objection before":        {"remote objects", "start", "remote key 1"},
		"the other's objection":   {"local objects", "start", "remote heard", "remote key 1"},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMachine(&Call{}, testPolicy())
			for _, l := range lines {
				next, acts, _ := m.Step(parseEvent(t, m, l))
				for _, a := range acts {
					if a.Do == Commit || a.Do == Create || a.Do == Tap {
						t.Fatalf("%q led to %s", l, a.Do)
					}
				}
				m = next
			}
			if m.State != Unrecorded && m.State != Ended {
				t.Fatalf("ends in %s", m.State)
			}
		})
	}
}

// TestInvariant4_RefusalKeepsTheCall: a refusal bridges, unless the policy hangs up.
func TestInvariant4_RefusalKeepsTheCall(t *testing.T) {
	for _, key := range []string{"remote key 2", "remote untold"} {
		p := testPolicy()
		m := walk(t, p, []string{"start"})
		_, acts, _ := m.Step(parseEvent(t, m, key))
		if !slices.ContainsFunc(acts, func(a Act) bool { return a.Do == Bridge }) {
			t.Errorf("%s doesn't bridge: %s", key, does(acts))
		}
	}
	p := testPolicy()
	p.OnRefusal = Disconnect
	m := walk(t, p, []string{"start", "remote heard"})
	if _, acts, _ := m.Step(parseEvent(t, m, "remote key 2")); does(acts) != "stop_all append(declined) end_call" {
		t.Errorf("on_refusal hangup: %s", does(acts))
	}
	m = walk(t, p, []string{"start"})
	if _, acts, _ := m.Step(parseEvent(t, m, "remote untold")); does(acts) != "stop_all append(failed) bridge" {
		t.Errorf("a failure of ours must not end the call: %s", does(acts))
	}
}

// TestBothPartiesMustSayYes when the policy asks both: one yes waits for the
// other, one no is enough.
func TestBothPartiesMustSayYes(t *testing.T) {
	p := testPolicy()
	p.Parties = []Party{Remote, Local}
	m := walk(t, p, []string{"start", "remote heard", "local heard"})
	m, acts, _ := m.Step(parseEvent(t, m, "remote key 1"))
	if does(acts) != "notice(remote)" || m.State != Asking {
		t.Fatalf("after one yes: %s %s", m.State, does(acts))
	}
	if next, acts, _ := m.Step(parseEvent(t, m, "local key 2")); next.State != Unrecorded || !strings.Contains(does(acts), "append(declined)") {
		t.Errorf("after one no: %s %s", next.State, does(acts))
	}
	next, acts, _ := m.Step(parseEvent(t, m, "local key 1"))
	if next.State != Committing || len(acts[2].Record.Answers) != 2 {
		t.Errorf("after both: %s, answers %+v", next.State, acts[2].Record.Answers)
	}
}

// TestBargeInCountsOnlyWhereAllowed: the key before the prompt's end.
func TestBargeInCountsOnlyWhereAllowed(t *testing.T) {
	p := testPolicy()
	p.BargeIn = true
	m := walk(t, p, []string{"start"})
	ev := parseEvent(t, m, "remote key 1")
	ev.Heard = heard(false)
	next, acts, _ := m.Step(ev)
	if next.State != Committing {
		t.Fatalf("with barge_in: %s", next.State)
	}
	if a := acts[2].Record.Answers[0]; a.Heard.Complete || a.Heard.Heard != time.Second {
		t.Errorf("the evidence must say how much was heard: %+v", a.Heard)
	}
}

// TestEarlyKeysAreEvidence: keys that didn't count are in the answer.
func TestEarlyKeysAreEvidence(t *testing.T) {
	m := walk(t, testPolicy(), []string{"start", "remote key 1", "remote key 7", "remote heard"})
	_, acts, _ := m.Step(parseEvent(t, m, "remote key 1"))
	if got := acts[2].Record.Answers[0].Early; got != 2 {
		t.Errorf("early keys %d, want 2", got)
	}
}

// TestKeySequences: withdraw, pause and resume by keys, and by whom.
func TestKeySequences(t *testing.T) {
	press := func(m Machine, party Party, keys string, gap time.Duration) (Machine, string) {
		var all []string
		at := noon
		for _, k := range keys {
			var acts []Act
			m, acts, _ = m.Step(Event{Kind: KeyPressed, Party: party, At: at, Press: Press{Key: Key(k)}})
			if s := does(acts); s != "" {
				all = append(all, s)
			}
			at = at.Add(gap)
		}
		return m, strings.Join(all, ", ")
	}
	for _, c := range []struct {
		name, keys, acts string
		party            Party
		gap              time.Duration
		state            State
	}{
		{"withdraw", "*9", "close_tap append(withdrawn)", Remote, time.Second, Unrecorded},
		{"withdraw after other keys", "12*9", "close_tap append(withdrawn)", Remote, time.Second, Unrecorded},
		{"too slow", "*9", "", Remote, time.Minute, Recording},
		{"interrupted", "*59", "", Remote, time.Second, Recording},
		{"only who consented withdraws", "*9", "", Local, time.Second, Recording},
		{"pause by the agent", "*7", "pause_tap append(paused)", Local, time.Second, Suspended},
		{"pause and resume", "*7*8", "pause_tap append(paused), commit(resumed)", Remote, time.Second, Resuming},
		{"withdraw while paused", "*7*9", "pause_tap append(paused), close_tap append(withdrawn)", Remote, time.Second, Unrecorded},
	} {
		m, got := press(walk(t, testPolicy(), reach[Recording]), c.party, c.keys, c.gap)
		if got != c.acts || m.State != c.state {
			t.Errorf("%s: %s, %q; want %s, %q", c.name, m.State, got, c.state, c.acts)
		}
	}
}

// TestNobodyEndsAnothersPause.
func TestNobodyEndsAnothersPause(t *testing.T) {
	m := walk(t, testPolicy(), append(slices.Clone(reach[Recording]), "remote pause"))
	if next, acts, _ := m.Step(parseEvent(t, m, "local resume")); next.State != Suspended || len(acts) != 0 {
		t.Errorf("the agent ended the caller's pause: %s %s", next.State, does(acts))
	}
	m = walk(t, testPolicy(), append(slices.Clone(reach[Recording]), "console-pause", "local pause", "local resume"))
	if m.State != Suspended {
		t.Errorf("the agent ended the console's pause: %s", m.State)
	}
	m = walk(t, testPolicy(), append(slices.Clone(reach[Recording]), "console-pause", "console-resume"))
	if m.State != Resuming {
		t.Errorf("the console can't resume what it paused: %s", m.State)
	}
}

// TestWithdrawalErasesWherePolicySaysSo.
func TestWithdrawalErasesWherePolicySaysSo(t *testing.T) {
	p := testPolicy()
	p.OnWithdrawal = Erase
	m := walk(t, p, reach[Recording])
	if _, acts, _ := m.Step(parseEvent(t, m, "remote withdraw")); does(acts) != "close_tap append(withdrawn) erase" {
		t.Error(does(acts))
	}
}

// TestAGrantThatComesTooLateIsClosed: each grant has exactly one end, also when
// the call moved on while the disk worked.
func TestAGrantThatComesTooLateIsClosed(t *testing.T) {
	for _, c := range []struct {
		name string
		then []string
		last string
	}{
		{"hang-up while committing", []string{"hangup", "durable"}, "append(failed)"},
		{"hang-up while opening", []string{"durable", "hangup", "opened"}, "discard"},
		{"hang-up, then no recorder", []string{"durable", "hangup", "unopened"}, "append(failed)"},
		{"withdrawn while committing", []string{"remote withdraw", "durable"}, "append(failed)"},
		{"paused while committing", []string{"remote pause", "durable"}, "append(failed)"},
	} {
		m := walk(t, testPolicy(), reach[Committing])
		var acts []Act
		for _, l := range c.then {
			m, acts, _ = m.Step(parseEvent(t, m, l))
		}
		if does(acts) != c.last {
			t.Errorf("%s: %q, want %q", c.name, does(acts), c.last)
		}
		if acts[0].Do == Append && (acts[0].Record.Grant == nil || *acts[0].Record.Grant != m.grant) {
			t.Errorf("%s: the end doesn't name its grant", c.name)
		}
	}
}

// TestBypassAsksNobody.
func TestBypassAsksNobody(t *testing.T) {
	p := testPolicy()
	p.Action = Bypass
	m := NewMachine(&Call{}, p)
	if next, acts, _ := m.Step(Event{Kind: Start, At: noon}); does(acts) != "bridge append(bypassed)" || next.State != Unrecorded {
		t.Errorf("%s %s", next.State, does(acts))
	}
}

// TestPoliciesMatchInOrder by direction and called number.
func TestPoliciesMatchInOrder(t *testing.T) {
	ps := Policies{
		{Name: "emergency", Numbers: []string{"112", "urn:service:sos*"}, Action: Bypass},
		{Name: "sales", Direction: Inbound, Numbers: []string{"+44 (20) 7946*"}},
		{Name: "out", Direction: Outbound},
	}
	for _, c := range []struct {
		d      Direction
		called string
		want   string
	}{
		{Inbound, "112", "emergency"}, {Outbound, "112", "emergency"}, {Outbound, "urn:service:sos.police", "emergency"},
		{Outbound, "1123", "out"}, {Inbound, "+44-20-7946-0000", "sales"}, {Inbound, "+33", ""}, {Outbound, "+442079460000", "out"},
	} {
		got := ""
		if p := ps.Match(c.d, c.called); p != nil {
			got = p.Name
		}
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.d, c.called, got, c.want)
		}
	}
}
