package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/internal/faultdisk"
	"consentgate/store"
)

// faults are what a disk can do to a store, each on a file system of the
// kernel's own. Those that are final end a database until the next start.
var faults = map[string]struct {
	hurt, heal func(*faultdisk.Disk) error
	final      bool // it heals only where nobody has a file open
}{
	"full":      {(*faultdisk.Disk).Fill, (*faultdisk.Disk).Free, false},
	"starved":   {(*faultdisk.Disk).Starve, (*faultdisk.Disk).Feed, true},
	"killed":    {(*faultdisk.Disk).Kill, (*faultdisk.Disk).Remount, true},
	"read-only": {(*faultdisk.Disk).ReadOnly, (*faultdisk.Disk).Remount, true},
	"frozen":    {(*faultdisk.Disk).Freeze, (*faultdisk.Disk).Thaw, false},
}

// faulty makes a data directory of which a part lies on a disk that will fail.
func faulty(t *testing.T, part string) (dir string, d *faultdisk.Disk) {
	t.Helper()
	d, err := faultdisk.New(t.TempDir())
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED: a disk's real faults need the right to mount and loop devices (%v)", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	dir = filepath.Join(t.TempDir(), "data")
	if part == "everything" {
		return filepath.Join(d.Dir, "data"), d
	}
	must(t, os.Mkdir(dir, 0o700))
	if part == "recordings" {
		must(t, os.Mkdir(filepath.Join(d.Dir, part), 0o700))
	}
	must(t, os.Symlink(filepath.Join(d.Dir, part), filepath.Join(dir, part)))
	return dir, d
}

// hasty is a log that nobody waits for longer than a call would.
type hasty struct{ consent.Ledger }

func (h hasty) Append(ctx context.Context, r consent.Record) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	return h.Ledger.Append(ctx, r)
}

// TestADisksFaultsAreAccountedFor: each fault at each part of the data directory,
// in mid-recording. Whoever waits is let go, nothing is recorded that can't be
// kept, and when the disk is well again every grant has its end, what was
// acknowledged is there, and the log verifies.
func TestADisksFaultsAreAccountedFor(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		for _, part := range []string{"keys.db", "audit.db", "recordings", "everything"} {
			t.Run(name+"/"+part, func(t *testing.T) {
				dir, d := faulty(t, part)
				root := filepath.Join(t.TempDir(), "root")
				open := func() *store.Store {
					s, err := store.Open(store.Options{Dir: dir, RootFile: root, Node: "test"})
					must(t, err)
					return s
				}
				s := open()
				whole := record(t, s, "before", 20)
				r, err := s.Create(context.Background(), grant(t, s.Audit(), "running"))
				must(t, err)
				speak(t, r, time.Now(), 30)
				s.AnchorNow() // these are acknowledged
				must(t, fault.hurt(d))
				tryToRecord(t, s)
				for i := range 100 {
					_ = r.WriteRTP(consent.Remote, time.Now(), packet(uint16(100+i), uint32(i*160), 1, 0x11))
				}
				ended := make(chan error, 1)
				go func() { ended <- r.Seal(time.Now(), "hang-up") }()
				if !fault.final {
					must(t, fault.heal(d))
				}
				<-ended
				if !fault.final { // nobody has to start anything anew
					s.RunTasks()
					record(t, s, "after", 3)
				}
				if failed := s.Close(); (failed != nil) != (fault.final && (part == "audit.db" || part == "everything")) {
					t.Errorf("closing: %v", failed)
				}
				if fault.final {
					must(t, fault.heal(d))
				}
				s = open()
				if n := s.Unaccounted(); n != 0 {
					t.Errorf("%d grants unaccounted", n)
				}
				oneEndEach(t, s)
				kept(t, s, whole, 40, store.StateSealed)
				kept(t, s, r.ID(), 60, "")
				record(t, s, "at last", 3)
				if found, err := s.Scan(); err != nil || len(found) != 0 {
					t.Errorf("files and entries: %v, %v", found, err)
				}
				must(t, s.Close())
				if rep, err := store.Verify(dir, root, nil); err != nil || !rep.OK() || rep.Unaccounted != 0 {
					t.Errorf("%+v, %v", rep, err)
				}
			})
		}
	}
}

// TestAFailedSyncEndsTheRecordingWhereItWasSynced: on a disk that takes writes
// and loses them. Nothing is written behind it; the log says what could be sealed,
// and that is there.
func TestAFailedSyncEndsTheRecordingWhereItWasSynced(t *testing.T) {
	for _, when := range []string{"in mid-call", "at its end", "in mid-call, and yet it is there", "in mid-call, with many others"} {
		t.Run(when, func(t *testing.T) {
			dir, d := faulty(t, "recordings")
			s := openStore(t, dir)
			r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
			must(t, err)
			speak(t, r, time.Now(), 30)
			var others []*store.Recording
			if when == "in mid-call, with many others" { // which are synced together
				for i := range 20 {
					other, err := s.Create(context.Background(), grant(t, s.Audit(), fmt.Sprint("other", i)))
					must(t, err)
					speak(t, other, time.Now(), 30)
					others = append(others, other)
				}
			}
			s.AnchorNow()
			must(t, d.Starve())
			for i := range 50 {
				must(t, r.WriteRTP(consent.Remote, time.Now(), packet(uint16(100+i), uint32(i*160), 1, 0x11)))
			}
			written := []byte(nil)
			if when != "at its end" {
				s.AnchorNow()
				written, err = os.ReadFile(filepath.Join(dir, "recordings", r.ID()+".live")) // as the page cache has it
				must(t, err)
				if err := r.WriteRTP(consent.Remote, time.Now(), packet(1, 1, 1, 1)); !lost(err) || !strings.Contains(err.Error(), "syncing") {
					t.Errorf("after a failed sync: %v", err)
				}
			}
			if err := r.Seal(time.Now(), "hang-up"); !lost(err) {
				t.Errorf("sealed: %v", err)
			}
			for _, other := range others {
				_ = other.Seal(time.Now(), "hang-up")
			}
			must(t, s.Close(), d.Feed())
			if when == "in mid-call, and yet it is there" {
				must(t, os.WriteFile(filepath.Join(dir, "recordings", r.ID()+".live"), written, 0o600))
			}
			s = openStore(t, dir)
			want := 60
			if when == "in mid-call, and yet it is there" { // then the start seals it, and syncs the file that it makes
				want = 110
			}
			kept(t, s, r.ID(), want, store.StateTruncated)
			if packets, err := s.Packets(r.ID()); err != nil || len(packets) != want {
				t.Errorf("%d packets, %v", len(packets), err)
			}
			must(t, s.Close())
			verify(t, dir)
		})
	}
}

