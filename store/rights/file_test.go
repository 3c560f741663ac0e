package rights

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// model is the same law, told another way: sets of what was put on and not taken
// off, and questions about them.
type model struct {
	holds   map[string]bool
	subject map[string]string // of restrictions
	letGo   map[string]bool
	asks    map[string]bool
	gone    bool
}

// wantsErased is nobody's veto and somebody's wish.
func (m *model) wantsErased(over bool) bool {
	veto := len(m.holds) > 0
	for id := range m.subject {
		veto = veto || !m.letGo[id]
	}
	return !veto && (over || len(m.asks) > 0)
}

func (m *model) playable(over bool) bool {
	return !m.gone && !over && len(m.asks) == 0 && len(m.subject) == 0
}

func seed(t *testing.T) uint64 {
	t.Helper()
	s := uint64(time.Now().UnixNano())
	if v := os.Getenv("RIGHTS_SEED"); v != "" {
		var err error
		if s, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RIGHTS_SEED=%d", s)
	return s
}

var someone = Act{By: "dana", At: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), Reason: "because"}

// TestAFileDoesWhatTheModelSays: thousands of random lives of recordings.
func TestAFileDoesWhatTheModelSays(t *testing.T) {
	rnd := rand.New(rand.NewPCG(seed(t), 0))
	ends := map[Cause]int{}
	for range 20000 {
		l := life{rnd: rnd, m: model{holds: map[string]bool{}, subject: map[string]string{}, letGo: map[string]bool{}, asks: map[string]bool{}}}
		for range 1 + rnd.IntN(25) {
			if problem := l.step(); problem != "" {
				t.Fatalf("%s after\n%v", problem, l.said)
			}
		}
		ends[l.f.Going]++
	}
	if ends[None] < 500 || ends[Asked] < 500 || ends[Retention] < 500 {
		t.Errorf("the lives are of too few kinds: %v", ends)
	}
}

// life is a file and the model of it, under the same random steps.
type life struct {
	rnd  *rand.Rand
	f    File
	m    model
	n    int
	over bool
	said []string
}

func (l *life) step() (problem string) {
	l.n++
	id := strconv.Itoa(l.n)
	who := []string{"", "alice", "bob"}[l.rnd.IntN(3)]
	switch l.rnd.IntN(8) {
	case 0, 1:
		l.say("hold", id)
		problem = l.same(l.f.Hold(Hold{ID: id, Act: someone}), nil)
		l.m.do(func() { l.m.holds[id] = true })
	case 2, 3:
		id = l.earlier()
		l.say("release", id)
		_, err := l.f.Release(id, someone)
		problem = l.known(err, l.m.holds[id])
		l.m.do(func() { delete(l.m.holds, id) })
	case 4:
		letGo := l.rnd.IntN(2) == 0
		l.say("restrict", id, who, letGo)
		problem = l.same(l.f.Restrict(Restriction{ID: id, Act: someone, Ground: Claims, Subject: who, LetGo: letGo}), nil)
		l.m.do(func() { l.m.subject[id], l.m.letGo[id] = who, letGo })
	case 5:
		id = l.earlier()
		l.say("lift", id)
		_, err := l.f.Lift(id, someone, true)
		_, there := l.m.subject[id]
		problem = l.known(err, there)
		l.m.do(func() { delete(l.m.subject, id) })
	case 6:
		if l.rnd.IntN(2) == 0 {
			return ""
		}
		l.say("ask", who)
		problem = l.ask(who)
	case 7:
		l.over = l.over || l.rnd.IntN(4) == 0
		l.say("go", l.over)
		before := l.f.Going
		if got := l.f.Go(l.over) != None; got != (before != None || l.m.wantsErased(l.over)) {
			return fmt.Sprintf("erased: %v", got)
		}
		l.m.gone = l.f.Going != None
	}
	if free := !l.f.Decide(l.over).Restricted; problem == "" && free != l.m.playable(l.over) {
		problem = fmt.Sprintf("free: %v", free)
	}
	if held := l.f.Standing(l.over).Held; problem == "" && held != (len(l.m.holds) > 0) {
		problem = fmt.Sprintf("held: %v", held)
	}
	return problem
}

