package api

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"consentgate/console/access"
	"consentgate/console/office"
)

// Config says what an API is of.
type Config struct {
	Office *office.Office
	URL    string           // https://HOST, by which others reach it; "": it isn't known
	Log    *slog.Logger     // nil: none
	Now    func() time.Time // nil: the machine's clock
	Write  time.Duration    // for each part of a long answer; 0: 30 s
	Place  *time.Location   // whose days requests are due on; nil: the machine's
}

// API is made by New.
type API struct {
	office   *office.Office
	url      string
	log      *slog.Logger
	now      func() time.Time
	write    time.Duration
	place    *time.Location
	replays  *replays
	document []byte
}

// New makes an API.
func New(c Config) *API {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Place == nil {
		c.Place = time.Local
	}
	return &API{office: c.Office, url: c.URL, log: c.Log, now: c.Now, write: cmp.Or(c.Write, 30*time.Second), place: c.Place,
		replays: newReplays(c.Now), document: document()}
}

// Routes are the handlers by their patterns, to be put behind the guard of
// access.Table.
func (a *API) Routes() map[string]http.Handler {
	out := map[string]http.Handler{}
	for _, r := range routes {
		out[r.pattern] = a.handler(r)
	}
	return out
}

// handler serves a route: it holds the request to the table, and tells errors.
func (a *API) handler(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		who, _ := access.From(req.Context())
		c := &call{API: a, route: r, w: w, r: req, who: who, rc: http.NewResponseController(w)}
		err := c.check()
		if err == nil {
			err = c.serve()
		}
		if err != nil {
			c.fail(err)
		}
	})
}

// serve answers a request that is sound; one that was made before, and brings the
// key that says so, as it was then.
func (c *call) serve() error {
	if key := c.r.Header.Get("Idempotency-Key"); key != "" && c.r.Method == http.MethodPost {
		return c.replays.serve(c, key)
	}
	return c.route.serve(c)
}

// Deny turns away who isn't logged in, or may not, and what there is no route for.
func (a *API) Deny(w http.ResponseWriter, r *http.Request, status int) {
	p := problem{Status: status, Name: problemNames[status]}
	if status == http.StatusUnauthorized { // RFC 6750 section 3
		challenge := `Bearer realm="consentgate"`
		if r.Header.Get("Authorization") != "" {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if status == http.StatusForbidden && r.Header.Get("Authorization") == "" {
		p.Detail = "a session's writes must come from the console's own address with the session's X-CSRF-Token; or your role doesn't include it"
	}
	p.write(w)
}
