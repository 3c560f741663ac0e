package page_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/argon2"

	"consentgate/consent"
	"consentgate/console"
	"consentgate/console/access"
	"consentgate/console/access/passwords"
	"consentgate/console/office"
	"consentgate/console/page"
	"consentgate/store"
)

const (
	caller   = "+442079460018"
	called   = "+441134960123"
	password = "correct horse battery staple"
)

// trail stands for the log's entries about logins.
type trail struct{}

func (trail) LoggedIn(context.Context, string, string, netip.Addr) error    { return nil }
func (trail) LoginFailed(context.Context, string, netip.Addr, string) error { return nil }

// live are calls that stand still, and what was done to them.
type live struct {
	calls []office.Call
	done  []string
}

func (l *live) Calls() []office.Call { return l.calls }
func (l *live) note(act, id, by string) error {
	l.done = append(l.done, act+" "+id+" "+by)
	return nil
}
func (l *live) Pause(_ context.Context, id, by string) error    { return l.note("pause", id, by) }
func (l *live) Resume(_ context.Context, id, by string) error   { return l.note("resume", id, by) }
func (l *live) Withdraw(_ context.Context, id, by string) error { return l.note("withdraw", id, by) }

// desk is a whole console on a real store.
type desk struct {
	t     *testing.T
	store *store.Store // nil: it isn't open
	live  *live
	base  string
}

// noAPI stands where the API would, which has tests of its own.
func noAPI() console.Part {
	all := console.Routes{}
	for pattern := range access.Table {
		if strings.Contains(pattern, " /api/") {
			all[pattern] = http.NotFoundHandler()
		}
	}
	return console.Part{Routes: all, Deny: func(w http.ResponseWriter, _ *http.Request, status int) { w.WriteHeader(status) }}
}

func open(t *testing.T, change ...func(*office.Config)) *desk {
	t.Helper()
	s, err := store.Open(store.Options{Dir: filepath.Join(t.TempDir(), "data"), Node: "test"})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	d := &desk{t: t, store: s, live: &live{}}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	c := office.Config{Store: func() *store.Store { return d.store }, Calls: d.live, Controller: controller, Node: "test", Version: "v0", Log: log,
		Verify: func(_ context.Context, export func(io.Writer) error) (store.Report, error) {
			in, out := io.Pipe()
			go func() { out.CloseWithError(export(out)) }()
			return store.Auditor{}.VerifyExport(in)
		}}
	for _, f := range change {
		f(&c)
	}
	users := []access.User{}
	for _, r := range access.Roles {
		for _, name := range []string{string(r), string(r) + "-2"} {
			sum := sha256.Sum256([]byte("token of " + name))
			users = append(users, access.User{Name: name, Role: r, Password: hash(t), TokenSHA256: sum[:]})
		}
	}
	door := access.New(access.Config{Users: users, Sessions: access.SessionLimits{Idle: time.Hour, Longest: time.Hour}, Trail: trail{}, Log: log, Registerer: prometheus.NewRegistry()})
	p := page.New(page.Config{Office: office.New(c), Door: door, Controller: controller, Purposes: []consent.Purpose{policy.Purpose}, Trunks: []string{"main"}, Zone: time.UTC, Version: "v0", HasURL: true, Log: log})
	server, err := console.New(console.Config{Listen: "127.0.0.1:0", Who: door, API: noAPI(), Page: console.Part{Routes: p.Routes(), Deny: p.Deny}, Log: log})
	must(t, err)
	server.Start()
	t.Cleanup(func() { must(t, server.Stop(context.Background())) })
	d.base = server.URL()
	return d
}

// hash is of the password, as cheap as may be.
func hash(t *testing.T) passwords.Hash {
	salt := sha256.Sum256(nil)
	b64 := base64.RawStdEncoding.EncodeToString
	h, err := passwords.Parse("$argon2id$v=19$m=7168,t=5,p=1$" + b64(salt[:16]) + "$" + b64(argon2.IDKey([]byte(password), salt[:16], 5, 7168, 1, 32)))
	must(t, err)
	return h
}

