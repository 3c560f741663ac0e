package browser

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"consentgate/internal/sipp"
)

// TestACallBetweenSippsIsWatchedFoundAndHeard: both ends aren't of our making. The
// caller consents by key; the page shows the call while it runs; afterwards the officer
// finds it, plays it, and each side's tone is in its channel and in no other.
func TestACallBetweenSippsIsWatchedFoundAndHeard(t *testing.T) {
	t.Parallel()
	needs(t, "sipp", "sip-tester")
	browser := chrome(t)
	const callerHz, agentHz = 880, 440
	const beforeKey, talk = 900 * time.Millisecond, 7 * time.Second // the prompt takes 400 ms
	dir := t.TempDir()
	says, answers := filepath.Join(dir, "says.pcap"), filepath.Join(dir, "answers.pcap")
	caller, called := sipp.NewCapture(), sipp.NewCapture()
	caller.Tone(callerHz, beforeKey)
	caller.Key(1)
	caller.Tone(callerHz, talk)
	caller.Write(t, says)
	called.Tone(agentHz, talk)
	called.Write(t, answers)
	pbx := freePort(t)
	g := startBefore(t, pbx, "")
	b := newTab(t, browser, g.url)
	b.login("dana")
	b.open("/calls")
	b.text("No calls right now")

	server := sipp.Start(t, "called", sipp.Called(answers), pbx, "", 1)
	client := sipp.Start(t, "caller", sipp.Caller("100", says, beforeKey+talk), freePort(t), g.carrier.String(), 1)
	until(t, "the page shows the call, its consent and that it is recorded", func() bool {
		return eval[string](b, `(row => row === null ? "" : [row.innerText.includes("`+sipp.Number+`"), row.cells[3].innerText, row.cells[4].innerText].join())(document.querySelector("#live tbody tr"))`) == "true,Consented,Recording"
	})
	client.Wait()
	server.Wait()
	b.text("No calls right now")

	b.sealed("/recordings", 1)
	b.run(keys("#party", "+44 20 7946 0123"))
	b.press(`form[role=search] button`)
	b.press("a.row-link")
	b.run(chromedp.SetValue(chromedp.CSS("#purpose"), "training"))
	b.press(`form[method=get] button`)
	b.play(talk / 2)
	s := b.decode(callerHz, agentHz)
	remote, local := s.Shares[0], s.Shares[1]
	if remote[0] < 0.8 || local[1] < 0.8 || remote[1] > 0.05 || local[0] > 0.05 {
		t.Errorf("of the caller's and the agent's tone the left channel has %.2f, the right %.2f", remote, local)
	}
	if s.Levels[0] < 0.05 || s.Levels[1] < 0.05 {
		t.Errorf("the channels have the levels %.3f", s.Levels)
	}
}
