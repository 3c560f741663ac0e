package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/store"
)

// TestAppendHonoursItsContext: a caller whose time is up gets an error, not a
// durable-looking index, and the log goes on.
func TestAppendHonoursItsContext(t *testing.T) {
	s, _ := kit(t)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Audit().Append(ended, consent.Record{Kind: consent.Bypassed}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	_, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Bypassed})
	must(t, err)
}

// TestAppendAfterCloseIsAnError, and doesn't wait.
func TestAppendAfterCloseIsAnError(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "data"))
	must(t, s.Close())
	if _, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Bypassed}); err == nil {
		t.Error("a closed log took a record")
	}
	if g, _ := tryGrant(s.Audit(), "c"); g.Valid() {
		t.Error("a closed log led to a grant")
	}
}

// TestConcurrentAppendsGetIndexesOfTheirOwn: the index returned is where the
// record stands.
func TestConcurrentAppendsGetIndexesOfTheirOwn(t *testing.T) {
	s, _ := kit(t)
	var mu sync.Mutex
	at := map[uint64]string{}
	var all sync.WaitGroup
	for p := range 20 {
		all.Go(func() {
			for i := range 20 {
				id := fmt.Sprintf("%d-%d", p, i)
				n, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Bypassed, Call: consent.Call{ID: id}})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				at[n] = id
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(at) != 400 {
		t.Errorf("%d indexes for 400 records", len(at))
	}
	must(t, s.Entries(0, func(e store.Entry) bool {
		if id, ok := at[uint64(e.Seq)]; ok && !bytes.Contains(e.Payload, []byte(`"id":"`+id+`"`)) {
			t.Errorf("entry %d isn't %s", e.Seq, id)
		}
		return true
	}))
}

// TestAGrantWhoseRecorderFailedIsClosedByItsFailedRecord: an open failure is
// accounted by consent, and the next start adds no second end.
func TestAGrantWhoseRecorderFailedIsClosedByItsFailedRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	g := grant(t, s.Audit(), "c")
	h := g.Hash()
	_, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Failed, Grant: &h, Reason: "no recorder"})
	must(t, err, s.Close())
	if r := verify(t, dir); r.Grants != 1 || r.Unaccounted != 0 {
		t.Errorf("%+v", r)
	}
	s = openStore(t, dir)
	if n := types(t, s)[store.TypeFailed]; n != 0 {
		t.Errorf("%d more ends", n)
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestAGrantWithoutARecorderIsFailedAtTheNextStart, once.
func TestAGrantWithoutARecorderIsFailedAtTheNextStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	grant(t, s.Audit(), "c")
	must(t, s.Close())
	if r := verify(t, dir); r.Unaccounted != 1 {
		t.Errorf("control: %+v", r)
	}
	for range 2 {
		s = openStore(t, dir)
		if n := types(t, s)[store.TypeFailed]; n != 1 {
			t.Errorf("%d ends", n)
		}
		must(t, s.Close())
	}
	if r := verify(t, dir); r.Unaccounted != 0 {
		t.Errorf("%+v", r)
	}
}

