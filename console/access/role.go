// Package access says who somebody is and what they may do: roles, the table of
// routes, users and their proofs.
package access

import (
	"context"
	"errors"
)

// Role is what somebody is to the gate. There are four; each has what its work
// needs and no more (GDPR Art. 25(2), 32(1)(b)).
type Role string

// The roles.
const (
	Operator  Role = "operator"   // keeps the trunk running: live calls, no audio, no numbers in full
	AgentLead Role = "agent-lead" // trains: finds and plays for a consented purpose
	Officer   Role = "officer"    // answers to data subjects: all of that, exports, holds, erases
	Auditor   Role = "auditor"    // checks: the log, receipts, verification; no audio
)

// Roles is every role, in the order of documents.
var Roles = []Role{Operator, AgentLead, Officer, Auditor}

// Principal is somebody who proved who they are.
type Principal struct {
	Name string // stamped on audit entries as "by"
	Role Role
	Via  string // how they proved it: token, password, oidc
}

// SeesNumbers reports whether the work of the principal's role needs telephone
// numbers in full.
func (p Principal) SeesNumbers() bool { return p.Role == Officer || p.Role == AgentLead }

type principalKey struct{}

// With returns a context that carries p.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns who makes a request; false: nobody proved to be anybody.
func From(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// ErrNobody says that a request brings no proof of who makes it.
var ErrNobody = errors.New("not logged in")
