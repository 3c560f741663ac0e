package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store/catalog"
	"consentgate/store/phone"
	"consentgate/store/rootcell"
)

// filled is a store with recordings that have rows and nothing else.
func filled(t *testing.T, n int) (s *Store, cell rootcell.Cell, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	cell = rootcell.NewFile(DefaultRootFile(dir))
	s, err := Open(Options{Dir: dir, Root: cell, Numbers: phone.Book{Default: phone.Rules{Region: "GB"}}})
	must(t, err)
	must(t, s.keys.update(context.Background(), func(k keysTx) error {
		for i := range n {
			if err := fillOne(k, s.numbers, i); err != nil {
				return err
			}
		}
		return nil
	}))
	return s, cell, dir
}

const filledNumber = "+442079460123"

func fillOne(k keysTx, numbers phone.Book, i int) error {
	id, _ := newID()
	start := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Hour)
	rec := consent.Record{Kind: consent.Granted, Call: consent.Call{ID: id, Remote: "020 7946 0123", Local: "201", Trunk: "main", Direction: consent.Inbound},
		Purpose: consent.Purpose{Name: "training"}}
	if _, err := k.needGrant(rec.Hash(), id, bucketOf(rec.Purpose, start)); err != nil {
		return err
	}
	sum := summaryOf(id, rec, start)
	sum.read(numbers)
	return k.index(id, row{Grant: rec.Hash(), Start: start.UnixNano(), Salt: make([]byte, 32)}, sum)
}

// TestKeysDBShowsNoNumberAndNoHashOfOne: equal numbers can't even be counted. The
// control finds the hash in an opened block.
func TestKeysDBShowsNoNumberAndNoHashOfOne(t *testing.T) {
	s, _, dir := filled(t, 300)
	var k key
	must(t, s.keys.view(func(t keysTx) (err error) {
		k, err = t.lookup(bSystem, asSystemKey, numberIndex)
		return err
	}))
	var hash []byte
	found := 0
	must(t, s.keys.view(func(t keysTx) error {
		return t.catalog().Scan(catalog.Any(), func(r catalog.Row) (bool, error) {
			hash = binary.BigEndian.AppendUint64(nil, r.Remote)
			found++
			return true, nil
		})
	}))
	if found != 300 || binary.BigEndian.Uint64(hash) != hashedNumber(k, filledNumber) { // the control
		t.Fatalf("%d rows, the last with %x", found, hash)
	}
	must(t, s.Close())
	raw, err := os.ReadFile(filepath.Join(dir, keysFile))
	must(t, err)
	if !bytes.Contains(raw, bCatalog) { // the control: this is the file, and it is read
		t.Fatal("the catalog isn't in keys.db")
	}
	for _, text := range [][]byte{[]byte(filledNumber), []byte("2079460123"), []byte("7946 0123"), hash} {
		if bytes.Contains(raw, text) {
			t.Errorf("%q is in keys.db", text)
		}
	}
}

