package store_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/rights"
)

// rightsChild does what officers do, as fast as it can, and says before and
// after each act what it is, until it is killed.
func rightsChild(dir string) {
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		r, err := s.Create(ctx, mustGrant(s, fmt.Sprint("call-", i)))
		if err != nil {
			panic(err)
		}
		if err := r.Seal(time.Now(), "hang-up"); err != nil {
			panic(err)
		}
		id := r.ID()
		say := func(what string, act func() error) {
			fmt.Println("will", what, id)
			if err := act(); err != nil && !errors.Is(err, store.ErrHeld) {
				panic(err)
			}
			fmt.Println("did", what, id)
		}
		var h string
		say("hold", func() (err error) { h, err = s.Hold(ctx, id, because("litigation"), "case"); return err })
		say("ask", func() error { return s.AskErase(ctx, id, rights.Ask{Act: because("letter")}) })
		if i%2 == 0 {
			say("release", func() error { return s.Release(ctx, id, h, because("settled")) })
		}
	}
}

func mustGrant(s *store.Store, call string) consent.Grant {
	g, reason := tryGrant(s.Audit(), call)
	if reason != "" {
		panic(reason)
	}
	return g
}

// TestActsSurviveAKill: at any moment. What was done stays done, what was asked
// for is done at the next start, nothing goes that is held, and the log knows of
// all that is.
func TestActsSurviveAKill(t *testing.T) {
	t.Parallel()
	for round := range 8 {
		dir := filepath.Join(t.TempDir(), "data")
		will, did := killedAmongActs(t, dir, 30+rand.IntN(300))
		s := openStore(t, dir)
		for id := range did["hold"] {
			f, err := s.Rights(id)
			switch released := did["release"][id]; {
			case released && !gone(s, id):
				t.Errorf("round %d: %s was asked for and released, and is there: %+v", round, id, f)
			case !will["release"][id] && (gone(s, id) || len(f.Holds) != 1):
				t.Errorf("round %d: %s is held: %+v, %v", round, id, f, err)
			case did["ask"][id] && !gone(s, id) && len(f.Asks) != 1:
				t.Errorf("round %d: %s was asked for: %+v", round, id, f)
			case !gone(s, id) && len(f.Holds) == 0 && len(f.Asks) > 0:
				t.Errorf("round %d: nothing holds %s, and it wasn't erased", round, id)
			}
		}
		logged := types(t, s)
		if n := logged[store.TypeHoldSet]; n < len(did["hold"]) {
			t.Errorf("round %d: %d holds, the log knows %d", round, len(did["hold"]), n)
		}
		if n := logged[store.TypeHoldReleased]; n < len(did["release"]) {
			t.Errorf("round %d: %d releases, the log knows %d", round, len(did["release"]), n)
		}
		must(t, s.Close())
		verify(t, dir)
	}
}

// killedAmongActs runs the child for some milliseconds after its first act and
// kills it; it returns what it had begun and done, by recording.
func killedAmongActs(t *testing.T, dir string, ms int) (will, did map[string]map[string]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "STORE_RIGHTS_DIR="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	will, did = map[string]map[string]bool{}, map[string]map[string]bool{}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		}
		f := strings.Fields(lines.Text())
		if len(f) != 3 {
			continue // cut off
		}
		to := will
		if f[0] == "did" {
			to = did
		}
		if to[f[1]] == nil {
			to[f[1]] = map[string]bool{}
		}
		to[f[1]][f[2]] = true
	}
	if err := cmd.Wait(); err == nil || len(did["hold"]) == 0 {
		t.Fatalf("the child wasn't killed among its acts: %v", err)
	}
	return will, did
}
