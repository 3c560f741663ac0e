package office

import (
	"context"
	"time"

	"consentgate/console/access"
	"consentgate/store"
)

// System is how the gate is.
type System struct {
	Node, Version string
	Started       time.Time
	FourEyes      bool
	Calls         int
	Store         *store.Health // nil: it isn't open
}

// System tells how the gate is. An error comes beside what could be told.
func (o *Office) System() (System, error) {
	out := System{Node: o.c.Node, Version: o.c.Version, Started: o.started, FourEyes: o.c.FourEyes}
	if o.c.Calls != nil {
		out.Calls = len(o.c.Calls.Calls())
	}
	s := o.c.Store()
	if s == nil {
		return out, nil
	}
	h, err := s.Health()
	out.Store = &h
	return out, err
}

// ConfirmRetention lets go what a run of the retention was stopped over.
func (o *Office) ConfirmRetention(ctx context.Context, p access.Principal, reason string) error {
	s, err := o.store()
	if err != nil {
		return err
	}
	return s.ConfirmRetention(ctx, o.act(p, reason))
}
