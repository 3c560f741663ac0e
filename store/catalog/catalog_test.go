package catalog_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/catalog"
)

var bucket = []byte("catalog")

type kit struct {
	t    testing.TB
	db   *bolt.DB
	keys map[string]catalog.MonthKey
}

func newKit(t testing.TB) *kit {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &kit{t, db, map[string]catalog.MonthKey{}}
}

func (k *kit) key(month string, create bool) (catalog.MonthKey, bool, error) {
	got, ok := k.keys[month]
	if !ok && create {
		got.Key = catalog.Key(bytes.Repeat([]byte(month)[5:], 16))
		k.keys[month] = got
	}
	return got, ok || create, nil
}

func (k *kit) in(do func(c *catalog.Catalog)) {
	k.t.Helper()
	if err := k.db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err == nil {
			do(catalog.In(b, k.key))
		}
		return err
	}); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) scan(f catalog.Filter, n int) (out []catalog.Row) {
	k.in(func(c *catalog.Catalog) {
		if err := c.Scan(f, func(r catalog.Row) (bool, error) {
			out = append(out, r)
			return len(out) < n, nil
		}); err != nil {
			k.t.Fatal(err)
		}
	})
	return out
}

var epoch = time.Date(2026, 1, 20, 0, 0, 0, 0, time.UTC)

func random(r *rand.Rand) catalog.Row {
	row := catalog.Row{Remote: r.Uint64N(20), Local: r.Uint64N(20), Connected: r.Uint64N(20), Purpose: r.Uint32N(3), Trunk: r.Uint32N(3),
		State: uint8(r.IntN(3)), Direction: uint8(r.IntN(2)), Flags: uint8(r.IntN(4)), Outcome: uint8(r.IntN(3))}
	row.Start = epoch.Add(time.Duration(r.Int64N(int64(60 * 24 * time.Hour)))).UnixNano()
	row.ID[0], row.ID[15] = byte(r.IntN(256)), byte(r.IntN(256))
	return row
}

// model is a list of rows, the latest first.
type model []catalog.Row

func (m model) scan(want func(catalog.Row) bool, n int) (out []catalog.Row) {
	for _, r := range m {
		if want(r) && len(out) < n {
			out = append(out, r)
		}
	}
	return out
}

func (m *model) sort() {
	slices.SortFunc(*m, func(a, b catalog.Row) int {
		if a.Start != b.Start {
			return int(min(max(b.Start-a.Start, -1), 1))
		}
		return bytes.Compare(b.ID[:], a.ID[:])
	})
}

// TestTheCatalogAnswersAsAListWould, while rows come in any order, change and go,
// and months get other keys, a few blocks at a time.
func TestTheCatalogAnswersAsAListWould(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	k, m := newKit(t), model{}
	for round := range 40 {
		k.in(func(c *catalog.Catalog) {
			for range 100 {
				switch n := r.IntN(10); {
				case n < 6 || len(m) == 0:
					row := random(r)
					if slices.ContainsFunc(m, func(x catalog.Row) bool { return x.Position == row.Position }) {
						continue
					}
					if _, replaced, err := c.Put(row); err != nil || replaced {
						t.Fatal(replaced, err)
					}
					m = append(m, row)
				case n < 8:
					i := r.IntN(len(m))
					was, changed := m[i], random(r)
					changed.Position = was.Position
					if old, replaced, err := c.Put(changed); err != nil || !replaced || old != was {
						t.Fatal(old, replaced, err)
					}
					m[i] = changed
				default:
					i := r.IntN(len(m))
					if old, removed, err := c.Remove(m[i].Position); err != nil || !removed || old != m[i] {
						t.Fatal(old, removed, err)
					}
					if _, removed, err := c.Remove(m[i].Position); err != nil || removed {
						t.Fatal(removed, err)
					}
					m = slices.Delete(m, i, i+1)
				}
			}
		})
		if round > 0 {
			k.reseal("2026-02", byte(round), 1)
			k.check(len(m))
		}
		m.sort()
		k.compare(r, m)
	}
}

