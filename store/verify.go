package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/consent"
)

// Verify checks the audit log in a data directory, or a copy of one; a gate may
// be using it meanwhile. Without the root key at rootFile the payloads stay
// sealed and only the tree is checked. older may be a checkpoint that the
// auditor kept; nil for none.
//
// What the log's own key can't vouch for is in the Report; an error means that
// there was nothing to check: files missing, or a signature that isn't the key's.
func Verify(dir, rootFile string, older []byte) (Report, error) {
	vkey, err := os.ReadFile(filepath.Join(dir, VerifierFile))
	if err != nil {
		return Report{}, fmt.Errorf("reading the log's verifier key: %w", err)
	}
	var report Report
	err = view(filepath.Join(dir, auditFile), func(tx *bolt.Tx) error {
		keys, err := payloadKeys(dir, rootFile) // after the log: they then are all that it needs
		if err != nil {
			return err
		}
		report, err = verifyTx(tx, string(vkey), older, keys)
		if err == nil && !report.OK() {
			return errNotOK // of a torn copy this proves nothing
		}
		return err
	})
	if errors.Is(err, errNotOK) {
		err = nil // the report says what
	}
	return report, err
}

var errNotOK = errors.New("the log doesn't verify")

// monthKeys are the payloads' keys by month; nil where there is no root key.
type monthKeys map[string]key

func (m monthKeys) get(month string) (key, bool) { k, ok := m[month]; return k, ok }

func verifyTx(tx *bolt.Tx, vkey string, older []byte, keys monthKeys) (Report, error) {
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
	cur := tx.Bucket(bLeaf).Cursor()
	for k, text := cur.First(); k != nil; k, text = cur.Next() {
		seq := c.tree.size
		if !bytes.Equal(k, seqKey(seq)) {
			c.bad(seq, "the entry is missing, or stands elsewhere")
		}
		salt, payload, opened, wrong := openPayload(payloads.Get(k), text, keys.get)
		if !opened && wrong == "" && keys != nil {
			wrong = "the payload is sealed under a key that isn't there"
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

// openPayload opens what lies beside a leaf. wrong is set where it should open
// and doesn't.
func openPayload(row, leafText []byte, keks func(string) (key, bool)) (salt, payload []byte, opened bool, wrong string) {
	if row == nil {
		return nil, nil, false, "the payload is missing, and no erasure of it is logged"
	}
	month, box, found := bytes.Cut(row, []byte{0})
	if !found {
		return nil, nil, false, "the payload's row can't be read"
	}
	k, ok := keks(string(month))
	if !ok {
		return nil, nil, false, ""
	}
	plain, err := open(k, asEntry, string(leafText), box)
	if err != nil || len(plain) < saltSize {
		return nil, nil, false, "the payload was changed: it doesn't open"
	}
	return plain[:saltSize], plain[saltSize:], true, ""
}

// payloadKeys gives the months' keys, or nil where the root isn't there.
func payloadKeys(dir, rootFile string) (monthKeys, error) {
	if _, err := os.Stat(rootFile); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	root, err := loadRoot(rootFile, false)
	if err != nil {
		return nil, err
	}
	keys := monthKeys{}
	return keys, view(filepath.Join(dir, keysFile), func(tx *bolt.Tx) error {
		b := tx.Bucket(bKEK)
		if b == nil {
			return nil
		}
		return b.ForEach(func(id, box []byte) error {
			k, err := openKey(root, asBucketKey, string(id), box)
			if err != nil {
				return fmt.Errorf("the root key %s isn't this data directory's: %w", rootFile, err)
			}
			if month, ok := bytes.CutPrefix(id, []byte(auditBucket)); ok {
				keys[string(month)] = k
			}
			return nil
		})
	})
}
