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

	"consentgate/store/checkpoint"
	"consentgate/store/rootcell"
)

// proofFormat names a proof file.
const proofFormat = "consentgate-proof-1"

// Proof is a small file that proves something of the log to who has its verifier
// key, without the log: that one checkpoint continues another, or that an entry
// is in the log of a checkpoint (RFC 6962 sections 2.1.1 and 2.1.2).
type Proof struct {
	Format string      `json:"format"`
	From   string      `json:"from,omitempty"`  // the older checkpoint, signed; of a proof of consistency
	To     string      `json:"to"`              // the newer one, or the one that the entry is in
	Entry  *Entry      `json:"entry,omitempty"` // of a proof of inclusion; its payload only where that was wanted
	Hashes []tlog.Hash `json:"hashes"`
}

var (
	// ErrNoEntry means that the log has no such entry.
	ErrNoEntry = errors.New("there is no such entry")
	// ErrProof means that what is to be proved isn't so.
	ErrProof = errors.New("it can't be proved")

	errNotContinued = errors.New("the log doesn't continue the checkpoint")
)

// ProveConsistency proves, from the log in a data directory, that one of its
// checkpoints continues another. An error says, too, where it doesn't.
func ProveConsistency(dir string, from, to []byte) (p Proof, err error) {
	vkey, err := readVerifier(dir)
	if err != nil {
		return p, err
	}
	older, err := ParseCheckpoint(from, vkey)
	if err != nil {
		return p, fmt.Errorf("the older checkpoint: %w", err)
	}
	newer, err := ParseCheckpoint(to, vkey)
	if err != nil {
		return p, fmt.Errorf("the newer checkpoint: %w", err)
	}
	if older.Size > newer.Size {
		return p, fmt.Errorf("the older checkpoint has %d entries, the newer one %d: the other way round", older.Size, newer.Size)
	}
	p = Proof{Format: proofFormat, From: string(from), To: string(to)}
	err = view(filepath.Join(dir, auditFile), func(tx *bolt.Tx) error {
		for _, c := range []Checkpoint{older, newer} {
			if err := continues(tx, c); err != nil {
				return err
			}
		}
		p.Hashes, err = proveTree(tx, newer.Size, older.Size)
		return err
	})
	return p, err
}

// proveTree is tlog.ProveTree, which knows no proof from the empty tree.
func proveTree(tx *bolt.Tx, size, older int64) ([]tlog.Hash, error) {
	if older == 0 {
		return nil, nil
	}
	return tlog.ProveTree(size, older, hashReader(tx))
}

// continues checks that the log begins with what a checkpoint speaks of.
func continues(tx *bolt.Tx, c Checkpoint) error {
	if size := sizeOf(tx); c.Size > size {
		return fmt.Errorf("%w of %d entries: it has %d, others were removed", errNotContinued, c.Size, size)
	}
	root, err := tlog.TreeHash(c.Size, hashReader(tx))
	if err != nil {
		return err
	}
	if root != c.Root {
		return fmt.Errorf("%w of %d entries: one of them was changed, removed or moved", errNotContinued, c.Size)
	}
	return nil
}

// ProveEntry proves that an entry is in the log of a data directory, under the
// log's newest checkpoint. With a root cell the payload is opened and goes along,
// in the clear; nil leaves it out.
func ProveEntry(ctx context.Context, dir string, cell rootcell.Cell, seq int64) (p Proof, err error) {
	err = view(filepath.Join(dir, auditFile), func(tx *bolt.Tx) error {
		return withKeys(ctx, dir, cell, func(keys payloadKeys, _ grantSet) error {
			size := sizeOf(tx)
			text := tx.Bucket(bLeaf).Get(seqKey(seq))
			if text == nil || seq >= size {
				return fmt.Errorf("%w: %d, among %d", ErrNoEntry, seq, size)
			}
			e, err := entryOf(tx, seqKey(seq), text, keys)
			if err != nil {
				return err
			}
			hashes, err := tlog.ProveRecord(size, seq, hashReader(tx))
			p = Proof{Format: proofFormat, To: string(tx.Bucket(bMeta).Get(kCheckpoint)), Entry: &e, Hashes: hashes}
			return err
		})
	})
	return p, err
}

// Proven says what a proof proves.
type Proven struct {
	From, To Checkpoint
	Entry    *Entry // nil: of consistency
}

// CheckProof checks a proof with the log's verifier key and nothing else.
func CheckProof(file []byte, vkey string) (out Proven, err error) {
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	var p Proof
	if err := d.Decode(&p); err != nil || d.More() || p.Format != proofFormat {
		return out, fmt.Errorf("it isn't a proof (%q)", proofFormat)
	}
	if out.To, err = ParseCheckpoint([]byte(p.To), vkey); err != nil {
		return out, err
	}
	if out.Entry = p.Entry; p.Entry != nil {
		return out, checkInclusion(p, out.To)
	}
	if out.From, err = ParseCheckpoint([]byte(p.From), vkey); err != nil {
		return out, fmt.Errorf("the older one: %w", err)
	}
	return out, checkpoint.CheckConsistency(out.From, out.To, p.Hashes)
}

func checkInclusion(p Proof, in Checkpoint) error {
	e := p.Entry
	l, err := parseLeaf([]byte(e.Leaf))
	if err != nil || p.From != "" {
		return errLeaf
	}
	if l.Seq != e.Seq || l.Type != e.Type || !l.At.Equal(e.At) || (e.Salt == nil) != (e.Payload == nil) {
		return errors.New("the entry's fields don't agree with its leaf")
	}
	if e.Salt != nil && digest(e.Salt, e.Payload) != l.Commitment {
		return errors.New("the payload isn't the one that was logged")
	}
	if l.Seq >= in.Size || tlog.CheckRecord(p.Hashes, in.Size, in.Root, l.Seq, tlog.RecordHash([]byte(e.Leaf))) != nil {
		return fmt.Errorf("entry %d isn't in the log of %d entries, or the proof is another's", l.Seq, in.Size)
	}
	return nil
}

// readVerifier reads the log's verifier key from a data directory.
func readVerifier(dir string) (string, error) {
	vkey, err := os.ReadFile(filepath.Join(dir, VerifierFile))
	if err != nil {
		return "", fmt.Errorf("reading the log's verifier key: %w", err)
	}
	return string(vkey), nil
}
