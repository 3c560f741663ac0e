package store_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"consentgate/store"
	"consentgate/store/rights"
)

// archiveSettle is how long a killed process's put may still come through.
const archiveSettle = 500 * time.Millisecond

// archiveChild does something with an archive, and is killed when it reaches a
// point, or after so many milliseconds.
func archiveChild(dir, url, do, until string) {
	kill := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	if ms, err := strconv.Atoi(until); err == nil {
		time.AfterFunc(time.Duration(ms)*time.Millisecond, kill)
	}
	o := store.StopAt(store.Options{Dir: dir, Node: "test"}, func(at string) {
		if at == until {
			kill()
			select {} // not one instruction more
		}
	})
	t := &testing.T{}
	place, err := bucketIn(dir+".keys", url)
	if err != nil {
		panic(err)
	}
	s, err := store.Open(store.WithArchive(o, place, archiveSettle))
	if err != nil {
		panic(err)
	}
	act, id, _ := strings.Cut(do, " ")
	switch act {
	case "copy":
		record(t, s, "c", 5)
	case "erase":
		if err := eraseID(s, id); err != nil {
			panic(err)
		}
	case "fetch":
		if _, err := s.Check(ctx, id); err != nil {
			panic(err)
		}
	case "all":
		for i := 0; ; i++ {
			id := record(t, s, fmt.Sprint("c", i), 5)
			if i%2 == 0 {
				if err := s.AskErase(ctx, id, rights.Ask{Act: because("asked")}); err != nil {
					panic(err)
				}
			}
		}
	}
	time.Sleep(time.Minute) // the point is on the archiver's way
}

// killedAt runs the child until it is killed.
func (a *archived) killedAt(t *testing.T, do, until string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "STORE_ARCHIVE_DIR="+a.dir, "STORE_ARCHIVE_URL="+a.server.URL, "STORE_ARCHIVE_DO="+do, "STORE_ARCHIVE_UNTIL="+until)
	var said strings.Builder
	cmd.Stderr = &said
	err := cmd.Run()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("%s until %s: %v\n%s", do, until, err, said.String())
	}
}

// inOrder sees that the archive has what is kept, and nothing else.
func (a *archived) inOrder(t *testing.T, s *store.Store) {
	t.Helper()
	idle(t, s)
	kept, _, err := s.Search(store.Query{Limit: store.MaxPage})
	must(t, err)
	there := map[string]bool{}
	for _, sum := range kept {
		there[object(sum.ID)] = true
		versions := a.versions(sum.ID)
		local, err := os.ReadFile(a.file(sum.ID))
		must(t, err)
		if len(versions) == 0 || string(versions[0].Body) != string(local) {
			t.Errorf("of recording %s there are %d versions, or another", sum.ID, len(versions))
		}
	}
	for _, v := range a.server.Versions() {
		if !there[v.Key] {
			t.Errorf("%s is left, and nobody keeps it", v.Key)
		}
	}
	if got := looked(t, s); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

// TestACopyIsNeitherLostNorLeftWhereverTheGateIsKilled: at each named point of it,
// and whether the recording is kept or is erased at once, by a gate that can't
// reach the archive.
func TestACopyIsNeitherLostNorLeftWhereverTheGateIsKilled(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"archive.begun", "archive.put", "archive.read", "archive.logged", "archive.noted"} {
		for _, erase := range []bool{false, true} {
			t.Run(fmt.Sprint(point, " erase ", erase), func(t *testing.T) {
				t.Parallel()
				a := newArchived(t)
				a.killedAt(t, "copy", point)
				if erase {
					s := a.openAt(t, nil, 0)
					kept, _, err := s.Search(store.Query{})
					must(t, err)
					if len(kept) != 1 {
						t.Fatalf("%d recordings", len(kept))
					}
					must(t, eraseID(s, kept[0].ID), s.Rotate(ctx))
					if c := a.certificateOf(t, s, kept[0].ID); len(c.Archive) != 1 || c.Archive[0].Proof != nil {
						t.Errorf("the certificate says %+v", c.Archive)
					}
					a.close(t, s)
					s = a.openAt(t, a.place, archiveSettle)
					a.inOrder(t, s)
					if c := a.certificateOf(t, s, kept[0].ID); len(c.Archive) != 1 || c.Archive[0].Proof == nil || len(a.server.Versions()) > 0 {
						t.Errorf("then it says %+v, and there are %d versions", c.Archive, len(a.server.Versions()))
					}
					a.close(t, s)
					return
				}
				s := a.openAt(t, a.place, archiveSettle)
				a.inOrder(t, s)
				if n := len(a.server.Versions()); n < 1 || n > 2 {
					t.Errorf("%d versions", n)
				}
				a.close(t, s)
			})
		}
	}
}

