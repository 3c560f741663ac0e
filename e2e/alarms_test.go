package e2e

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

// recorded makes a data directory with one recording, and gives its ID.
func recorded(t *testing.T, data, root string) string {
	t.Helper()
	s, err := store.Open(store.Options{Dir: data, RootFile: root})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	policy := &consent.Policy{Action: consent.Ask, Parties: []consent.Party{consent.Remote}, Accept: '1', Attempts: 1,
		Purpose: consent.Purpose{Name: "training", Retention: 90 * 24 * time.Hour}}
	call := consent.NewSession(&consent.Call{ID: "c", Trunk: "main", Remote: "+442079460123", Local: "+4930901820"}, policy, s.Audit())
	call.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	call.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Complete: true}})
	acts, _ := call.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1'}})
	for _, a := range acts {
		if a.Do != consent.Commit {
			continue
		}
		acts, _ = call.Step(call.Commit(context.Background(), a.Record))
	}
	for _, a := range acts {
		if a.Do != consent.Create {
			continue
		}
		r, err := s.Create(context.Background(), a.Grant)
		if err == nil {
			err = r.Seal(time.Now(), "hang-up")
		}
		if err != nil {
			t.Fatal(err)
		}
		return r.ID()
	}
	t.Fatal("no grant")
	return ""
}

// TestTheProgramTellsOfABreach: somebody comes to a recording that nobody has
// business with, somebody tries tokens; metrics and a webhook that failed first
// know, and the pack for the notification has it.
func TestTheProgramTellsOfABreach(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, root := filepath.Join(dir, "data"), filepath.Join(dir, "root")
	honey := recorded(t, data, root)
	var mu sync.Mutex
	told, tries := "", 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries == 1 || err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		told += string(body) + "\n"
	}))
	defer hook.Close()
	const token = "correct horse battery staple"
	console := freePort(t)
	g := startGate(t, setup{carrierPeer: freePort(t), pbxPeer: freePort(t), dataDir: data, extra: fmt.Sprintf(`root: {path: %s}
alarms: {honey: [%s], logins: {most: 2, within: 1h}, webhook: {url: %q}}
console: {listen: %q, users: [{name: dana, role: officer, token_sha256: "%x"}]}
`, root, honey, hook.URL, console, sha256.Sum256([]byte(token)))})
	recordings := func(token string) int {
		r, err := http.NewRequest(http.MethodGet, "http://"+console+"/api/v1/recordings", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Error(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		return res.StatusCode
	}
	if n := g.metric("alarms_total"); n != 0 {
		t.Errorf("%v alarms before anything was done", n)
	}
	g.until("the console", func() bool { return recordings(token) == http.StatusOK })
	g.until("the honey's alarm", func() bool { return g.metric(`alarms_total{rule="honey_touched"}`) == 1 })
	for range 3 {
		recordings("guess")
	}
	g.until("the alarm for who guesses", func() bool { return g.metric(`alarms_total{rule="login_failures"}`) == 1 })
	g.until("both were told", func() bool { return g.metric("alarm_webhook_waiting") == 0 })
	mu.Lock()
	if strings.Count(told, "\n") != 2 || !strings.Contains(told, `"rule":"honey_touched"`) || !strings.Contains(told, `"rule":"login_failures"`) || strings.Contains(told+g.log.String(), "dana") {
		t.Errorf("told of %s\nlog\n%s", told, g.log)
	}
	mu.Unlock()
	pack := filepath.Join(dir, "breach.zip")
	if out, code := g.run("breach", "--config", g.config, "--from", "2026-01-01", "--user", "dana", "--out", pack); code != 0 || !strings.Contains(out, "1 recordings affected: 1 people") {
		t.Errorf("breach: exit %d, %s", code, out)
	}
	z, err := zip.OpenReader(pack)
	if err != nil || len(z.File) != 6 {
		t.Fatalf("%v", err)
	}
	if err := z.Close(); err != nil {
		t.Error(err)
	}
	if out, code := g.run("record", "--config", g.config, "--lang", "de"); code != 0 || !strings.Contains(out, "Webhook "+hook.URL) {
		t.Errorf("record: exit %d, %s", code, out)
	}
	g.stop()
	g.evidence()
}
