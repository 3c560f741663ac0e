package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/rootcell"
	"consentgate/store/witness"
)

// exportFormat names the first line of an export.
const exportFormat = "consentgate-audit-export-1"

// exportHeader is an export's first line; an Entry a line follows.
type exportHeader struct {
	Format     string `json:"format"`
	VKey       string `json:"vkey"`
	Checkpoint string `json:"checkpoint"`
	// Witnessed are the newest checkpoints with their witnesses' cosignatures.
	Witnessed []string `json:"witnessed,omitempty"`
}

// maxExportLine bounds what a line of an export may hold, in bytes.
const maxExportLine = 1 << 20

// Export writes the whole audit log as JSON lines, payloads in the clear: it
// holds personal data. VerifyExport checks it.
func (s *Store) Export(w io.Writer) error { return s.exportTo(w, true) }

// ExportSealed is Export without payloads: who has it can check that the log is
// whole, and not what it says.
func (s *Store) ExportSealed(w io.Writer) error { return s.exportTo(w, false) }

func (s *Store) exportTo(w io.Writer, payloads bool) error {
	signed, err := s.audit.Checkpoint()
	if err != nil {
		return err
	}
	vkey, err := s.audit.verifierKey()
	if err != nil {
		return err
	}
	now, err := ParseCheckpoint(signed, vkey)
	if err != nil {
		return err
	}
	out, err := newExporter(w, vkey, signed, s.dir)
	if err != nil {
		return err
	}
	scanErr := s.Entries(0, func(e Entry) bool {
		if !payloads {
			e.Salt, e.Payload = nil, nil
		}
		if e.Seq < now.Size { // later ones aren't in the checkpoint
			err = out.enc.Encode(e)
		}
		return err == nil && e.Seq < now.Size
	})
	return errors.Join(scanErr, err, out.buf.Flush())
}

// exporter writes an export's lines.
type exporter struct {
	buf *bufio.Writer
	enc *json.Encoder
}

// newExporter begins with the header.
func newExporter(w io.Writer, vkey string, signed []byte, dir string) (exporter, error) {
	buf := bufio.NewWriter(w)
	e := exporter{buf, json.NewEncoder(buf)}
	h := exportHeader{Format: exportFormat, VKey: strings.TrimSpace(vkey), Checkpoint: string(signed)}
	now, err := ParseCheckpoint(signed, vkey)
	if err != nil {
		return e, err
	}
	notes, err := witness.Notes(dir)
	if err != nil {
		return e, err
	}
	for _, n := range notes {
		if c, err := ParseCheckpoint(n, vkey); err == nil && c.Size <= now.Size { // else it came since
			h.Witnessed = append(h.Witnessed, string(n))
		}
	}
	return e, e.enc.Encode(h)
}

// ExportCell exports the log of a data directory, or of a copy of one; without
// payloads if there is no root cell (nil). Nothing written to w counts unless it
// returns nil. ctx bounds how long the cell may take.
func ExportCell(ctx context.Context, dir string, cell rootcell.Cell, w io.Writer) error {
	begun := false
	return view(filepath.Join(dir, auditFile), func(tx *bolt.Tx) error {
		return withKeys(ctx, dir, cell, func(keys payloadKeys, _ grantSet) error {
			if begun {
				return errors.New("the log changed while it was exported; try again")
			}
			begun = true
			return export(tx, dir, keys, w)
		})
	})
}

// export writes the log of a database that nobody writes.
func export(tx *bolt.Tx, dir string, keys payloadKeys, w io.Writer) error {
	vkey, err := readVerifier(dir)
	if err != nil {
		return err
	}
	out, err := newExporter(w, vkey, tx.Bucket(bMeta).Get(kCheckpoint), dir)
	if err != nil {
		return err
	}
	err = tx.Bucket(bLeaf).ForEach(func(k, text []byte) error {
		e, err := entryOf(tx, k, text, keys)
		if err != nil {
			return err
		}
		return out.enc.Encode(e)
	})
	return errors.Join(err, out.buf.Flush())
}

// VerifyExport is Auditor.VerifyExport of one who brings key and checkpoints only.
func VerifyExport(r io.Reader, vkey string, kept ...[]byte) (Report, error) {
	return Auditor{VKey: vkey, Kept: kept}.VerifyExport(r)
}

// VerifyExport checks an export by itself: signature, tree, commitments,
// erasures, and what the auditor brought.
func (a Auditor) VerifyExport(r io.Reader) (Report, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxExportLine)
	if !lines.Scan() {
		return Report{}, errors.Join(errors.New("the export is empty"), lines.Err())
	}
	var h exportHeader
	if err := strictJSON(lines.Bytes(), &h); err != nil || h.Format != exportFormat {
		return Report{}, fmt.Errorf("line 1 isn't the header of an export (%q)", exportFormat)
	}
	if err := a.knows(h.VKey); err != nil {
		return Report{}, err
	}
	for _, w := range h.Witnessed {
		a.Kept = append(a.Kept[:len(a.Kept):len(a.Kept)], []byte(w))
	}
	c, err := newChecker([]byte(h.Checkpoint), h.VKey, a.Kept...)
	if err != nil {
		return Report{}, err
	}
	for line := 2; lines.Scan(); line++ {
		var e Entry
		if err := strictJSON(lines.Bytes(), &e); err != nil {
			return Report{}, fmt.Errorf("line %d isn't an entry: %w", line, err)
		}
		c.exported(e)
	}
	if err := lines.Err(); err != nil {
		return Report{}, fmt.Errorf("reading the export: %w", err)
	}
	err = c.cosigned(a.Witnesses)
	return c.end(), err
}

// strictJSON reads an export's line strictly: what isn't read isn't verified.
func strictJSON(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is more behind it")
	}
	return nil
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
	state := payloadOpened
	if e.Salt == nil {
		state = payloadMissing
	}
	c.entry([]byte(e.Leaf), e.Salt, e.Payload, state, wrong)
}