// check opens all blocks, two at a time.
func (k *kit) check(rows int) {
	k.t.Helper()
	k.in(func(c *catalog.Catalog) {
		n := 0
		for at := []byte(nil); ; n++ {
			next, err := c.Check(at, 2)
			if err != nil {
				k.t.Fatal(err)
			}
			if at = next; at == nil {
				break
			}
		}
		if n < rows/256-1 {
			k.t.Fatalf("%d rows in %d pairs of blocks", rows, n)
		}
	})
}

// reseal has a month put under another key, and says that it is done once none of
// its blocks is under the one of before.
func (k *kit) reseal(month string, fill byte, n int) (done bool) {
	k.t.Helper()
	now := k.keys[month]
	if now.From == nil {
		begin, err := catalog.Begin(month)
		if err != nil {
			k.t.Fatal(err)
		}
		now = catalog.MonthKey{Key: catalog.Key(bytes.Repeat([]byte{fill}, 32)), Old: now.Key, From: begin}
	}
	k.keys[month] = now
	k.in(func(c *catalog.Catalog) {
		from, err := c.Reseal(month, n)
		if err != nil {
			k.t.Fatal(err)
		}
		now.From = from
	})
	k.keys[month] = now
	return now.From == nil
}

// compare asks both with every filter, alone and together.
func (k *kit) compare(r *rand.Rand, m model) {
	k.t.Helper()
	for filters := range 1 << 9 {
		like, n := random(r), 1+r.IntN(50)
		f := catalog.Any()
		wants := []func(catalog.Row) bool{}
		add := func(bit int, apply func(), want func(x catalog.Row) bool) {
			if filters&(1<<bit) != 0 {
				apply()
				wants = append(wants, want)
			}
		}
		add(0, func() { f.Purpose(like.Purpose) }, func(x catalog.Row) bool { return x.Purpose == like.Purpose })
		add(1, func() { f.Trunk(like.Trunk) }, func(x catalog.Row) bool { return x.Trunk == like.Trunk })
		add(2, func() { f.State(like.State) }, func(x catalog.Row) bool { return x.State == like.State })
		add(3, func() { f.Direction(like.Direction) }, func(x catalog.Row) bool { return x.Direction == like.Direction })
		add(4, func() { f.Flag(1, like.Flags&1 != 0) }, func(x catalog.Row) bool { return x.Flags&1 == like.Flags&1 })
		add(5, func() { f.Either = []uint64{like.Remote, 99} }, func(x catalog.Row) bool {
			return x.Remote == like.Remote || x.Local == like.Remote || x.Connected != 0 && x.Connected == like.Remote
		})
		add(6, func() { f.Local = []uint64{like.Local, 98} }, func(x catalog.Row) bool {
			return x.Local == like.Local || x.Connected != 0 && x.Connected == like.Local
		})
		add(7, func() { f.Before, f.Since = like.Position, like.Start-int64(20*24*time.Hour) }, func(x catalog.Row) bool {
			return (x.Start < like.Start || x.Start == like.Start && bytes.Compare(x.ID[:], like.ID[:]) < 0) && x.Start >= like.Start-int64(20*24*time.Hour)
		})
		add(8, func() { f.Outcome(like.Outcome) }, func(x catalog.Row) bool { return x.Outcome == like.Outcome || x.Outcome == 0 })
		want := m.scan(func(x catalog.Row) bool {
			return !slices.ContainsFunc(wants, func(w func(catalog.Row) bool) bool { return !w(x) })
		}, n)
		if got := k.scan(f, n); !slices.Equal(got, want) {
			k.t.Fatalf("filters %08b, like %+v: %d rows, want %d", filters, like, len(got), len(want))
		}
	}
}

