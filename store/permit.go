package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"consentgate/store/evidence"
	"consentgate/store/rights"
)

// Permit lets a restricted recording be used, for one of the reasons that GDPR
// Art. 18(2) leaves. Only the store makes one, and the log has it before. It is
// for one use and isn't kept.
type Permit struct{ recording string }

// Use is what a recording is used for, as its entries in the log are called.
type Use string

const (
	Play   Use = "recording.played"
	Export Use = "recording.exported"
)

// PermitClaims lets a recording be used to establish, exercise or defend a legal
// claim; kase names it. The use is in the log when it returns.
func (s *Store) PermitClaims(ctx context.Context, id string, u Use, a rights.Act, kase string) (Permit, error) {
	if strings.TrimSpace(kase) == "" || strings.TrimSpace(a.By) == "" || strings.TrimSpace(a.Reason) == "" {
		return Permit{}, fmt.Errorf("%w: who, for which claim, and why must be given", rights.ErrIncomplete)
	}
	return s.permit(ctx, id, u, permitEvent{Recording: id, By: a.By, Why: evidence.LegalClaims, Reason: a.Reason, Case: kase})
}

// PermitRequest lets a recording be given to its subject, who asked for it in an
// access or portability request that is being carried out: that is their
// consent.
func (s *Store) PermitRequest(ctx context.Context, id string, a rights.Act, request string) (Permit, error) {
	r, err := s.Request(request)
	if err != nil {
		return Permit{}, err
	}
	if !r.Kind.Discloses() || r.State != rights.InProgress || !slices.Contains(r.Outstanding, id) {
		return Permit{}, fmt.Errorf("%w: request %s isn't one that recording %s is given away in now", rights.ErrOutOfOrder, request, id)
	}
	return s.permit(ctx, id, Export, permitEvent{Recording: id, By: a.By, Why: evidence.SubjectAccess, Reason: a.Reason, Request: request})
}

func (s *Store) permit(ctx context.Context, id string, u Use, ev permitEvent) (Permit, error) {
	r, ok, err := s.row(id)
	if err != nil || !ok {
		return Permit{}, errors.Join(err, notFoundUnless(ok))
	}
	if err := s.audit.appendOf(ctx, string(u), ev, r.Grant); err != nil {
		return Permit{}, err
	}
	return Permit{id}, nil
}

// errNoPermit is for the zero Permit.
var errNoPermit = errors.New("the permit isn't one that the store gave")

// WAVBy is WAV by a permit.
func (s *Store) WAVBy(ctx context.Context, p Permit, w io.Writer) (Reading, error) {
	if p.recording == "" {
		return Reading{}, errNoPermit
	}
	return s.render(ctx, p.recording, w, WAVOptions{})
}
