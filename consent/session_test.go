package consent_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"consentgate/consent"
)

// ledger is a log that may fail, and that remembers its order.
type ledger struct {
	records []consent.Record
	fails   func() bool
}

func (l *ledger) Append(_ context.Context, r consent.Record) (uint64, error) {
	if l.fails != nil && l.fails() {
		return 0, errors.New("disk full")
	}
	l.records = append(l.records, r)
	return uint64(len(l.records) - 1), nil
}

func (l *ledger) last() consent.Record {
	if len(l.records) == 0 {
		return consent.Record{}
	}
	return l.records[len(l.records)-1]
}

func policy() *consent.Policy {
	return &consent.Policy{Name: "p", Action: consent.Ask, Parties: []consent.Party{consent.Remote},
		Accept: '1', Decline: '2', Timeout: time.Second, Attempts: 2, OnRefusal: consent.Connect,
		Withdraw: "*9", OnWithdrawal: consent.Keep, Pause: "*7", Resume: "*8"}
}

// yes takes a session to where its Granted record must be committed.
func yes(t *testing.T, s *consent.Session) *consent.Record {
	t.Helper()
	for _, ev := range []consent.Event{
		{Kind: consent.Start},
		{Kind: consent.PromptEnd, Heard: consent.Heard{Complete: true}},
		{Kind: consent.KeyPressed, Press: consent.Press{Key: '1'}},
	} {
		acts, _ := s.Step(ev)
		for _, a := range acts {
			if a.Do == consent.Commit {
				return a.Record
			}
		}
	}
	t.Fatal("a yes didn't lead to a commit")
	return nil
}

func grantOf(acts []consent.Act) consent.Grant {
	for _, a := range acts {
		if a.Do == consent.Create {
			return a.Grant
		}
	}
	return consent.Grant{}
}

func TestTheZeroGrantPermitsNothing(t *testing.T) {
	if (consent.Grant{}).Valid() {
		t.Error("it is valid")
	}
}

func TestAGrantComesOnlyAfterItsRecordIsDurable(t *testing.T) {
	l := &ledger{}
	s := consent.NewSession(&consent.Call{ID: "c"}, policy(), l)
	r := yes(t, s)
	ev := s.Commit(context.Background(), r)
	if len(l.records) != 1 {
		t.Fatal("Commit returned without the record in the ledger")
	}
	acts, _ := s.Step(ev)
	g := grantOf(acts)
	if !g.Valid() || g.Hash() != r.Hash() || g.Hash() != l.last().Hash() {
		t.Errorf("grant %v of %s, record %s", g.Valid(), g.Hash(), r.Hash())
	}
}

func TestNoGrantWhenLedgerFails(t *testing.T) {
	for name, l := range map[string]consent.Ledger{"failing": &ledger{fails: func() bool { return true }}, "none": nil} {
		s := consent.NewSession(&consent.Call{}, policy(), l)
		acts, _ := s.Step(s.Commit(context.Background(), yes(t, s)))
		if g := grantOf(acts); g.Valid() || s.State() != consent.Unrecorded {
			t.Errorf("%s ledger: grant %v, state %s", name, g.Valid(), s.State())
		}
	}
}

func TestACommittedEventCannotBeForged(t *testing.T) {
	s := consent.NewSession(&consent.Call{}, policy(), &ledger{})
	r := yes(t, s)
	acts, _ := s.Step(consent.Event{Kind: consent.Committed, Record: r.Hash()})
	if g := grantOf(acts); g.Valid() || s.State() != consent.Unrecorded {
		t.Errorf("grant %v, state %s", g.Valid(), s.State())
	}
}

func TestAnotherSessionsReceiptIsWorthNothing(t *testing.T) {
	l := &ledger{}
	a := consent.NewSession(&consent.Call{}, policy(), l)
	b := consent.NewSession(&consent.Call{}, policy(), l)
	ev := a.Commit(context.Background(), yes(t, a))
	yes(t, b)
	acts, _ := b.Step(ev)
	if grantOf(acts).Valid() {
		t.Error("it minted a grant")
	}
}

func TestAGrantDiesWithTheConsent(t *testing.T) {
	for _, end := range []consent.EventKind{consent.Withdraw, consent.HangUp, consent.PartyChanged} {
		s := consent.NewSession(&consent.Call{}, policy(), &ledger{})
		acts, _ := s.Step(s.Commit(context.Background(), yes(t, s)))
		g := grantOf(acts)
		s.Step(consent.Event{Kind: end})
		if g.Valid() {
			t.Errorf("still valid after %s", end)
		}
	}
}