// TestAStoreClosedUnderItsRecordingsBlocksNobody: writers get an error, and the
// next start closes what they had.
func TestAStoreClosedUnderItsRecordingsBlocksNobody(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	speak(t, r, time.Now(), 20)
	s.AnchorNow()
	must(t, s.Close())
	for err == nil {
		err = r.WriteRTP(consent.Remote, time.Now(), packet(1, 1, 1, 1))
	}
	s = openStore(t, dir)
	sum, err := s.Get(r.ID())
	must(t, err)
	if packets, err := s.Packets(r.ID()); err != nil || len(packets) != 40 || sum.State != store.StateTruncated {
		t.Errorf("%d packets, %s, %v", len(packets), sum.State, err)
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestWriteAfterSealIsAnError, rather than a wait for a disk that won't come.
func TestWriteAfterSealIsAnError(t *testing.T) {
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err, r.Seal(time.Now(), "hang-up"))
	if r.WriteRTP(consent.Remote, time.Now(), packet(1, 1, 1, 1)) == nil {
		t.Error("a sealed recording took a packet")
	}
}

// TestCheckFindsWhatIsNotAsLogged changes a sealed recording's file.
func TestCheckFindsWhatIsNotAsLogged(t *testing.T) {
	t.Parallel()
	s, dir := kit(t)
	id := record(t, s, "c", 2000)
	path := filepath.Join(dir, "recordings", id+".rec")
	whole, err := os.ReadFile(path)
	must(t, err)
	_, err = s.Check(context.Background(), id)
	must(t, err)
	chunks := bytes.Index(whole, []byte("\n---")) + len("\n--- ") + 43 + len("\n") + 16 // behind the MAC and the nonce
	const chunk = 64<<10 + 16
	if len(whole) < chunks+3*chunk {
		t.Fatalf("%d bytes are too few to be cut", len(whole))
	}
	swapped := append(bytes.Clone(whole[:chunks]), whole[chunks+chunk:chunks+2*chunk]...)
	swapped = append(append(swapped, whole[chunks:chunks+chunk]...), whole[chunks+2*chunk:]...)
	for name, changed := range map[string][]byte{
		"a byte":                    flipped(whole, len(whole)/2),
		"a byte of the header":      flipped(whole, 30),
		"a byte of the first chunk": flipped(whole, chunks+5),
		"the last byte":             flipped(whole, len(whole)-1),
		"the end is cut off":        whole[:len(whole)-60],
		"cut between chunks":        whole[:chunks+2*chunk],
		"two chunks change places":  swapped,
		"only the header":           whole[:chunks],
		"something appended":        append(bytes.Clone(whole), 0),
		"nothing":                   nil,
	} {
		must(t, os.WriteFile(path, changed, 0o600))
		if _, err := s.Check(context.Background(), id); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := os.ReadFile(filepath.Join(dir, "recordings", record(t, s, "other", 5)+".rec"))
	must(t, err, os.WriteFile(path, other, 0o600))
	if _, err := s.Check(context.Background(), id); err == nil {
		t.Error("another recording's file passes")
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// TestADamagedRecordingPlaysUpToTheDamage.
func TestADamagedRecordingPlaysUpToTheDamage(t *testing.T) {
	t.Parallel()
	s, dir := kit(t)
	id := record(t, s, "c", 2000)
	path := filepath.Join(dir, "recordings", id+".rec")
	whole, err := os.ReadFile(path)
	must(t, err, os.WriteFile(path, flipped(whole, len(whole)-200), 0o600))
	var wav bytes.Buffer
	reading, err := s.WAV(context.Background(), id, &wav)
	must(t, err)
	if reading.Damaged == "" || reading.Final || wav.Len() < 44+4*8000 {
		t.Errorf("%+v, %d bytes", reading, wav.Len())
	}
}

// TestAKeyOpensOnlyWithItsConsent: a row that names another grant opens nothing.
func TestAKeyOpensOnlyWithItsConsent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	id := record(t, s, "c", 5)
	must(t, s.Close())
	db, err := bolt.Open(filepath.Join(dir, "keys.db"), 0o600, &bolt.Options{Timeout: time.Second})
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("recording"))
		v := b.Get([]byte(id))
		at := bytes.Index(v, []byte(`"grant":"`)) + len(`"grant":"`)
		changed := bytes.Clone(v)
		changed[at] = "10"[changed[at]&1] // another hexadecimal digit
		return b.Put([]byte(id), changed)
	}), db.Close())
	s = openStore(t, dir)
	defer func() { must(t, s.Close()) }()
	if _, err := s.WAV(context.Background(), id, &bytes.Buffer{}); err == nil {
		t.Error("a recording plays under another consent than it was made with")
	}
}

// TestAnErasureThatWasInterruptedIsFinishedAtTheNextStart: the crash came when
// the key was gone, and before the file was and the log had heard of it.
func TestAnErasureThatWasInterruptedIsFinishedAtTheNextStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	g := grant(t, s.Audit(), "c")
	r, err := s.Create(context.Background(), g)
	must(t, err)
	speak(t, r, time.Now(), 5)
	must(t, r.Seal(time.Now(), "hang-up"))
	path := filepath.Join(dir, "recordings", r.ID()+".rec")
	file, err := os.ReadFile(path)
	must(t, err, s.Close())
	log, err := os.ReadFile(filepath.Join(dir, "audit.db"))
	must(t, err)
	s = openStore(t, dir)
	must(t, s.Erase(context.Background(), g.Hash(), "asked"), s.Close())
	// back to the moment of the crash
	must(t, os.WriteFile(path, file, 0o600), os.WriteFile(filepath.Join(dir, "audit.db"), log, 0o600))
	db, err := bolt.Open(filepath.Join(dir, "keys.db"), 0o600, &bolt.Options{Timeout: time.Second})
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error {
		note := `{"recording":"` + r.ID() + `","grant":"` + g.Hash().String() + `","reason":"asked"}`
		return tx.Bucket([]byte("erasing")).Put([]byte(r.ID()), []byte(note))
	}), db.Close())
	for range 2 {
		s = openStore(t, dir)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
		if n := types(t, s)[store.TypeErased]; n != 1 {
			t.Errorf("%d erasures logged", n)
		}
		must(t, s.Close())
	}
	verify(t, dir)
}

