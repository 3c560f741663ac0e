package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/console/api"
	"consentgate/console/client"
	"consentgate/console/office"
	"consentgate/store"
)

// gate is the API of a real store, as it is served.
type gate struct {
	t      *testing.T
	store  *store.Store
	server *httptest.Server
	dir    string // where commands are run
	calls  *liveCalls
}

// users are by their tokens, which are their names.
var users = map[string]access.Role{"dana": access.Officer, "omar": access.Officer, "lena": access.AgentLead, "olga": access.Operator, "aldo": access.Auditor}

func newGate(t *testing.T, tune func(*office.Config)) *gate {
	t.Helper()
	g := &gate{t: t, dir: t.TempDir(), calls: &liveCalls{}}
	var err error
	if g.store, err = store.Open(store.Options{Dir: filepath.Join(t.TempDir(), "data"), Node: "gate-1", Rotation: store.Rotation{AtOnce: true}}); err != nil {
		t.Fatal(err)
	}
	c := office.Config{Store: func() *store.Store { return g.store }, Calls: g.calls, Controller: consent.Controller{Name: "Example Ltd"}, Node: "gate-1"}
	if tune != nil {
		tune(&c)
	}
	g.server = httptest.NewServer(guarded(api.New(api.Config{Office: office.New(c), URL: "https://gate.example"})))
	t.Cleanup(func() {
		g.server.Close()
		if err := g.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// guarded serves the API's routes to those whom the table of roles lets.
func guarded(a *api.API) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range a.Routes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			switch role, ok := users[name]; {
			case !ok:
				a.Deny(w, r, http.StatusUnauthorized)
			case !access.May(pattern, role):
				a.Deny(w, r, http.StatusForbidden)
			default:
				h.ServeHTTP(w, r.WithContext(access.With(r.Context(), access.Principal{Name: name, Role: role, Via: "token"})))
			}
		})
	}
	return mux
}

// said is what a command wrote, and its exit code.
type said struct {
	code      int
	out, errs string
}

// run runs a command as a user: its name, then what is typed behind it.
func (g *gate) run(user string, words ...string) said {
	g.t.Helper()
	return runAt(g.t, g.server.URL, user, words...)
}

func runAt(t *testing.T, server, user string, words ...string) said {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(user+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	code := client.Run(ctx, words[0], append(append([]string{}, words[1:]...), "--server", server, "--token-file", token), &out, &errs)
	return said{code, out.String(), errs.String()}
}

// ok runs a command that must work, and returns what it wrote.
func (g *gate) ok(user string, words ...string) string {
	g.t.Helper()
	s := g.run(user, words...)
	if s.code != 0 {
		g.t.Fatalf("%v: exit code %d: %s%s", words, s.code, s.out, s.errs)
	}
	return s.out
}

// fails runs a command that must end with that code, and say that.
func (g *gate) fails(code int, user string, says string, words ...string) {
	g.t.Helper()
	if s := g.run(user, words...); s.code != code || !strings.Contains(s.errs, says) {
		g.t.Errorf("%v: exit code %d, said %q and %q; want %d and %q", words, s.code, s.out, s.errs, code, says)
	}
}

// in is a file's name in the folder of the test.
func (g *gate) in(name string) string { return filepath.Join(g.dir, name) }

// decode reads what a command wrote for scripts.
func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

var policy = &consent.Policy{Name: "p", Action: consent.Ask, Parties: []consent.Party{consent.Remote},
	Purpose: consent.Purpose{Name: "training", Retention: 90 * 24 * time.Hour}, Accept: '1', Decline: '2', Attempts: 1}

// record makes a recording of two seconds whose caller said yes.
func (g *gate) record(caller string) string {
	g.t.Helper()
	ctx := context.Background()
	r, err := g.store.Create(ctx, granted(g.t, g.store.Audit(), caller))
	if err != nil {
		g.t.Fatal(err)
	}
	start := time.Now()
	check := func(err error) {
		if err != nil {
			g.t.Fatal(err)
		}
	}
	check(r.Format(consent.Remote, 0, "PCMU", 8000))
	check(r.Format(consent.Local, 0, "PCMU", 8000))
	for i := range 100 {
		at := start.Add(time.Duration(i) * 20 * time.Millisecond)
		for _, p := range []consent.Party{consent.Remote, consent.Local} {
			packet := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i * 160), SSRC: uint32(p) + 1},
				Payload: bytes.Repeat([]byte{0x11 << p}, 160)}
			raw, err := packet.Marshal()
			check(err)
			check(r.WriteRTP(p, at, raw))
		}
	}
	check(r.Seal(start.Add(2*time.Second), "hang-up"))
	return r.ID()
}

// granted goes the only way to a grant.
func granted(t *testing.T, l consent.Ledger, caller string) consent.Grant {
	t.Helper()
	s := consent.NewSession(&consent.Call{ID: "call-1", Trunk: "main", Direction: consent.Inbound, Remote: caller, Local: "+4930901820",
		Controller: consent.Controller{Name: "Example Ltd"}, Started: time.Now()}, policy, l)
	s.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	s.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Complete: true}})
	acts, _ := s.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1', Via: "rfc4733", At: time.Now()}})
	for _, a := range acts {
		if a.Do == consent.Commit {
			acts, _ = s.Step(s.Commit(context.Background(), a.Record))
		}
	}
	if len(acts) != 1 || !acts[0].Grant.Valid() {
		t.Fatal("no grant")
	}
	return acts[0].Grant
}

// liveCalls are calls that a test makes up.
type liveCalls struct {
	all  []office.Call
	done []string
}

func (l *liveCalls) Calls() []office.Call { return l.all }

func (l *liveCalls) act(verb, id, by string) error {
	if len(l.all) == 0 || l.all[0].ID != id {
		return office.ErrNoCall
	}
	l.done = append(l.done, verb+" "+id+" by "+by)
	return nil
}

func (l *liveCalls) Pause(_ context.Context, id, by string) error  { return l.act("pause", id, by) }
func (l *liveCalls) Resume(_ context.Context, id, by string) error { return l.act("resume", id, by) }
func (l *liveCalls) Withdraw(_ context.Context, _, _ string) error { return office.ErrCallState }

// eventually waits for what another goroutine does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// runBare runs a command as it is written.
func runBare(t *testing.T, words ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	code := client.Run(ctx, words[0], words[1:], &out, &errs)
	return said{code, out.String(), errs.String()}
}

// verdict is how a log is verified where it is sound, or isn't.
func verdict(sound bool) func(context.Context, func(io.Writer) error) (store.Report, error) {
	return func(_ context.Context, export func(io.Writer) error) (store.Report, error) {
		var b bytes.Buffer
		if err := export(&b); err != nil {
			return store.Report{}, err
		}
		r, err := store.VerifyExport(&b, "")
		if !sound {
			r.BadSeq, r.Problem = 3, "it was changed"
		}
		return r, err
	}
}