func (l *life) ask(who string) string {
	lifted, err := l.f.Ask(Ask{Act: someone, Subject: who, Request: who})
	own := 0
	again := l.m.asks[who]
	l.m.do(func() {
		l.m.asks[who] = true
		for id, s := range l.m.subject {
			if s == who && who != "" && !again {
				own++
				delete(l.m.subject, id)
			}
		}
	})
	if len(lifted) != own {
		return fmt.Sprintf("%d restrictions lifted, %d are their own", len(lifted), own)
	}
	return l.same(err, nil)
}

func (m *model) do(f func()) {
	if !m.gone {
		f()
	}
}

func (l *life) say(words ...any) { l.said = append(l.said, fmt.Sprintln(words...)) }

// earlier is an ID that was given before, mostly.
func (l *life) earlier() string { return strconv.Itoa(1 + l.rnd.IntN(l.n)) }

func (l *life) same(got, want error) string {
	if l.m.gone {
		want = ErrGoing
	}
	if !errors.Is(got, want) {
		return fmt.Sprintf("error %v, want %v", got, want)
	}
	return ""
}

func (l *life) known(got error, there bool) string {
	if there {
		return l.same(got, nil)
	}
	return l.same(got, ErrNoSuch)
}

// TestOneSubjectsErasureDoesNotEndAnothersRestriction: who needs the recording
// for a claim keeps it (GDPR Art. 18(2)); whoever had it restricted and asks for
// its erasure has changed their mind.
func TestOneSubjectsErasureDoesNotEndAnothersRestriction(t *testing.T) {
	var f File
	for id, who := range map[string]string{"1": "alice", "2": "bob"} {
		if err := f.Restrict(Restriction{ID: id, Act: someone, Ground: Claims, Subject: who}); err != nil {
			t.Fatal(err)
		}
	}
	lifted, err := f.Ask(Ask{Act: someone, Subject: "alice"})
	if err != nil || len(lifted) != 1 || lifted[0].Subject != "alice" {
		t.Fatalf("%v %v", lifted, err)
	}
	if d := f.Decide(true); d.Erase != None {
		t.Fatal("bob's restriction is gone")
	}
	if _, err := f.Lift("2", someone, false); !errors.Is(err, ErrIncomplete) {
		t.Errorf("lifted without a word to bob: %v", err)
	}
	if _, err := f.Lift("2", someone, true); err != nil || f.Go(false) != Asked {
		t.Errorf("not erased when the last restriction ends: %v, %q", err, f.Going)
	}
}

func TestNothingIsDoneByNobodyOrForNoReason(t *testing.T) {
	for _, a := range []Act{{}, {By: "dana", At: someone.At}, {Reason: "x", At: someone.At}, {By: "dana", Reason: "x"}, {By: " ", Reason: " ", At: someone.At}} {
		var f File
		_, asked := f.Ask(Ask{Act: a})
		for _, err := range []error{f.Hold(Hold{Act: a}), f.Restrict(Restriction{Act: a, Ground: Claims}), asked} {
			if !errors.Is(err, ErrIncomplete) {
				t.Errorf("%+v: %v", a, err)
			}
		}
		if !f.Empty() {
			t.Errorf("%+v left %+v", a, f)
		}
	}
	if err := new(File).Restrict(Restriction{Act: someone, Ground: "whim"}); !errors.Is(err, ErrIncomplete) {
		t.Errorf("a ground that isn't one: %v", err)
	}
}

func TestARefusedRequestTakesItsAskBack(t *testing.T) {
	var f File
	for _, request := range []string{"r1", "r2"} {
		if _, err := f.Ask(Ask{Act: someone, Request: request}); err != nil {
			t.Fatal(err)
		}
	}
	if f.Unask("r1"); f.Decide(false).Erase != Asked {
		t.Error("the other's ask went, too")
	}
	if f.Unask("r2"); f.Decide(false).Erase != None {
		t.Error("it is still asked for")
	}
}