// TestABlockOpensOnlyWhereAndAsItWas: moved, changed, shortened, or under another
// month's key it is an error, and no answer.
func TestABlockOpensOnlyWhereAndAsItWas(t *testing.T) {
	k := newKit(t)
	r := rand.New(rand.NewPCG(1, 2))
	k.in(func(c *catalog.Catalog) {
		for range 50 {
			row := random(r)
			row.Start = epoch.UnixNano()
			if _, _, err := c.Put(row); err != nil {
				t.Fatal(err)
			}
		}
	})
	var key, value []byte
	if err := k.db.View(func(tx *bolt.Tx) error {
		a, b := tx.Bucket(bucket).Cursor().First()
		key, value = bytes.Clone(a), bytes.Clone(b)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	opens := func(key, value []byte) error {
		return k.db.Update(func(tx *bolt.Tx) error {
			if err := tx.DeleteBucket(bucket); err != nil {
				return err
			}
			b, err := tx.CreateBucket(bucket)
			if err != nil {
				return err
			}
			if err := b.Put(key, value); err != nil {
				return err
			}
			return catalog.In(b, k.key).Scan(catalog.Any(), func(catalog.Row) (bool, error) { return true, nil })
		})
	}
	if err := opens(key, value); err != nil { // the control
		t.Fatal(err)
	}
	for i := range value {
		bad := bytes.Clone(value)
		bad[i] ^= 1
		if err := opens(key, bad); !errors.Is(err, catalog.ErrSealed) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for n := range value {
		if err := opens(key, value[:n]); !errors.Is(err, catalog.ErrSealed) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	moved := bytes.Clone(key)
	moved[7]++
	if err := opens(moved, value); !errors.Is(err, catalog.ErrSealed) {
		t.Fatal(err)
	}
}

// TestAMonthThatGotAnotherKeyOpensUnderThatAlone.
func TestAMonthThatGotAnotherKeyOpensUnderThatAlone(t *testing.T) {
	k := newKit(t)
	row := catalog.Row{Position: catalog.Position{Start: epoch.UnixNano()}}
	k.in(func(c *catalog.Catalog) {
		if _, _, err := c.Put(row); err != nil {
			t.Fatal(err)
		}
	})
	month := catalog.Month(row.Start)
	old := k.keys[month]
	for !k.reseal(month, 9, 1) {
	}
	if got := k.scan(catalog.Any(), 2); len(got) != 1 || got[0] != row {
		t.Errorf("%+v", got)
	}
	k.keys[month] = old
	k.in(func(c *catalog.Catalog) {
		if err := c.Scan(catalog.Any(), func(catalog.Row) (bool, error) { return true, nil }); !errors.Is(err, catalog.ErrSealed) {
			t.Errorf("under the old key: %v", err)
		}
	})
	delete(k.keys, month)
	k.in(func(c *catalog.Catalog) {
		if _, _, err := c.Remove(row.Position); !errors.Is(err, catalog.ErrSealed) {
			t.Errorf("without a key: %v", err)
		}
	})
}

// TestRowsInTheOrderOfTimeFillTheirBlocks, and a month that was emptied leaves
// none behind.
func TestRowsInTheOrderOfTimeFillTheirBlocks(t *testing.T) {
	k := newKit(t)
	rows := make([]catalog.Row, 1280)
	k.in(func(c *catalog.Catalog) {
		for i := range rows {
			rows[i].Start = epoch.UnixNano() + int64(i)
			if _, _, err := c.Put(rows[i]); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n := k.blocks(); n != 10 {
		t.Errorf("%d blocks", n)
	}
	k.in(func(c *catalog.Catalog) {
		for _, r := range rows {
			if _, removed, err := c.Remove(r.Position); err != nil || !removed {
				t.Fatal(removed, err)
			}
		}
	})
	if n := k.blocks(); n != 0 {
		t.Errorf("%d blocks are left", n)
	}
}

func (k *kit) blocks() (n int) {
	if err := k.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(_, _ []byte) error { n++; return nil })
	}); err != nil {
		k.t.Fatal(err)
	}
	return n
}

// TestATimeThatHasNoPlaceIsRefused.
func TestATimeThatHasNoPlaceIsRefused(t *testing.T) {
	k := newKit(t)
	k.in(func(c *catalog.Catalog) {
		if _, _, err := c.Put(catalog.Row{Position: catalog.Position{Start: -1}}); err == nil {
			t.Error("a recording of 1969 is taken")
		}
	})
}
