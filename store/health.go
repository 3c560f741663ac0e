package store

import (
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/witness"
)

// Health is how a store is, for people who look. It has no personal data.
type Health struct {
	Ready       error  // why no recording could begin now; nil: one could. A trunk's quota isn't considered
	Disk        string // ok, low, stop or unknown
	Free, Size  int64  // bytes of the data directory's file system
	Entries     int64  // of the audit log
	RootEpoch   uint64
	Erasures    int           // that aren't final yet
	Oldest      time.Duration // how long ago the oldest of these was made
	Recording   int           // recordings being written
	Unsealed    int           // that have ended and aren't sealed yet
	Unaccounted int           // consents that ended neither in a recording nor in a reason
	Witnesses   []witness.Status
	Braked      *Braked // what stopped the retention; nil: nothing did
}

// Health tells how the store is. An error comes beside what could be told.
func (s *Store) Health() (h Health, err error) {
	seen := s.disk.seen.Load()
	h = Health{Ready: s.Ready(""), Disk: seen.level.String(), Free: seen.space.free, Size: seen.space.size, Entries: s.audit.Size(),
		Recording: len(s.running()), Unsealed: len(s.unsealed()), Unaccounted: s.unaccounted()}
	h.Erasures, h.Oldest = s.waiting()
	if s.witnesses != nil {
		h.Witnesses = s.witnesses.Status()
	}
	err = s.keys.read(func(tx *bolt.Tx) (err error) {
		h.RootEpoch, err = epochOf(tx)
		return err
	})
	b, stopped, err2 := s.Braked()
	if stopped {
		h.Braked = &b
	}
	return h, errors.Join(err, err2)
}
