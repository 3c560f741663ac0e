package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/consent"
	"consentgate/store/rootcell"
)

// Verify is VerifyCell with the root keys in files at rootFile. Without one there
// the payloads stay sealed and only the tree is checked.
func Verify(dir, rootFile string, older []byte) (Report, error) {
	return VerifyCell(contextForever, dir, cellAt(rootFile), older)
}

// cellAt is the cell of files at a path; nil where there is none.
func cellAt(rootFile string) rootcell.Cell {
	cell := rootcell.NewFile(rootFile)
	if has, err := cell.Epochs(contextForever); errors.Is(err, os.ErrNotExist) || err == nil && len(has) == 0 {
		return nil
	}
	return cell
}

// VerifyCell checks the audit log in a data directory, or a copy of one; a gate
// may be using it meanwhile. Without a root cell (nil) the payloads stay sealed
// and only the tree is checked. older may be a checkpoint that the auditor kept;
// nil for none. ctx bounds how long the cell may take.
//
// What the log's own key can't vouch for is in the Report; an error means that
// there was nothing to check: files missing, a signature that isn't the key's, or
// a cell that doesn't have the root of this directory's epoch.
func VerifyCell(ctx context.Context, dir string, cell rootcell.Cell, older []byte) (Report, error) {
	vkey, err := os.ReadFile(filepath.Join(dir, VerifierFile))
	if err != nil {
		return Report{}, fmt.Errorf("reading the log's verifier key: %w", err)
	}
	var report Report
	for range 2 { // an erasure may come between the copies of the log and of its keys
		err = view(filepath.Join(dir, auditFile), func(tx *bolt.Tx) error {
			return withKeys(ctx, dir, cell, func(keys payloadKeys, erasing grantSet) (err error) {
				report, err = verifyTx(tx, string(vkey), older, keys, erasing)
				if err == nil && !report.OK() {
					return errNotOK // of a torn copy this proves nothing
				}
				return err
			})
		})
		if !errors.Is(err, errNotOK) {
			return report, err
		}
	}
	return report, nil // which says what
}

var errNotOK = errors.New("the log doesn't verify")

// grantSet is of grants whose erasure isn't finished: the key is gone, and the
// log has yet to hear of it.
type grantSet map[consent.Hash]bool

// withKeys calls f with the keys of a data directory's payloads, or none where
// there is no cell. It is to be called when the log is open already: the keys
// are then all that it needs.
func withKeys(ctx context.Context, dir string, cell rootcell.Cell, f func(payloadKeys, grantSet) error) error {
	if cell == nil {
		return f(nil, nil)
	}
	return view(filepath.Join(dir, keysFile), func(tx *bolt.Tx) error {
		t, err := keysAt(ctx, dir, cell, tx)
		if err != nil {
			return err
		}
		erasing := grantSet{}
		err = tx.Bucket(bErasing).ForEach(func(_, note []byte) error {
			var ev recordingEvent
			var g consent.Hash
			if json.Unmarshal(note, &ev) == nil && g.UnmarshalText([]byte(ev.Grant)) == nil {
				erasing[g] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
		return f(t.payloadKey, erasing)
	})
}

// keysAt finds the root for a keys.db that nobody vouches for, of this version or
// the one before.
func keysAt(ctx context.Context, dir string, cell rootcell.Cell, tx *bolt.Tx) (keysTx, error) {
	for _, b := range [][]byte{bMeta, bKEK, bErasing} {
		if tx.Bucket(b) == nil {
			return keysTx{}, fmt.Errorf("%s of %s isn't one of this version", keysFile, dir)
		}
	}
	epoch, err := epochOf(tx)
	if err != nil {
		return keysTx{}, err
	}
	root, err := rootOf(ctx, dir, cell, epoch)
	if err != nil {
		return keysTx{}, err
	}
	t := keysTx{tx, root}
	return t, tx.Bucket(bKEK).ForEach(func(id, _ []byte) error {
		if _, err := t.lookup(bKEK, asBucketKey, string(id)); err != nil {
			return fmt.Errorf("the root key in %s isn't this data directory's: %w", nameOf(cell), err)
		}
		return nil
	})
}

func verifyTx(tx *bolt.Tx, vkey string, older []byte, keys payloadKeys, erasing grantSet) (Report, error) {
	for _, b := range [][]byte{bMeta, bLeaf, bHash, bPayload, bOpen} {
		if tx.Bucket(b) == nil {
			return Report{}, errors.New("audit.db isn't an audit log of this version")
		}
	}
	signed := tx.Bucket(bMeta).Get(kCheckpoint)
	if signed == nil { // a gate's first act is to log its start
		return Report{Problem: "there is no checkpoint: nothing was ever logged, or all of it was removed"}, nil
	}
	c, err := newChecker(signed, vkey, older)
	if err != nil {
		return Report{}, err
	}
	stored := tx.Bucket(bHash).Cursor()
	nextStored := stored.First
	payloads := tx.Bucket(bPayload)
	grants := 0
	cur := tx.Bucket(bLeaf).Cursor()
	for k, text := cur.First(); k != nil; k, text = cur.Next() {
		seq := c.tree.size
		if !bytes.Equal(k, seqKey(seq)) {
			c.bad(seq, "the entry is missing, or stands elsewhere")
		}
		row := payloads.Get(k)
		salt, payload, opened, wrong := openPayload(row, text, keys)
		if g, ok := grantOfRow(row); ok {
			grants++
			if erasing[g] {
				c.erasing(seq)
				wrong = ""
			}
			if tx.Bucket(bOfGrant) == nil || tx.Bucket(bOfGrant).Get(append(g[:], k...)) == nil {
				c.bad(seq, "the payload isn't listed under its grant: an erasure would leave it")
			}
		}
		first := tlog.StoredHashIndex(0, seq)
		for i, h := range c.entry(text, salt, payload, opened, wrong) {
			at, got := nextStored()
			nextStored = stored.Next
			if !bytes.Equal(at, seqKey(first+int64(i))) || !bytes.Equal(got, h[:]) {
				c.bad(seq, "the stored hashes aren't those of the entries")
			}
		}
	}
	c.missing()
	if b := tx.Bucket(bOfGrant); b != nil && b.Stats().KeyN != grants {
		c.bad(c.tree.size, "payloads are listed under a grant that aren't its")
	}
	checkRest(tx, c, keys != nil)
	return c.end(), nil
}

// checkRest looks for rows that no entry accounts for, and compares the list of
// open grants, which is kept for speed, with what the entries say.
func checkRest(tx *bolt.Tx, c *checker, opened bool) {
	if n := int64(tx.Bucket(bPayload).Stats().KeyN); n > c.tree.size {
		c.bad(c.tree.size, "there are payloads that belong to no entry")
	}
	if n := int64(tx.Bucket(bHash).Stats().KeyN); n != tlog.StoredHashCount(c.tree.size) {
		c.bad(c.tree.size, "there are stored hashes that belong to no entry")
	}
	if sizeOf(tx) != c.now.Size {
		c.bad(c.now.Size, "the size noted isn't the checkpoint's")
	}
	if !opened {
		return
	}
	listed := 0
	cur := tx.Bucket(bOpen).Cursor()
	for k, _ := cur.First(); k != nil; k, _ = cur.Next() {
		if len(k) != len(consent.Hash{}) || !c.isOpen(consent.Hash(k)) {
			c.bad(c.now.Size-1, "a grant is listed as open that isn't")
			return
		}
		listed++
	}
	if listed != len(c.open) {
		for _, seq := range c.open {
			c.bad(seq, "a grant without an end isn't listed as open: its end was to be hidden")
		}
	}
}
