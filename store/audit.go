package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/consent"
	"consentgate/internal/durable"
)

// Buckets of audit.db.
var (
	bLeaf    = []byte("leaf")     // seq -> leaf text
	bHash    = []byte("hash")     // stored hash index -> hash, of tlog
	bPayload = []byte("payload")  // seq -> name of the key | 0 | sealed salt and payload
	bOfGrant = []byte("of-grant") // hash of a Granted record | seq of a payload under its key -> nothing
	bOpen    = []byte("open")     // hash of a Granted record without an end -> seq
)

var (
	kSize       = []byte("size")
	kCheckpoint = []byte("checkpoint")
)

// Audit is the log. Everything in it is on stable storage before the call that
// wrote it returns.
type Audit struct {
	db      *bolt.DB
	keys    *keyring
	signer  note.Signer
	metrics *metrics
	origin  string
	clock   clock
	*committer

	mu   sync.Mutex // guards the rest
	open map[consent.Hash]time.Time
	size int64
}

var _ consent.Ledger = (*Audit)(nil)

// VerifierFile is the name, in the data directory, of the key that checkpoints
// are verified with.
const VerifierFile = "log.vkey"

const (
	auditFile = "audit.db"
	keysFile  = "keys.db"
)

func openAudit(dir string, keys *keyring, m *metrics) (*Audit, error) {
	signer, err := logKey(dir, keys)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, auditFile)
	db, err := openDB(path)
	if err != nil {
		return nil, err
	}
	a := &Audit{db: db, keys: keys, signer: signer, origin: signer.Name(), metrics: m, clock: systemClock(), open: map[consent.Hash]time.Time{}}
	if err := caught(db, func() error { return db.Update(a.prepare) }); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", path, err), db.Close())
	}
	a.committer = newCommitter(db, a.checkpoint)
	return a, nil
}

func (a *Audit) prepare(tx *bolt.Tx) error {
	for _, b := range [][]byte{bMeta, bLeaf, bHash, bPayload, bOpen, bOfGrant} {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
	}
	if err := findMonths(tx); err != nil {
		return err
	}
	if v := versionOf(tx); v != "" && v != schemaVersion {
		return wrongVersion(v)
	}
	if err := setVersion(tx); err != nil {
		return err
	}
	a.size = sizeOf(tx)
	return tx.Bucket(bOpen).ForEach(func(k, _ []byte) error {
		a.open[consent.Hash(k)] = time.Time{}
		return nil
	})
}

