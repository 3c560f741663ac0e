package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"consentgate/console"
	"consentgate/console/access"
	"consentgate/console/api"
	"consentgate/console/office"
	"consentgate/internal/sample"
	"consentgate/store"
)

// kit is a console on a real store and a real socket. Every answer that it gets is
// held to the console's own openapi.json.
type kit struct {
	t      *testing.T
	store  *store.Store
	office *office.Office
	calls  *fakeCalls
	server *console.Server
	clock  *clock
	log    *logged
	doc    *described
	hang   atomic.Bool   // verifying waits until hung is closed
	hung   chan struct{} // told that it waits
}

type options struct {
	fourEyes bool
	atOnce   bool
	store    func(*store.Options)
	limits   console.Limits
	noStore  bool
	write    time.Duration
	url      string // of the API, as others are told
}

func newKit(t *testing.T, o options) *kit {
	t.Helper()
	t.Parallel()
	k := &kit{t: t, calls: &fakeCalls{}, clock: &clock{}, log: &logged{}, hung: make(chan struct{})}
	if !o.noStore {
		if o.store == nil {
			o.store = func(*store.Options) {}
		}
		k.store = sample.Open(t, o.store)
	}
	log := slog.New(slog.NewTextHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	k.office = office.New(office.Config{Store: func() *store.Store { return k.store }, Calls: k.calls, FourEyes: o.fourEyes, AtOnce: o.atOnce, Node: "test",
		Version: "1", Now: k.clock.now, Log: log, Verify: func(_ context.Context, export func(io.Writer) error) (store.Report, error) {
			var b bytes.Buffer
			if err := export(&b); err != nil {
				return store.Report{}, err
			}
			if k.hang.Load() {
				k.hung <- struct{}{}
				<-k.hung
			}
			return store.VerifyExport(&b, "")
		}})
	served := api.New(api.Config{Office: k.office, Log: log, Now: k.clock.now, Write: o.write, URL: o.url, Place: time.UTC})
	var err error
	k.server, err = console.New(console.Config{Listen: "127.0.0.1:0", Who: roleTokens{}, Log: log, Limits: o.limits,
		API: console.Part{Routes: served.Routes(), Deny: served.Deny}})
	if err != nil {
		t.Fatal(err)
	}
	k.server.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := k.server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	k.doc = readDocument(t, k.get("", "/api/v1/openapi.json").body)
	return k
}

// roleTokens are users called after their token, which begins with their role:
// "officer", "officer/two".
type roleTokens struct{}

func (roleTokens) Authenticate(r *http.Request) (access.Principal, error) {
	given := r.Header.Get("Authorization")
	if given == "" {
		return access.Principal{}, access.ErrNobody
	}
	name := strings.TrimPrefix(given, "Bearer ")
	role, _, _ := strings.Cut(name, "/")
	if !slices.Contains(access.Roles, access.Role(role)) {
		return access.Principal{}, access.ErrProof
	}
	return access.Principal{Name: name, Role: access.Role(role), Via: "token"}, nil
}

// got is an answer.
type got struct {
	status int
	header http.Header
	body   []byte
	t      *testing.T
}

// into reads the body into v.
func (g got) into(v any) {
	g.t.Helper()
	if err := json.Unmarshal(g.body, v); err != nil {
		g.t.Fatalf("%d %s: %v", g.status, g.body, err)
	}
}

// problem is the name of the problem that it is; "": it is none.
func (g got) problem() string {
	var p struct{ Type string }
	if g.header.Get("Content-Type") != "application/problem+json" || json.Unmarshal(g.body, &p) != nil {
		return ""
	}
	return strings.TrimPrefix(p.Type, "urn:consentgate:problem:")
}

// want fails the test unless the answer is of a status, and a problem of a name.
func (g got) want(status int, problem string) got {
	g.t.Helper()
	if g.status != status || g.problem() != problem {
		g.t.Fatalf("%d %q: %s; want %d %q", g.status, g.problem(), g.body, status, problem)
	}
	return g
}

func (k *kit) get(as, path string, headers ...string) got {
	k.t.Helper()
	return k.do(as, "GET", path, "", headers...)
}

// do asks, as somebody ("": as nobody), and holds the answer to the description.
// Headers are names and values in turn.
func (k *kit) do(as, method, path, body string, headers ...string) got {
	k.t.Helper()
	r, err := http.NewRequest(method, k.server.URL()+path, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	if as != "" {
		r.Header.Set("Authorization", "Bearer "+as)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			r.Host = headers[i+1] // net/http sends this one
		}
	}
	res, err := client.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		k.t.Fatalf("%s %s: %v", method, path, err)
	}
	g := got{res.StatusCode, res.Header, b, k.t}
	if k.doc != nil {
		k.doc.hold(k.t, method, r.URL.Path, g)
	}
	return g
}

// client follows nothing, and keeps no connections beyond a test's server.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// entries are the payloads of the log's entries of a type.
func (k *kit) entries(kind string) (out []map[string]any) {
	k.t.Helper()
	err := k.store.Entries(0, func(e store.Entry) bool {
		if e.Type == kind {
			var v map[string]any
			if e.Payload != nil && json.Unmarshal(e.Payload, &v) != nil {
				k.t.Errorf("entry %d: %q", e.Seq, e.Payload)
			}
			out = append(out, v)
		}
		return true
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// clock is the machine's, and can be put forward.
type clock struct {
	mu   sync.Mutex
	plus time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.plus)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plus += d
}

// logged keeps what is logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// fakeCalls is one call, which is steered by its id.
type fakeCalls struct {
	mu    sync.Mutex
	state string
	by    []string
}

const callID = "callaaaaaaaaaaaaaaaaaaaaaa"

func (f *fakeCalls) Calls() []office.Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := office.Call{ID: callID, Trunk: "main", Direction: "inbound", State: "bridged", Consent: "granted", Recording: "recording",
		Purpose: sample.Purpose, Policy: "default", Remote: sample.Caller, Local: sample.Agent, Started: time.Now()}
	if f.state == "pause" {
		c.Recording, c.PausedBy = "paused", []string{"console"}
	}
	return []office.Call{c}
}

func (f *fakeCalls) steer(id, by, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case id != callID:
		return office.ErrNoCall
	case to == "resume" && f.state != "pause":
		return errors.Join(office.ErrCallState, errors.New("it isn't paused"))
	}
	f.state, f.by = to, append(f.by, by)
	return nil
}

func (f *fakeCalls) Pause(_ context.Context, id, by string) error  { return f.steer(id, by, "pause") }
func (f *fakeCalls) Resume(_ context.Context, id, by string) error { return f.steer(id, by, "resume") }
func (f *fakeCalls) Withdraw(_ context.Context, id, by string) error {
	return f.steer(id, by, "withdraw")
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
