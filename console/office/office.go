package office

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/store"
	"consentgate/store/evidence"
	"consentgate/store/rights"
)

// Config says what an office works with.
type Config struct {
	Store      func() *store.Store // returns nil while the data directory isn't open
	Calls      Calls               // nil: live calls can't be seen
	Controller consent.Controller
	Setting    evidence.Setting // what documents say of the controller
	FourEyes   bool             // exports and erasures wait for a second officer
	AtOnce     bool             // the store makes each erasure final at once: who erases waits for that, some seconds
	Node       string
	Version    string
	// Verify checks an export of the audit log, which export writes, where nothing
	// that is wrong with it can hurt; nil: logs can't be verified here.
	Verify func(ctx context.Context, export func(io.Writer) error) (store.Report, error)
	// Found is told which recordings a user's search came to, and must not wait: the
	// time of an answer may tell nobody that there is one that is watched. nil: nobody
	// is told.
	Found func(user string, recordings ...string)
	Log   *slog.Logger     // nil: none
	Now   func() time.Time // nil: the machine's clock
}

// Office is made by New. Its methods are safe for concurrent use.
type Office struct {
	c         Config
	started   time.Time
	plays     plays
	approvals approvals
	verifying chan struct{} // holds one token while somebody verifies
	turns     turns         // of those who read recordings
}

// New opens an office.
func New(c Config) *Office {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Store == nil {
		c.Store = func() *store.Store { return nil }
	}
	if c.Found == nil {
		c.Found = func(string, ...string) {}
	}
	o := &Office{c: c, started: c.Now(), verifying: make(chan struct{}, 1), turns: newTurns()}
	o.plays.now, o.approvals.now = c.Now, c.Now
	return o
}

// store is the store, or ErrClosed.
func (o *Office) store() (*store.Store, error) {
	if s := o.c.Store(); s != nil {
		return s, nil
	}
	return nil, ErrClosed
}

// recording is the store with a recording that is there. What can't be the name of
// one isn't looked for.
func (o *Office) recording(id string) (*store.Store, store.Summary, error) {
	s, err := o.store()
	if err != nil {
		return nil, store.Summary{}, err
	}
	if !isID(id) {
		return nil, store.Summary{}, store.ErrNotFound
	}
	sum, err := s.Get(id)
	return s, sum, err
}

// isID reports whether a string can be the name of something in the store: base32
// in small letters.
func isID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// act is what somebody does now, for a reason.
func (o *Office) act(p access.Principal, reason string) rights.Act {
	return rights.Act{By: p.Name, At: o.c.Now(), Reason: strings.TrimSpace(reason)}
}
