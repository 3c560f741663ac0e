package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"consentgate/console/access/passwords"
	"consentgate/internal/phone"
	"consentgate/store"
)

// people asks a console who somebody is.
type people struct {
	*line
	console string
}

// me is the status for who brings a header ("Name: value").
func (p *people) me(header string) int {
	name, value, _ := strings.Cut(header, ": ")
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.console+"/api/v1/me", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set(name, value)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	if err := res.Body.Close(); err != nil {
		p.t.Error(err)
	}
	return res.StatusCode
}

// logIn gives the header that a session is known by.
func (p *people) logIn(name, password string) string {
	p.t.Helper()
	form := url.Values{"name": {name}, "password": {password}}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.console+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || len(res.Cookies()) != 1 {
		p.t.Fatalf("%s logs in: %s %v", name, res.Status, err)
	}
	return "Cookie: " + res.Cookies()[0].Name + "=" + res.Cookies()[0].Value
}

// write changes the configuration: pairs of what is there and what comes in its place.
func (p *people) write(pairs ...string) {
	p.t.Helper()
	text, err := os.ReadFile(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	changed := strings.NewReplacer(pairs...).Replace(string(text))
	if changed == string(text) {
		p.t.Fatalf("%q isn't in the configuration", pairs)
	}
	if err := os.WriteFile(p.config, []byte(changed), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// again has the gate read it, changed.
func (p *people) again(pairs ...string) {
	p.t.Helper()
	p.write(pairs...)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
}

// TestUsersAreReadAgainAndACallDoesNotNotice: SIGHUP takes a user's session and gives
// another one theirs, a file with a fault is refused, and not a packet of the call that
// runs meanwhile is missing.
func TestUsersAreReadAgainAndACallDoesNotNotice(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const secret = "correct horse battery"
	hash, err := passwords.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	dana := fmt.Sprintf("{name: dana, role: officer, password: %q}", hash)
	vera := fmt.Sprintf("{name: vera, role: auditor, token_sha256: \"%x\"}", sha256.Sum256([]byte("vera")))
	console := freePort(t)
	p := &people{newLine(t, setup{extra: fmt.Sprintf("console: {listen: %q, users: [%s]}\n", console, dana)}), console}
	c, err := p.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p.until("recording", func() bool { return p.metric("recordings_active") == 1 })
	first := len(c.Media.Received())
	session := p.logIn("dana", secret)
	if got := p.me(session); got != http.StatusOK {
		t.Fatalf("dana: %d", got)
	}

	p.again(dana, vera, "options_ping: 0s", "options_ping: 30s")
	p.until("vera is a user", func() bool { return p.me("Authorization: Bearer vera") == http.StatusOK })
	if got := p.me(session); got != http.StatusUnauthorized {
		t.Errorf("dana, who is none any more: %d", got)
	}
	p.again("role: auditor", "role: boss")
	p.until("the fault is told of", func() bool { return strings.Contains(p.log.String(), "isn't taken") })
	if got := p.me("Authorization: Bearer vera"); got != http.StatusOK {
		t.Errorf("vera, after a file with a fault: %d", got)
	}
	if said := p.log.String(); !strings.Contains(said, "keys=trunks[0].options_ping") || !strings.Contains(said, "console.users[0].role") {
		t.Error(said)
	}

	now := len(c.Media.Received())
	if err := c.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > now+25 }); err != nil {
		t.Errorf("the call is silent: %v", err)
	}
	heard := c.Media.Received()[first:]
	for i := 1; i < len(heard); i++ {
		if heard[i].SequenceNumber != heard[i-1].SequenceNumber+1 {
			t.Errorf("after packet %d came %d", heard[i-1].SequenceNumber, heard[i].SequenceNumber)
		}
	}
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	p.stop()
	p.write("role: boss", "role: auditor")
	if ev := p.evidence(); ev.kinds() != "granted" || ev.count(store.TypeSealed) != 1 || ev.count(store.TypeConfig) != 1 {
		t.Errorf("%q, %d sealed, %d configurations", ev.kinds(), ev.count(store.TypeSealed), ev.count(store.TypeConfig))
	}
}