var (
	controller = consent.Controller{Name: "Example Ltd", Contact: "privacy@example.com"}
	policy     = &consent.Policy{Name: "default", Action: consent.Ask, Parties: []consent.Party{consent.Remote}, Accept: '1', Decline: '2', Attempts: 1,
		Purpose: consent.Purpose{Name: "training", Text: map[string]string{"en": "staff training", "de": "die Schulung"}, Retention: 90 * 24 * time.Hour}}
)

// record keeps a call of two seconds, by the way that the gate goes.
func (d *desk) record(remote string) string {
	d.t.Helper()
	session := consent.NewSession(&consent.Call{ID: fmt.Sprintf("call-%d", d.store.Audit().Size()), Trunk: "main", Direction: consent.Inbound, Remote: remote, Local: called, Controller: controller}, policy, d.store.Audit())
	session.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	session.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Prompt: "default", Language: "en", Heard: 7 * time.Second, Complete: true}})
	acts, _ := session.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1', Via: "rfc4733", At: time.Now()}})
	for _, a := range acts {
		if a.Do != consent.Commit {
			continue
		}
		acts, _ := session.Step(session.Commit(context.Background(), a.Record))
		for _, a := range acts {
			if a.Do == consent.Create {
				return d.speak(a.Grant)
			}
		}
	}
	d.t.Fatal("no grant")
	return ""
}

// speak has the remote party loud in the first second and the local one in the other.
func (d *desk) speak(g consent.Grant) string {
	r, err := d.store.Create(context.Background(), g)
	must(d.t, err)
	start := time.Now()
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		must(d.t, r.Format(p, 0, "PCMU", 8000))
		for i := range 100 {
			fill := byte(0xff) // silence
			if (p == consent.Remote) == (i < 50) {
				fill = 0x05 // loud
			}
			packet := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i * 160), SSRC: uint32(p) + 1}, Payload: []byte(strings.Repeat(string([]byte{fill}), 160))}
			raw, err := packet.Marshal()
			must(d.t, err, r.WriteRTP(p, start.Add(time.Duration(i)*20*time.Millisecond), raw))
		}
	}
	must(d.t, r.Seal(start.Add(2*time.Second), "hang-up"))
	return r.ID()
}

// visitor is somebody's browser, without a script.
type visitor struct {
	d    *desk
	http *http.Client
	csrf string
	also http.Header
}

func (d *desk) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	must(d.t, err)
	return &visitor{d: d, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, also: http.Header{}}
}

// as is one who is logged in.
func (d *desk) as(name string) *visitor {
	d.t.Helper()
	v := d.visitor()
	if a := v.post("/login", "name", name, "password", password); a.status != http.StatusSeeOther || a.to != "/" {
		d.t.Fatalf("logging in as %s: %d to %q", name, a.status, a.to)
	}
	m := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(v.get("/system").body)
	if m == nil {
		d.t.Fatal("no CSRF token in the page")
	}
	v.csrf = m[1]
	return v
}

// answer is what came back.
type answer struct {
	status int
	to     string
	body   string
	header http.Header
}

func (v *visitor) get(path string) answer { return v.do("GET", path, nil) }

// post sends a form: names and values.
func (v *visitor) post(path string, pairs ...string) answer {
	form := url.Values{"csrf": {v.csrf}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return v.do("POST", path, form)
}

func (v *visitor) do(method, path string, form url.Values) answer {
	v.d.t.Helper()
	r, err := http.NewRequest(method, v.d.base+path, strings.NewReader(form.Encode()))
	must(v.d.t, err)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range v.also {
		r.Header[name] = values
	}
	resp, err := v.http.Do(r)
	must(v.d.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(v.d.t, err)
	return answer{resp.StatusCode, resp.Header.Get("Location"), string(body), resp.Header}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
