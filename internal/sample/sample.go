// Package sample makes recordings for tests of what stands on the store: a real
// store, in which consents were given and kept the only way there is.
package sample

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

// What sample calls are about.
const (
	Caller     = "+442079460123"
	Agent      = "+4930901820"
	Purpose    = "training"
	Controller = "Example Ltd"
)

// Open opens a store in a directory of its own, which is closed and whose log is
// verified at the test's end. change may change its options.
func Open(t testing.TB, change ...func(*store.Options)) *store.Store {
	t.Helper()
	o := store.Options{Dir: filepath.Join(t.TempDir(), "data"), Node: "test"}
	for _, f := range change {
		f(&o)
	}
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if r, err := store.Verify(o.Dir, store.DefaultRootFile(o.Dir)); err != nil || !r.OK() {
			t.Errorf("the log doesn't verify: %+v %v", r, err)
		}
	})
	return s
}

// Policy is what sample calls are asked by.
func Policy() *consent.Policy {
	return &consent.Policy{Name: "default", Action: consent.Ask, Parties: []consent.Party{consent.Remote}, Accept: '1', Decline: '2', Attempts: 1,
		Purpose: consent.Purpose{Name: Purpose, Text: map[string]string{"en": "staff training"}, Retention: 90 * 24 * time.Hour}}
}

// Grant has a caller say yes.
func Grant(t testing.TB, s *store.Store, caller string) consent.Grant {
	t.Helper()
	call := &consent.Call{ID: "call-" + t.Name(), CallID: "a84b4c76e66710@192.0.2.1", Node: "test", Trunk: "main", Direction: consent.Inbound,
		Remote: caller, Local: Agent, Controller: consent.Controller{Name: Controller}, Started: time.Now()}
	session := consent.NewSession(call, Policy(), s.Audit())
	session.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	session.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Prompt: "sample", Language: "en", Complete: true}})
	acts, _ := session.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1', Via: "rfc4733", At: time.Now()}})
	for _, a := range acts {
		if a.Do != consent.Commit {
			continue
		}
		acts, _ = session.Step(session.Commit(context.Background(), a.Record))
		for _, a := range acts {
			if a.Do == consent.Create {
				return a.Grant
			}
		}
	}
	t.Fatal("no grant")
	return consent.Grant{}
}

// Begin begins a recording that goes on until it is sealed.
func Begin(t testing.TB, s *store.Store, caller string, length time.Duration) *store.Recording {
	t.Helper()
	r, err := s.Create(context.Background(), Grant(t, s, caller))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		if err := r.Format(p, 0, "PCMU", 8000); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	for i := range int(length / (20 * time.Millisecond)) {
		at := start.Add(time.Duration(i) * 20 * time.Millisecond)
		for p, fill := range map[consent.Party]byte{consent.Remote: 0x11, consent.Local: 0x22} {
			packet := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 160, SSRC: uint32(p) + 1},
				Payload: bytes.Repeat([]byte{fill}, 160)}
			raw, err := packet.Marshal()
			if err == nil {
				err = r.WriteRTP(p, at, raw)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// Record makes a whole recording of a caller, and gives its id.
func Record(t testing.TB, s *store.Store, caller string, length time.Duration) string {
	t.Helper()
	start := time.Now()
	r := Begin(t, s, caller, length)
	if err := r.Seal(start.Add(length), "hang-up"); err != nil {
		t.Fatal(err)
	}
	return r.ID()
}
