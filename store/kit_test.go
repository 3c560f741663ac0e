package store_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/store"
)

func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir, Node: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kit is a store in a folder of its own whose log is verified at the test's end.
func kit(t testing.TB) (*store.Store, string) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		verify(t, dir)
	})
	return s, dir
}

func verify(t testing.TB, dir string) store.Report {
	t.Helper()
	r, err := store.Verify(dir, store.DefaultRootFile(dir), nil)
	if err != nil || !r.OK() || r.Sealed != 0 {
		t.Errorf("the log doesn't verify: %+v %v", r, err)
	}
	return r
}

var policy = &consent.Policy{Name: "p", Action: consent.Ask, Parties: []consent.Party{consent.Remote},
	Purpose: consent.Purpose{Name: "training", Retention: 90 * 24 * time.Hour}, Accept: '1', Decline: '2', Attempts: 1}

const (
	callerNumber = "+442079460123"
	calledNumber = "+4930901820"
	controller   = "Example Ltd"
)

// grant goes the only way to a grant: a session whose ledger is the store's log.
func grant(t testing.TB, l consent.Ledger, call string) consent.Grant {
	t.Helper()
	g, err := tryGrant(l, call)
	if err != "" {
		t.Fatal(err)
	}
	return g
}

func tryGrant(l consent.Ledger, call string) (consent.Grant, string) {
	_, g, why := askedCall(l, call)
	return g, why
}

// askedCall is a call whose party said yes, with the grant, or why there is none.
func askedCall(l consent.Ledger, call string) (*consent.Session, consent.Grant, string) {
	s := consent.NewSession(&consent.Call{ID: call, Trunk: "main", Direction: consent.Inbound, Remote: callerNumber,
		Local: calledNumber, Controller: consent.Controller{Name: controller}}, policy, l)
	s.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	s.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Complete: true}})
	acts, _ := s.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1'}})
	for _, a := range acts {
		if a.Do != consent.Commit {
			continue
		}
		ev := s.Commit(context.Background(), a.Record)
		acts, _ := s.Step(ev)
		for _, a := range acts {
			if a.Do == consent.Create {
				return s, a.Grant, ""
			}
		}
		return s, consent.Grant{}, ev.Reason
	}
	return s, consent.Grant{}, "no yes"
}

// packet is 20 ms of PCMU whose bytes are all the same.
func packet(seq uint16, ts uint32, ssrc uint32, fill byte) []byte {
	p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: ts, SSRC: ssrc},
		Payload: bytes.Repeat([]byte{fill}, 160)}
	b, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	return b
}

// speak writes n packets of both parties, in step with a clock from start on.
func speak(t testing.TB, r *store.Recording, start time.Time, n int) {
	t.Helper()
	must(t, r.Format(consent.Remote, 0, "PCMU", 8000), r.Format(consent.Local, 0, "PCMU", 8000))
	for i := range n {
		at := start.Add(time.Duration(i) * 20 * time.Millisecond)
		must(t, r.WriteRTP(consent.Remote, at, packet(uint16(i), uint32(i*160), 1, 0x11)),
			r.WriteRTP(consent.Local, at, packet(uint16(i), uint32(i*160), 2, 0x22)))
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// record makes a whole recording of n packets.
func record(t testing.TB, s *store.Store, call string, n int) string {
	t.Helper()
	r, err := s.Create(context.Background(), grant(t, s.Audit(), call))
	must(t, err)
	start := time.Now()
	speak(t, r, start, n)
	must(t, r.Seal(start.Add(time.Duration(n)*20*time.Millisecond), "hang-up"))
	return r.ID()
}

func types(t testing.TB, s *store.Store) map[string]int {
	t.Helper()
	out := map[string]int{}
	must(t, s.Entries(0, func(e store.Entry) bool { out[e.Type]++; return true }))
	return out
}
