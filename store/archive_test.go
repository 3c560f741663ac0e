package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/store"
	"consentgate/store/archive"
	"consentgate/store/archive/archivetest"
	"consentgate/store/archive/s3"
	"consentgate/store/rights"
)

// bucketOf is a server's bucket as a place.
func bucketOf(t testing.TB, url string) *s3.Place {
	t.Helper()
	p, err := bucketIn(t.TempDir(), url)
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

// bucketIn is the same for who has no test; the keys lie in dir.
func bucketIn(dir, url string) (*s3.Place, error) {
	c := s3.Config{Endpoint: url, Bucket: archivetest.Bucket, Region: "us-east-1", Prefix: "gate-1/", PathStyle: true,
		AccessKeyFile: filepath.Join(dir, "access"), SecretKeyFile: filepath.Join(dir, "secret")}
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(c.AccessKeyFile, []byte(archivetest.AccessKey), 0o600),
		os.WriteFile(c.SecretKeyFile, []byte("secret"), 0o600)); err != nil {
		return nil, err
	}
	return s3.Open(c)
}

// archived is a data directory whose recordings go to a bucket, too.
type archived struct {
	dir    string
	server *archivetest.Server
	place  archive.Place
	reg    *prometheus.Registry // of who opened it last
}

func newArchived(t *testing.T) *archived {
	t.Helper()
	a := &archived{dir: filepath.Join(t.TempDir(), "data"), server: archivetest.New()}
	t.Cleanup(a.server.Close)
	a.place = bucketOf(t, a.server.URL)
	return a
}

// open opens it; at the test's end it is closed and its log verified.
func (a *archived) open(t *testing.T) *store.Store { return a.openAt(t, a.place, 0) }

func (a *archived) openAt(t *testing.T, place archive.Place, settle time.Duration) *store.Store {
	t.Helper()
	a.reg = prometheus.NewRegistry()
	s, err := store.Open(store.WithArchive(store.Options{Dir: a.dir, Node: "test", Registerer: a.reg}, place, settle))
	must(t, err)
	return s
}

func (a *archived) close(t *testing.T, s *store.Store) {
	t.Helper()
	must(t, s.Close())
	verify(t, a.dir)
}

// soon waits for something to become true.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it isn't so within 30 s: %s", what)
		}
	}
}

// idle waits until there is nothing to be done at the archive.
func idle(t *testing.T, s *store.Store) {
	t.Helper()
	soon(t, "nothing waits", func() bool { c, d := s.ArchiveWaits(); return c+d == 0 })
}

func object(id string) string { return "gate-1/" + id + ".rec" }

func eraseID(s *store.Store, id string) error {
	return s.AskErase(ctx, id, rights.Ask{Act: because("asked")})
}

