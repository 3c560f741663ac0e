package store

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/consent"
)

// certificateType is the first line of a certificate: no other note of the log
// begins so.
const certificateType = "consentgate-erasure-certificate-1"

// ErrNotShredded means that an erasure isn't final yet.
var ErrNotShredded = errors.New("the erasure isn't final yet")

// Certificate says that a recording was erased for good, and what that doesn't
// cover. It names no person, and the recording only to who knows its grant.
// Binary fields are base64 in JSON, unless they are said to be in hex.
type Certificate struct {
	Log       string      `json:"log"` // the name in the log's verifier key
	Issued    time.Time   `json:"issued"`
	Erased    ErasedThing `json:"erased"`
	Requested time.Time   `json:"requested"`
	Logical   time.Time   `json:"logical"`  // from then on the gate couldn't read it
	Shredded  time.Time   `json:"shredded"` // from then on nobody, but for what isn't covered
	Cause     Cause       `json:"cause"`
	Given     GivenOut    `json:"given_out"`
	Root      RootChange  `json:"root"`
	Archive   []Elsewhere `json:"archive,omitempty"` // places that had a copy, or may have had
	Proof     LogProof    `json:"proof"`
	NotCover  []string    `json:"does_not_cover"`
}

// ErasedThing commits to what was erased: Commitment (hex) is SHA-256 over
// "consentgate/1/erased-grant", 0, Salt, 0 and the grant's hash in hex, as the
// consent receipt has it.
type ErasedThing struct {
	Commitment string `json:"commitment"`
	Salt       []byte `json:"salt"`
}

// Cause is who had it erased: the subject, an officer, or the system by itself.
// Request (hex) commits to the request's ID as Commitment does to the grant, with
// "consentgate/1/erased-request".
type Cause struct {
	Role    string `json:"role"`
	Kind    string `json:"kind"` // withdrawal, request, asked, retention, other
	Request string `json:"request,omitempty"`
}

// GivenOut counts what the log had of the recording's uses when it was erased.
type GivenOut struct {
	Plays   int `json:"plays"`
	Exports int `json:"exports"`
}

// RootChange is how the key was destroyed that all of it hung under.
type RootChange struct {
	From    uint64    `json:"from"`
	To      uint64    `json:"to"`
	Turned  time.Time `json:"turned"`
	Table   string    `json:"table"`            // SHA-256 of the keys under the new root, in hex
	Backup  string    `json:"backup,omitempty"` // of the new root
	Holders []Holder  `json:"holders"`
}

// Elsewhere is a place that had a copy of the file, which opens for nobody any more.
// What shows that no version of it is there is the entry archive.deleted; nil: that
// is owed still, and a certificate that is made later has it.
type Elsewhere struct {
	Place   string    `json:"place"`
	Deleted time.Time `json:"deleted,omitzero"`
	Proof   *LogProof `json:"proof,omitempty"`
}

// LogProof shows an entry, erasure.shredded or archive.deleted, which names the
// commitment, in the log of a signed checkpoint (RFC 6962 section 2.1.1).
type LogProof struct {
	Index      int64       `json:"index"`
	Leaf       string      `json:"leaf"`
	Salt       []byte      `json:"salt"`
	Payload    []byte      `json:"payload"`
	Hashes     []tlog.Hash `json:"hashes"`
	Checkpoint string      `json:"checkpoint"`
}

// Certificate makes the certificate of a recording's erasure: a note, signed with
// the log's key. It can be made any number of times, each under the newest
// checkpoint. ErrNotFound: nothing of that ID was erased. ErrNotShredded: later.
func (s *Store) Certificate(id string) (signed []byte, err error) {
	e, ok, _, err := s.erasure(id)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, ErrNotFound
	case e.Entry == 0:
		return nil, ErrNotShredded
	}
	c, err := s.audit.certify(e)
	if err != nil {
		return nil, fmt.Errorf("certifying the erasure of recording %s: %w", id, err)
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: certificateType + "\n" + string(text) + "\n"}, s.audit.signer)
}

