package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/store/rootcell"
)

// rotation is one that is under way, as keys.db has it. What it says is changed in
// the transactions that make it true.
type rotation struct {
	From    uint64            `json:"from"`
	To      uint64            `json:"to"`
	Turned  time.Time         `json:"turned,omitzero"`   // when the keys were put under the root To; zero: they are under From
	Retired map[string][]byte `json:"retired,omitempty"` // bucket keys with a successor, under the root From until that is destroyed
}

var kNow = []byte("now")

func rotationOf(tx *bolt.Tx) (r rotation, ok bool, err error) {
	raw := tx.Bucket(bRotation).Get(kNow)
	if raw == nil {
		return r, false, nil
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, false, fmt.Errorf("the note of a rotation: %w", err)
	}
	return r, true, nil
}

func putRotation(tx *bolt.Tx, r rotation) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return tx.Bucket(bRotation).Put(kNow, raw)
}

// rotating is a rotation at work in this process.
type rotating struct {
	*Store
	rotation
	root    key // of epoch To
	table   string
	backup  string
	holders []Holder
}

// The two halves of a rotation. Before the keys were put under the new root a
// crash leaves nothing but a root that nothing hangs under, which the next try
// destroys; afterwards it goes on where it was. What each step does can be done
// again.
var (
	toTheTurn = []rotationStep{
		{"rotate.renewed", (*rotating).renewBuckets},
		{"rotate.moved", func(r *rotating, ctx context.Context) error { return r.moveSurvivors(ctx) }},
		{"rotate.resealed", (*rotating).resealMonths},
		{"rotate.made", (*rotating).makeRoot},
		{"rotate.turned", (*rotating).turnRoot},
	}
	toTheEnd = []rotationStep{
		{"rotate.opened", (*rotating).openAll},
		{"rotate.acknowledged", (*rotating).awaitBackup},
		{"rotate.destroyed", (*rotating).destroyRoot},
		{"rotate.logged", (*rotating).logShredded},
		{"rotate.done", (*rotating).endRotation},
	}
)

type rotationStep struct {
	point string // reached when the step is done
	do    func(*rotating, context.Context) error
}

func (r *rotating) run(ctx context.Context, steps []rotationStep) error {
	for _, step := range steps {
		if err := step.do(r, ctx); err != nil {
			return err
		}
		r.reached(step.point)
	}
	return nil
}

// rotateOnce makes one rotation, or ends one that was begun. more is false where
// there was nothing to do; goes is a key that was to go with it, where it was begun
// here.
func (s *Store) rotateOnce(ctx context.Context) (goes string, more bool, err error) {
	r := &rotating{Store: s}
	var underWay bool
	err = s.keys.view(func(t keysTx) (err error) {
		if r.rotation, underWay, err = rotationOf(t.Tx); err != nil {
			return err
		}
		k, _ := t.Bucket(bTouched).Cursor().First()
		goes = string(k)
		r.root = t.root // where it was turned before
		return nil
	})
	if err != nil || !underWay && goes == "" {
		return "", false, err
	}
	if r.Turned.IsZero() {
		if err := r.run(ctx, toTheTurn); err != nil {
			return "", false, err
		}
	} else {
		goes = ""
	}
	return goes, true, r.run(ctx, toTheEnd)
}

// renewBuckets makes the keys that survivors are put under.
func (r *rotating) renewBuckets(ctx context.Context) error {
	err := r.keys.update(ctx, func(t keysTx) error {
		epoch, err := epochOf(t.Tx)
		if err != nil {
			return err
		}
		return t.renew(epoch == 1)
	})
	if err != nil {
		return fmt.Errorf("renewing bucket keys: %w", err)
	}
	return nil
}

// makeRoot makes the new root, and notes before which it will be: one of that
// epoch is then known to be of a try that ended early. Epochs aren't used twice.
func (r *rotating) makeRoot(ctx context.Context) error {
	err := r.keys.view(func(t keysTx) (err error) {
		r.From, err = epochOf(t.Tx)
		return err
	})
	if err != nil {
		return err
	}
	if err := r.discard(ctx); err != nil {
		return err
	}
	r.To = max(r.From, r.To) + 1
	if err := r.keys.commit(ctx, func(tx *bolt.Tx) error { return putRotation(tx, r.rotation) }); err != nil {
		return fmt.Errorf("noting a rotation: %w", err)
	}
	r.reached("rotate.noted")
	r.root, err = ask(ctx, r.cell, func(ctx context.Context, c rootcell.Cell) (key, error) {
		k, err := c.Make(ctx, r.To)
		return key(k), err
	})
	if err != nil {
		return fmt.Errorf("making the root key of epoch %d: %w", r.To, err)
	}
	return nil
}

// discard destroys the root of a try that ended early. A later root than the
// directory's that isn't known here is somebody's: nothing is touched then.
func (r *rotating) discard(ctx context.Context) error {
	has, err := ask(ctx, r.cell, func(ctx context.Context, c rootcell.Cell) ([]uint64, error) { return c.Epochs(ctx) })
	if err != nil {
		return fmt.Errorf("asking the root cell for its epochs: %w", err)
	}
	for _, epoch := range has {
		switch {
		case epoch <= r.From:
		case epoch == r.To:
			_, err := ask(ctx, r.cell, func(ctx context.Context, c rootcell.Cell) (none, error) { return none{}, c.Destroy(ctx, epoch) })
			if err != nil {
				return fmt.Errorf("destroying the unused root key of epoch %d: %w", epoch, err)
			}
		default:
			return fmt.Errorf("the root cell %s has epoch %d and the data directory is of epoch %d: keys.db was put back from a "+
				"backup, or the cell is another directory's. Nothing is destroyed, and no erasure becomes final, before that is settled",
				nameOf(r.cell.Cell), epoch, r.From)
		}
	}
	return nil
}

