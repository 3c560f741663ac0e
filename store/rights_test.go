package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"consentgate/store"
	"consentgate/store/phone"
	"consentgate/store/rights"
)

// because is an act of an officer's.
func because(reason string) rights.Act { return rights.Act{By: "dana", At: time.Now(), Reason: reason} }

var ctx = context.Background()

// order lists the types of the log's entries about rights, and of erasures.
func order(t testing.TB, s *store.Store) (out []string) {
	t.Helper()
	must(t, s.Entries(0, func(e store.Entry) bool {
		for _, begin := range []string{"hold.", "restriction.", "erasure.", "request.", "retention.", store.TypeErased, string(store.Export), string(store.Play)} {
			if strings.HasPrefix(e.Type, begin) {
				out = append(out, e.Type)
			}
		}
		return true
	}))
	return out
}

func hold(t testing.TB, s *store.Store, id, kase string) string {
	t.Helper()
	h, err := s.Hold(ctx, id, because("litigation"), kase)
	must(t, err)
	return h
}

func gone(s *store.Store, id string) bool {
	_, err := s.Get(id)
	return errors.Is(err, store.ErrNotFound)
}

// TestAnErasureWaitsForTheLastHold: it meets two holds, the recording is kept and
// restricted, and goes by itself when the second ends.
func TestAnErasureWaitsForTheLastHold(t *testing.T) {
	s, _ := kit(t)
	id := record(t, s, "c", 10)
	first, second := hold(t, s, id, "case 1"), hold(t, s, id, "case 2")
	if sum, err := s.Get(id); err != nil || !sum.Held || sum.Restricted {
		t.Fatalf("a hold alone restricts nothing: %+v %v", sum, err)
	}
	if err := s.AskErase(ctx, id, rights.Ask{Act: because("asked by letter")}); !errors.Is(err, store.ErrHeld) {
		t.Fatalf("%v", err)
	}
	page, _, err := s.Search(store.Query{})
	must(t, err)
	if len(page) != 1 || !page[0].Held || !page[0].Restricted {
		t.Errorf("%+v", page)
	}
	if _, err := s.WAV(ctx, id, io.Discard); !errors.Is(err, store.ErrRestricted) {
		t.Errorf("it plays: %v", err)
	}
	must(t, s.Release(ctx, id, first, because("settled")))
	if gone(s, id) {
		t.Fatal("erased with a hold on it")
	}
	if err := s.Release(ctx, id, first, because("again")); !errors.Is(err, rights.ErrNoSuch) {
		t.Errorf("released twice: %v", err)
	}
	must(t, s.Release(ctx, id, second, because("settled")))
	if !gone(s, id) {
		t.Fatal("the last hold is off, and it is still there")
	}
	want := []string{store.TypeHoldSet, store.TypeHoldSet, store.TypeErasureAsked, store.TypeHoldReleased, store.TypeHoldReleased, store.TypeErased}
	if got := order(t, s); !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
	if _, err := s.Hold(ctx, id, because("late"), ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a hold on what is gone: %v", err)
	}
}

