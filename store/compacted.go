package store

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

// bCompacted is in a database that Compact made until the log says so: kBefore ->
// the bytes that it had before. It comes with the rows, so that no crash parts them.
var (
	bCompacted = []byte("compacted")
	kBefore    = []byte("before")
)

func noteCompacted(tx *bolt.Tx, before int64) error {
	b, err := tx.CreateBucket(bCompacted)
	if err != nil {
		return err
	}
	return b.Put(kBefore, binary.BigEndian.AppendUint64(nil, uint64(before)))
}

// compactedFrom is how large a database was before Compact made it, if the log
// doesn't say so yet.
func compactedFrom(db *bolt.DB) (before int64, ok bool, err error) {
	err = guarded(db, func(tx *bolt.Tx) error {
		b := tx.Bucket(bCompacted)
		if b == nil {
			return nil
		}
		v := b.Get(kBefore)
		if len(v) != 8 {
			return fmt.Errorf("%s: %w: the note of its compaction can't be read", db.Path(), errDamaged)
		}
		before, ok = int64(binary.BigEndian.Uint64(v)), true
		return nil
	})
	return before, ok, err
}

// logCompactions has the log say which databases were written anew since the last
// start. After a crash it may say so twice.
func (s *Store) logCompactions() error {
	for _, d := range s.databases() {
		before, ok, err := compactedFrom(d.db)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		info, err := os.Stat(d.db.Path())
		if err != nil {
			return err
		}
		if err := s.audit.Note(contextForever, Compacted{d.name, before, info.Size()}); err != nil {
			return err
		}
		s.reached("compacted." + d.name + ".logged")
		if err := d.commit(contextForever, func(tx *bolt.Tx) error { return tx.DeleteBucket(bCompacted) }); err != nil {
			return fmt.Errorf("%s: forgetting its compaction, which is logged: %w", d.name, err)
		}
	}
	return nil
}

// database is one of those that Compact writes anew.
type database struct {
	name string
	*committer
}

func (s *Store) databases() []database {
	return []database{{keysFile, s.keys.committer}, {auditFile, s.audit.committer}}
}

// databaseRoom are the databases' sizes, and what Compact would give back of them.
type databaseRoom struct{ store *Store }

var (
	databaseBytes = prometheus.NewDesc("consentgate_database_bytes", "Bytes that a database's file has.", []string{"database"}, nil)
	databaseFree  = prometheus.NewDesc("consentgate_database_free_bytes",
		"Bytes of a database's file that nothing is in any more: new rows go there, and 'consentgate compact' gives them back.", []string{"database"}, nil)
)

// Describe and Collect are prometheus.Collector.
func (databaseRoom) Describe(to chan<- *prometheus.Desc) { to <- databaseBytes; to <- databaseFree }

func (r databaseRoom) Collect(to chan<- prometheus.Metric) {
	for _, d := range r.store.databases() {
		info, err := os.Stat(d.db.Path())
		if err != nil {
			r.store.log.Error("the size of a database can't be told", "error", err)
			continue
		}
		st := d.db.Stats()
		free := (st.FreePageN + st.PendingPageN) * d.db.Info().PageSize
		to <- prometheus.MustNewConstMetric(databaseBytes, prometheus.GaugeValue, float64(info.Size()), d.name)
		to <- prometheus.MustNewConstMetric(databaseFree, prometheus.GaugeValue, float64(free), d.name)
	}
}