// TestInvariant1_AGrantExistsOnlyIfTheLastCommittedRecordIsGranted drives
// sessions with random events and a ledger that fails at random. When a grant
// is minted, the latest record that the ledger took is its Granted record, and
// the party had heard a prompt to its end and pressed the accept key.
func TestInvariant1_AGrantExistsOnlyIfTheLastCommittedRecordIsGranted(t *testing.T) {
	grants := 0
	for seed := range uint64(20000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l := &ledger{fails: func() bool { return rnd.IntN(4) == 0 }}
		pol := policy()
		if rnd.IntN(3) == 0 {
			pol.Parties = []consent.Party{consent.Remote, consent.Local}
		}
		s := consent.NewSession(&consent.Call{ID: "c"}, pol, l)
		open, fresh := false, false // the tap; a grant that no tap was opened for
		queue := []consent.Event{{Kind: consent.Start}}
		for range 30 {
			ev := randomEvent(rnd)
			if len(queue) > 0 && rnd.IntN(3) > 0 {
				ev, queue = queue[0], queue[1:]
			}
			acts, _ := s.Step(ev)
			for _, a := range acts {
				switch a.Do {
				case consent.Commit:
					queue = append(queue, s.Commit(context.Background(), a.Record))
				case consent.Append:
					l.Append(context.Background(), *a.Record)
				case consent.Play:
					queue = append(queue, consent.Event{Kind: consent.PromptEnd, Party: a.Party,
						Heard: consent.Heard{Complete: rnd.IntN(5) > 0}})
				case consent.Wait:
					queue = append(queue, consent.Event{Kind: consent.KeyPressed, Party: a.Party,
						Press: consent.Press{Key: []consent.Key{'1', '1', '2', '5'}[rnd.IntN(4)]}})
				case consent.Create:
					grants++
					if open {
						t.Fatalf("seed %d: a second grant while the first one's tap is open", seed)
					}
					fresh = true
					checkGrant(t, seed, a.Grant, l, pol)
					queue = append(queue, consent.Event{Kind: consent.Opened})
				case consent.Tap:
					if open || !fresh {
						t.Fatalf("seed %d: a tap without a grant of its own", seed)
					}
					open, fresh = true, false
				case consent.CloseTap:
					open = false
				}
			}
		}
	}
	if grants < 1000 {
		t.Fatalf("only %d grants in all runs: the property was hardly tried", grants)
	}
}

func checkGrant(t *testing.T, seed uint64, g consent.Grant, l *ledger, pol *consent.Policy) {
	t.Helper()
	// Evidence that nothing waits for may have been appended in between, but
	// the Granted record is there and no later one takes the consent back.
	found := false
	for _, r := range l.records {
		if r.Kind == consent.Granted && r.Hash() == g.Hash() {
			found = true
		} else if found && r.Kind == consent.Withdrawn {
			t.Fatalf("seed %d: a grant after its withdrawal", seed)
		}
	}
	if !g.Valid() || !found {
		t.Fatalf("seed %d: a grant without its durable record", seed)
	}
	answers := g.Record().Answers
	if len(answers) != len(pol.Parties) {
		t.Fatalf("seed %d: %d answers for %d parties", seed, len(answers), len(pol.Parties))
	}
	for _, a := range answers {
		if !a.Heard.Complete || a.Press.Key != pol.Accept {
			t.Fatalf("seed %d: not an explicit yes: %+v", seed, a)
		}
	}
}

func randomEvent(rnd *rand.Rand) consent.Event {
	kinds := []consent.EventKind{consent.PromptEnd, consent.PromptFailed, consent.KeyPressed, consent.KeyPressed,
		consent.Silence, consent.Committed, consent.CommitFailed, consent.Opened, consent.OpenFailed,
		consent.RecorderFailed, consent.Withdraw, consent.Pause, consent.Resume, consent.PartyChanged, consent.Objected, consent.HangUp}
	return consent.Event{Kind: kinds[rnd.IntN(len(kinds))], Party: consent.Party(rnd.IntN(2)),
		Heard: consent.Heard{Complete: rnd.IntN(2) == 0}, Press: consent.Press{Key: consent.Key("12*978"[rnd.IntN(6)])}}
}