// TestAnUnreadableKeyKeepsTheRecording: what can't be opened now isn't cut or
// removed; it may be the wrong disk, or a backup on its way.
func TestAnUnreadableKeyKeepsTheRecording(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	speak(t, r, time.Now(), 20)
	s.AnchorNow()
	must(t, s.Close())
	path := filepath.Join(dir, "recordings", r.ID()+".live")
	was, err := os.ReadFile(path)
	must(t, err, os.Remove(path), os.Mkdir(path, 0o700)) // reading it fails as on a bad disk
	must(t, openStore(t, dir).Close())
	must(t, os.Remove(path), os.WriteFile(path, was, 0o600))
	s = openStore(t, dir)
	if packets, err := s.Packets(r.ID()); err != nil || len(packets) != 40 {
		t.Errorf("%d packets, %v", len(packets), err)
	}
	must(t, s.Close())
	verify(t, dir)
}

// TestTheMetricsHaveTheirNames, and those of a store in order say so.
func TestTheMetricsHaveTheirNames(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, err := store.Open(store.Options{Dir: filepath.Join(t.TempDir(), "data"), Registerer: reg})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	record(t, s, "c", 3)
	open, err := s.Create(context.Background(), grant(t, s.Audit(), "open"))
	must(t, err)
	got := map[string]float64{}
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "{" + l.GetName() + "=" + l.GetValue() + "}"
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{"consentgate_recordings_active": 1, "consentgate_recordings_unaccounted": 0, "consentgate_recordings_unsealed": 0,
		"consentgate_recordings_kept{purpose=training}{state=sealed}": 1, "consentgate_recordings_kept{purpose=training}{state=recording}": 1,
		"consentgate_recordings_total{outcome=sealed}": 1, "consentgate_audit_size": 6, "consentgate_audit_append_seconds": 6} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
	}
	if got["consentgate_disk_free_bytes"] <= 0 {
		t.Errorf("disk_free_bytes is %v", got["consentgate_disk_free_bytes"])
	}
	must(t, open.Seal(time.Now(), "hang-up"))
}

// TestInvariant8_NoPlaintextInACrash looks at a directory as a crash leaves it:
// a recording in the making, synced. The control plants one secret and finds it.
func TestInvariant8_NoPlaintextInACrash(t *testing.T) {
	s, dir := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "call-of-somebody"))
	must(t, err)
	speak(t, r, time.Now(), 400)
	s.AnchorNow()
	if hits := secretsIn(t, filepath.Dir(dir)); len(hits) != 0 {
		t.Errorf("in the clear: %v", hits)
	}
	planted := t.TempDir()
	for i, secret := range secrets() {
		must(t, os.WriteFile(filepath.Join(planted, fmt.Sprint(i)), append([]byte("before"), secret...), 0o600))
	}
	if hits := secretsIn(t, planted); len(hits) < len(secrets()) {
		t.Errorf("control: only %v are found of %d planted", hits, len(secrets()))
	}
	must(t, r.Seal(time.Now(), "hang-up"))
}

func secrets() [][]byte {
	return [][]byte{bytes.Repeat([]byte{0x11}, 16), bytes.Repeat([]byte{0x22}, 16), []byte("442079460123"), []byte("2079460123"),
		[]byte("4930901820"), []byte(controller), []byte("call-of-somebody"), []byte("NDQyMDc5NDYwMTIz"), []byte("343432303739343630313233")}
}

func secretsIn(t *testing.T, dir string) (hits []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, secret := range secrets() {
			if bytes.Contains(raw, secret) || strings.Contains(path, string(secret)) {
				hits = append(hits, fmt.Sprintf("%q in %s", secret, filepath.Base(path)))
			}
		}
		return err
	}))
	return hits
}
