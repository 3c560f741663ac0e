package office

import (
	"context"
	"fmt"

	"consentgate/console/access"
	"consentgate/store"
)

// AuditLatest lists entries of the log, the newest first, before one; -1 is from the
// end. kind is the type that is wanted; "" is all. more says that there are older ones.
func (o *Office) AuditLatest(ctx context.Context, p access.Principal, before int64, limit int, kind string) (out []AuditEntry, more bool, err error) {
	s, err := o.store()
	if err != nil {
		return nil, false, err
	}
	if limit < 1 || limit > MaxEntries {
		return nil, false, fmt.Errorf("%w: limit is 1 to %d", ErrInput, MaxEntries)
	}
	err = s.EntriesBefore(before, kind, func(e store.Entry) bool {
		return shownEntry(ctx, p, e, limit, &out, &more)
	})
	if err == nil {
		err = ctx.Err()
	}
	return out, more, err
}

// Counts tells how many recordings there are, by purpose and state.
func (o *Office) Counts() ([]store.Count, error) {
	s, err := o.store()
	if err != nil {
		return nil, err
	}
	return s.Counts()
}

// FourEyes reports whether exports and erasures wait for a second officer.
func (o *Office) FourEyes() bool { return o.c.FourEyes }