// TestHoldsAndAsksOutliveARestart.
func TestHoldsAndAsksOutliveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	id := record(t, s, "c", 10)
	h := hold(t, s, id, "case 1")
	if err := s.AskErase(ctx, id, rights.Ask{Act: because("x")}); !errors.Is(err, store.ErrHeld) {
		t.Fatal(err)
	}
	must(t, s.Close())
	s = openStore(t, dir)
	f, err := s.Rights(id)
	must(t, err)
	if len(f.Holds) != 1 || f.Holds[0].ID != h || f.Holds[0].Case != "case 1" || f.Holds[0].By != "dana" || len(f.Asks) != 1 {
		t.Fatalf("%+v", f)
	}
	must(t, s.Release(ctx, id, h, because("settled")))
	if !gone(s, id) {
		t.Error("it is still there")
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestARestrictedRecordingIsUsedByPermitOnly: for a claim, which the log knows of
// before, or for its subject.
func TestARestrictedRecordingIsUsedByPermitOnly(t *testing.T) {
	s, _ := kit(t)
	id := record(t, s, "c", 10)
	_, err := s.Restrict(ctx, id, rights.Restriction{Act: because("contests it"), Ground: rights.Accuracy, Subject: callerNumber})
	must(t, err)
	if _, err := s.WAV(ctx, id, io.Discard); !errors.Is(err, store.ErrRestricted) {
		t.Fatalf("it plays: %v", err)
	}
	if _, err := s.WAVBy(ctx, store.Permit{}, io.Discard); err == nil {
		t.Error("the zero Permit permits")
	}
	if _, err := s.PermitClaims(ctx, id, store.Play, because("to prepare"), ""); !errors.Is(err, rights.ErrIncomplete) {
		t.Errorf("for no claim: %v", err)
	}
	p, err := s.PermitClaims(ctx, id, store.Play, because("to prepare"), "case 7")
	must(t, err)
	if types(t, s)[string(store.Play)] != 1 {
		t.Error("the log hasn't heard")
	}
	var wav bytes.Buffer
	if _, err := s.WAVBy(ctx, p, &wav); err != nil || wav.Len() < 44 {
		t.Errorf("%d bytes, %v", wav.Len(), err)
	}
	r, err := s.Receive(ctx, rights.Access, callerNumber, rights.DateOf(time.Now()), because("letter"))
	must(t, err)
	if _, err := s.PermitRequest(ctx, id, because("x"), r.ID); !errors.Is(err, rights.ErrOutOfOrder) {
		t.Errorf("given away before anybody knows to whom: %v", err)
	}
	_, err = s.Identify(ctx, r.ID, because("passport shown"))
	must(t, err)
	r, err = s.CarryOut(ctx, r.ID, store.Order{Act: because("go")})
	must(t, err)
	if !slices.Equal(r.Outstanding, []string{id}) {
		t.Fatalf("%+v", r)
	}
	p, err = s.PermitRequest(ctx, id, because("their copy"), r.ID)
	must(t, err)
	if _, err := s.WAVBy(ctx, p, io.Discard); err != nil {
		t.Error(err)
	}
	r, err = s.Delivered(ctx, r.ID, because("sent"))
	if err != nil || r.State != rights.Done || !slices.Equal(r.Carried, []string{rights.Commitment(r.Salt, id)}) {
		t.Errorf("%+v %v", r, err)
	}
}

// TestAnErasureRequestIsDoneWhenTheHoldEnds: over a restart, by itself.
func TestAnErasureRequestIsDoneWhenTheHoldEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	a, b := record(t, s, "a", 10), record(t, s, "b", 10)
	h := hold(t, s, b, "case 1")
	r, err := s.Receive(ctx, rights.Erasure, "0044 20 7946 0123", rights.DateOf(time.Now()), because("letter"))
	must(t, err)
	if _, err := s.CarryOut(ctx, r.ID, store.Order{Act: because("go")}); !errors.Is(err, rights.ErrOutOfOrder) {
		t.Fatalf("erased for a caller's number: %v", err)
	}
	_, err = s.AskIdentity(ctx, r.ID, because("copy of the contract"))
	must(t, err)
	_, err = s.Identify(ctx, r.ID, because("the contract's number and address agree"))
	must(t, err)
	r, err = s.CarryOut(ctx, r.ID, store.Order{Act: because("go")})
	must(t, err)
	if r.State != rights.Held || !gone(s, a) || gone(s, b) || !slices.Equal(r.Outstanding, []string{b}) {
		t.Fatalf("%+v, a gone: %v", r, gone(s, a))
	}
	must(t, s.Close())
	s = openStore(t, dir)
	must(t, s.Release(ctx, b, h, because("settled")))
	r, err = s.Request(r.ID)
	if err != nil || r.State != rights.Done || !gone(s, b) || len(r.Carried) != 2 || !slices.Contains(r.Carried, rights.Commitment(r.Salt, b)) {
		t.Errorf("%+v %v", r, err)
	}
	got := order(t, s)
	if i := slices.Index(got, store.TypeRequestDone); i != len(got)-1 || slices.Index(got, store.TypeRequestReceived) > slices.Index(got, store.TypeErasureAsked) {
		t.Errorf("%v", got)
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestAnObjectionActsAsWithdrawal, and a restriction restricts.
func TestAnObjectionActsAsWithdrawal(t *testing.T) {
	s, _ := kit(t)
	id := record(t, s, "a", 10)
	r, err := s.Receive(ctx, rights.Restricting, callerNumber, rights.DateOf(time.Now()), because("letter"))
	must(t, err)
	if _, err = s.CarryOut(ctx, r.ID, store.Order{Act: because("go")}); !errors.Is(err, rights.ErrIncomplete) {
		t.Errorf("restricted for no ground: %v", err)
	}
	r, err = s.CarryOut(ctx, r.ID, store.Order{Act: because("go"), Ground: rights.Claims})
	must(t, err)
	if sum, err := s.Get(id); err != nil || !sum.Restricted || r.State != rights.Done {
		t.Errorf("%+v %+v %v", sum, r, err)
	}
	o, err := s.Receive(ctx, rights.Objecting, callerNumber, rights.DateOf(time.Now()), because("call"))
	must(t, err)
	_, err = s.Identify(ctx, o.ID, because("called back"))
	must(t, err)
	o, err = s.CarryOut(ctx, o.ID, store.Order{Act: because("go")})
	if err != nil || o.State != rights.Done || !gone(s, id) {
		t.Errorf("who objects had it restricted, and has changed their mind: %+v %v", o, err)
	}
	if types(t, s)[store.TypeRestrictionLifted] != 1 {
		t.Error("the log doesn't know that the restriction ended")
	}
}

// TestARefusedErasureIsAskedForNoMore: the hold's end erases nothing then.
func TestARefusedErasureIsAskedForNoMore(t *testing.T) {
	s, _ := kit(t)
	id := record(t, s, "a", 10)
	h := hold(t, s, id, "case")
	r, err := s.Receive(ctx, rights.Erasure, callerNumber, rights.DateOf(time.Now()), because("letter"))
	must(t, err)
	_, err = s.Identify(ctx, r.ID, because("id card"))
	must(t, err)
	_, err = s.CarryOut(ctx, r.ID, store.Order{Act: because("go")})
	must(t, err)
	r, err = s.Refuse(ctx, r.ID, because("needed for the claim itself"), "17(3)")
	must(t, err)
	must(t, s.Release(ctx, id, h, because("settled")))
	if gone(s, id) || r.State != rights.Refused {
		t.Errorf("%+v, gone: %v", r, gone(s, id))
	}
	if _, err := s.WAV(ctx, id, io.Discard); err != nil {
		t.Errorf("nothing restricts it any more: %v", err)
	}
}

// TestALiveRecordingIsErasedWhenItEnds, unless a hold was put on meanwhile.
func TestALiveRecordingIsErasedWhenItEnds(t *testing.T) {
	s, _ := kit(t)
	for _, held := range []bool{false, true} {
		r, err := s.Create(ctx, grant(t, s.Audit(), "c"))
		must(t, err)
		if held {
			hold(t, s, r.ID(), "case")
		}
		if err := s.AskErase(ctx, r.ID(), rights.Ask{Act: because("now")}); !errors.Is(err, store.ErrLive) {
			t.Errorf("%v", err)
		}
		must(t, r.Seal(time.Now(), "hang-up"))
		if gone(s, r.ID()) == held {
			t.Errorf("held %v, gone %v", held, gone(s, r.ID()))
		}
	}
}

// TestAHoldComesBeforeARecordingsLastReadingOrTooLate: an asked one is only read
// when it ends, and not sealed. A hold before that has it sealed; one after is
// refused, for nothing could be held that was sealed.
func TestAHoldComesBeforeARecordingsLastReadingOrTooLate(t *testing.T) {
	for point, want := range map[string]error{"ended": nil, "named": rights.ErrGoing} {
		s, dir := kit(t)
		r, err := s.Create(ctx, grant(t, s.Audit(), "c"))
		must(t, err)
		if err := s.AskErase(ctx, r.ID(), rights.Ask{Act: because("now")}); !errors.Is(err, store.ErrLive) {
			t.Fatal(err)
		}
		var id string
		var holding error
		s.AtPoint(func(p string) {
			if p == point {
				id, holding = s.Hold(ctx, r.ID(), because("litigation"), "")
			}
		})
		must(t, r.Seal(time.Now(), "hang-up"))
		if !errors.Is(holding, want) || gone(s, r.ID()) == (want == nil) {
			t.Errorf("at %s: %v, gone: %v", point, holding, gone(s, r.ID()))
		}
		files, err := filepath.Glob(filepath.Join(dir, "recordings", "*"))
		must(t, err)
		if want == nil {
			if len(files) != 1 || !strings.HasSuffix(files[0], ".rec") {
				t.Errorf("it is held and isn't sealed: %v", files)
			}
			must(t, s.Release(ctx, r.ID(), id, because("settled")))
		} else if len(files) != 0 {
			t.Errorf("left: %v", files)
		}
		if !gone(s, r.ID()) {
			t.Errorf("at %s: it isn't erased", point)
		}
	}
}

// TestHoldsAndAnErasureAtOnce: whoever was told that the hold is on finds the
// recording there, at whatever moment of the erasure it came.
func TestHoldsAndAnErasureAtOnce(t *testing.T) {
	s, _ := kit(t)
	won := 0
	for range 60 {
		id := record(t, s, "c", 1)
		var holding [2]error
		var erasing error
		var wait sync.WaitGroup
		for i := range holding {
			delay := time.Duration(rand.IntN(10_000)) * time.Microsecond
			wait.Go(func() {
				time.Sleep(delay) // to come at another moment each time; nothing hangs on which
				_, holding[i] = s.Hold(ctx, id, because("now"), "")
			})
		}
		wait.Go(func() { erasing = s.AskErase(ctx, id, rights.Ask{Act: because("now")}) })
		wait.Wait()
		held := slices.Contains(holding[:], error(nil))
		if held != errors.Is(erasing, store.ErrHeld) || held == gone(s, id) || held != (erasing != nil) {
			t.Fatalf("holds: %v; erasure: %v; gone: %v", holding, erasing, gone(s, id))
		}
		if held {
			won++
		}
	}
	t.Logf("holds won %d times of 60", won)
}

// TestNothingOfAnOfficerIsReadableOnTheDisk: names, reasons, cases, numbers.
func TestNothingOfAnOfficerIsReadableOnTheDisk(t *testing.T) {
	s, dir := kit(t)
	id := record(t, s, "c", 10)
	_, err := s.Hold(ctx, id, rights.Act{By: "officer-mallory", At: time.Now(), Reason: "reason-quarrel"}, "case-xyzzy")
	must(t, err)
	_, err = s.Receive(ctx, rights.Access, "+442071838750", rights.DateOf(time.Now()), rights.Act{By: "officer-mallory", At: time.Now(), Reason: "reason-letter"})
	must(t, err)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, secret := range []string{"mallory", "quarrel", "xyzzy", "2071838750", "reason-letter"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s has %q in the clear", path, secret)
			}
		}
		return err
	}))
}

