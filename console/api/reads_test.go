package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/internal/sample"
	"consentgate/store"
)

type page struct {
	Recordings []struct{ ID, Started string }
	Next       string
}

// TestPagesHaveEachRecordingOnce, whatever their length, the latest first.
func TestPagesHaveEachRecordingOnce(t *testing.T) {
	k := newKit(t, options{})
	var made []string
	for range 5 {
		made = append([]string{sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)}, made...)
	}
	sample.Record(t, k.store, "+15551230000", 20*time.Millisecond)
	for limit := 1; limit <= 6; limit++ {
		var all []string
		query := fmt.Sprintf("?party=%s&limit=%d", url.QueryEscape(sample.Caller), limit)
		for cursor, n := "", 0; n == 0 || cursor != ""; n++ {
			var p page
			k.get("officer", "/api/v1/recordings"+query+"&cursor="+cursor).want(http.StatusOK, "").into(&p)
			for _, r := range p.Recordings {
				all = append(all, r.ID)
			}
			if cursor = p.Next; len(p.Recordings) > limit || n > 6 {
				t.Fatalf("limit %d: %+v", limit, p)
			}
		}
		if !slices.Equal(all, made) {
			t.Errorf("limit %d: %v, want %v", limit, all, made)
		}
	}
	var p page
	k.get("officer", "/api/v1/recordings?limit=1").want(http.StatusOK, "").into(&p)
	k.get("officer", "/api/v1/recordings?limit=1&trunk=main&cursor="+p.Next).want(http.StatusBadRequest, "bad-query")
	k.get("officer", "/api/v1/recordings?cursor=x").want(http.StatusBadRequest, "bad-query")
}

// TestSearchesFindWhatIsHeld, and tell it from what is restricted.
func TestSearchesFindWhatIsHeld(t *testing.T) {
	k := newKit(t, options{})
	id := sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	found := func(query string, n int) {
		t.Helper()
		var p page
		if k.get("officer", "/api/v1/recordings?"+query).want(http.StatusOK, "").into(&p); len(p.Recordings) != n {
			t.Errorf("%s: %d, want %d", query, len(p.Recordings), n)
		}
	}
	found("held=true", 0)
	k.do("officer", "PUT", "/api/v1/recordings/"+id+"/hold", `{"reason":"a claim"}`).want(http.StatusCreated, "")
	found("held=true", 1)
	found("held=true&restricted=true", 0)
	found("held=false", 1)
}

// TestSearchesFindWhatFits: a plus that nobody escaped is one; days and moments.
func TestSearchesFindWhatFits(t *testing.T) {
	k := newKit(t, options{})
	sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	today, later := time.Now().UTC().Format(time.DateOnly), url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339))
	for query, n := range map[string]int{"": 1, "party=+442079460123": 1, "party=%2B442079460123": 1, "party=" + url.QueryEscape("+44 20 7946 0123"): 1,
		"party=%2B442079460124": 0, "agent=%2B4930901820": 1, "agent=%2B442079460123": 0, "from=" + today: 1, "to=" + today: 0, "from=" + later: 0, "to=" + later: 1,
		"purpose=training&trunk=main&direction=inbound&state=sealed": 1, "trunk=other": 0, "state=recording": 0, "direction=outbound": 0, "purpose=sales": 0} {
		var p page
		k.get("officer", "/api/v1/recordings?"+query).want(http.StatusOK, "").into(&p)
		if len(p.Recordings) != n {
			t.Errorf("%s: %d, want %d", query, len(p.Recordings), n)
		}
	}
	for _, query := range []string{"limit=0", "limit=-1", "limit=1001", "limit=x", "limit=99999999999999999999", "state=lost", "direction=any", "from=now",
		"from=2026-11-25&to=2026-11-24", "colour=red", "trunk=a&trunk=b", "Trunk=main", "a;b", "trunk=%zz"} {
		g := k.get("officer", "/api/v1/recordings?"+query)
		if g.want(g.status, g.problem()); g.status != http.StatusBadRequest || !strings.HasPrefix(g.problem(), "bad-") {
			t.Errorf("%s: %d %s", query, g.status, g.body)
		}
	}
}

