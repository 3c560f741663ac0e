package page

import (
	"math"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/console/office"
	"consentgate/store"
	"consentgate/store/evidence"
)

// TestTheTimelineTellsWhatHappenedInOrder: prompt and key, pause by a user, gaps with
// their causes, those of both sides once, short ones together, and the withdrawal.
func TestTheTimelineTellsWhatHappenedInOrder(t *testing.T) {
	start := time.Date(2026, 11, 25, 9, 41, 7, 0, time.UTC)
	remote, local := consent.Remote, consent.Local
	logged := func(kind consent.Kind, at time.Duration, party *consent.Party, by string) evidence.Logged {
		return evidence.Logged{Record: consent.Record{Kind: kind, At: start.Add(at), Party: party, By: by}}
	}
	granted := logged(consent.Granted, -time.Second, nil, "")
	granted.Answers = []consent.Answer{{Party: remote, Heard: consent.Heard{Prompt: "default", Heard: 7 * time.Second, Complete: true}, Press: consent.Press{Key: '1', Via: "rfc4733", At: start.Add(-2 * time.Second)}}}
	s := time.Second
	r := office.Recording{Summary: store.Summary{Started: start, Ended: start.Add(60 * s), State: store.StateSealed, Reason: consent.EndWithdrawn}, Length: 60 * s,
		Records: []evidence.Logged{granted, logged(consent.Paused, 10*s, &local, "dana"), logged(consent.Resumed, 20*s, &local, ""), logged(consent.Withdrawn, 60*s, &remote, "")},
		Gaps: []evidence.Gap{{Party: remote, Cause: "pause", From: 10 * s, To: 20 * s}, {Party: local, Cause: "pause", From: 10 * s, To: 20 * s},
			{Party: remote, Cause: "loss", From: 30 * s, To: 30*s + 20*time.Millisecond}, {Party: remote, Cause: "loss", From: 40 * s, To: 40*s + 40*time.Millisecond}, {Party: local, Cause: "hold", From: 45 * s, To: 50 * s}}}
	v := &visit{language: "en"}
	var got []string
	for _, e := range v.events(r) {
		got = append(got, strings.TrimSuffix(length(e.At)+" "+e.Said+" | "+e.Who, " | "))
	}
	want := []string{
		"−0:02 Heard the prompt “default” to its end (0:07); pressed 1 for yes (telephone-event) | Caller's side",
		"0:00 Recording began",
		"0:10 Paused | dana",
		"0:10 Nothing recorded until 0:20: paused | Both sides",
		"0:20 Resumed | Our side",
		"0:30 2 short gaps, 0.06 s in all",
		"0:45 Nothing recorded until 0:50: on hold: music isn't recorded | Our side",
		"1:00 Consent withdrawn | Caller's side",
		"1:00 Recording ended | consent was withdrawn",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the timeline is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	d := draw(r)
	if len(d.Lanes) != 2 || len(d.Gaps) != 5 || d.Gaps[0].X != 166.6 || d.Gaps[0].Y != laneOfThem || math.Abs(d.Gaps[0].W-166.7) > 0.01 {
		t.Errorf("the drawing has lanes %v and gaps %v", d.Lanes, d.Gaps)
	}
	if m := d.Marks; len(m) != 4 || m[3] != (line{"stop", 1000}) {
		t.Errorf("the drawing has marks %v", m)
	}
}

// TestManyGapsAreToldAsOne: a page stays a page.
func TestManyGapsAreToldAsOne(t *testing.T) {
	r := office.Recording{Length: time.Hour}
	for i := range 5000 {
		at := time.Duration(i) * 700 * time.Millisecond
		r.Gaps = append(r.Gaps, evidence.Gap{Party: consent.Remote, Cause: "loss", From: at, To: at + 600*time.Millisecond})
	}
	v := &visit{language: "de"}
	if n := len(v.events(r)); n > gapsMost+3 {
		t.Errorf("the list has %d events", n)
	}
	if n := len(draw(r).Gaps); n > gapsMost {
		t.Errorf("the drawing has %d gaps", n)
	}
}
