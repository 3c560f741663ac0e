package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

// Report is what a verification found.
type Report struct {
	Origin  string
	Size    int64  // entries, by the log's own checkpoint
	Root    string // base64, by the log's own checkpoint
	Opened  int64  // payloads that were opened and agree with their commitment
	Sealed  int64  // payloads that couldn't be opened for want of the root key
	Checked string // the older checkpoint that was checked against; "" if none was given
	BadSeq  int64  // the first bad entry; -1 if none
	Problem string // what is wrong; "" if nothing
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return r.Problem == "" }

// checker verifies entries as they come, whatever they come from.
type checker struct {
	report Report
	tree   frontier
	now    Checkpoint
	older  *Checkpoint
}

func newChecker(signed []byte, vkey string, older []byte) (*checker, error) {
	c := &checker{report: Report{BadSeq: -1}}
	var err error
	if c.now, err = ParseCheckpoint(signed, vkey); err != nil {
		return nil, err
	}
	c.report.Origin, c.report.Size, c.report.Root = c.now.Origin, c.now.Size, c.now.Root.String()
	if len(older) > 0 {
		o, err := ParseCheckpoint(older, vkey)
		if err != nil {
			return nil, fmt.Errorf("the checkpoint given: %w", err)
		}
		c.older = &o
		c.report.Checked = fmt.Sprintf("%d %s", o.Size, o.Root)
		if o.Size > c.now.Size {
			c.bad(c.now.Size, fmt.Sprintf("the checkpoint given has %d entries, the log only %d: entries were removed", o.Size, c.now.Size))
		}
		c.compare()
	}
	return c, nil
}

func (c *checker) bad(seq int64, problem string) {
	if c.report.Problem == "" {
		c.report.BadSeq, c.report.Problem = seq, problem
	}
}

// entry takes the next one: its leaf, and its salt and payload if they could be
// opened. wrong is why they couldn't although the key is there.
func (c *checker) entry(text, salt, payload []byte, opened bool, wrong string) {
	want := c.tree.size
	l, err := parseLeaf(text)
	switch {
	case err != nil:
		c.bad(want, "the leaf can't be read")
	case l.Seq != want:
		c.bad(want, fmt.Sprintf("entry %d stands where %d should", l.Seq, want))
	case wrong != "":
		c.bad(want, wrong)
	case opened && digest(salt, payload) != l.Commitment:
		c.bad(want, "the payload isn't the one that was logged")
	}
	if opened {
		c.report.Opened++
	} else {
		c.report.Sealed++
	}
	c.tree.add(text)
	c.compare()
}

// compare checks the tree where an older checkpoint speaks of it.
func (c *checker) compare() {
	if c.older != nil && c.tree.size == c.older.Size && c.tree.root() != c.older.Root {
		c.bad(c.tree.size-1, "the log's beginning isn't the one of the checkpoint given: an entry up to here was changed, removed or moved")
	}
}

func (c *checker) end() Report {
	if c.tree.size != c.now.Size {
		c.bad(c.tree.size, fmt.Sprintf("%d entries are there, the checkpoint says %d", c.tree.size, c.now.Size))
	} else if c.tree.root() != c.now.Root {
		c.bad(c.firstBad(), "the entries don't hash to the signed root: one of them was changed or moved")
	}
	return c.report
}

func (c *checker) firstBad() int64 {
	if c.report.BadSeq >= 0 {
		return c.report.BadSeq
	}
	return c.now.Size - 1
}

// Verify checks the audit log in a data directory, or a copy of one. Without the
// root key at rootFile the payloads stay sealed and only the tree is checked.
// older may be a checkpoint that the auditor kept; nil for none.
func Verify(dir, rootFile string, older []byte) (Report, error) {
	vkey, err := os.ReadFile(filepath.Join(dir, VerifierFile))
	if err != nil {
		return Report{}, fmt.Errorf("reading the log's verifier key: %w", err)
	}
	db, cleanup, err := openCopy(filepath.Join(dir, "audit.db"))
	if err != nil {
		return Report{}, err
	}
	defer cleanup()
	keks, cleanKeys, err := payloadKeys(dir, rootFile)
	if err != nil {
		return Report{}, err
	}
	defer cleanKeys()
	var report Report
	err = db.View(func(tx *bolt.Tx) error {
		report, err = verifyTx(tx, string(vkey), older, keks)
		return err
	})
	return report, err
}

