package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// exportFormat names the first line of an export.
const exportFormat = "consentgate-audit-export-1"

// exportHeader is an export's first line; an Entry a line follows.
type exportHeader struct {
	Format     string `json:"format"`
	VKey       string `json:"vkey"`
	Checkpoint string `json:"checkpoint"`
}

// maxExportLine bounds what a line of an export may hold, in bytes.
const maxExportLine = 1 << 20

// Export writes the whole audit log as JSON lines, payloads in the clear: it
// holds personal data. VerifyExport checks it.
func (s *Store) Export(w io.Writer) error {
	return s.audit.db.View(func(tx *bolt.Tx) error {
		return export(tx, s.dir, s.keys.payloadKey, w)
	})
}

// ExportDir exports the log of a data directory, or of a copy of one. Nothing
// written to w counts unless it returns nil.
func ExportDir(dir, rootFile string, w io.Writer) error {
	begun := false
	return view(filepath.Join(dir, auditFile), func(tx *bolt.Tx) error {
		if begun {
			return errors.New("the log changed while it was exported; try again")
		}
		begun = true
		keys, err := payloadKeys(dir, rootFile)
		if err != nil {
			return err
		}
		return export(tx, dir, keys.get, w)
	})
}

func export(tx *bolt.Tx, dir string, keks func(string) (key, bool), w io.Writer) error {
	vkey, err := os.ReadFile(filepath.Join(dir, VerifierFile))
	if err != nil {
		return fmt.Errorf("reading the log's verifier key: %w", err)
	}
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	if err := enc.Encode(exportHeader{exportFormat, strings.TrimSpace(string(vkey)),
		string(tx.Bucket(bMeta).Get(kCheckpoint))}); err != nil {
		return err
	}
	err = tx.Bucket(bLeaf).ForEach(func(k, text []byte) error {
		l, err := parseLeaf(text)
		if err != nil {
			return err
		}
		salt, payload, _, _ := openPayload(tx.Bucket(bPayload).Get(k), text, keks)
		return enc.Encode(Entry{l.Seq, l.At, l.Type, string(text), salt, payload})
	})
	return errors.Join(err, out.Flush())
}

// Entries calls f for each entry from seq on, in order, until f says no.
func (s *Store) Entries(from int64, f func(Entry) bool) error {
	return s.audit.db.View(func(tx *bolt.Tx) error {
		cur := tx.Bucket(bLeaf).Cursor()
		for k, text := cur.Seek(seqKey(from)); k != nil; k, text = cur.Next() {
			l, err := parseLeaf(text)
			if err != nil {
				return err
			}
			salt, payload, _, _ := openPayload(tx.Bucket(bPayload).Get(k), text, s.keys.payloadKey)
			if !f(Entry{l.Seq, l.At, l.Type, string(text), salt, payload}) {
				return nil
			}
		}
		return nil
	})
}

// VerifyExport checks an export by itself: signature, tree, commitments, and an
// older checkpoint if one is given. vkey is the log's key as the auditor knows
// it; "" trusts the one in the export.
func VerifyExport(r io.Reader, vkey string, older []byte) (Report, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxExportLine)
	if !lines.Scan() {
		return Report{}, errors.Join(errors.New("the export is empty"), lines.Err())
	}
	var h exportHeader
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil || h.Format != exportFormat {
		return Report{}, fmt.Errorf("line 1 isn't the header of an export (%q)", exportFormat)
	}
	if vkey != "" && strings.TrimSpace(vkey) != h.VKey {
		return Report{}, errors.New("the export is of another log: its verifier key isn't the one given")
	}
	c, err := newChecker([]byte(h.Checkpoint), h.VKey, older)
	if err != nil {
		return Report{}, err
	}
	for line := 2; lines.Scan(); line++ {
		e, err := parseEntry(lines.Bytes())
		if err != nil {
			return Report{}, fmt.Errorf("line %d isn't an entry: %w", line, err)
		}
		c.exported(e)
	}
	if err := lines.Err(); err != nil {
		return Report{}, fmt.Errorf("reading the export: %w", err)
	}
	return c.end(), nil
}

// parseEntry reads an export's line strictly: what isn't read isn't verified.
func parseEntry(line []byte) (e Entry, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, err
	}
	if d.More() {
		return e, errors.New("there is more behind it")
	}
	return e, nil
}

// exported takes an export's entry: what it says beside its leaf must agree
// with the leaf, for people read the former.
func (c *checker) exported(e Entry) {
	wrong := ""
	if l, err := parseLeaf([]byte(e.Leaf)); err == nil && (l.Seq != e.Seq || l.Type != e.Type || !l.At.Equal(e.At)) {
		wrong = "the entry's fields don't agree with its leaf"
	}
	if (e.Salt == nil) != (e.Payload == nil) {
		wrong = "salt and payload belong together: one is missing"
	}
	c.entry([]byte(e.Leaf), e.Salt, e.Payload, e.Salt != nil, wrong)
}