// TestADiskThatHangsIsNotAskedFor: once a write has taken longer than a grant is
// given, nobody need be asked; when the disk answers they may be.
func TestADiskThatHangsIsNotAskedFor(t *testing.T) {
	for _, part := range []string{"audit.db", "keys.db"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			dir, d := faulty(t, part)
			s := openStore(t, dir)
			must(t, s.Ready("main"), d.Freeze())
			if g, _ := tryGrant(hasty{s.Audit()}, "c"); g.Valid() {
				t.Error("granted on a disk that hangs")
			}
			until(t, "it isn't asked for", func() bool { return errors.Is(s.Ready("main"), store.ErrDiskHangs) })
			must(t, d.Thaw())
			until(t, "it is again", func() bool { return s.Ready("main") == nil })
			must(t, s.Close())
			s = openStore(t, dir) // the grant may have become durable, and has its end then
			oneEndEach(t, s)
			must(t, s.Close())
			verify(t, dir)
		})
	}
}

// lost reports whether an error is one of a sync that lost what was written:
// which of the two depends on whether the journal noticed before.
func lost(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EIO) }

// TestAPageThatCannotBeReadIsAnError, not the end of the program: the databases
// are mapped into memory, where a bad sector is a fault. Here the file is cut.
func TestAPageThatCannotBeReadIsAnError(t *testing.T) {
	for _, part := range []string{"audit.db", "keys.db"} {
		t.Run(part, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := openStore(t, dir)
			id := record(t, s, "before", 3)
			must(t, os.Truncate(filepath.Join(dir, part), 0))
			for i := range 3 {
				if _, problem := tryGrant(hasty{s.Audit()}, fmt.Sprint(i)); part == "audit.db" && !strings.Contains(problem, "damaged") {
					t.Errorf("granted on a log that can't be read: %q", problem)
				}
			}
			if _, err := s.Get(id); part == "keys.db" && err == nil {
				t.Error("a row was read from nowhere")
			}
			if !errors.Is(s.Ready("main"), store.ErrDiskFailed) {
				t.Errorf("ready: %v", s.Ready("main"))
			}
			if err := s.Close(); err == nil {
				t.Error("closed as if nothing had been")
			}
		})
	}
}

// tryToRecord is a call's try while the disk fails: it ends soon, one way or the
// other, and a grant whose recorder isn't made is closed, as consent does.
func tryToRecord(t *testing.T, s *store.Store) {
	t.Helper()
	log := hasty{s.Audit()}
	for i := range 5 {
		g, _ := tryGrant(log, fmt.Sprint("meanwhile ", i))
		if !g.Valid() {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		r, err := create(ctx, s, g)
		cancel()
		if err != nil {
			h := g.Hash()
			_, _ = log.Append(context.Background(), consent.Record{Kind: consent.Failed, Grant: &h}) // the next start does, else
			continue
		}
		go func() { _ = r.Seal(time.Now(), "hang-up") }() // it may have to wait
	}
}

// create is Create as the proxy's scribe has it: on a goroutine that may hang
// with the disk while the call goes on. What comes too late is discarded.
func create(ctx context.Context, s *store.Store, g consent.Grant) (*store.Recording, error) {
	type made struct {
		*store.Recording
		error
	}
	done := make(chan made, 1)
	go func() {
		r, err := s.Create(ctx, g)
		done <- made{r, err}
	}()
	select {
	case m := <-done:
		return m.Recording, m.error
	case <-ctx.Done():
		go func() {
			if m := <-done; m.error == nil {
				_ = m.Seal(time.Now(), "too late")
			}
		}()
		return nil, ctx.Err()
	}
}

// kept checks that a recording has at least so many packets, and is what the log
// says; in that state, or in any.
func kept(t *testing.T, s *store.Store, id string, least int, state string) {
	t.Helper()
	sum, err := s.Get(id)
	if err != nil {
		t.Errorf("recording %s: %v", id, err)
		return
	}
	packets, err := s.Packets(id)
	if _, wrong := s.Check(context.Background(), id); err != nil || wrong != nil || len(packets) < least || state != "" && sum.State != state || sum.State == store.StateRecording {
		t.Errorf("recording %s is %s with %d packets, of at least %d: %v", id, sum.State, len(packets), least, errors.Join(err, wrong))
	}
}
