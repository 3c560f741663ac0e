package store

import (
	"bytes"
	"errors"
)

// bChanged is a bucket of keys.db: id of a bucket key under which something was
// changed -> nothing. It waits for the next rotation, and asks for none.
var bChanged = []byte("changed")

// renewRequests puts the requests of a month in which one was changed under a new
// key: what it said before goes with the root. It is for keyring.turn, in the
// transaction that it gives as from.
func (t keysTx) renewRequests() (err error) {
	var months []string
	prefix := []byte(ofRequests)
	cur := t.Bucket(bChanged).Cursor()
	for id, _ := cur.Seek(prefix); bytes.HasPrefix(id, prefix); id, _ = cur.Next() {
		months = append(months, string(id))
	}
	for _, month := range months {
		err = errors.Join(err, t.resealRequests(month), t.Bucket(bChanged).Delete([]byte(month)))
	}
	return err
}

func (t keysTx) resealRequests(month string) error {
	old, err := t.lookup(bKEK, asBucketKey, month)
	if errors.Is(err, errNoKey) { // they went meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	next, rows := newKey(), map[string][]byte{} // a bucket mustn't change under its cursor
	head := []byte(month + "\x00")
	err = t.Bucket(bRequest).ForEach(func(id, row []byte) error {
		box, ok := bytes.CutPrefix(row, head)
		if !ok {
			return nil
		}
		plain, err := open(old, asRequest, string(id), box)
		if err != nil {
			return nil // damaged, which was said at the start: it stays so
		}
		rows[string(id)] = append(bytes.Clone(head), seal(next, asRequest, string(id), plain)...)
		return nil
	})
	if err != nil {
		return err
	}
	for id, row := range rows {
		err = errors.Join(err, t.Bucket(bRequest).Put([]byte(id), row))
	}
	return errors.Join(err, t.Bucket(bKEK).Put([]byte(month), seal(t.root, asBucketKey, month, next[:])))
}
