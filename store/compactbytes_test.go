package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"consentgate/store"
	"consentgate/store/rootcell"
)

// sealedRows are the wrapped keys of some grants in keys.db, and what audit.db has of
// their consent, by database.
func sealedRows(t *testing.T, dir string, of map[string]bool) map[string][][]byte {
	t.Helper()
	out := map[string][][]byte{}
	viewDB(t, filepath.Join(dir, "keys.db"), func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("grant-key")).ForEach(func(g, raw []byte) error {
			var r struct{ Wrapped string }
			if of[fmt.Sprintf("%x", g)] && json.Unmarshal(raw, &r) == nil {
				out["keys.db"] = append(out["keys.db"], []byte(r.Wrapped))
			}
			return nil
		})
	})
	viewDB(t, filepath.Join(dir, "audit.db"), func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("payload")).ForEach(func(_, row []byte) error {
			name, box, _ := bytes.Cut(row, []byte{0})
			if g, ok := bytes.CutPrefix(name, []byte("grant/")); ok && of[string(g)] {
				out["audit.db"] = append(out["audit.db"], bytes.Clone(box[:64]))
			}
			return nil
		})
	})
	return out
}

// there counts how many of some bytes a file has.
func there(t *testing.T, raw []byte, rows [][]byte) (n int) {
	t.Helper()
	for _, row := range rows {
		if bytes.Contains(raw, row) {
			n++
		}
	}
	return n
}

// TestACompactedDatabaseHasNoRowThatWasErased, sealed as it was. Before, its unused
// pages have some, and afterwards the new file has those that stay: so it is looked
// for in the right way. What the blocks still hold that the old file gave back is
// told, and opens for nobody.
func TestACompactedDatabaseHasNoRowThatWasErased(t *testing.T) {
	unraced(t)
	disk, image := ext4(t, "ordered")
	dir := filepath.Join(disk, "data")
	ctx, cell := context.Background(), rootcell.NewFile(filepath.Join(t.TempDir(), "root.key"))
	o := store.Options{Dir: dir, Root: cell, Node: "test"}
	s, err := store.Open(o)
	must(t, err)
	erased, kept := map[string]bool{}, map[string]bool{}
	var victims []store.Summary
	var others []string
	for i := range 24 {
		sum, id := recorded(t, s, "c")
		if i%3 == 0 {
			victims = append(victims, sum)
			erased[sum.Grant.String()] = true
		} else {
			kept[sum.Grant.String()] = true
		}
		if i > 0 {
			others = append(others, id)
		}
	}
	must(t, s.Close())
	gone := sealedRows(t, dir, erased)
	a, _ := victimOf(t, dir, others)
	for _, name := range databases {
		bloat(t, filepath.Join(dir, name), 1<<19)
	}
	s, err = store.Open(o)
	must(t, err)
	release := s.HoldPages() // as who reads for long does
	for _, v := range victims {
		must(t, s.Erase(ctx, v.Grant, "asked"))
	}
	must(t, s.Rotate(ctx))
	release()
	must(t, s.Close())
	stay := sealedRows(t, dir, kept)
	controls := func() (found map[string]int) {
		found = map[string]int{}
		for _, name := range databases {
			file, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			found[name] = there(t, file, gone[name])
			if n := there(t, file, stay[name]); n == 0 || n != len(stay[name]) {
				t.Errorf("control: %s has %d of %d rows that stay", name, n, len(stay[name]))
			}
		}
		return found
	}
	before := controls()
	_, err = store.Compact(ctx, o)
	must(t, err)
	after := controls()
	for _, name := range databases {
		if before[name] == 0 || after[name] != 0 {
			t.Errorf("%s had %d of %d rows that were erased, and has %d", name, before[name], len(gone[name]), after[name])
		}
	}
	raw := image()
	for _, name := range databases {
		t.Logf("of %d erased rows of %s its unused pages had %d; of these %d are in blocks of the disk after the compaction", len(gone[name]), name,
			before[name], there(t, raw, gone[name]))
	}
	root, err := cell.Get(ctx, 2)
	must(t, err)
	a.raw = written(raw, nil)
	if got := a.attack(root); got.keys < 4 || got.grantKeys != 0 || got.audio != 0 || got.listed || got.number {
		t.Errorf("with the present root an attack on the disk brings %+v", got)
	}
}
