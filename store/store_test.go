package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

func TestARecordingIsFoundPlayedAndAccounted(t *testing.T) {
	s, _ := kit(t)
	id := record(t, s, "call-1", 50)
	record(t, s, "call-2", 1)
	for _, spelling := range []string{callerNumber, "00442079460123", "sip:+442079460123@carrier.example;user=phone",
		"tel:+44-20-7946-0123", "+44 (20) 7946 0123", calledNumber} {
		page, _, err := s.Search(store.Query{Party: spelling})
		if err != nil || len(page) != 2 || page[1].ID != id {
			t.Errorf("%s finds %d, %v", spelling, len(page), err)
		}
	}
	for name, q := range map[string]store.Query{"other number": {Party: "+1"}, "other purpose": {Purpose: "x"},
		"before": {To: time.Now().Add(-time.Hour)}, "after": {From: time.Now().Add(time.Hour)}, "other trunk": {Trunk: "x"}} {
		if page, _, err := s.Search(q); err != nil || len(page) != 0 {
			t.Errorf("%s finds %d, %v", name, len(page), err)
		}
	}
	sum, err := s.Get(id)
	if err != nil || sum.State != store.StateSealed || sum.Remote != callerNumber || sum.Purpose != "training" {
		t.Errorf("%+v %v", sum, err)
	}
	var wav bytes.Buffer
	reading, err := s.WAV(context.Background(), id, &wav)
	if err != nil || !reading.Final || reading.Record.Call.ID != "call-1" || wav.Len() < 44+8000*4 {
		t.Fatalf("%+v %v, %d bytes", reading, err, wav.Len())
	}
	at := wav.Bytes()[44+4*4000:]
	left, right := int16(at[0])|int16(at[1])<<8, int16(at[2])|int16(at[3])<<8
	if left == 0 || right == 0 || left == right {
		t.Errorf("left %d, right %d", left, right)
	}
}

func TestSearchPagesThroughAll(t *testing.T) {
	s, _ := kit(t)
	want := map[string]bool{}
	for i := range 7 {
		want[record(t, s, "c"+string(rune('0'+i)), 1)] = true
	}
	cursor, pages := "", 0
	for {
		page, next, err := s.Search(store.Query{Party: callerNumber, Limit: 3, Cursor: cursor})
		must(t, err)
		pages++
		for _, r := range page {
			if !want[r.ID] {
				t.Errorf("%s twice or unknown", r.ID)
			}
			delete(want, r.ID)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(want) != 0 || pages < 3 {
		t.Errorf("%d not found in %d pages", len(want), pages)
	}
}

func TestMissingPacketsAreSilenceAndTheLengthIsTheClocks(t *testing.T) {
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	start := time.Now()
	must(t, r.Format(consent.Remote, 0, "PCMU", 8000))
	for _, i := range []int{0, 2, 1, 40, 40} { // reordered, a gap, a duplicate
		must(t, r.WriteRTP(consent.Remote, start.Add(time.Duration(i)*20*time.Millisecond), packet(uint16(i), uint32(i*160), 1, 0x11)))
	}
	must(t, r.Gap(consent.Remote, "pause", start.Add(60*time.Millisecond), start.Add(800*time.Millisecond)))
	must(t, r.Seal(start.Add(2*time.Second), "hang-up"))
	var wav bytes.Buffer
	reading, err := s.WAV(context.Background(), r.ID(), &wav)
	must(t, err)
	// the file begins with Create, a moment before the first packet
	lead := reading.Length - 2*time.Second
	if lead < 0 || lead > time.Second {
		t.Fatalf("length %s, want 2s", reading.Length)
	}
	sample := func(ms int) int16 {
		at := wav.Bytes()[44+(ms+int(lead/time.Millisecond))*8*4:]
		return int16(at[0]) | int16(at[1])<<8
	}
	if sample(10) == 0 || sample(30) == 0 || sample(50) == 0 || sample(400) != 0 || sample(810) == 0 || sample(1500) != 0 {
		t.Errorf("%d %d %d %d %d %d", sample(10), sample(30), sample(50), sample(400), sample(810), sample(1500))
	}
	var causes []string
	for _, g := range reading.Gaps {
		if g.Party == consent.Local || g.From > 0 { // the remote party's first packet comes a moment after the beginning
			causes = append(causes, g.Party.String()+" "+g.Cause)
		}
	}
	if got := strings.Join(causes, ", "); got != "local no-rtp, remote pause, remote no-rtp" {
		t.Errorf("gaps: %s", got)
	}
}

// TestInvariant8_NoPlaintextAtRest scans every byte of the data directory. The
// control finds the same things in what the recorder was given.
func TestInvariant8_NoPlaintextAtRest(t *testing.T) {
	s, dir := kit(t)
	record(t, s, "call-1", 200)
	secrets := map[string][]byte{"audio": bytes.Repeat([]byte{0x11}, 40), "caller": []byte("442079460123"),
		"called": []byte("4930901820"), "caller, national": []byte("2079460123"), "controller": []byte(controller), "call id": []byte("call-1")}
	given := append(packet(1, 1, 1, 0x11), callerNumber+calledNumber+controller+"call-1"...)
	for name, secret := range secrets {
		if !bytes.Contains(given, secret) {
			t.Errorf("control: %s isn't in what was given", name)
		}
	}
	files := 0
	must(t, filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		raw, err := os.ReadFile(path)
		for name, secret := range secrets {
			if bytes.Contains(raw, secret) {
				t.Errorf("%s holds the %s in the clear", filepath.Base(path), name)
			}
		}
		if strings.Contains(path, callerNumber[1:]) {
			t.Errorf("a file's name holds the number: %s", path)
		}
		return err
	}))
	if files < 4 {
		t.Errorf("only %d files were looked at", files)
	}
}

