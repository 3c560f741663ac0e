package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBench200PageUsers: so many people use the page while so many calls go on, half
// of them recorded: no packet may be lost, and nobody is turned away.
func TestBench200PageUsers(t *testing.T) {
	benchOnly(t)
	const officers, each = 20, 10 // sessions that a person may have
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	at, password := freePort(t), "correct horse battery staple"
	users := make([]string, officers)
	hash := hashed(t, password)
	for i := range users {
		users[i] = fmt.Sprintf("{name: officer%d, role: officer, password: %q}", i, hash)
	}
	l := newLine(t, setup{grace: "10s", widePorts: true,
		extra: fmt.Sprintf("console: {listen: %q, users: [%s]}\n", at, strings.Join(users, ", "))})
	people := make([]*pageUser, 0, officers*each)
	for i := range cap(people) {
		people = append(people, logIn(t, "http://"+at, fmt.Sprintf("officer%d", i%officers), password))
	}
	up := talkMuch(ctx, l, 200)

	working, stop := context.WithCancel(ctx)
	var answers atomic.Int64
	var all sync.WaitGroup
	for i, u := range people {
		all.Go(func() {
			for n := i; working.Err() == nil; n++ {
				if err := u.open(ctx, n); err != nil {
					t.Error(err)
					return
				}
				answers.Add(1)
				select {
				case <-working.Done():
				case <-time.After(2 * time.Second): // people read what they opened
				}
			}
		})
	}
	carriesAll(l, up, 30*time.Second)
	stop()
	all.Wait()
	t.Logf("%d people opened %d pages meanwhile", len(people), answers.Load())
	hangUpAll(l, up)
	l.stop()
}

// hashed is a password as the configuration has it.
func hashed(t *testing.T, password string) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "passwd")
	c.Stdin = strings.NewReader(password + "\n")
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// pageUser is a browser with a session.
type pageUser struct {
	http.Client
	site string
}

func logIn(t *testing.T, site, name, password string) *pageUser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	u := &pageUser{http.Client{Jar: jar, Transport: &http.Transport{}}, site}
	form := url.Values{"name": {name}, "password": {password}}
	r, err := http.NewRequest(http.MethodPost, site+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", site)
	if _, err := u.answer(r); err != nil {
		t.Fatalf("logging in: %v", err)
	}
	return u
}

var recordingLink = regexp.MustCompile(`href="(/recordings/[a-z0-9]{8,})"`)

// open opens the next of the pages that an officer goes through: what runs now, what
// there is, one of those, the log, the machine.
func (u *pageUser) open(ctx context.Context, n int) error {
	path := []string{"/calls", "/calls/live", "/recordings", "recording", "/audit", "/system", "/requests"}[n%7]
	if path == "recording" {
		list, err := u.get(ctx, "/recordings")
		if err != nil {
			return err
		}
		found := recordingLink.FindStringSubmatch(list)
		if found == nil {
			return fmt.Errorf("the list has no recording: %.300s", list)
		}
		path = found[1]
	}
	_, err := u.get(ctx, path)
	return err
}

func (u *pageUser) get(ctx context.Context, path string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.site+path, nil)
	if err != nil {
		return "", err
	}
	return u.answer(r)
}

func (u *pageUser) answer(r *http.Request) (string, error) {
	a, err := u.Do(r)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err == nil && (a.StatusCode != http.StatusOK || a.Request.URL.Path == "/login") {
		err = fmt.Errorf("%s %s: %s", r.Method, r.URL.Path, a.Status)
	}
	return string(body), err
}