// errBetween means that a step of a rotation wasn't done.
var errBetween = errors.New("internal error: a month of the catalog is between two keys")

// turnRoot puts all keys under the new root, but for those with a successor: what
// was dropped hangs under these alone, and they stay under the old root.
func (r *rotating) turnRoot(ctx context.Context) error {
	next := r.rotation
	next.Turned = time.Now().UTC()
	err := r.keys.turn(ctx, r.To, r.root, func(from, _ keysTx) error {
		if month, _ := from.Bucket(bResealing).Cursor().First(); month != nil {
			return errBetween // and would lose what is under the one
		}
		next.Retired = map[string][]byte{} // a transaction may be tried again
		for id := range from.stale() {
			next.Retired[id] = slices.Clone(from.Bucket(bKEK).Get([]byte(id)))
			if err := from.Bucket(bKEK).Delete([]byte(id)); err != nil {
				return err
			}
		}
		return errors.Join(from.doom(r.From), from.renewRequests(), putRotation(from.Tx, next))
	})
	if err != nil {
		return err // the next try finds out whether it became durable
	}
	r.rotation = next
	return nil
}

// doom notes which erasures go with a root: those whose bucket key isn't taken
// over, nor their month's. Others, made since these were renewed, go with the next.
func (t keysTx) doom(epoch uint64) error {
	doomed := map[string]erasure{}
	err := eachWaiting(t.Tx, func(id string, e erasure) {
		if e.Epoch == 0 && !t.has(e.KEK) && !t.has(e.Month) {
			e.Epoch = epoch
			doomed[id] = e
		}
	})
	for id, e := range doomed {
		err = errors.Join(err, putErasure(t.Tx, id, e))
	}
	var gone [][]byte
	err = errors.Join(err, t.Bucket(bTouched).ForEach(func(kek, _ []byte) error {
		if !t.has(string(kek)) {
			gone = append(gone, slices.Clone(kek))
		}
		return nil
	}))
	for _, kek := range gone {
		err = errors.Join(err, t.Bucket(bTouched).Delete(kek))
	}
	return err
}

func (t keysTx) has(kek string) bool { return t.Bucket(bKEK).Get([]byte(kek)) != nil }

// openAll reads every wrapped key anew and opens it under the new root, and the
// catalog. Before that is done the old one isn't touched.
func (r *rotating) openAll(ctx context.Context) error {
	r.keys.letGo(r.To)
	err := r.keys.view(func(t keysTx) error {
		if epoch, err := epochOf(t.Tx); err != nil || epoch != r.To {
			return errors.Join(fmt.Errorf("keys.db is of epoch %d, not %d", epoch, r.To), err)
		}
		table := sha256.New()
		for _, b := range []struct {
			name    []byte
			context string
		}{{bSystem, asSystemKey}, {bKEK, asBucketKey}} {
			err := t.Bucket(b.name).ForEach(func(id, box []byte) error {
				fmt.Fprintf(table, "%s\x00%s\x00%x\n", b.name, id, box)
				_, err := t.lookupBytes(b.name, b.context, string(id))
				return err
			})
			if err != nil {
				return err
			}
		}
		r.table = hex.EncodeToString(table.Sum(nil))
		return nil
	})
	for _, open := range []func([]byte) ([]byte, error){r.keys.openGrants, r.keys.openCatalog} {
		for at := []byte(nil); err == nil; {
			if at, err = open(at); at == nil {
				break
			}
			err = errors.Join(err, ctx.Err())
		}
	}
	if err != nil {
		return fmt.Errorf("opening all keys under the new root; the old one stays until that is done: %w", err)
	}
	return nil
}

// openGrants opens some grants' keys, from one on, and says where to go on; nil
// at the end.
func (k *keyring) openGrants(from []byte) (next []byte, err error) {
	err = k.view(func(t keysTx) error {
		next = nil
		keks := map[string]key{}
		cur := t.Bucket(bGrantKey).Cursor()
		n := 0
		for g, raw := cur.Seek(from); g != nil; g, raw = cur.Next() {
			if n++; n > scanBatch {
				next = slices.Clone(g)
				return nil
			}
			var r grantRow
			err := json.Unmarshal(raw, &r)
			kek, known := keks[r.kek()]
			if err == nil && !known {
				kek, err = t.lookup(bKEK, asBucketKey, r.kek())
				keks[r.kek()] = kek
			}
			if err == nil {
				_, err = openKey(kek, asGrantKey, about(r.ID, r.kek(), consent.Hash(g)), r.Wrapped)
			}
			if err != nil {
				return fmt.Errorf("the key of grant %x: %w", g, err)
			}
		}
		return nil
	})
	return next, err
}

// awaitBackup sees that the operator has a copy of the new root, if that was asked
// for: once the old one is gone no older backup is worth anything.
func (r *rotating) awaitBackup(context.Context) error {
	if !r.rotator.RequireBackup {
		return nil
	}
	by, err := rootBackup(r.dir, r.To, r.root, r.rotator.Backups)
	r.backup = by
	return err
}

// endRotation forgets the rotation, and with it the bucket keys of before.
func (r *rotating) endRotation(ctx context.Context) error {
	err := r.keys.commit(ctx, func(tx *bolt.Tx) error { return tx.Bucket(bRotation).Delete(kNow) })
	if err != nil {
		return fmt.Errorf("noting the end of a rotation: %w", err)
	}
	r.log.Info("erasures are final: the root key was replaced and the old one destroyed", "epoch", r.To)
	return nil
}

// epochKey sorts what is of one epoch together.
func epochKey(epoch uint64, id string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, epoch), id...)
}