// TestAMonthBetweenTwoKeysIsFoundAndThenUnderTheNewOneAlone: recordings come and go
// meanwhile, before and behind the place where it stands.
func TestAMonthBetweenTwoKeysIsFoundAndThenUnderTheNewOneAlone(t *testing.T) {
	s, _, _ := filled(t, 400)
	defer func() { must(t, s.Close()) }()
	ctx := context.Background()
	monthKeys := func() map[string]key {
		out := map[string]key{}
		must(t, s.keys.view(func(t keysTx) error {
			for _, month := range []string{"2026-03", "2026-04"} {
				k, ok, err := t.monthKey(month, false)
				if err != nil || !ok {
					return errors.Join(err, errNoKey)
				}
				out[month] = key(k.Key)
			}
			return nil
		}))
		return out
	}
	found := func() []Summary {
		page, _, err := s.Search(Query{Party: filledNumber, Limit: MaxPage})
		must(t, err)
		return page
	}
	old, want := monthKeys(), 400
	must(t, s.keys.update(ctx, func(t keysTx) error {
		return errors.Join(t.Bucket(bTouched).Put([]byte(ofCatalog+"2026-04"), nil), t.renew(false))
	}))
	for month := "2026-04"; month != ""; {
		for _, i := range []int{50, 390} { // in the first block, and the last
			must(t, s.keys.update(ctx, func(t keysTx) error { return fillOne(t, s.numbers, i) }))
			want++
		}
		page := found()
		must(t, s.forget(ctx, page[1].ID), s.forget(ctx, page[len(page)-40].ID))
		if want -= 2; len(found()) != want {
			t.Fatalf("%d are found, want %d", len(found()), want)
		}
		must(t, s.keys.update(ctx, func(k keysTx) error {
			from, err := k.catalog().Reseal(month, 1)
			if from == nil {
				return errors.Join(err, k.Bucket(bResealing).Delete([]byte(month)))
			}
			return errors.Join(err, k.Bucket(bResealing).Put([]byte(month), from))
		}))
		var err error
		month, err = s.keys.monthToReseal()
		must(t, err)
	}
	now := monthKeys()
	if now["2026-03"] != old["2026-03"] || now["2026-04"] == old["2026-04"] || len(found()) != want {
		t.Error("another month's key was changed, or none, or something isn't found")
	}
	must(t, s.keys.view(func(k keysTx) error {
		c := catalog.In(k.Bucket(bCatalog), func(month string, _ bool) (catalog.MonthKey, bool, error) {
			return catalog.MonthKey{Key: old[month]}, true, nil
		})
		if err := c.Scan(catalog.Any(), func(catalog.Row) (bool, error) { return true, nil }); !errors.Is(err, catalog.ErrSealed) {
			t.Errorf("under the old keys: %v", err)
		}
		return nil
	}))
}

// TestWhatIsErasedWhileItsMonthIsBetweenTwoKeysGoesWithBoth: a rotation was cut off,
// and the next one keeps the newer of the two, which lies on the disk with what was
// erased. So it goes with the one after that.
func TestWhatIsErasedWhileItsMonthIsBetweenTwoKeysGoesWithBoth(t *testing.T) {
	s, _, _ := filled(t, 300)
	defer func() { must(t, s.Close()) }()
	ctx := context.Background()
	const month = "2026-04"
	must(t, s.keys.update(ctx, func(t keysTx) error {
		return errors.Join(t.Bucket(bTouched).Put([]byte(ofCatalog+month), nil), t.renew(false))
	}))
	victim := func(i int) Summary {
		page, _, err := s.Search(Query{Limit: 300})
		must(t, err)
		return page[len(page)-1-i]
	}
	epoch := func(id string) uint64 {
		e, ok, _, err := s.erasure(id)
		if must(t, err); !ok || e.Entry == 0 {
			t.Errorf("it isn't final: %+v", e)
		}
		return e.Epoch
	}
	before := victim(50) // the first recordings of April are in its first block
	must(t, s.eraseSealed(ctx, before.ID, before.Grant, "asked"), s.keys.update(ctx, func(k keysTx) error {
		from, err := k.catalog().Reseal(month, 1)
		return errors.Join(err, k.Bucket(bResealing).Put([]byte(month), from))
	}))
	between := victim(60)
	must(t, s.eraseSealed(ctx, between.ID, between.Grant, "asked"), s.Rotate(ctx))
	if a, b := epoch(before.ID), epoch(between.ID); a != 1 || b != 2 {
		t.Errorf("what went before that went with epoch %d, what went then with epoch %d", a, b)
	}
}

// TestWhatVersion1FoundByTokensIsFoundInTheCatalog, and read as the trunk now is.
func TestWhatVersion1FoundByTokensIsFoundInTheCatalog(t *testing.T) {
	dir := version1(t)
	s, err := Open(Options{Dir: dir, Numbers: phone.Book{Default: phone.Rules{Region: "GB"}}})
	must(t, err)
	for _, spelling := range []string{"+44 20 7946 0123", "020 7946 0123"} {
		if page, _, err := s.Search(Query{Party: spelling}); err != nil || len(page) != 3 || page[0].Region != "GB" {
			t.Errorf("%s finds %d, %v", spelling, len(page), err)
		}
	}
	must(t, s.keys.view(func(k keysTx) error {
		for _, name := range []string{"number", "time"} {
			if k.Bucket([]byte(name)) != nil {
				t.Errorf("bucket %s is still there", name)
			}
		}
		return nil
	}))
	must(t, s.Close())
}