// TestTheLogHasWhoDidItAndWhy.
func TestTheLogHasWhoDidItAndWhy(t *testing.T) {
	s, _ := kit(t)
	id := record(t, s, "c", 10)
	h := hold(t, s, id, "case 1")
	found := false
	must(t, s.Entries(0, func(e store.Entry) bool {
		var ev struct{ Recording, ID, By, Reason, Case string }
		if e.Type == store.TypeHoldSet && json.Unmarshal(e.Payload, &ev) == nil {
			found = ev.Recording == id && ev.ID == h && ev.By == "dana" && ev.Reason == "litigation" && ev.Case == "case 1"
		}
		return true
	}))
	if !found {
		t.Error("the entry of the hold isn't as it should be")
	}
}

// TestARequestIsAboutOnePersonsNumber: written as at home, it may be another person's
// in another trunk's country.
func TestARequestIsAboutOnePersonsNumber(t *testing.T) {
	s, err := store.Open(store.Options{Dir: filepath.Join(t.TempDir(), "data"), Numbers: phone.Book{Default: phone.Rules{Region: "GB"},
		Trunks: map[string]phone.Rules{"milan": {Region: "IT"}, "bare": {}}}})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	today := rights.DateOf(time.Now())
	if _, err := s.Receive(ctx, rights.Erasure, "020 7946 0018", today, because("letter")); !errors.Is(err, rights.ErrIncomplete) {
		t.Errorf("a number of two countries: %v", err)
	}
	for _, number := range []string{"+44 20 7946 0018", "0039 02 0794 60018", "201"} {
		if _, err := s.Receive(ctx, rights.Erasure, number, today, because("letter")); err != nil {
			t.Errorf("%s: %v", number, err)
		}
	}
}
