package store

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store/catalog"
	"consentgate/store/rootcell"
)

// reasons are how recordings end, and what they are found by then.
var reasons = map[string][2]string{
	consent.EndHangUp:                                      {StateSealed, OutcomeComplete},
	consent.EndWithdrawn:                                   {StateSealed, OutcomeWithdrawn},
	consent.EndChanged:                                     {StateSealed, OutcomePartyChanged},
	consent.EndUnbegun:                                     {StateSealed, OutcomeNotBegun},
	"truncated: the gate stopped while recording":          {StateTruncated, OutcomeCrashed},
	"truncated: 3 frames are there, the log had seen 5":    {StateTruncated, OutcomeCrashed},
	"truncated: 3 frames are there, 5 were written":        {StateTruncated, OutcomeRecorderFailed},
	"truncated: the recorder failed":                       {StateTruncated, OutcomeRecorderFailed},
	"incomplete: writing a recording: no space left":       {StateTruncated, OutcomeRecorderFailed},
	"recorder failed: a record is larger than its file":    {StateTruncated, OutcomeRecorderFailed},
	"recorder failed: as an earlier version had it":        {StateSealed, OutcomeRecorderFailed},
	"incomplete: recorder failed: withdrawn, hang-up":      {StateTruncated, OutcomeRecorderFailed},
	"a reason that nobody has heard of, such as withdrawn": {StateSealed, OutcomeRecorderFailed},
}

func TestEachReasonHasTheOutcomeThatItMeans(t *testing.T) {
	for reason, want := range reasons {
		if got := (Summary{State: want[0], Reason: reason}).Outcome(); got != want[1] {
			t.Errorf("%s, %q: %s, want %s", want[0], reason, got, want[1])
		}
	}
	if got := (Summary{State: StateRecording}).Outcome(); got != OutcomeRunning {
		t.Errorf("while it is written: %s", got)
	}
	codes := map[uint8]bool{0: true}
	for _, o := range outcomes {
		if codes[o.code] {
			t.Errorf("%s has a code that isn't its own", o.name)
		}
		codes[o.code] = true
	}
}

// withoutOutcomes is a directory with n recordings as an earlier version left it: the
// catalog has 0 where it has outcomes now.
func withoutOutcomes(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s := openAt(t, dir)
	var all []string
	for reason := range reasons {
		all = append(all, reason)
	}
	start := time.Now().Add(-30 * 24 * time.Hour)
	must(t, s.fill(n, func(i int) fillIn {
		reason := all[i%len(all)]
		return fillIn{call: consent.Call{ID: fmt.Sprint(i), Trunk: "main", Direction: consent.Inbound, Remote: "1", Local: "2"}, purpose: consent.Purpose{Name: "training",
			Retention: 90 * 24 * time.Hour}, start: start.Add(time.Duration(i) * time.Minute), state: reasons[reason][0], reason: reason, end: int64(i + 1)}
	}), s.keys.update(t.Context(), func(k keysTx) error {
		var rows []catalog.Row
		must(t, k.catalog().Scan(catalog.Any(), func(r catalog.Row) (bool, error) { rows = append(rows, r); return true, nil }))
		for _, r := range rows {
			r.Outcome = 0
			_, _, err := k.catalog().Put(r)
			must(t, err)
		}
		return nil
	}), s.Close())
	return dir
}

// outcomesNoted counts rows with an outcome, and without.
func (k *keyring) outcomesNoted(t *testing.T) (noted, unnoted int) {
	t.Helper()
	must(t, k.view(func(k keysTx) error {
		return k.catalog().Scan(catalog.Any(), func(r catalog.Row) (bool, error) {
			if r.Outcome == 0 {
				unnoted++
			} else {
				noted++
			}
			return true, nil
		})
	}))
	return noted, unnoted
}