func sizeOf(tx *bolt.Tx) int64 {
	if b := tx.Bucket(bMeta).Get(kSize); len(b) == 8 {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// logKey returns the log's signing key, made at first use and sealed under the
// root; the verifying key lies beside the log for everyone.
func logKey(dir string, keys *keyring) (note.Signer, error) {
	const name = "log-signing-key"
	var text []byte
	err := keys.update(contextForever, func(t keysTx) (err error) {
		if text, err = t.lookupBytes(bSystem, asSystemKey, name); !errors.Is(err, errNoKey) {
			return err
		}
		id := make([]byte, 8)
		rand.Read(id)
		skey, vkey, err := note.GenerateKey(rand.Reader, "consentgate/"+hex.EncodeToString(id))
		if err != nil {
			return err
		}
		text = []byte(skey + "\n" + vkey)
		return t.Bucket(bSystem).Put([]byte(name), seal(t.root, asSystemKey, name, text))
	})
	if err != nil {
		return nil, fmt.Errorf("the log's signing key: %w", err)
	}
	skey, vkey, ok := strings.Cut(string(text), "\n")
	if !ok {
		return nil, errors.New("the log's signing key isn't readable")
	}
	path := filepath.Join(dir, VerifierFile)
	published, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the log's verifier key: %w", err)
	}
	if string(published) != vkey+"\n" { // missing, or somebody put another there
		if err := durable.WriteFile(path, []byte(vkey+"\n"), 0o644); err != nil {
			return nil, err
		}
	}
	return note.NewSigner(skey)
}

// Append makes a consent record durable: consent.Ledger. A grant's own key is
// durable before its record is, for the record is sealed under it.
func (a *Audit) Append(ctx context.Context, r consent.Record) (uint64, error) {
	n := newEntry{kind: TypeConsent, payload: r.Encode()}
	switch {
	case r.Kind == consent.Granted:
		n.opens = r.Hash()
		n.grant = n.opens
		if err := a.keys.grantMade(ctx, n.grant, r.Purpose); err != nil {
			return 0, fmt.Errorf("making the grant's key: %w", err)
		}
	case r.Kind == consent.Failed && r.Grant != nil:
		n.closes = *r.Grant
	case r.Kind == consent.Withdrawn, r.Kind == consent.Failed:
	default: // it testifies that nothing is recorded: nothing hangs on when
		n.later = true
	}
	if r.Grant != nil {
		n.grant = *r.Grant
	}
	seq, err := a.append(ctx, n)
	return uint64(seq), err
}

// newEntry is one to write. opens and closes name a grant whose account it
// opens or ends. An end is left out where the grant has one already: a write
// that was given up may have become durable after all, and is tried again.
type newEntry struct {
	kind          string
	payload       []byte
	grant         consent.Hash // under whose key the payload is sealed, and goes with; zero, or without a key: the month's
	opens, closes consent.Hash
	end           bool
	later         bool // it may wait for others to be written with
	// within gives the payload where that needs the transaction; else nil.
	within func(tx *bolt.Tx) ([]byte, error)
	erases consent.Hash // whose mark the leaf bears although the payload stays
	before int64        // of payloads.erased: where it stops; 0: it is another entry
}

// mark is what the leaf bears of a grant: that the payload goes with it, being
// sealed under its key, or that it is the grant's erasure.
func (n newEntry) mark(keyName string) scope {
	switch {
	case n.before > 0:
		return markBefore(n.before)
	case n.erases != (consent.Hash{}):
		return scopeOf(n.erases)
	case strings.HasPrefix(keyName, ofGrant):
		return scopeOf(n.grant)
	}
	return scope{}
}

// noEntry is the index of an entry that was left out.
const noEntry = -1

func (a *Audit) appendJSON(ctx context.Context, kind string, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = a.append(ctx, newEntry{kind: kind, payload: payload})
	return err
}

// appendEnd logs a grant's end, unless it has one: then its index is noEntry.
func (a *Audit) appendEnd(ctx context.Context, kind string, v any, grant consent.Hash) (int64, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	return a.append(ctx, newEntry{kind: kind, payload: payload, grant: grant, closes: grant, end: true})
}

func (a *Audit) append(ctx context.Context, n newEntry) (int64, error) {
	seq, err := a.tryAppend(ctx, n)
	if errors.Is(err, errNoKey) { // the month ended meanwhile
		seq, err = a.tryAppend(ctx, n)
	}
	return seq, err
}

func (a *Audit) tryAppend(ctx context.Context, n newEntry) (int64, error) {
	start := time.Now()
	now, _ := a.clock()
	if _, err := a.keys.made(ctx, bKEK, asBucketKey, a.monthOf(now)); err != nil {
		return 0, fmt.Errorf("the audit log's key: %w", err)
	}
	var seq int64 // written by the committer; read here only after it answered
	err := a.submit(ctx, &write{later: n.later, after: func() { a.account(n, seq) }, do: func(tx *bolt.Tx) error {
		seq = noEntry
		if n.end && tx.Bucket(bOpen).Get(n.closes[:]) == nil {
			return nil
		}
		seq = sizeOf(tx)
		return a.entry(tx, seq, n)
	}})
	if err != nil {
		return 0, fmt.Errorf("appending to the audit log: %w", err)
	}
	a.metrics.appendSeconds.Observe(time.Since(start).Seconds())
	return seq, nil
}

// entry seals one and puts it. The key is looked up here: an erasure that came
// before in the queue has taken it away, one that comes later takes the payload.
func (a *Audit) entry(tx *bolt.Tx, seq int64, n newEntry) error {
	payload, err := n.payload, error(nil)
	if n.within != nil {
		if payload, err = n.within(tx); err != nil {
			return err
		}
	}
	now, _ := a.clock()
	name, k, err := a.keys.sealingKey(n.grant, a.monthOf(now))
	if err != nil {
		return fmt.Errorf("the audit log's key: %w", err)
	}
	salt, commitment := commitTo(payload)
	l := leaf{Seq: seq, At: now.UTC().Truncate(time.Millisecond), Type: n.kind, Commitment: commitment, Scope: n.mark(name)}
	if seq == 0 {
		l.Scope = marksKept
	}
	return errors.Join(putPayload(tx, l, name, k, append(salt[:saltSize:saltSize], payload...)), a.put(tx, l, n))
}

// appendOnly is how full pages are left behind: nothing is ever put between two
// entries. bbolt's default is half.
const appendOnly = 0.95

// put writes one entry's leaf. The tree's state is read from the transaction, never
// from memory: a transaction that failed leaves nothing behind.
func (a *Audit) put(tx *bolt.Tx, l leaf, n newEntry) error {
	hashes, err := tlog.StoredHashesForRecordHash(l.Seq, tlog.RecordHash(l.text()), hashReader(tx))
	if err != nil {
		return err
	}
	for _, b := range [][]byte{bLeaf, bHash, bPayload} {
		tx.Bucket(b).FillPercent = appendOnly
	}
	first := tlog.StoredHashIndex(0, l.Seq)
	for i, h := range hashes {
		if err := tx.Bucket(bHash).Put(seqKey(first+int64(i)), h[:]); err != nil {
			return err
		}
	}
	err = errors.Join(tx.Bucket(bLeaf).Put(seqKey(l.Seq), l.text()), tx.Bucket(bMeta).Put(kSize, seqKey(l.Seq+1)))
	if n.opens != (consent.Hash{}) {
		err = errors.Join(err, tx.Bucket(bOpen).Put(n.opens[:], seqKey(l.Seq)))
	}
	if n.closes != (consent.Hash{}) {
		err = errors.Join(err, tx.Bucket(bOpen).Delete(n.closes[:]))
	}
	return err
}

func seqKey(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func hashReader(tx *bolt.Tx) tlog.HashReader {
	b := tx.Bucket(bHash)
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, n := range indexes {
			v := b.Get(seqKey(n))
			if len(v) != tlog.HashSize {
				return nil, fmt.Errorf("the log's hash %d is missing", n)
			}
			out[i] = tlog.Hash(v)
		}
		return out, nil
	})
}

