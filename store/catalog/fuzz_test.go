package catalog_test

import (
	"errors"
	"testing"

	"consentgate/store/catalog"

	bolt "go.etcd.io/bbolt"
)

// FuzzBlock: a block that nobody sealed is an error, for who reads it and for who
// would write to it.
func FuzzBlock(f *testing.F) {
	k := newKit(f)
	f.Add([]byte{})
	f.Add(make([]byte, 14))
	f.Add(append([]byte{0, 1}, make([]byte, 12+24+16+16+16+12+16)...))
	row := catalog.Row{Position: catalog.Position{Start: epoch.UnixNano()}}
	begin, err := catalog.Begin(catalog.Month(row.Start))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		err := k.db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucket)
			if err != nil {
				return err
			}
			if err := b.Put(begin, value); err != nil {
				return err
			}
			c := catalog.In(b, func(string, bool) (catalog.MonthKey, bool, error) { return catalog.MonthKey{}, true, nil })
			scan := c.Scan(catalog.Any(), func(catalog.Row) (bool, error) { return true, nil })
			_, _, put := c.Put(row)
			if !errors.Is(scan, catalog.ErrSealed) || !errors.Is(put, catalog.ErrSealed) {
				t.Errorf("%x: %v, %v", value, scan, put)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
