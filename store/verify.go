package store

import (
	"bytes"
	"context"
	"crypto/sha256"
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

// Auditor is what somebody brings along who checks a log.
type Auditor struct {
	VKey      string   // the log's verifier key, of old; "": the one that lies beside the log or in its export
	Kept      [][]byte // checkpoints, or the lines of witnesses' files, which the log must continue
	Witnesses []string // verifier keys; a checkpoint that the log continues must bear a cosignature of each
}

// Verify is Auditor.Verify of one who brings checkpoints only.
func Verify(dir, rootFile string, kept ...[]byte) (Report, error) {
	return Auditor{Kept: kept}.Verify(contextForever, dir, fileCell(rootFile))
}

// fileCell is the cell of files at a path; nil where there is none.
func fileCell(rootFile string) rootcell.Cell {
	cell := rootcell.NewFile(rootFile)
	if has, err := cell.Epochs(contextForever); errors.Is(err, os.ErrNotExist) || err == nil && len(has) == 0 {
		return nil
	}
	return cell
}

// Verify checks the audit log in a data directory, or a copy of one; a gate may
// be using it meanwhile. Without a root cell (nil) the payloads stay sealed and
// only the tree is checked, and that what is missing was erased. ctx bounds how
// long the cell may take.
//
// What the log's own key can't vouch for is in the Report; an error means that
// there was nothing to check: files missing, a signature that isn't the key's, or
// a cell that doesn't have the root of this directory's epoch.
func (a Auditor) Verify(ctx context.Context, dir string, cell rootcell.Cell) (Report, error) {
	vkey, err := readVerifier(dir)
	if err != nil {
		return Report{}, err
	}
	if err := a.knows(vkey); err != nil {
		return Report{}, err
	}
	if a.Kept, err = a.withWitnessed(dir); err != nil {
		return Report{}, err
	}
	var report Report
	for range 2 { // an erasure may come between the copies of the log and of its keys
		err = view(filepath.Join(dir, auditFile), func(tx *bolt.Tx) error {
			return withKeys(ctx, dir, cell, func(keys payloadKeys, erasing grantSet) (err error) {
				report, err = a.verifyTx(tx, vkey, keys, erasing)
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
		erasing, err := t.erasing()
		if err != nil {
			return err
		}
		return f(t.payloadKey, erasing)
	})
}

// erasing are the grants whose erasure isn't finished.
func (t keysTx) erasing() (grantSet, error) {
	out := grantSet{}
	return out, t.Bucket(bErasing).ForEach(func(_, note []byte) error {
		var ev recordingEvent
		var g consent.Hash
		if json.Unmarshal(note, &ev) == nil && g.UnmarshalText([]byte(ev.Grant)) == nil {
			out[g] = true
		}
		return nil
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

// minLeaf is less than any leaf has bytes.
const minLeaf = int64(len(leafMagic) + 2*sha256.Size)

func (a Auditor) verifyTx(tx *bolt.Tx, vkey string, keys payloadKeys, erasing grantSet) (Report, error) {
	for _, b := range [][]byte{bMeta, bLeaf, bHash, bPayload, bOpen} {
		if tx.Bucket(b) == nil {
			return Report{}, errors.New("audit.db isn't an audit log of this version")
		}
	}
	signed := tx.Bucket(bMeta).Get(kCheckpoint)
	if signed == nil { // a gate's first act is to log its start
		return Report{Problem: "there is no checkpoint: nothing was ever logged, or all of it was removed"}, nil
	}
	c, err := newChecker(signed, vkey, a.Kept...)
	if err != nil {
		return Report{}, err
	}
	c.checkRows(tx, keys, erasing)
	if c.tree.size > tx.Size()/minLeaf {
		return Report{}, fmt.Errorf("the database is damaged: it has more entries than there is room for in %d bytes", tx.Size())
	}
	c.checkRest(tx, keys != nil)
	err = c.cosigned(a.Witnesses)
	return c.end(), err
}

// checkRows takes all entries, each with its payload and the hashes that it
// completes.
func (c *checker) checkRows(tx *bolt.Tx, keys payloadKeys, erasing grantSet) {
	stored := tx.Bucket(bHash).Cursor()
	nextStored := stored.First
	most := tx.Size() / minLeaf // pages that lead to themselves give entries for ever
	cur := tx.Bucket(bLeaf).Cursor()
	for k, text := cur.First(); k != nil && c.tree.size <= most; k, text = cur.Next() {
		seq := c.tree.size
		if !bytes.Equal(k, seqKey(seq)) {
			c.bad(seq, "the entry is missing, or stands elsewhere")
		}
		row := tx.Bucket(bPayload).Get(k)
		salt, payload, state, wrong := openPayload(row, text, keys)
		if g, ok := grantOfRow(row); ok && erasing[g] {
			state, wrong = payloadDying, ""
		}
		c.checkListed(tx, row, k, text)
		first := tlog.StoredHashIndex(0, seq)
		for i, h := range c.entry(text, salt, payload, state, wrong) {
			at, got := nextStored()
			nextStored = stored.Next
			if !bytes.Equal(at, seqKey(first+int64(i))) || !bytes.Equal(got, h[:]) {
				c.bad(seq, "the stored hashes aren't those of the entries")
			}
		}
	}
}

// checkListed compares the key that a payload is sealed under with the mark on
// the leaf, and with the list of what goes with a grant.
func (c *checker) checkListed(tx *bolt.Tx, row, k, text []byte) {
	l, err := parseLeaf(text)
	if err != nil || row == nil {
		return
	}
	g, ok := grantOfRow(row)
	if marked := ofAGrant(l) && l.Type != TypeErased; ok && l.Scope != scopeOf(g) && (marked || c.marked >= 0) || !ok && marked {
		c.bad(c.tree.size, "the payload isn't sealed under the key of the grant whose mark the entry bears")
	}
	if !ok {
		if spans := tx.Bucket(bMonth); spans != nil && monthAt(spans, k) != nameOfRow(row) {
			c.bad(c.tree.size, "the payload is listed under another month's key: it would be erased with that")
		}
		return
	}
	c.listed++
	if tx.Bucket(bOfGrant) == nil || tx.Bucket(bOfGrant).Get(append(g[:], k...)) == nil {
		c.bad(c.tree.size, "the payload isn't listed under its grant: an erasure would leave it")
	}
}

// checkRest looks for rows that no entry accounts for, and compares the lists
// that are kept for speed with what the entries say.
func (c *checker) checkRest(tx *bolt.Tx, opened bool) {
	if n := int64(tx.Bucket(bPayload).Stats().KeyN); n != c.tree.size-c.lost {
		c.bad(c.tree.size, "there are payloads that belong to no entry")
	}
	if n := int64(tx.Bucket(bHash).Stats().KeyN); n != tlog.StoredHashCount(c.tree.size) {
		c.bad(c.tree.size, "there are stored hashes that belong to no entry")
	}
	if b := tx.Bucket(bOfGrant); b != nil && b.Stats().KeyN != c.listed {
		c.bad(c.tree.size, "payloads are listed under a grant that aren't its")
	}
	if sizeOf(tx) != c.now.Size {
		c.bad(c.now.Size, "the size noted isn't the checkpoint's")
	}
	if !opened || !c.report.OK() { // then the list can't fit either
		return
	}
	cur := tx.Bucket(bOpen).Cursor()
	for k, _ := cur.First(); k != nil; k, _ = cur.Next() {
		if len(k) != len(consent.Hash{}) || !c.isOpen(consent.Hash(k)) && !c.misses(consent.Hash(k)) { // erased before its end was told
			c.bad(c.now.Size-1, "a grant is listed as open that isn't")
			return
		}
	}
	for g, seq := range c.open {
		if tx.Bucket(bOpen).Get(g[:]) == nil && !c.misses(g) {
			c.bad(seq, "a grant without an end isn't listed as open: its end was to be hidden")
		}
	}
}
