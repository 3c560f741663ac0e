package store

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/archive"
)

// Kinds of what a look through the archive finds without its other half.
const (
	OrphanObject        = "object_without_entry" // a recording's object that nothing names: nobody can read it
	OrphanNoObject      = "entry_without_object" // a recording that was copied, and whose copy isn't there
	OrphanErasedObject  = "erased_object"        // the object of a recording that the log says was erased; it was deleted
	OrphanForeignObject = "foreign_object"       // no recording's name
)

var objectKinds = []string{OrphanObject, OrphanNoObject, OrphanErasedObject, OrphanForeignObject}

// sweepPatience bounds a look through the archive.
const sweepPatience = time.Hour

var errUnsorted = errors.New("it lists objects in no order, so that nobody can say what is missing")

// sweep compares what the archive lists with what is noted of it. Both are in the
// order of recordings' IDs, so that neither has to be held in memory.
type sweep struct {
	*archiver
	begun   time.Time
	object  string // that the list is at
	there   bool   // its latest version isn't a marker
	noted   []byte // of bCopied: from here on nothing was compared
	found   []Orphan
	lost    []string
	unnamed map[string]string // recording's ID -> object that nothing names
}

// sweepOnce looks through the archive. Nothing is done before all of it was seen.
func (a *archiver) sweepOnce() ([]Orphan, error) {
	w := &sweep{archiver: a, begun: time.Now(), unnamed: map[string]string{}}
	ctx, cancel := a.within(sweepPatience)
	defer cancel()
	err := a.place.List(ctx, "", w.take)
	if err == nil {
		err = w.next("")
	}
	if err == nil {
		err = w.missing(nil)
	}
	if err == nil {
		err = errors.Join(w.strangers(), w.copyAgain())
	}
	if err != nil {
		return nil, fmt.Errorf("looking through the archive: %w", err)
	}
	a.tellOrphans(w.found, objectKinds)
	a.metrics.swept.SetToCurrentTime()
	return w.found, nil
}

// take takes some of the list.
func (w *sweep) take(page []archive.Version) error {
	for _, v := range page {
		switch {
		case v.Object < w.object:
			return errUnsorted
		case v.Object > w.object:
			if err := w.next(v.Object); err != nil {
				return err
			}
		}
		w.there = w.there || v.Latest && !v.Marker
	}
	return nil
}

// next ends with the object that the list is at, and goes on to another.
func (w *sweep) next(object string) error {
	was, there := w.object, w.there
	w.object, w.there = object, false
	if was == "" {
		return nil
	}
	id, ok := archive.RecordingOf(was)
	if !ok || CheckID(id) != nil {
		w.found = append(w.found, Orphan{OrphanForeignObject, was})
		return nil
	}
	if err := w.missing([]byte(id)); err != nil {
		return err
	}
	return w.keys.read(func(tx *bolt.Tx) error {
		k := atPlace(id, w.place.Name())
		note, copied, err := getNote[copyNote](tx, bCopied, k)
		switch {
		case err != nil:
			return err
		case copied && !there:
			w.lose(id, note)
		case !copied && tx.Bucket(bOwed).Get(k) == nil && tx.Bucket(bRecording).Get([]byte(id)) == nil:
			w.unnamed[id] = was
		}
		w.noted = append(k, 0)
		return nil
	})
}

// missing goes on through the notes up to a recording, or the end: of none of those
// there is an object.
func (w *sweep) missing(id []byte) error {
	for more := true; more; {
		err := w.keys.read(func(tx *bolt.Tx) error {
			cur := tx.Bucket(bCopied).Cursor()
			n := 0
			k, _ := cur.Seek(w.noted)
			for ; k != nil && (id == nil || bytes.Compare(k, id) < 0) && n < batchSize; k, _ = cur.Next() {
				n++
				w.noted = append(bytes.Clone(k), 0)
				note, _, err := getNote[copyNote](tx, bCopied, k)
				if err != nil {
					return err
				}
				if id, place := ofPlace(k); w.is(place) {
					w.lose(id, note)
				}
			}
			more = n == batchSize
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lose notes that an object isn't there which was, before the look began.
func (w *sweep) lose(id string, note copyNote) {
	if !note.Copied.IsZero() && note.Copied.Before(w.begun) {
		w.found = append(w.found, Orphan{OrphanNoObject, id})
		w.lost = append(w.lost, id)
	}
}

// strangers deletes objects of recordings that the log says were erased. Others that
// nothing names may be another gate's, or a lost keys.db's: they are told of, and
// stay.
func (w *sweep) strangers() error {
	erased, err := w.erasedAmong(w.unnamed)
	for id, object := range w.unnamed {
		kind := OrphanObject
		if ev, ok := erased[id]; ok && err == nil {
			kind = OrphanErasedObject
			if err = w.deleteAll(object); err == nil {
				ev.Reason = "its object had come back"
				err = w.audit.appendErased(w.ctx, ev)
			}
		}
		w.found = append(w.found, Orphan{kind, object})
	}
	return err
}

// copyAgain queues what is lost.
func (w *sweep) copyAgain() error {
	if len(w.lost) == 0 {
		return nil
	}
	return w.keys.commit(w.ctx, func(tx *bolt.Tx) error {
		for _, id := range w.lost {
			k := atPlace(id, w.place.Name())
			note, copied, err := getNote[copyNote](tx, bCopied, k)
			if err == nil && copied { // else it was erased meanwhile
				note.Copied = time.Time{}
				err = errors.Join(putNote(tx, bCopied, k, note), queue(tx, id))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
