package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/archive"
)

// bArchiveDeleted is a bucket of audit.db: recording id | 0 | name of the place -> index of
// the archive.deleted entry.
var bArchiveDeleted = []byte("archive-deleted")

// deletedEvent is the payload of archive.deleted: nothing of it tells of a person,
// and whoever has a certificate has it.
type deletedEvent struct {
	Erased string    `json:"erased"` // commitment, in hex
	Place  string    `json:"place"`
	Owed   time.Time `json:"owed"`  // since when
	Asked  time.Time `json:"asked"` // when the place listed no version any more, nor a marker
}

var (
	// errSettles means that all is deleted and that a put may still come through
	// which was given up.
	errSettles = errors.New("an object may still appear")
	// errMany bounds what is done for one object.
	errMany = errors.New("there are more versions whenever some were deleted")
)

// deleteOwed deletes all versions of an erased recording's object, logs that none
// is there any more, and notes it.
func (a *archiver) deleteOwed(k []byte) error {
	id, place := ofPlace(k)
	if !a.is(place) {
		return nil // owedObjects tells of it
	}
	var note owedNote
	var e erasure
	err := a.keys.read(func(tx *bolt.Tx) (err error) {
		note, _, err = getNote[owedNote](tx, bOwed, k)
		if err == nil {
			e, _, err = getErasure(tx, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = a.deleteAll(archive.ObjectOf(id))
	a.say(id, err)
	if err != nil {
		return err
	}
	a.reached("archive.deleted")
	if settled := note.Tried.Add(a.times.settle); time.Now().Before(settled) {
		a.rests["delete"+string(k)] = rest{until: settled}
		return errSettles
	}
	ev := deletedEvent{Erased: hex.EncodeToString(e.Commitment), Place: place, Owed: note.Since, Asked: time.Now().UTC()}
	seq, _, err := a.audit.appendOnce(bArchiveDeleted, k, TypeArchiveDeleted, ev)
	if err != nil {
		return err
	}
	a.reached("archive.told")
	err = a.keys.commit(a.ctx, func(tx *bolt.Tx) error {
		e, ok, err := getErasure(tx, id)
		if err != nil || !ok {
			return errors.Join(fmt.Errorf("the note of the erasure of recording %s can't be read", id), err)
		}
		for i := range e.Archive {
			if e.Archive[i].Place == place {
				e.Archive[i].Entry = seq
			}
		}
		return errors.Join(putErasure(tx, id, e), tx.Bucket(bOwed).Delete(k))
	})
	if err != nil {
		return fmt.Errorf("noting that an object is deleted: %w", err)
	}
	a.reached("archive.settled")
	return nil
}

// deletions bounds how often an object's versions are looked for.
const deletions = 3

// deleteAll deletes all versions of an object, and its markers, until none is
// listed.
func (a *archiver) deleteAll(object string) error {
	for range deletions {
		ctx, cancel := a.sized(0)
		var all []archive.Version
		err := a.place.List(ctx, object, func(page []archive.Version) error {
			for _, v := range page {
				if v.Object == object {
					all = append(all, v)
				}
			}
			return nil
		})
		cancel()
		if err != nil || len(all) == 0 {
			return err
		}
		for _, v := range all {
			ctx, cancel := a.sized(0)
			err = errors.Join(err, a.place.Delete(ctx, v))
			cancel()
			if errors.Is(err, archive.ErrAway) {
				return err
			}
			a.reached("archive.deleting")
		}
		if err != nil {
			return err
		}
	}
	return errMany
}

// erasedCopies tells how far an erasure has come at each place.
func (s *Store) erasedCopies(id string, e erasure) (out []ErasedCopy, err error) {
	for _, c := range e.Archive {
		told := ErasedCopy{Place: c.Place}
		if c.Entry == 0 {
			told.Why = s.archiver.reasonOf(id, c.Place)
		} else if err = s.audit.read(func(tx *bolt.Tx) error {
			l, err := parseLeaf(tx.Bucket(bLeaf).Get(seqKey(c.Entry)))
			told.Deleted = l.At
			return err
		}); err != nil {
			return nil, fmt.Errorf("when an object was deleted: %w", err)
		}
		out = append(out, told)
	}
	return out, nil
}