// foundByOutcome searches for each outcome, and compares with looking through all.
func foundByOutcome(t *testing.T, s *Store, n int) {
	t.Helper()
	all, _, err := s.Search(Query{Limit: MaxPage})
	if must(t, err); len(all) != n {
		t.Fatalf("%d recordings, want %d", len(all), n)
	}
	for _, o := range Outcomes() {
		found, _, err := s.Search(Query{Outcome: o, Limit: MaxPage})
		must(t, err)
		var got, want []string
		for _, f := range found {
			got = append(got, f.ID)
		}
		for _, sum := range all {
			if reasons[sum.Reason][1] == o {
				want = append(want, sum.ID)
			}
		}
		if !slices.Equal(got, want) || (len(want) == 0) != (o == OutcomeRunning) {
			t.Errorf("%s: %d are found, want %d", o, len(got), len(want))
		}
	}
}

// OutcomesChild opens a directory, and is killed when it has noted some outcomes.
func OutcomesChild(dir string) {
	s, err := Open(Options{Dir: dir, reached: func(at string) {
		if at == "outcomes" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // not one instruction more
		}
	}})
	if err != nil {
		panic(err)
	}
	if err := s.Close(); err != nil {
		panic(err)
	}
}

// TestOutcomesThatAnEarlierVersionDidntNoteAreFound: after a kill in the midst of
// noting them, while they are being noted, and when they are.
func TestOutcomesThatAnEarlierVersionDidntNoteAreFound(t *testing.T) {
	const n = 5*outcomeBatch + 7
	dir := withoutOutcomes(t, n)
	cmd := exec.Command(os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "STORE_OUTCOMES_DIR="+dir)
	said, err := cmd.CombinedOutput()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("%v\n%s", err, said)
	}
	keys, err := openKeyring(t.Context(), dir, rootcell.NewFile(DefaultRootFile(dir)))
	must(t, err)
	if noted, unnoted := keys.outcomesNoted(t); noted != outcomeBatch || unnoted != n-outcomeBatch {
		t.Errorf("after the kill %d are noted and %d not", noted, unnoted)
	}
	must(t, keys.closeDB())

	at, on := make(chan struct{}), make(chan struct{})
	s, err := Open(Options{Dir: dir, reached: func(point string) {
		if point == "outcomes" {
			at <- struct{}{}
			<-on
		}
	}})
	must(t, err)
	for noted := 2 * outcomeBatch; noted < n+outcomeBatch; noted += outcomeBatch {
		select {
		case <-at:
		case <-time.After(time.Minute):
			t.Fatalf("the noting ended before %d", noted)
		}
		if got, unnoted := s.keys.outcomesNoted(t); got != min(noted, n) || got+unnoted != n {
			t.Errorf("%d are noted and %d not, want %d", got, unnoted, noted)
		}
		foundByOutcome(t, s, n)
		on <- struct{}{}
	}
	must(t, s.Close())

	s, err = Open(Options{Dir: dir, reached: func(point string) {
		if point == "outcomes" {
			t.Error("another start has something to note")
		}
	}})
	must(t, err)
	foundByOutcome(t, s, n)
	must(t, s.Close())
}

// TestARowThatIsDamagedIsntNoted, and isn't in the way of others.
func TestARowThatIsDamagedIsntNoted(t *testing.T) {
	dir := withoutOutcomes(t, 3)
	keys, err := openKeyring(t.Context(), dir, rootcell.NewFile(DefaultRootFile(dir)))
	must(t, err)
	var damaged string
	must(t, keys.update(t.Context(), func(k keysTx) error {
		id, raw := k.Bucket(bRecording).Cursor().First()
		damaged = string(id)
		var r row
		must(t, json.Unmarshal(raw, &r))
		r.Summary[20] ^= 1
		raw, err := json.Marshal(r)
		must(t, err)
		return k.Bucket(bRecording).Put(id, raw)
	}))
	must(t, keys.update(t.Context(), func(k keysTx) error {
		noted, last, err := k.noteOutcomes(catalog.End)
		if noted != 2 || last != (catalog.Position{}) {
			t.Errorf("%d are noted, up to %v", noted, last)
		}
		return err
	}))
	must(t, keys.view(func(k keysTx) error {
		rows, err := k.unnoted(catalog.End, 10)
		if len(rows) != 1 || idText.EncodeToString(rows[0].ID[:]) != damaged {
			t.Errorf("%+v are left", rows)
		}
		return err
	}), keys.closeDB())
}
