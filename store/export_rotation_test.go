package store

import (
	"context"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/rootcell"
)

// ReachedBy has f called at each named point of an erasure or a rotation.
func (o *Options) ReachedBy(f func(point string)) { o.reached = f }

// AtPoint is ReachedBy of an open store that does nothing meanwhile.
func (s *Store) AtPoint(f func(point string)) { s.reached = f }

// HoldPages keeps pages from being used again that go out of use from now on, until
// release is called.
func (s *Store) HoldPages() (release func()) {
	var readers []*bolt.Tx
	for _, d := range s.databases() {
		tx, err := d.db.Begin(false)
		if err != nil {
			panic(err)
		}
		readers = append(readers, tx)
	}
	return func() {
		for _, tx := range readers {
			_ = tx.Rollback()
		}
	}
}

// PayloadsAtOnce is how many payloads of a month go in one transaction.
const PayloadsAtOnce = payloadsAtOnce

// Points are all of them, in the order in which they are reached first.
func Points() []string {
	out := []string{"erase.dropped", "erase.unlinked", "erase.logged", "erase.done", "rotate.renewed", "rotate.moving", "rotate.moved",
		"rotate.resealing", "rotate.resealed", "rotate.noted"}
	for _, s := range append(toTheTurn[3:len(toTheTurn):len(toTheTurn)], toTheEnd...) {
		if s.point == "rotate.destroyed" {
			out = append(out, "rotate.destroying")
		}
		if s.point == "rotate.logged" {
			out = append(out, "rotate.logging")
		}
		out = append(out, s.point)
	}
	return out
}

// Impatient has a root cell given up sooner.
func (s *Store) Impatient(d time.Duration) { s.cell.patience = d }

// Waiting are the gauges of erasures that aren't final.
func (s *Store) Waiting() (int, time.Duration) { return s.waiting() }

// LogKeys are the keys of a directory's log, which a store may have open.
func LogKeys(t *testing.T, dir string) (skey, vkey string) {
	t.Helper()
	err := view(dir+"/"+keysFile, func(tx *bolt.Tx) error {
		k, err := keysAt(context.Background(), dir, rootcell.NewFile(DefaultRootFile(dir)), tx)
		if err != nil {
			return err
		}
		text, err := k.lookupBytes(bSystem, asSystemKey, "log-signing-key")
		skey, vkey, _ = strings.Cut(string(text), "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return skey, vkey
}