// TestWhatAWithdrawalEndedIsFoundByItsOutcome, and an outcome that there isn't is told
// with those that there are.
func TestWhatAWithdrawalEndedIsFoundByItsOutcome(t *testing.T) {
	k := newKit(t, options{})
	sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	withdrawn, running := sample.Begin(t, k.store, sample.Caller, 20*time.Millisecond), sample.Begin(t, k.store, sample.Caller, 20*time.Millisecond)
	if err := withdrawn.Seal(time.Now(), consent.EndWithdrawn); err != nil {
		t.Fatal(err)
	}
	for outcome, want := range map[string]string{store.OutcomeWithdrawn: withdrawn.ID(), store.OutcomeRunning: running.ID(), store.OutcomeCrashed: ""} {
		var p struct {
			Recordings []struct{ ID, Outcome string }
		}
		k.get("officer", "/api/v1/recordings?outcome="+outcome).want(http.StatusOK, "").into(&p)
		if want == "" && len(p.Recordings) > 0 || want != "" && (len(p.Recordings) != 1 || p.Recordings[0].ID != want || p.Recordings[0].Outcome != outcome) {
			t.Errorf("%s: %+v", outcome, p.Recordings)
		}
	}
	g := k.get("officer", "/api/v1/recordings?outcome=lost").want(http.StatusBadRequest, "bad-request")
	for _, o := range store.Outcomes() {
		if !strings.Contains(string(g.body), o) {
			t.Errorf("%s isn't said to be allowed: %s", o, g.body)
		}
	}
}

// TestWhatDidntChangeIsntSentAgain, and what did is.
func TestWhatDidntChangeIsntSentAgain(t *testing.T) {
	k := newKit(t, options{})
	one := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	for _, path := range []string{"/api/v1/openapi.json", "/api/v1/recordings", one, "/api/v1/requests", "/api/v1/audit", "/api/v1/audit/checkpoint", "/api/v1/me"} {
		first := k.get("officer", path).want(http.StatusOK, "")
		tag := first.header.Get("ETag")
		for _, have := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			if g := k.get("officer", path, "If-None-Match", have).want(http.StatusNotModified, ""); len(g.body) > 0 || g.header.Get("ETag") != tag {
				t.Errorf("%s, %s: %q %v", path, have, g.body, g.header)
			}
		}
		if g := k.get("officer", path, "If-None-Match", `"other"`).want(http.StatusOK, ""); string(g.body) != string(first.body) {
			t.Errorf("%s: %s", path, g.body)
		}
		head := k.do("officer", "HEAD", path, "").want(http.StatusOK, "")
		if len(head.body) > 0 || head.header.Get("Content-Length") != fmt.Sprint(len(first.body)) || head.header.Get("ETag") != tag {
			t.Errorf("HEAD %s: %v", path, head.header)
		}
	}
	tag := k.get("officer", one).header.Get("ETag")
	k.do("officer", "PUT", one+"/hold", `{"reason":"a claim"}`).want(http.StatusCreated, "")
	k.get("officer", one, "If-None-Match", tag).want(http.StatusOK, "")
}

// TestTheSamePostWithTheSameKeyIsDoneOnce: its answer is the first one; another
// request with the key is refused, another user's and what failed aren't.
func TestTheSamePostWithTheSameKeyIsDoneOnce(t *testing.T) {
	k := newKit(t, options{})
	body := `{"kind":"access","party":"` + sample.Caller + `"}`
	post := func(as, body, key string) got {
		t.Helper()
		return k.do(as, "POST", "/api/v1/requests", body, "Idempotency-Key", key)
	}
	first := post("officer/one", body, "k1").want(http.StatusCreated, "")
	again := post("officer/one", body, "k1").want(http.StatusCreated, "")
	if string(first.body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("%s, then %s %v", first.body, again.body, again.header)
	}
	if n := len(k.entries(store.TypeRequestReceived)); n != 1 {
		t.Errorf("done %d times", n)
	}
	post("officer/one", body+" ", "k1").want(http.StatusUnprocessableEntity, "key-used-before")
	k.do("officer/one", "POST", "/api/v1/requests/"+unknownID+"/steps", body, "Idempotency-Key", "k1").want(http.StatusUnprocessableEntity, "key-used-before")
	post("officer/two", body, "k1").want(http.StatusCreated, "")
	post("officer/one", body, "k2").want(http.StatusCreated, "")
	post("officer/one", `{"kind":"x"}`, "k3").want(http.StatusUnprocessableEntity, "incomplete")
	post("officer/one", body, "k3").want(http.StatusCreated, "")
	post("officer/one", body, strings.Repeat("k", 129)).want(http.StatusBadRequest, "bad-request")
	if n := len(k.entries(store.TypeRequestReceived)); n != 4 {
		t.Errorf("done %d times", n)
	}
	for i := range 100 { // as many as are kept
		post("officer/one", `{"kind":"access","party":"x","reason":"`+fmt.Sprint(i)+`"}`, fmt.Sprint("more", i)).want(http.StatusCreated, "")
	}
	if g := post("officer/one", body, "k1").want(http.StatusCreated, ""); g.header.Get("Idempotency-Replayed") != "" {
		t.Error("more keys are kept than a hundred")
	}
	k.clock.forward(25 * time.Hour)
	if g := post("officer/one", body, "k1").want(http.StatusCreated, ""); g.header.Get("Idempotency-Replayed") != "" {
		t.Error("a key is kept for more than a day")
	}
}