// failures are the archive's so far.
func failures(t *testing.T, reg prometheus.Gatherer, act string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "consentgate_archive_failures_total" && m.GetLabel()[0].GetValue() == act {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// versions are those of a recording's object, markers too.
func (a *archived) versions(id string) (out []archivetest.Version) {
	for _, v := range a.server.Versions() {
		if v.Key == object(id) {
			out = append(out, v)
		}
	}
	return out
}

// certificateOf makes and checks one.
func (a *archived) certificateOf(t *testing.T, s *store.Store, id string) store.Certificate {
	t.Helper()
	signed, err := s.Certificate(id)
	must(t, err)
	c, err := store.CheckCertificate(signed, vkeyOf(t, a.dir))
	must(t, err)
	return c
}

func TestASealedRecordingIsCopiedAndReadBack(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.open(t)
	id := record(t, s, "c", 20)
	idle(t, s)
	there := a.versions(id)
	local, err := os.ReadFile(filepath.Join(a.dir, "recordings", id+".rec"))
	must(t, err)
	if len(there) != 1 || !bytes.Equal(there[0].Body, local) {
		t.Fatalf("%d versions, or others bytes than the file's", len(there))
	}
	if n := a.server.Asked(http.MethodGet); n == 0 {
		t.Error("it wasn't read back")
	}
	if got := types(t, s)[store.TypeArchived]; got != 1 {
		t.Errorf("the log says %d times that it was copied", got)
	}
	if series(t, a.reg, "consentgate_archive_copied_timestamp_seconds") == "" {
		t.Error("no metric says when")
	}
	a.close(t, s)
	s = a.open(t) // which has nothing to copy
	idle(t, s)
	if got := types(t, s)[store.TypeArchived]; got != 1 || len(a.versions(id)) != 1 {
		t.Errorf("after a restart the log says it %d times, and there are %d versions", got, len(a.versions(id)))
	}
	a.close(t, s)
}

// TestWhatWasSealedWithoutAnArchiveIsCopied when there is one.
func TestWhatWasSealedWithoutAnArchiveIsCopied(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.openAt(t, nil, 0)
	id := record(t, s, "c", 5)
	a.close(t, s)
	s = a.open(t)
	soon(t, "it is copied", func() bool { return types(t, s)[store.TypeArchived] == 1 })
	if len(a.versions(id)) != 1 {
		t.Errorf("%d versions", len(a.versions(id)))
	}
	a.close(t, s)
}

// TestErasedIsGoneFromTheArchiveWithEachVersionAndMarker, and nothing else is.
func TestErasedIsGoneFromTheArchiveWithEachVersionAndMarker(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.open(t)
	victim, kept := record(t, s, "victim", 5), record(t, s, "kept", 5)
	idle(t, s)
	a.server.Page(1)
	for range 3 { // somebody put it back, and deleted it in the way that leaves a marker
		a.server.Add(object(victim), []byte("an older version"))
		a.server.Add(object(victim), nil)
	}
	a.server.Add(object(victim)+"x", []byte("no recording"))
	h := hold(t, s, victim, "")
	if err := eraseID(s, victim); err == nil {
		t.Fatal("a hold doesn't keep it")
	}
	if n := len(a.versions(victim)); n != 7 {
		t.Fatalf("while it is held there are %d versions", n)
	}
	must(t, s.Release(ctx, victim, h, because("settled")))
	soon(t, "it is erased", func() bool { return state(t, s, victim) == store.ErasurePending })
	idle(t, s)
	if left := a.versions(victim); len(left) > 0 {
		t.Errorf("%d versions are left", len(left))
	}
	if len(a.versions(kept)) != 1 || len(a.server.Versions()) != 2 {
		t.Error("something else was deleted, too")
	}
	must(t, s.Rotate(ctx))
	c := a.certificateOf(t, s, victim)
	if len(c.Archive) != 1 || c.Archive[0].Place != a.place.Name() || c.Archive[0].Proof == nil || c.Archive[0].Deleted.IsZero() {
		t.Errorf("the certificate says of the archive: %+v", c.Archive)
	}
	a.close(t, s)
}

// TestAnErasureIsFinalWhileItsObjectIsOwed: the bytes open for nobody once the root
// key is gone, whatever the store says; that it refuses is said, also by the
// certificate, until it doesn't.
func TestAnErasureIsFinalWhileItsObjectIsOwed(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.open(t)
	victim := record(t, s, "victim", 5)
	idle(t, s)
	a.server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			archivetest.Refuse(w, http.StatusForbidden, "AccessDenied", "Object is under a legal hold.")
		}
		return r.Method == http.MethodDelete
	})
	must(t, eraseID(s, victim), s.Rotate(ctx))
	soon(t, "the refusal is said", func() bool {
		e, err := s.Erasure(victim)
		must(t, err)
		return e.State == store.ErasureShredded && len(e.Archive) == 1 && strings.Contains(e.Archive[0].Why, "under a legal hold")
	})
	c := a.certificateOf(t, s, victim)
	if len(c.Archive) != 1 || c.Archive[0].Proof != nil || !c.Archive[0].Deleted.IsZero() || !strings.Contains(fmt.Sprint(c.NotCover), a.place.Name()) {
		t.Errorf("the certificate says of the archive %+v, and that it doesn't cover %q", c.Archive, c.NotCover)
	}
	if got := series(t, a.reg, "consentgate_archive_owed"); !strings.Contains(got, "1") {
		t.Errorf("the metric says %q", got)
	}
	other := record(t, s, "other", 5) // one object that is refused keeps nothing else
	soon(t, "another is copied", func() bool { return len(a.versions(other)) == 1 })
	a.close(t, s)

	a.server.Before(nil)
	s = a.open(t)
	idle(t, s)
	c = a.certificateOf(t, s, victim)
	if len(a.versions(victim)) > 0 || len(c.Archive) != 1 || c.Archive[0].Proof == nil || types(t, s)[store.TypeArchiveDeleted] != 1 {
		t.Errorf("then %d versions are left, the certificate says %+v, and the log %d times", len(a.versions(victim)), c.Archive,
			types(t, s)[store.TypeArchiveDeleted])
	}
	a.close(t, s)
}

