package catalog

import (
	"bytes"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// MonthKey is what a month's blocks are sealed under. While they are put under
// another key those from From on are under Old still.
type MonthKey struct {
	Key  Key
	Old  Key
	From []byte // the key of a block; nil: all are under Key
}

// Keys gives a month's key within the transaction that the catalog is used in.
// create is true where one may be made; else ok is false if there is none.
type Keys func(month string, create bool) (k MonthKey, ok bool, err error)

// month has a month's ciphers.
type month struct {
	now, old *ciphers
	from     []byte
}

func newMonth(k MonthKey) *month {
	m := &month{now: newCiphers(k.Key), from: k.From}
	if k.From != nil {
		m.old = newCiphers(k.Old)
	}
	return m
}

// of gives the ciphers of a block. Nothing but where it lies decides, so that a
// block stays readable whatever becomes of its neighbours.
func (m *month) of(key []byte) *ciphers {
	if m.from != nil && bytes.Compare(key, m.from) >= 0 {
		return m.old
	}
	return m.now
}

// Catalog is the catalog within one transaction, and ends with it.
type Catalog struct {
	b      *bolt.Bucket
	keys   Keys
	months map[string]*month
}

// In opens the catalog that lies in a bucket.
func In(b *bolt.Bucket, keys Keys) *Catalog {
	b.FillPercent = 0.9 // blocks come in the order of time
	return &Catalog{b, keys, map[string]*month{}}
}

func (c *Catalog) month(start int64, create bool) (*month, error) {
	name := Month(start)
	if m := c.months[name]; m != nil {
		return m, nil
	}
	k, ok, err := c.keys(name, create)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: there is no key of month %s", ErrSealed, name)
	}
	c.months[name] = newMonth(k)
	return c.months[name], nil
}

// block finds the block that a position belongs to; value is nil if there is none
// yet.
func (c *Catalog) block(p Position) (key, value []byte) {
	cur := c.b.Cursor()
	at := p.key()
	k, v := cur.Seek(at)
	if k == nil {
		k, v = cur.Last()
	} else if !bytes.Equal(k, at) {
		k, v = cur.Prev()
	}
	first := begin(p.Start).key()
	if k == nil || bytes.Compare(k, first) < 0 {
		return first, nil // of a month that has none: it takes all that comes
	}
	return bytes.Clone(k), v
}

func (c *Catalog) load(p Position, create bool) (m *month, key []byte, rows []Row, err error) {
	if p.Start < 0 || begin(p.Start).Start < 0 {
		return nil, nil, nil, errTime
	}
	key, value := c.block(p)
	if value == nil && !create {
		return nil, key, nil, nil
	}
	if m, err = c.month(p.Start, create); err != nil {
		return nil, nil, nil, err
	}
	if value != nil {
		rows, err = m.of(key).rows(key, value)
	}
	return m, key, rows, err
}

func place(rows []Row, p Position) (int, bool) {
	return slices.BinarySearchFunc(rows, p, func(r Row, p Position) int { return compare(r.Position, p) })
}

func compare(a, b Position) int {
	switch {
	case a.Start < b.Start:
		return -1
	case a.Start > b.Start:
		return 1
	}
	return bytes.Compare(a.ID[:], b.ID[:])
}

// Put adds a row, or replaces the one at its position: then it returns what was
// there.
func (c *Catalog) Put(r Row) (old Row, replaced bool, err error) {
	m, key, rows, err := c.load(r.Position, true)
	if err != nil {
		return old, false, err
	}
	i, replaced := place(rows, r.Position)
	if replaced {
		old, rows[i] = rows[i], r
		return old, true, c.store(m, key, rows)
	}
	rows = slices.Insert(rows, i, r)
	if len(rows) <= most {
		return old, false, c.store(m, key, rows)
	}
	half := len(rows) / 2
	if i == len(rows)-1 {
		half = i // what comes in order leaves full blocks behind
	}
	if err := c.store(m, key, rows[:half]); err != nil {
		return old, false, err
	}
	return old, false, c.store(m, rows[half].key(), rows[half:])
}

func (c *Catalog) store(m *month, key []byte, rows []Row) error {
	if len(rows) == 0 {
		return c.b.Delete(key)
	}
	value, err := m.of(key).seal(key, rows)
	if err != nil {
		return err
	}
	return c.b.Put(key, value)
}

// Remove takes the row at a position away and returns it.
func (c *Catalog) Remove(p Position) (old Row, removed bool, err error) {
	m, key, rows, err := c.load(p, false)
	if err != nil || m == nil {
		return old, false, err
	}
	i, removed := place(rows, p)
	if !removed {
		return old, false, nil
	}
	old = rows[i]
	return old, true, c.store(m, key, slices.Delete(rows, i, i+1))
}
