package store_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/store"
)

// churnDir, in the environment, makes TestChurnProcess the process that is killed.
const churnDir = "CONSENTGATE_TEST_CHURN_DIR"

// TestChurnProcess is no test: TestCrashesAtAnyPointLeaveNothingUnaccounted runs
// it as a process of its own.
func TestChurnProcess(t *testing.T) {
	if dir := os.Getenv(churnDir); dir != "" {
		recordUntilKilled(dir)
	}
}

// recordUntilKilled records eight calls at a time, each for a while, and says of
// every packet that WriteRTP took: "recording number unix-nanoseconds".
func recordUntilKilled(dir string) {
	s, err := store.Open(store.Options{Dir: dir, Node: "crash"})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu sync.Mutex // a line is written whole
	var calls sync.WaitGroup
	for c := range 8 {
		calls.Go(func() {
			for n := 0; ; n++ {
				if err := recordOne(s, fmt.Sprintf("%d-%d-%d", os.Getpid(), c, n), &mu); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
			}
		})
	}
	calls.Wait()
}

func recordOne(s *store.Store, call string, mu *sync.Mutex) error {
	g, problem := tryGrant(s.Audit(), call)
	if problem != "" {
		return fmt.Errorf("no grant: %s", problem)
	}
	r, err := s.Create(context.Background(), g)
	if err != nil {
		return err
	}
	if err := r.Format(consent.Remote, 0, "PCMU", 8000); err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond) // four times a call's rate
	defer tick.Stop()
	n := uint64(rand.IntN(150))
	for i := range n {
		now := <-tick.C
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i)}, Payload: binary.BigEndian.AppendUint64(nil, i)}
		raw, err := p.Marshal()
		if err != nil {
			return err
		}
		if err := r.WriteRTP(consent.Remote, now, raw); err != nil {
			return err
		}
		mu.Lock()
		fmt.Println(r.ID(), i, now.UnixNano())
		mu.Unlock()
	}
	return r.Seal(time.Now(), "hang-up")
}

// acked is what the killed process said of one recording: when each packet was
// taken.
type acked map[string][]time.Time

// crash runs the process, kills it after a while and returns what it said.
func crash(t *testing.T, dir string, after time.Duration) acked {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-test.run=^TestChurnProcess$")
	cmd.Env = append(os.Environ(), churnDir+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // SIGKILL; it may have ended by itself
	defer kill.Stop()
	said := acked{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "error") {
			t.Errorf("the recording process: %s", lines.Text())
		}
		var id string
		var n int
		var at int64
		if k, _ := fmt.Sscan(lines.Text(), &id, &n, &at); k == 3 && n == len(said[id]) {
			said[id] = append(said[id], time.Unix(0, at))
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended before it was killed")
	}
	return said
}

// TestCrashesAtAnyPointLeaveNothingUnaccounted kills a process in which calls
// begin and end all the time, so that some are between two steps, and looks at
// what the next start makes of it: each grant has one end, no recording lost
// more than a second, and the log verifies. One directory goes through all of it.
func TestCrashesAtAnyPointLeaveNothingUnaccounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	recordings, cutOff := 0, 0
	for range rounds {
		said := crash(t, dir, time.Duration(150+rand.IntN(900))*time.Millisecond)
		s := openStore(t, dir)
		if n := s.Unaccounted(); n != 0 {
			t.Errorf("%d grants unaccounted after recovery", n)
		}
		oneEndEach(t, s)
		for id, times := range said {
			recordings++
			cutOff += survived(t, s, id, times)
		}
		left, err := filepath.Glob(filepath.Join(dir, "recordings", "*.live"))
		must(t, err, s.Close())
		if len(left) != 0 {
			t.Errorf("still live: %v", left)
		}
		if r := verify(t, dir); r.Unaccounted != 0 {
			t.Errorf("%d grants have no end in the log", r.Unaccounted)
		}
	}
	t.Logf("%d recordings, %d of them cut off", recordings, cutOff)
	if cutOff == 0 {
		t.Error("no recording was cut off: nothing was tried")
	}
}

// survived compares a recording with what its writer was told; it returns 1 for
// one that was cut off.
func survived(t *testing.T, s *store.Store, id string, times []time.Time) int {
	t.Helper()
	sum, err := s.Get(id)
	must(t, err)
	if _, err := s.Check(context.Background(), id); err != nil {
		t.Errorf("recording %s: %v", id, err)
	}
	packets, err := s.Packets(id)
	must(t, err)
	for i, raw := range packets {
		var p rtp.Packet
		if err := p.Unmarshal(raw); err != nil || binary.BigEndian.Uint64(p.Payload) != uint64(i) {
			t.Errorf("recording %s: packet %d is another: %v", id, i, err)
		}
	}
	if len(packets) < len(times) {
		lost := times[len(times)-1].Sub(times[len(packets)])
		if lost > time.Second {
			t.Errorf("recording %s lost %s: %d of %d packets are there", id, lost, len(packets), len(times))
		}
	}
	if sum.State == store.StateTruncated {
		return 1
	}
	return 0
}

// oneEndEach counts the ends of every grant in the log.
func oneEndEach(t *testing.T, s *store.Store) {
	t.Helper()
	ends := map[string]int{}
	must(t, s.Entries(0, func(e store.Entry) bool {
		var p struct {
			Kind  consent.Kind `json:"kind"`
			Grant string       `json:"grant"`
		}
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			t.Errorf("entry %d: %v", e.Seq, err)
		}
		switch {
		case e.Type == store.TypeConsent && p.Kind == consent.Granted:
			var r consent.Record
			must(t, json.Unmarshal(e.Payload, &r))
			ends[r.Hash().String()] += 0
		case e.Type == store.TypeSealed, e.Type == store.TypeFailed, e.Type == store.TypeConsent && p.Kind == consent.Failed:
			ends[p.Grant]++
		}
		return true
	}))
	for g, n := range ends {
		if n != 1 {
			t.Errorf("grant %s has %d ends", g, n)
		}
	}
}
