package store

import (
	"bytes"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// startUp brings in order what a crash left, and logs what the gate starts as
// and what is new about it.
func (s *Store) startUp(o Options) error {
	if err := errors.Join(s.lookBack(), s.recover(), s.openDesk()); err != nil {
		return fmt.Errorf("bringing the data directory in order: %w", err)
	}
	before, err := s.audit.lastConfig()
	if err != nil {
		return err
	}
	now := NodeStart{Node: s.node, Version: o.Version, Config: o.Config}
	events := []Event{now}
	if before != "" && now.Config != "" && before != now.Config {
		events = append(events, ConfigChanged{Before: before, After: now.Config})
	}
	wall, _ := s.audit.clock()
	if e, jumped := jump(s.opened, wall, "start"); jumped && e.Seconds < 0 {
		// Later than the log's end is what every start is.
		s.log.Warn("the clock is behind the audit log", "seconds", e.Seconds)
		events = append(events, e)
	}
	for _, e := range events {
		if err := s.audit.Note(contextForever, e); err != nil {
			return err
		}
	}
	return s.logCompactions()
}

// lastEntry is the log's newest leaf; false where there is none that can be read.
func (a *Audit) lastEntry() (l leaf, ok bool, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		_, text := tx.Bucket(bLeaf).Cursor().Last()
		if got, err := parseLeaf(text); err == nil {
			l, ok = got, true
		}
		return nil
	})
	return l, ok, err
}

// lastConfig is the configuration that the log heard of last, when the gate started or
// since; "" where it heard of none, or that can't be read any more.
func (a *Audit) lastConfig() (hash string, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		cur := tx.Bucket(bLeaf).Cursor()
		for k, text := cur.Last(); k != nil; k, text = cur.Prev() {
			started, changed := bytes.Contains(text, []byte(" "+TypeNodeUp+" ")), bytes.Contains(text, []byte(" "+TypeConfig+" "))
			if !started && !changed {
				continue
			}
			e, err := a.entryOf(tx, k, text)
			var start NodeStart
			var change ConfigChanged
			switch {
			case err != nil:
			case started && decodePayload(e, &start):
				hash = start.Config
			case changed && decodePayload(e, &change):
				hash = change.After
			}
			return err
		}
		return nil
	})
	return hash, err
}
