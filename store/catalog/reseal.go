package catalog

import (
	"bytes"
	"fmt"
	"time"
)

// Begin is where a month begins: what MonthKey.From is when the month is to be put
// under another key.
func Begin(month string) ([]byte, error) {
	at, err := time.Parse("2006-01", month)
	if err != nil {
		return nil, fmt.Errorf("a month of the catalog: %w", err)
	}
	return Position{Start: at.UnixNano()}.key(), nil
}

// Reseal goes on with putting a month under another key: it seals up to n more
// blocks under MonthKey.Key and returns what MonthKey.From is from then on, which
// must be kept in the same transaction; nil: no block is under the old key any
// more. Nothing has to be known of what is in them.
func (c *Catalog) Reseal(name string, n int) (from []byte, err error) {
	k, ok, err := c.keys(name, false)
	if err != nil {
		return nil, err
	}
	if !ok || k.From == nil {
		return nil, fmt.Errorf("%w: month %s isn't being put under another key", ErrSealed, name)
	}
	m := newMonth(k)
	type block struct{ key, value []byte }
	var sealed []block // a bucket mustn't change under its cursor
	cur := c.b.Cursor()
	for at, v := cur.Seek(k.From); at != nil && Month(positionOf(at).Start) == name; at, v = cur.Next() {
		if len(sealed) == n {
			from = bytes.Clone(at)
			break
		}
		rows, err := m.old.rows(at, v)
		if err != nil {
			return nil, err
		}
		value, err := m.now.seal(at, rows)
		if err != nil {
			return nil, err
		}
		sealed = append(sealed, block{bytes.Clone(at), value})
	}
	for _, s := range sealed {
		if err := c.b.Put(s.key, s.value); err != nil {
			return nil, err
		}
	}
	delete(c.months, name)
	return from, nil
}

// Check opens up to n blocks, from the one of a key on, and returns the key of the
// one after them; nil at the end.
func (c *Catalog) Check(from []byte, n int) (next []byte, err error) {
	cur := c.b.Cursor()
	for k, v := cur.Seek(from); k != nil; k, v = cur.Next() {
		if n--; n < 0 {
			return bytes.Clone(k), nil
		}
		m, err := c.month(positionOf(k).Start, false)
		if err != nil {
			return nil, err
		}
		if _, err := m.of(k).rows(k, v); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