// checkpoint signs the tree at the end of each transaction (C2SP tlog-checkpoint).
func (a *Audit) checkpoint(tx *bolt.Tx) error {
	size := sizeOf(tx)
	root, err := tlog.TreeHash(size, hashReader(tx))
	if err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: Checkpoint{Origin: a.origin, Size: size, Root: root}.Text()}, a.signer)
	if err != nil {
		return err
	}
	return tx.Bucket(bMeta).Put(kCheckpoint, signed)
}

// account keeps the balance of grants. The committer calls it.
func (a *Audit) account(n newEntry, seq int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.size = max(a.size, seq+1)
	if n.opens != (consent.Hash{}) {
		a.open[n.opens] = time.Now()
	}
	if _, open := a.open[n.closes]; open && n.kind != TypeSealed {
		a.metrics.recordings.WithLabelValues("failed").Inc()
	}
	delete(a.open, n.closes)
}

// openGrants lists the grants without an end, and when this process saw them
// granted; the zero time for those from before.
func (a *Audit) openGrants() map[consent.Hash]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[consent.Hash]time.Time, len(a.open))
	for h, at := range a.open {
		out[h] = at
	}
	return out
}

// isOpen reports whether a grant has no end yet.
func (a *Audit) isOpen(grant consent.Hash) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, open := a.open[grant]
	return open
}

// Origin is the log's name, in its checkpoints: no other log has it.
func (a *Audit) Origin() string { return a.origin }

// Size is the number of entries.
func (a *Audit) Size() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.size
}

// Checkpoint returns the latest signed checkpoint; nil before the first entry.
func (a *Audit) Checkpoint() (signed []byte, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		signed = append(signed, tx.Bucket(bMeta).Get(kCheckpoint)...)
		return nil
	})
	return signed, err
}
