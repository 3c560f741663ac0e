package consent

import (
	"testing"
	"time"
)

// TestAKeyCountsOnceHoweverManyWaysItComes: by event, tone and INFO.
func TestAKeyCountsOnceHoweverManyWaysItComes(t *testing.T) {
	type report struct {
		ms    int // when it comes
		key   Key
		via   string
		lasts int // ms, as it says
	}
	for _, c := range []struct {
		name    string
		reports []report
		counts  int
		ways    string // of the last
	}{
		{"once", []report{{0, '1', "rfc4733", 40}}, 1, "rfc4733"},
		{"event and INFO", []report{{0, '1', "rfc4733", 40}, {300, '1', "info", 0}}, 1, "rfc4733+info"},
		{"all ways", []report{{0, '1', "inband", 40}, {10, '1', "rfc4733", 50}, {90, '1', "info", 100}}, 1, "inband+rfc4733+info"},
		{"pressed twice, one way", []report{{0, '1', "rfc4733", 40}, {200, '1', "rfc4733", 40}}, 2, "rfc4733"},
		{"pressed twice, two ways", []report{{0, '1', "inband", 40}, {5, '1', "rfc4733", 40}, {200, '1', "inband", 40}, {205, '1', "rfc4733", 40}}, 2, "inband+rfc4733"},
		{"twice, the second way comes behind both", []report{{0, '1', "rfc4733", 40}, {200, '1', "rfc4733", 40}, {250, '1', "info", 0}, {450, '1', "info", 0}}, 2, "rfc4733+info"},
		{"twice, each way misses one", []report{{0, '1', "inband", 40}, {1500, '1', "rfc4733", 40}}, 2, "rfc4733"},
		{"two keys", []report{{0, '1', "rfc4733", 40}, {10, '2', "inband", 40}}, 2, "inband"},
		{"a long press whose INFO comes at its end", []report{{0, '1', "rfc4733", 40}, {5000, '1', "info", 5000}}, 1, "rfc4733+info"},
		{"an INFO long after", []report{{0, '1', "rfc4733", 40}, {5000, '1', "info", 100}}, 2, "info"},
	} {
		var l presses
		counts, ways := 0, ""
		for _, r := range c.reports {
			was, is := l.took(Press{Key: r.key, Via: r.via, Duration: time.Duration(r.lasts) * time.Millisecond,
				At: noon.Add(time.Duration(r.ms) * time.Millisecond)})
			if is {
				counts++
			}
			ways = was.Via
		}
		if counts != c.counts || ways != c.ways {
			t.Errorf("%s: counted %d, the last by %s", c.name, counts, ways)
		}
	}
}

// TestARepeatedReportIsNoFurtherKey of the call: it is no second attempt's answer
// and ends no sequence, and it isn't another party's.
func TestARepeatedReportIsNoFurtherKey(t *testing.T) {
	policy := testPolicy()
	policy.Parties = []Party{Remote, Local}
	press := func(m Machine, p Party, k Key, via string) (Machine, []Act) {
		m, acts, expected := m.Step(Event{Kind: KeyPressed, Party: p, At: noon, Press: Press{Key: k, Via: via, At: noon}})
		if !expected {
			t.Errorf("a key by %s isn't expected", via)
		}
		return m, acts
	}
	m := NewMachine(&Call{}, policy)
	m, _, _ = m.Step(Event{Kind: Start, At: noon})
	for _, p := range []Party{Remote, Local} {
		m, _, _ = m.Step(Event{Kind: PromptEnd, Party: p, At: noon, Heard: heard(true)})
	}
	m, acts := press(m, Remote, '5', "rfc4733")
	if does(acts) == "" {
		t.Error("a wrong key isn't judged")
	}
	m, _, _ = m.Step(Event{Kind: PromptEnd, At: noon, Heard: heard(true)})
	if m, acts = press(m, Remote, '5', "info"); len(acts) != 0 {
		t.Errorf("the same again: %s", does(acts))
	}
	m, _ = press(m, Remote, '1', "inband")
	m, acts = press(m, Remote, '1', "info")
	if len(acts) != 0 {
		t.Errorf("a yes again: %s", does(acts))
	}
	if _, acts = press(m, Local, '1', "info"); len(acts) == 0 {
		t.Fatal("the other party's yes isn't counted")
	}
	for _, a := range acts {
		if a.Do == Commit {
			if got := a.Record.Answers[0].Press.Via; got != "inband+info" {
				t.Errorf("the evidence says %q", got)
			}
		}
	}
}