func TestErasedIsFoundNoMore(t *testing.T) {
	s, dir := kit(t)
	g := grant(t, s.Audit(), "c")
	r, err := s.Create(context.Background(), g)
	must(t, err)
	if err := s.Erase(context.Background(), g.Hash(), "withdrawn"); !errors.Is(err, store.ErrLive) {
		t.Errorf("erasing a recording in the making: %v", err)
	}
	speak(t, r, time.Now(), 10)
	must(t, r.Seal(time.Now(), "withdrawn"))
	if err := s.Erase(context.Background(), g.Hash(), "again"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("erasing what is erased: %v", err)
	}
	if _, err := s.Get(r.ID()); err == nil {
		t.Error("it is still there")
	}
	if page, _, _ := s.Search(store.Query{Party: callerNumber}); len(page) != 0 {
		t.Error("it is still found")
	}
	left, err := filepath.Glob(filepath.Join(dir, "recordings", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("files left: %v %v", left, err)
	}
	if types(t, s)[store.TypeErased] != 1 {
		t.Error("the erasure isn't logged")
	}
}

// TestAGrantHasOneRecorder: a second would write over the first one's rows.
func TestAGrantHasOneRecorder(t *testing.T) {
	s, _ := kit(t)
	g := grant(t, s.Audit(), "c")
	r, err := s.Create(context.Background(), g)
	must(t, err)
	if _, err := s.Create(context.Background(), g); err == nil {
		t.Error("a second recorder was made for one grant")
	}
	s.RunTasks()
	speak(t, r, time.Now(), 5)
	must(t, r.Seal(time.Now(), "hang-up"))
	if _, err := s.Check(context.Background(), r.ID()); err != nil {
		t.Errorf("the first one suffered: %v", err)
	}
}

func TestNoRecorderWithoutAValidGrant(t *testing.T) {
	s, _ := kit(t)
	if _, err := s.Create(context.Background(), consent.Grant{}); !errors.Is(err, store.ErrNoConsent) {
		t.Errorf("the zero grant: %v", err)
	}
	call, dead, why := askedCall(s.Audit(), "c")
	if !dead.Valid() {
		t.Fatal(why)
	}
	call.Step(consent.Event{Kind: consent.HangUp, At: time.Now()})
	if _, err := s.Create(context.Background(), dead); !errors.Is(err, store.ErrNoConsent) {
		t.Errorf("the grant of a call that is over: %v", err)
	}
}

func TestTheRootIsNeverMadeAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, openStore(t, dir).Close())
	must(t, os.Remove(store.DefaultRootFile(dir)))
	_, err := store.Open(store.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("%v", err)
	}
	must(t, os.WriteFile(store.DefaultRootFile(dir), []byte("consentgate root 1 "+strings.Repeat("00", 32)), 0o600))
	if _, err := store.Open(store.Options{Dir: dir}); err == nil {
		t.Error("opened with another root")
	}
}

func TestConsentRecordsAreKeptToTheByte(t *testing.T) {
	s, _ := kit(t)
	g := grant(t, s.Audit(), "c")
	found := false
	must(t, s.Entries(0, func(e store.Entry) bool {
		var r consent.Record
		if e.Type == store.TypeConsent && json.Unmarshal(e.Payload, &r) == nil && r.Kind == consent.Granted {
			found = r.Hash() == g.Hash() && bytes.Equal(r.Encode(), e.Payload)
		}
		return true
	}))
	if !found {
		t.Error("the Granted record read back isn't the one that was logged")
	}
	r, err := s.Create(context.Background(), g)
	must(t, err, r.Seal(time.Now(), "x"))
}