func verifyTx(tx *bolt.Tx, vkey string, older []byte, keks func(string) (key, bool)) (Report, error) {
	for _, b := range [][]byte{bMeta, bLeaf, bHash, bPayload} {
		if tx.Bucket(b) == nil {
			return Report{}, errors.New("audit.db isn't an audit log of this version")
		}
	}
	signed := tx.Bucket(bMeta).Get(kCheckpoint)
	if signed == nil {
		return Report{BadSeq: -1}, nil // nothing was ever logged
	}
	c, err := newChecker(signed, vkey, older)
	if err != nil {
		return Report{}, err
	}
	cur := tx.Bucket(bLeaf).Cursor()
	for k, text := cur.First(); k != nil; k, text = cur.Next() {
		salt, payload, opened, wrong := openPayload(tx.Bucket(bPayload).Get(k), text, keks)
		c.entry(text, salt, payload, opened, wrong)
	}
	report := c.end()
	if report.OK() {
		checkStoredHashes(tx, c, &report)
	}
	return report, nil
}

// checkStoredHashes makes sure that proofs made from the stored hashes would
// hold: the tree they form is the one of the entries.
func checkStoredHashes(tx *bolt.Tx, c *checker, r *Report) {
	root, err := tlog.TreeHash(c.now.Size, hashReader(tx))
	if err != nil || root != c.now.Root {
		r.BadSeq, r.Problem = c.now.Size-1, "the stored hashes aren't those of the entries"
	}
}

// openPayload opens what lies beside a leaf. wrong is set where it should open
// and doesn't.
func openPayload(row, leafText []byte, keks func(string) (key, bool)) (salt, payload []byte, opened bool, wrong string) {
	if row == nil {
		return nil, nil, false, "the payload is missing, and no erasure of it is logged"
	}
	for i, b := range row {
		if b != 0 {
			continue
		}
		k, ok := keks(string(row[:i]))
		if !ok {
			return nil, nil, false, ""
		}
		plain, err := open(k, asEntry, string(leafText), row[i+1:])
		if err != nil || len(plain) < saltSize {
			return nil, nil, false, "the payload was changed: it doesn't open"
		}
		return plain[:saltSize], plain[saltSize:], true, ""
	}
	return nil, nil, false, "the payload's row can't be read"
}

// payloadKeys gives the months' keys, or none where the root isn't there.
func payloadKeys(dir, rootFile string) (func(string) (key, bool), func(), error) {
	none := func(string) (key, bool) { return key{}, false }
	if _, err := os.Stat(rootFile); errors.Is(err, os.ErrNotExist) {
		return none, func() {}, nil
	}
	root, err := loadRoot(rootFile, false)
	if err != nil {
		return nil, nil, err
	}
	db, cleanup, err := openCopy(filepath.Join(dir, "keys.db"))
	if err != nil {
		return nil, nil, err
	}
	keys := map[string]key{}
	err = db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bKEK)
		if b == nil {
			return nil
		}
		return b.ForEach(func(id, box []byte) error {
			k, err := openKey(root, asBucketKey, string(id), box)
			if err != nil {
				return fmt.Errorf("the root key %s isn't this data directory's: %w", rootFile, err)
			}
			keys[string(id)] = k
			return nil
		})
	})
	if err != nil {
		cleanup()
		return nil, nil, err
	}
	return func(month string) (key, bool) { k, ok := keys["audit/"+month]; return k, ok }, cleanup, nil
}

// openCopy opens a database that another process may be writing: a file in use
// is copied first, and the copy opened. A copy that is torn, because a write
// fell into it, is made again.
func openCopy(path string) (*bolt.DB, func(), error) {
	if _, err := os.Stat(path); err != nil {
		return nil, nil, err
	}
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: 200 * time.Millisecond})
	if err == nil {
		return db, func() { _ = db.Close() }, nil // opened for reading: nothing to lose
	}
	if !errors.Is(err, bolt.ErrTimeout) {
		return nil, nil, fmt.Errorf("opening %s: %w", path, err)
	}
	for range 5 {
		var cleanup func()
		if db, cleanup, err = tryCopy(path); err == nil {
			return db, cleanup, nil
		}
	}
	return nil, nil, fmt.Errorf("%s is being written too fast to be copied; verify a copy or an export: %w", path, err)
}

func tryCopy(path string) (_ *bolt.DB, _ func(), err error) {
	dir, err := os.MkdirTemp("", "consentgate-verify-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) } // a sealed copy in the temporary folder
	to := filepath.Join(dir, "copy.db")
	if err := copyFile(path, to); err != nil {
		remove()
		return nil, nil, err
	}
	db, err := bolt.Open(to, 0o400, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		remove()
		return nil, nil, err
	}
	cleanup := func() { _ = db.Close(); remove() }
	err = db.View(func(tx *bolt.Tx) error {
		for problem := range tx.Check() {
			return problem
		}
		return nil
	})
	if err != nil {
		cleanup()
		return nil, nil, err
	}
	return db, cleanup, nil
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, src.Close())
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, src.Close(), dst.Close())
}
