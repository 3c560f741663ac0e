package catalog

import (
	"encoding/binary"
	"slices"
	"time"
)

// Filter says which rows are wanted. Its zero value wants none: see Any.
type Filter struct {
	Before Position // the first that isn't wanted, being too late
	Since  int64    // the first moment that is wanted
	Either []uint64 // hashes one of which is Remote, Local or Connected; none: any
	Local  []uint64 // hashes one of which is Local or Connected; none: any

	want, mask struct {
		names uint64 // Purpose, Trunk
		rest  uint32 // State, Direction, Flags, Outcome
	}
}

// Any wants every row.
func Any() Filter { return Filter{Before: End} }

// Purpose, Trunk, State and Direction want one value; Flag wants flags set, or
// not set.
func (f *Filter) Purpose(v uint32) { f.names(32, v) }

// Trunk: see Purpose.
func (f *Filter) Trunk(v uint32) { f.names(0, v) }

// State: see Purpose.
func (f *Filter) State(v uint8) { f.rest(24, 0xff, v) }

// Direction: see Purpose.
func (f *Filter) Direction(v uint8) { f.rest(16, 0xff, v) }

// Outcome wants one value, and rows that have none noted: whether they are wanted
// must be looked up elsewhere. 0 wants those alone.
func (f *Filter) Outcome(v uint8) { f.rest(0, 0xff, v) }

// Flag wants flags to be set, or not to be.
func (f *Filter) Flag(flags uint8, set bool) {
	v := uint8(0)
	if set {
		v = flags
	}
	f.rest(8, flags, v)
}

func (f *Filter) names(shift int, v uint32) {
	f.mask.names |= 0xffffffff << shift
	f.want.names |= uint64(v) << shift
}

func (f *Filter) rest(shift int, mask, v uint8) {
	f.mask.rest |= uint32(mask) << shift
	f.want.rest |= uint32(v) << shift
}

// scan has what one search needs again and again.
type scan struct {
	Filter
	cols [columns][]byte
	has  [columns]bool
	hits []int
	widths
}

// Scan calls each with the rows that the filter wants, the latest first, until it
// returns false.
func (c *Catalog) Scan(f Filter, each func(Row) (bool, error)) error {
	s := scan{Filter: f}
	cur := c.b.Cursor()
	k, v := cur.Seek(f.Before.key())
	if k == nil {
		k, v = cur.Last()
	} else {
		k, v = cur.Prev()
	}
	var m *month
	var from, until int64 // what m is the month of
	for ; k != nil; k, v = cur.Prev() {
		start := positionOf(k).Start
		if m == nil || start < from || start >= until {
			var err error
			if m, err = c.month(start, false); err != nil {
				return err
			}
			from = begin(start).Start
			until = time.Unix(0, from).UTC().AddDate(0, 1, 0).UnixNano()
		}
		if err := s.look(m.of(k), k, v); err != nil {
			return err
		}
		for _, i := range s.hits {
			if more, err := each(s.decode(&s.cols, i)); err != nil || !more {
				return err
			}
		}
		if start <= f.Since {
			return nil
		}
	}
	return nil
}

// look finds a block's rows that are wanted, the latest first, and opens all of
// its columns if there are any.
func (s *scan) look(m *ciphers, key, value []byte) (err error) {
	n, w, err := rowsIn(value)
	if err != nil {
		return err
	}
	s.widths, s.has, s.hits = w, [columns]bool{}, s.hits[:0]
	for i := n - 1; i >= 0; i-- {
		s.hits = append(s.hits, i)
	}
	open := func(col int) {
		if err == nil && !s.has[col] {
			s.cols[col], err = m.open(col, key, value, s.cols[col][:0])
			s.has[col] = err == nil
		}
	}
	if len(s.Either)+len(s.Local) > 0 {
		if open(who); err == nil {
			s.keep(s.whoIs)
		}
	}
	if s.mask.names|uint64(s.mask.rest) != 0 && len(s.hits) > 0 {
		if open(what); err == nil {
			s.keep(s.whatIs)
		}
	}
	if err == nil && len(s.hits) > 0 {
		for col := range columns {
			open(col)
		}
		if err == nil {
			s.keep(s.whenIs)
		}
	}
	return err
}

func (s *scan) keep(wanted func(i int) bool) {
	s.hits = slices.DeleteFunc(s.hits, func(i int) bool { return !wanted(i) })
}

func (s *scan) whoIs(i int) bool {
	remote, local, connected := s.numbers(s.cols[who], i)
	answered := func(of []uint64) bool { return connected != 0 && slices.Contains(of, connected) }
	return (len(s.Either) == 0 || slices.Contains(s.Either, remote) || slices.Contains(s.Either, local) || answered(s.Either)) &&
		(len(s.Local) == 0 || slices.Contains(s.Local, local) || answered(s.Local))
}

func (s *scan) whatIs(i int) bool {
	b := s.cols[what][i*whatSize:]
	rest := (binary.BigEndian.Uint32(b[8:]) ^ s.want.rest) & s.mask.rest
	if b[whatSize-1] == 0 {
		rest &^= 0xff // no outcome is noted
	}
	return (binary.BigEndian.Uint64(b)^s.want.names)&s.mask.names == 0 && rest == 0
}

func (s *scan) whenIs(i int) bool {
	p := positionOf(s.cols[where][i*positionSize:])
	return p.Start >= s.Since && compare(p, s.Before) < 0
}
