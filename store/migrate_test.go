package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/phone"
	"consentgate/store/rootcell"
)

// version1 is a copy of a data directory that version 1 wrote and was killed
// over: two recordings, one of them withdrawn, one erased, one refusal, one that
// was being recorded, one grant without a recorder, and a registration.
func version1(t *testing.T) (dir string) {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(filepath.Join("testdata", "version1"))))
	return filepath.Join(to, "data")
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func openAt(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, Node: "two"})
	must(t, err)
	return s
}

func checkpointAt(t *testing.T, dir string) (signed []byte) {
	t.Helper()
	must(t, view(filepath.Join(dir, auditFile), func(tx *bolt.Tx) error {
		signed = bytes.Clone(tx.Bucket(bMeta).Get(kCheckpoint))
		return nil
	}))
	return signed
}

// wholeLog verifies a directory's log, payloads and all, against what version 1
// had signed.
func wholeLog(t *testing.T, dir string, older []byte) Report {
	t.Helper()
	r, err := Verify(dir, DefaultRootFile(dir), older)
	if err != nil || !r.OK() || r.Opened == 0 || r.Sealed != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	return r
}

// migrated opens a directory and checks that all is there that version 1 kept.
func migrated(t *testing.T, dir string, older []byte) {
	t.Helper()
	s := openAt(t, dir)
	page, _, err := s.Search(Query{Party: "0044 20 7946 0123"})
	must(t, err)
	calls := map[string]string{}
	for _, sum := range page {
		calls[sum.Call] = sum.State
		got, err := s.Check(context.Background(), sum.ID)
		if err != nil || got.Record.Call.ID != sum.Call {
			t.Errorf("%s: %v", sum.Call, err)
		}
		packets := 0
		_, err = s.read(context.Background(), sum.ID, func(c content) error {
			if c.kind == recRTP {
				packets++
			}
			return nil
		})
		if err != nil || packets != 10 {
			t.Errorf("%s: %d packets, %v", sum.Call, packets, err)
		}
	}
	if len(calls) != 3 || calls["first"] != StateSealed || calls["withdrawn"] != StateSealed || calls["cut off"] != StateTruncated {
		t.Errorf("%v", calls)
	}
	if values, err := s.Bindings().Load(context.Background()); err != nil || len(values) != 1 || string(values[0]) != "where it is" {
		t.Errorf("registrations: %q %v", values, err)
	}
	must(t, s.Close())
	wholeLog(t, dir, older)
}