// TestAPlaceThatIsConfiguredNoMoreIsOwedToo, and said.
func TestAPlaceThatIsConfiguredNoMoreIsOwedToo(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.open(t)
	victim := record(t, s, "victim", 5)
	idle(t, s)
	a.close(t, s)
	s = a.openAt(t, nil, 0)
	must(t, eraseID(s, victim))
	e, err := s.Erasure(victim)
	if err != nil || len(e.Archive) != 1 || !strings.Contains(e.Archive[0].Why, "isn't configured") {
		t.Errorf("it says %+v, %v", e.Archive, err)
	}
	a.close(t, s)
	elsewhere := archivetest.New()
	t.Cleanup(elsewhere.Close)
	s = a.openAt(t, bucketOf(t, elsewhere.URL), 0)
	if _, owed := s.ArchiveWaits(); owed != 1 || len(a.versions(victim)) != 1 {
		t.Errorf("with another place %d are owed", owed)
	}
	a.close(t, s)
	s = a.open(t)
	idle(t, s)
	if len(a.versions(victim)) > 0 {
		t.Error("it is still there")
	}
	a.close(t, s)
}

// TestAnObjectThatAppearsLateIsDeleted: nobody answered for its put, and its
// recording was erased since. Nothing is said to be deleted before that can't be
// any more.
func TestAnObjectThatAppearsLateIsDeleted(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	const long = 24 * time.Hour
	s := a.openAt(t, a.place, long)
	lost := make(chan []byte, 1)
	a.server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		body, err := io.ReadAll(r.Body)
		must(t, err)
		select {
		case lost <- body:
		default:
		}
		panic(http.ErrAbortHandler)
	})
	victim := record(t, s, "victim", 5)
	body := <-lost
	must(t, eraseID(s, victim))
	soon(t, "the archive is looked through", func() bool { return a.server.Asked(http.MethodGet) > 0 })
	a.server.Before(nil)
	record(t, s, "another", 5)
	soon(t, "what comes after that is done", func() bool {
		c, _ := s.ArchiveWaits()
		return c == 0 && types(t, s)[store.TypeArchived] == 1
	})
	a.server.Add(object(victim), body)
	if c, d := s.ArchiveWaits(); c != 0 || d != 1 || types(t, s)[store.TypeArchiveDeleted] != 0 {
		t.Errorf("%d copies and %d deletions wait, and the log knows %v", c, d, types(t, s))
	}
	a.close(t, s)
	s = a.openAt(t, a.place, 0) // the time has gone by
	idle(t, s)
	if len(a.versions(victim)) > 0 || types(t, s)[store.TypeArchiveDeleted] != 1 {
		t.Errorf("%d versions, %v", len(a.versions(victim)), types(t, s))
	}
	a.close(t, s)
}

// TestACopyThatIsntTheFileDoesntCount: it is copied again until it is.
func TestACopyThatIsntTheFileDoesntCount(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	var read atomic.Int32
	a.server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".rec") && read.Add(1) <= 3 {
			_, _ = io.WriteString(w, "something else")
			return true
		}
		return false
	})
	s := a.open(t)
	id := record(t, s, "c", 5)
	idle(t, s)
	if read.Load() < 4 || types(t, s)[store.TypeArchived] != 1 || len(a.versions(id)) == 0 {
		t.Errorf("read %d times, %d entries, %d versions", read.Load(), types(t, s)[store.TypeArchived], len(a.versions(id)))
	}
	a.close(t, s)
}

// TestADamagedFileIsntCopied: the good copy of before, or none, is better.
func TestADamagedFileIsntCopied(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.openAt(t, nil, 0)
	id, other := record(t, s, "damaged", 5), record(t, s, "other", 5)
	a.close(t, s)
	path := filepath.Join(a.dir, "recordings", id+".rec")
	b, err := os.ReadFile(path)
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(path, b, 0o600))
	s = a.open(t)
	soon(t, "the other is copied", func() bool { return len(a.versions(other)) == 1 })
	soon(t, "it is a failure", func() bool {
		return failures(t, a.reg, "copy") > 0
	})
	if len(a.versions(id)) > 0 {
		t.Error("it was copied")
	}
	a.close(t, s)
}

