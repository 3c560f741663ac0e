package e2e

import (
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTheDemoTellsOfItsCallsAndLeavesTheConsoleUp: what came of a yes, a no and silence
// stands there before somebody has a look, and so before they change it.
func TestTheDemoTellsOfItsCallsAndLeavesTheConsoleUp(t *testing.T) {
	t.Parallel()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	var out syncBuffer
	c := exec.Command(path, "demo", "--keep")
	c.Env = append(c.Environ(), "TMPDIR="+t.TempDir())
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- c.Wait() }()
	t.Cleanup(func() { _ = c.Process.Kill() }) // it has ended, if all is well
	curl := regexp.MustCompile(`Bearer (\S+)" (\S+)\n`)
	for until := time.Now().Add(90 * time.Second); !curl.MatchString(out.String()); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it doesn't come to its end:\n%s", out.String())
		}
	}
	told, _, _ := strings.Cut(out.String(), "The gate goes on")
	for text, times := range map[string]int{"\nCall ": 3, "logs consent for": 1, "logs the refusal": 1, "logs that no answer came": 1,
		"recorded: nothing": 2, "rendered to": 1, "\nok\n": 1} {
		if n := strings.Count(told, text); n != times {
			t.Errorf("it says %q %d times before it goes on, want %d:\n%s", text, n, times, told)
		}
	}
	m := curl.FindStringSubmatch(out.String())
	if got := api(t, m[2], m[1]); got != http.StatusOK {
		t.Errorf("the console says %d to the token that was told", got)
	}
	if got := api(t, m[2], "another"); got != http.StatusUnauthorized {
		t.Errorf("the console says %d to another's token", got)
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("interrupted it ends with %v:\n%s", err, out.String())
		}
	case <-time.After(30 * time.Second):
		t.Error("it doesn't end")
	}
}

// api asks for a page of the API and gives the answer's status.
func api(t *testing.T, url, token string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}