// TestADeletionIsCarriedOutWhereverTheGateIsKilled, once and whole; what is kept is
// there, and can be fetched.
func TestADeletionIsCarriedOutWhereverTheGateIsKilled(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"erase.dropped", "erase.logged", "archive.deleting", "archive.deleted", "archive.told", "archive.settled"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			a := newArchived(t)
			s := a.open(t)
			victim, kept := record(t, s, "victim", 5), record(t, s, "kept", 5)
			idle(t, s)
			a.close(t, s)
			a.server.Add(object(victim), nil)
			a.server.Add(object(victim), []byte("put back"))
			a.killedAt(t, "erase "+victim, point)
			s = a.openAt(t, a.place, archiveSettle)
			a.inOrder(t, s)
			must(t, s.Rotate(ctx), os.Remove(a.file(kept)))
			if _, err := s.Check(ctx, kept); err != nil {
				t.Errorf("what is kept: %v", err)
			}
			c := a.certificateOf(t, s, victim)
			if len(c.Archive) != 1 || c.Archive[0].Proof == nil || types(t, s)[store.TypeArchiveDeleted] != 1 {
				t.Errorf("the certificate says %+v, the log %d times", c.Archive, types(t, s)[store.TypeArchiveDeleted])
			}
			a.close(t, s)
		})
	}
}

// TestAFileIsFetchedBackWhereverTheGateIsKilled.
func TestAFileIsFetchedBackWhereverTheGateIsKilled(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.open(t)
	id := record(t, s, "c", 5)
	idle(t, s)
	a.close(t, s)
	a.damage(t, id) // not lost: then the scan fetches it, too
	a.killedAt(t, "fetch "+id, "archive.fetched")
	s = a.open(t)
	if _, err := s.Check(ctx, id); err != nil {
		t.Error(err)
	}
	a.inOrder(t, s)
	a.close(t, s)
}

// TestKillsAtAnyMomentLeaveNoVersionBehind: while recordings are made, copied and
// erased, by an archive that is now and then away. CONSENTGATE_TEST_KILLS is how often.
func TestKillsAtAnyMomentLeaveNoVersionBehind(t *testing.T) {
	t.Parallel()
	rounds := 4
	if n, err := strconv.Atoi(os.Getenv("CONSENTGATE_TEST_KILLS")); err == nil {
		rounds = n
	}
	a := newArchived(t)
	a.server.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		switch rand.IntN(20) {
		case 0:
			panic(http.ErrAbortHandler)
		case 1: // what was put is there, and nobody hears of it
			body, err := io.ReadAll(r.Body)
			if err == nil && r.Method == http.MethodPut && int64(len(body)) == r.ContentLength {
				a.server.Add(strings.TrimPrefix(r.URL.Path, "/recordings/"), body)
			}
			panic(http.ErrAbortHandler)
		}
		return false
	})
	for range rounds {
		a.killedAt(t, "all", fmt.Sprint(200+rand.IntN(800)))
	}
	a.server.Before(nil)
	s := a.openAt(t, a.place, archiveSettle)
	a.inOrder(t, s)
	if got := types(t, s); got[store.TypeArchived] == 0 || got[store.TypeArchiveDeleted] == 0 {
		t.Errorf("nothing was done: %v", got)
	}
	a.close(t, s)
}