// TestTroubleOfTheArchiveHoldsUpNothing: recordings begin and are sealed, erasures
// become final, and the store closes, whatever the archive does; and when it is well
// again, what waited is done.
func TestTroubleOfTheArchiveHoldsUpNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"it doesn't answer": func(_ http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return true
		},
		"it hangs up": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"it is full": func(w http.ResponseWriter, r *http.Request) bool {
			archivetest.Refuse(w, http.StatusInsufficientStorage, "QuotaExceeded", "Full.")
			return true
		},
		"it refuses": func(w http.ResponseWriter, r *http.Request) bool {
			archivetest.Refuse(w, http.StatusForbidden, "AccessDenied", "No.")
			return true
		},
		"it talks nonsense": func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, "<html>Welcome to our hotel")
			return true
		},
		"it talks without an end": func(w http.ResponseWriter, _ *http.Request) bool {
			for {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return true
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArchived(t)
			s := a.open(t)
			before := record(t, s, "before", 5)
			idle(t, s)
			a.server.Before(fault)
			must(t, s.Ready("main"))
			during, erased := record(t, s, "during", 5), record(t, s, "erased", 5)
			for _, id := range []string{before, erased} {
				must(t, eraseID(s, id))
			}
			must(t, s.Rotate(ctx))
			if state(t, s, before) != store.ErasureShredded || state(t, s, erased) != store.ErasureShredded {
				t.Error("erasures wait for the archive")
			}
			if _, err := s.Check(ctx, during); err != nil {
				t.Error(err)
			}
			a.close(t, s)
			if len(a.versions(before)) != 1 {
				t.Fatal("the fault is none")
			}
			a.server.Before(nil)
			s = a.open(t)
			idle(t, s)
			if len(a.versions(during)) == 0 || len(a.versions(before))+len(a.versions(erased)) > 0 {
				t.Errorf("then there are %d of one that is kept, %d and %d of those erased", len(a.versions(during)), len(a.versions(before)),
					len(a.versions(erased)))
			}
			a.close(t, s)
		})
	}
}

// TestACertificateThatSaysMoreOfTheArchiveThanTheLogIsRefused, as of the root key.
func TestACertificateThatSaysMoreOfTheArchiveThanTheLogIsRefused(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.open(t)
	first, second := record(t, s, "first", 5), record(t, s, "second", 5)
	idle(t, s)
	must(t, eraseID(s, first), eraseID(s, second))
	idle(t, s)
	must(t, s.Rotate(ctx))
	signed, err := s.Certificate(first)
	must(t, err)
	other := a.certificateOf(t, s, second)
	forge := forger(t, signed, a.dir)
	must(t, forge(func(*store.Certificate) {}), // controls: what is owed may be said
		forge(func(c *store.Certificate) { c.Archive[0] = store.Elsewhere{Place: c.Archive[0].Place} }))
	for name, change := range map[string]func(*store.Certificate){
		"without a proof":    func(c *store.Certificate) { c.Archive[0].Proof = nil },
		"at another place":   func(c *store.Certificate) { c.Archive[0].Place += "x" },
		"earlier":            func(c *store.Certificate) { c.Archive[0].Deleted = c.Archive[0].Deleted.Add(-time.Hour) },
		"of another":         func(c *store.Certificate) { c.Archive = other.Archive },
		"by another entry":   func(c *store.Certificate) { c.Archive[0].Proof = &c.Proof },
		"by another payload": func(c *store.Certificate) { c.Archive[0].Proof.Payload[3] ^= 1 },
		"by another proof":   func(c *store.Certificate) { c.Archive[0].Proof.Hashes[0][0] ^= 1 },
		"without checkpoint": func(c *store.Certificate) { c.Archive[0].Proof.Checkpoint = "" },
		"twice, once forged": func(c *store.Certificate) {
			c.Archive = append(c.Archive, store.Elsewhere{Place: "x", Deleted: time.Now()})
		},
	} {
		if err := forge(change); err == nil {
			t.Errorf("%s: it passes", name)
		}
	}
	a.close(t, s)
}

// TestNothingWaitsForWhatIsRefused: neither for objects that are locked, nor for
// files that the disk lost, however many.
func TestNothingWaitsForWhatIsRefused(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.open(t)
	var locked, lost []string
	for range 15 {
		locked = append(locked, record(t, s, "locked", 2))
	}
	idle(t, s)
	a.close(t, s)
	s = a.openAt(t, nil, 0)
	for range 15 {
		lost = append(lost, record(t, s, "lost", 2))
	}
	free := record(t, s, "free", 2)
	a.close(t, s)
	for _, id := range lost {
		must(t, os.Remove(a.file(id)))
	}
	a.server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		locked := r.Method == http.MethodDelete && !strings.Contains(r.URL.Path, free)
		if locked {
			archivetest.Refuse(w, http.StatusForbidden, "AccessDenied", "Locked.")
		}
		return locked
	})
	s = a.open(t)
	for _, id := range locked {
		must(t, eraseID(s, id))
	}
	soon(t, "it is copied", func() bool { return len(a.versions(free)) > 0 })
	must(t, eraseID(s, free))
	soon(t, "it is deleted", func() bool { return len(a.versions(free)) == 0 })
	late := record(t, s, "late", 2)
	soon(t, "one that came late is copied", func() bool { return len(a.versions(late)) > 0 })
	soon(t, "the others wait", func() bool { c, d := s.ArchiveWaits(); return c == len(lost) && d == len(locked) })
	a.close(t, s)
}