func (a *Audit) certify(e erasure) (Certificate, error) {
	var ev shreddedEvent
	proof, err := a.prove(e.Entry, &ev)
	if err != nil {
		return Certificate{}, err
	}
	c := Certificate{
		Log:       a.origin,
		Issued:    time.Now().UTC().Truncate(time.Second),
		Erased:    ErasedThing{hex.EncodeToString(e.Commitment), e.Salt},
		Requested: e.Requested.Truncate(time.Second),
		Logical:   e.Logical.Truncate(time.Second),
		Shredded:  e.Shredded,
		Cause:     Cause{e.Cause.Role, e.Cause.Kind, hex.EncodeToString(e.Cause.Request)},
		Given:     GivenOut(e.Given),
		Root:      RootChange{ev.From, ev.To, ev.Turned, ev.Table, ev.Backup, ev.Holders},
		Proof:     proof,
	}
	for _, at := range e.Archive {
		there := Elsewhere{Place: at.Place}
		if at.Entry > 0 {
			var ev deletedEvent
			p, err := a.prove(at.Entry, &ev)
			if err != nil {
				return Certificate{}, err
			}
			there.Deleted, there.Proof = ev.Asked, &p
		}
		c.Archive = append(c.Archive, there)
	}
	c.NotCover = notCovered(c)
	return c, nil
}

// prove reads an entry's payload into v, and gives its proof.
func (a *Audit) prove(seq int64, v any) (p LogProof, err error) {
	err = a.read(func(tx *bolt.Tx) error {
		text := tx.Bucket(bLeaf).Get(seqKey(seq))
		e, err := a.entryOf(tx, seqKey(seq), text)
		if err != nil {
			return err
		}
		if e.Payload == nil {
			return errors.New("what the log says of it is erased (audit.retention), or can't be opened")
		}
		if err := json.Unmarshal(e.Payload, v); err != nil {
			return err
		}
		p = LogProof{Index: seq, Leaf: e.Leaf, Salt: e.Salt, Payload: e.Payload, Checkpoint: string(tx.Bucket(bMeta).Get(kCheckpoint))}
		p.Hashes, err = tlog.ProveRecord(sizeOf(tx), seq, hashReader(tx))
		return err
	})
	return p, err
}

// notCovered is what an erasure can't reach, in sentences.
func notCovered(c Certificate) []string {
	out := []string{
		fmt.Sprintf("copies of the root key of epoch %d, or of an earlier one, that were made before it was destroyed: "+
			"together with a copy of the data directory of then they open what was erased", c.Root.From),
		fmt.Sprintf("what was given out before: by the log it was played %d times and exported %d times; who has it must erase it there "+
			"(GDPR Art. 19)", c.Given.Plays, c.Given.Exports),
		"the memory, swap and core dumps of the machine while it had the key, and who controlled the machine then",
		"that it existed: the log keeps the times and types of its entries, and the recording's ID, which tells nothing of the call",
	}
	for _, at := range c.Archive {
		if at.Proof == nil {
			out = append(out, fmt.Sprintf("versions of the recording's file at %s that weren't all deleted when this was issued: they are encrypted, "+
				"and no key opens them; a later certificate says when they are gone", at.Place))
			continue
		}
		out = append(out, fmt.Sprintf("what others copied from %s before: they are encrypted, and no key opens them", at.Place))
	}
	for _, h := range c.Root.Holders {
		out = append(out, fmt.Sprintf("what the root key's holder %s (%s) doesn't stop: %s", h.Holder, h.Driver, h.Doesnt))
	}
	return out
}

// CheckCertificate checks a certificate with the log's verifier key and nothing
// else: its signature, that the log has the entry that it speaks of, and that the
// entry says the same.
func CheckCertificate(signed []byte, vkey string) (Certificate, error) {
	text, err := openNote(signed, vkey)
	if err != nil {
		return Certificate{}, fmt.Errorf("the certificate's signature: %w", err)
	}
	body, found := strings.CutPrefix(text, certificateType+"\n")
	if !found {
		return Certificate{}, fmt.Errorf("it isn't a certificate of erasure (%q)", certificateType)
	}
	var c Certificate
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil || d.More() {
		return Certificate{}, errors.Join(errors.New("the certificate can't be read"), err)
	}
	return c, c.check(vkey)
}