func TestADataDirectoryOfVersion1IsReadOnAfterMigration(t *testing.T) {
	dir := version1(t)
	older := checkpointAt(t, dir)
	before := wholeLog(t, dir, older) // as it was, by the present verifier
	migrated(t, dir, older)
	after := wholeLog(t, dir, older)
	if after.Grants != before.Grants || after.Unaccounted != 0 || after.Size < before.Size {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	must(t, view(filepath.Join(dir, keysFile), func(tx *bolt.Tx) error {
		return tx.Bucket(bKEK).ForEach(func(id, _ []byte) error {
			if strings.HasPrefix(string(id), ofOldMonth) {
				t.Errorf("%s, which opens what version 1 wrote of grants, is still there", id)
			}
			return nil
		})
	}))
	migrated(t, dir, older) // a second start finds nothing to do
}

// TestWhatVersion1RecordedIsErasedWithItsGrant: also what the log said of it.
func TestWhatVersion1RecordedIsErasedWithItsGrant(t *testing.T) {
	dir := version1(t)
	s := openAt(t, dir)
	page, _, err := s.Search(Query{})
	must(t, err)
	for _, sum := range page {
		must(t, s.Erase(context.Background(), sum.Grant, "asked"))
	}
	must(t, s.Entries(0, func(e Entry) bool {
		for _, sum := range page {
			if strings.Contains(string(e.Payload), `"id":"`+sum.Call+`"`) {
				t.Errorf("entry %d still speaks of call %s", e.Seq, sum.Call)
			}
		}
		return true
	}))
	must(t, s.Close())
	if r := wholeLog(t, dir, nil); r.Erased < 3*3 {
		t.Errorf("%+v", r)
	}
}

// steps does the first n of a migration's three, as if the process was killed then.
func steps(t *testing.T, dir string, n int) {
	t.Helper()
	keys, err := openKeyring(context.Background(), dir, rootcell.NewFile(DefaultRootFile(dir)))
	must(t, err)
	m := migration{keys, phone.Book{}}
	rows, err := m.oldRows()
	must(t, err)
	db, err := openDB(filepath.Join(dir, auditFile))
	must(t, err)
	var old oldLog
	must(t, db.View(func(tx *bolt.Tx) (err error) { old, err = m.oldLog(tx); return err }),
		keys.update(context.Background(), func(k keysTx) error { return old.makeKeys(k, rows) }))
	if n > 1 {
		must(t, db.Update(m.reseal))
	}
	must(t, db.Close(), keys.closeDB())
}

func TestAMigrationThatWasCutOffIsCarriedOn(t *testing.T) {
	for _, n := range []int{1, 2} {
		dir := version1(t)
		older := checkpointAt(t, dir)
		steps(t, dir, n)
		wholeLog(t, dir, older)
		migrated(t, dir, older)
	}
}

// TestWhatCantBeMigratedIsRefusedAndLeftAsItIs, with the reason.
func TestWhatCantBeMigratedIsRefusedAndLeftAsItIs(t *testing.T) {
	for reason, c := range map[string]struct {
		file string
		do   func(tx *bolt.Tx) error
	}{
		"entry 3: the payload was changed": {auditFile, func(tx *bolt.Tx) error {
			row := bytes.Clone(tx.Bucket(bPayload).Get(seqKey(3)))
			row[len(row)-1] ^= 1
			return tx.Bucket(bPayload).Put(seqKey(3), row)
		}},
		"its key: it doesn't open": {keysFile, func(tx *bolt.Tx) error {
			id, raw := tx.Bucket(bRecording).Cursor().First()
			return tx.Bucket(bRecording).Put(id, bytes.Replace(raw, []byte(`"wrapped":"`), []byte(`"wrapped":"AAAA`), 1))
		}},
	} {
		dir := version1(t)
		db, err := openDB(filepath.Join(dir, c.file))
		must(t, err, db.Update(c.do), db.Close())
		was := map[string]string{}
		for range 2 {
			_, err = Open(Options{Dir: dir})
			if err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("want %q, have %v", reason, err)
			}
			for _, name := range []string{keysFile, auditFile} {
				must(t, view(filepath.Join(dir, name), func(tx *bolt.Tx) error {
					if v := versionOf(tx); v != oldVersion {
						t.Errorf("%s is of version %s", name, v)
					}
					all := dump(tx)
					if was[name] != "" && was[name] != all {
						t.Errorf("%s was changed", name)
					}
					was[name] = all
					return nil
				}))
			}
		}
	}
}

func dump(tx *bolt.Tx) string {
	var out strings.Builder
	_ = tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			_, err := out.WriteString(string(name) + string(k) + string(v))
			return err
		})
	})
	return out.String()
}

// TestARestoredDirectoryFromBeforeAnErasureIsRefused: its root is destroyed, and
// the error says which, where, and what to do.
func TestARestoredDirectoryFromBeforeAnErasureIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, openAt(t, dir).Close())
	backup := filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(backup, os.DirFS(dir)))
	cell := rootcell.NewFile(DefaultRootFile(dir))
	ctx := context.Background()
	s := openAt(t, dir)
	root, err := cell.Make(ctx, 2)
	must(t, err, s.keys.turn(ctx, 2, root, func(_, _ keysTx) error { return nil }), cell.Destroy(ctx, 1), s.Close())
	must(t, openAt(t, dir).Close()) // control: the directory itself is of epoch 2 now
	wholeLog(t, dir, nil)
	for what, try := range map[string]func() error{
		"open":   func() error { _, err := Open(Options{Dir: backup, Root: cell}); return err },
		"verify": func() error { _, err := Auditor{}.Verify(ctx, backup, cell); return err },
	} {
		err := try()
		if !errors.Is(err, rootcell.ErrGone) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, part := range []string{"of epoch 1", "epoch 2 only", DefaultRootFile(dir), "were erased since", "Put back a backup"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s doesn't say %q: %v", what, part, err)
			}
		}
	}
}
