package office

import (
	"context"
	"fmt"
	"io"
	"time"

	"consentgate/console/access"
	"consentgate/store"
)

// AuditEntry is an entry of the audit log. Payload is JSON; nil where it was erased.
type AuditEntry struct {
	Seq     int64
	At      time.Time
	Type    string
	Leaf    string
	Payload []byte
}

// MaxEntries is how many entries a page of the log has at most.
const MaxEntries = 1000

// AuditEntries lists entries of the log after one; -1 is from the beginning. kind is
// the type that is wanted; "" is all. more says that others follow.
func (o *Office) AuditEntries(ctx context.Context, p access.Principal, after int64, limit int, kind string) (out []AuditEntry, more bool, err error) {
	s, err := o.store()
	if err != nil {
		return nil, false, err
	}
	if after < -1 || limit < 1 || limit > MaxEntries {
		return nil, false, fmt.Errorf("%w: after is an entry's number, limit 1 to %d", ErrInput, MaxEntries)
	}
	each := func(e store.Entry) bool { return shownEntry(ctx, p, e, limit, &out, &more) }
	if kind == "" {
		err = s.Entries(after+1, each)
	} else {
		_, err = s.EntriesOf(after+1, map[string]bool{kind: true}, each)
	}
	if err == nil {
		err = ctx.Err()
	}
	return out, more, err
}

// shownEntry adds an entry to a page as somebody's role sees it, and reports whether
// another is wanted. more becomes true where the page is full.
func shownEntry(ctx context.Context, p access.Principal, e store.Entry, limit int, page *[]AuditEntry, more *bool) bool {
	if len(*page) == limit {
		*more = true
		return false
	}
	a := AuditEntry{Seq: e.Seq, At: e.At, Type: e.Type, Leaf: e.Leaf}
	if e.Payload != nil {
		a.Payload = shownPayload(p, e.Payload)
	}
	*page = append(*page, a)
	return ctx.Err() == nil
}

// AuditExport writes the whole log as JSON lines, for 'consentgate verify --export'.
// What entries say goes to those only who see numbers. The log has who took it.
func (o *Office) AuditExport(ctx context.Context, p access.Principal, w io.Writer) error {
	s, err := o.store()
	if err != nil {
		return err
	}
	if err := s.Audit().Note(ctx, store.LogTaken{By: p.Name, Payloads: p.SeesNumbers()}); err != nil {
		return err
	}
	if p.SeesNumbers() {
		return s.Export(w)
	}
	return s.ExportSealed(w)
}

// Checkpoint is the log's latest, a signed note.
func (o *Office) Checkpoint() ([]byte, error) {
	s, err := o.store()
	if err != nil {
		return nil, err
	}
	return s.Audit().Checkpoint()
}

// VerifierKey is the key that checkpoints, proofs and certificates are checked with.
func (o *Office) VerifierKey() (string, error) {
	s, err := o.store()
	if err != nil {
		return "", err
	}
	return s.Audit().VerifierKey()
}

// ProveEntry proves that an entry is in the log. Its payload goes to those only who
// see numbers.
func (o *Office) ProveEntry(p access.Principal, seq int64) (store.Proof, error) {
	s, err := o.store()
	if err != nil {
		return store.Proof{}, err
	}
	return s.Audit().ProveEntry(seq, p.SeesNumbers())
}

// ProveSince proves that the log continues an older checkpoint.
func (o *Office) ProveSince(older []byte) (store.Proof, error) {
	s, err := o.store()
	if err != nil {
		return store.Proof{}, err
	}
	return s.Audit().ProveSince(older)
}

// VerifyLog checks the whole log, one at a time. ErrBusy: somebody else does.
func (o *Office) VerifyLog(ctx context.Context) (store.Report, error) {
	s, err := o.store()
	if err != nil {
		return store.Report{}, err
	}
	if o.c.Verify == nil {
		return store.Report{}, ErrUnavailable
	}
	select {
	case o.verifying <- struct{}{}:
		defer func() { <-o.verifying }()
	default:
		return store.Report{}, ErrBusy
	}
	return o.c.Verify(ctx, s.Export)
}