// openNote checks a note's signature, strictly: no byte can be changed unnoticed.
func openNote(signed []byte, vkey string) (text string, err error) {
	verifier, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return "", fmt.Errorf("the log's verifier key: %w", err)
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return "", err
	}
	for _, sig := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return "", err
		}
	}
	return n.Text, nil
}

func (c Certificate) check(vkey string) error {
	in, err := ParseCheckpoint([]byte(c.Proof.Checkpoint), vkey)
	if err != nil {
		return err
	}
	if c.Log != in.Origin {
		return errors.New("the checkpoint is another log's")
	}
	var ev shreddedEvent
	l, err := c.Proof.open(in, TypeShredded, &ev)
	if err != nil {
		return err
	}
	logged := RootChange{ev.From, ev.To, ev.Turned, ev.Table, ev.Backup, ev.Holders}
	switch {
	case !slices.Contains(ev.Erased, c.Erased.Commitment):
		return fmt.Errorf("entry %d doesn't speak of this erasure", l.Seq)
	case !reflect.DeepEqual(logged, c.Root) || !c.Shredded.Equal(l.At):
		return fmt.Errorf("entry %d says otherwise how the root key was destroyed", l.Seq)
	case len(c.Root.Holders) == 0 || slices.ContainsFunc(c.Root.Holders, func(h Holder) bool { return h.Refusal == "" }):
		return errors.New("no holder of the root key was seen to refuse it")
	}
	for _, at := range c.Archive {
		if err := at.check(c.Erased.Commitment, vkey, c.Log); err != nil {
			return fmt.Errorf("what was at %s: %w", at.Place, err)
		}
	}
	return nil
}

// open checks a proof, and reads the payload of the entry that it shows.
func (p LogProof) open(in Checkpoint, kind string, v any) (leaf, error) {
	l, err := parseLeaf([]byte(p.Leaf))
	if err != nil {
		return l, err
	}
	if l.Seq != p.Index || l.Type != kind {
		return l, fmt.Errorf("the entry isn't %s", kind)
	}
	if l.Seq >= in.Size || tlog.CheckRecord(p.Hashes, in.Size, in.Root, l.Seq, tlog.RecordHash([]byte(p.Leaf))) != nil {
		return l, fmt.Errorf("entry %d isn't in the log of the checkpoint", l.Seq)
	}
	if digest(p.Salt, p.Payload) != l.Commitment {
		return l, fmt.Errorf("the payload isn't that of entry %d", l.Seq)
	}
	if err := json.Unmarshal(p.Payload, v); err != nil {
		return l, fmt.Errorf("the payload of entry %d: %w", l.Seq, err)
	}
	return l, nil
}

// check checks what a certificate says of a place.
func (at Elsewhere) check(commitment, vkey, log string) error {
	if at.Proof == nil {
		if !at.Deleted.IsZero() {
			return errors.New("it is said to be deleted, without a proof")
		}
		return nil
	}
	in, err := ParseCheckpoint([]byte(at.Proof.Checkpoint), vkey)
	if err != nil {
		return err
	}
	var ev deletedEvent
	l, err := at.Proof.open(in, TypeArchiveDeleted, &ev)
	if err != nil {
		return err
	}
	if in.Origin != log || ev.Erased != commitment || ev.Place != at.Place || !ev.Asked.Equal(at.Deleted) {
		return fmt.Errorf("entry %d says otherwise", l.Seq)
	}
	return nil
}

// Of reports whether a certificate is of a grant: its hash is on the consent
// receipt.
func (c Certificate) Of(g consent.Hash) bool {
	sum, err := hex.DecodeString(c.Erased.Commitment)
	return err == nil && bytes.Equal(sum, commit(asErasedGrant, c.Erased.Salt, g.String()))
}
