package api_test

import (
	"archive/zip"
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"consentgate/internal/sample"
	"consentgate/store"
	"consentgate/store/rights"
)

// TestAHoldKeepsARecordingFromErasure until it is released; then the erasure that
// was asked for meanwhile is carried out by itself.
func TestAHoldKeepsARecordingFromErasure(t *testing.T) {
	k := newKit(t, options{})
	one := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second)
	var h, again struct{ ID, Case, By string }
	k.do("officer", "PUT", one+"/hold", `{}`).want(http.StatusUnprocessableEntity, "incomplete")
	k.do("officer", "PUT", one+"/hold", `{"reason":"a claim","case":"7-C-12"}`).want(http.StatusCreated, "").into(&h)
	k.do("officer", "PUT", one+"/hold", `{"reason":"a claim","case":"7-C-12"}`).want(http.StatusOK, "").into(&again)
	if h.ID == "" || h != again || h.By != "officer" {
		t.Errorf("%+v, and again %+v", h, again)
	}
	k.do("officer", "PUT", one+"/hold", `{"reason":"another"}`).want(http.StatusCreated, "")
	var e struct{ State string }
	k.do("officer", "POST", one+"/erase", `{"reason":"asked"}`).want(http.StatusAccepted, "").into(&e)
	if e.State != "requested" {
		t.Errorf("state %s", e.State)
	}
	k.do("officer", "DELETE", one+"/hold", `{"reason":"over"}`).want(http.StatusConflict, "several")
	k.do("officer", "DELETE", one+"/hold", `{"reason":"over","hold":"`+unknownID+`"}`).want(http.StatusNotFound, "not-found")
	k.do("officer", "DELETE", one+"/hold", `{"reason":"over","hold":"`+h.ID+`"}`).want(http.StatusNoContent, "")
	k.get("officer", one).want(http.StatusOK, "")
	k.do("officer", "DELETE", one+"/hold", `{"reason":"over"}`).want(http.StatusNoContent, "")
	k.get("officer", one).want(http.StatusNotFound, "not-found")
}

// TestAnErasureEndsInACertificate once the root key is replaced, which anybody can
// check; until then it says how far it is.
func TestAnErasureEndsInACertificate(t *testing.T) {
	k := newKit(t, options{store: func(o *store.Options) { o.Rotation = store.Rotation{} }})
	one := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second)
	k.get("officer", one+"/certificate").want(http.StatusNotFound, "not-found")
	k.do("officer", "POST", one+"/erase", `{"reason":" "}`).want(http.StatusUnprocessableEntity, "incomplete")
	var e struct{ State string }
	k.do("officer", "POST", one+"/erase", `{"reason":"asked"}`).want(http.StatusAccepted, "").into(&e)
	if e.State != "pending" {
		t.Errorf("state %s", e.State)
	}
	k.get("auditor", one+"/certificate").want(http.StatusAccepted, "")
	must(t, k.store.Rotate(t.Context()))
	signed := k.get("auditor", one+"/certificate").want(http.StatusOK, "").body
	key := k.get("auditor", "/api/v1/audit/key").want(http.StatusOK, "").body
	c, err := store.CheckCertificate(signed, strings.TrimSpace(string(key)))
	if err != nil || c.Cause.Role != "officer" {
		t.Errorf("%+v %v", c, err)
	}
}

// TestAnErasureAtOnceAnswersWithItsCertificate where erasures are made final so.
func TestAnErasureAtOnceAnswersWithItsCertificate(t *testing.T) {
	k := newKit(t, options{atOnce: true, store: func(o *store.Options) { o.Rotation = store.Rotation{AtOnce: true} }})
	one := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second)
	var e struct{ State, Certificate string }
	k.do("officer", "POST", one+"/erase", `{"reason":"asked"}`).want(http.StatusOK, "").into(&e)
	key, err := k.store.Audit().VerifierKey()
	must(t, err)
	if _, err := store.CheckCertificate([]byte(e.Certificate), strings.TrimSpace(key)); err != nil || e.State != "shredded" {
		t.Errorf("%+v %v", e, err)
	}
}

// TestAnOfficerLetsTheRetentionGoOn that was stopped because it would have erased
// too much.
func TestAnOfficerLetsTheRetentionGoOn(t *testing.T) {
	k := newKit(t, options{store: func(o *store.Options) {
		o.Retention = store.Retention{Every: 20 * time.Millisecond, Brake: rights.Brake{Share: 0.1}, Purposes: map[string]time.Duration{sample.Purpose: 1}}
	}})
	one := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	var s struct {
		Store struct{ Braked *struct{ Why string } }
	}
	until(t, "the retention to be stopped", func() bool {
		k.get("officer", "/api/v1/system").want(http.StatusOK, "").into(&s)
		return s.Store.Braked != nil
	})
	k.get("officer", one).want(http.StatusOK, "")
	k.do("officer", "POST", "/api/v1/retention/confirm", `{}`).want(http.StatusUnprocessableEntity, "incomplete")
	k.do("officer", "POST", "/api/v1/retention/confirm", `{"reason":"it was shortened on purpose"}`).want(http.StatusNoContent, "")
	until(t, "the recording to go", func() bool { return k.get("officer", one).status == http.StatusNotFound })
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for", what)
		}
	}
}

// TestAnActOnWhatChangedMeanwhileIsRefused: If-Match holds it to what was read.
func TestAnActOnWhatChangedMeanwhileIsRefused(t *testing.T) {
	k := newKit(t, options{})
	one := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second)
	seen := k.get("officer", one).want(http.StatusOK, "").header.Get("ETag")
	k.do("officer", "PUT", one+"/hold", `{"reason":"a claim"}`, "If-Match", seen).want(http.StatusCreated, "")
	k.do("officer", "POST", one+"/erase", `{"reason":"asked"}`, "If-Match", seen).want(http.StatusPreconditionFailed, "changed-since")
	k.do("officer", "DELETE", one+"/hold", `{"reason":"over"}`, "If-Match", "W/"+seen).want(http.StatusPreconditionFailed, "changed-since")
	seen = k.get("officer", one).want(http.StatusOK, "").header.Get("ETag")
	k.do("officer", "DELETE", one+"/hold", `{"reason":"over"}`, "If-Match", seen).want(http.StatusNoContent, "")
}

// TestARequestGoesItsWay: taken in, proved, carried out, its bundle given and
// delivered; and each step has its order.
func TestARequestGoesItsWay(t *testing.T) {
	k := newKit(t, options{})
	sample.Record(t, k.store, sample.Caller, time.Second)
	var r struct {
		ID, State, Due string
		Outstanding    []string
		Carried        int
	}
	k.do("officer", "POST", "/api/v1/requests", `{"kind":"wish","party":"+44"}`).want(http.StatusUnprocessableEntity, "incomplete")
	k.do("officer", "POST", "/api/v1/requests", `{"kind":"access","party":"+44","received":"yesterday"}`).want(http.StatusBadRequest, "bad-request")
	g := k.do("officer", "POST", "/api/v1/requests", `{"kind":"access","party":"020 7946 0123","received":"2026-11-02"}`).want(http.StatusCreated, "")
	g.into(&r)
	one := "/api/v1/requests/" + r.ID
	if g.header.Get("Location") != one || r.Due != "2026-12-02" {
		t.Errorf("%v %+v", g.header, r)
	}
	k.get("officer", one+"/bundle").want(http.StatusConflict, "out-of-order")
	step := func(body string, status int, problem string) {
		t.Helper()
		if g := k.do("officer", "POST", one+"/steps", body).want(status, problem); status == http.StatusOK {
			g.into(&r)
		}
	}
	step(`{"act":"carry_out","reason":"asked"}`, http.StatusConflict, "out-of-order")
	step(`{"act":"dance","reason":"asked"}`, http.StatusBadRequest, "bad-request")
	step(`{"act":"ask_identity","reason":"a copy of an identity card"}`, http.StatusOK, "")
	step(`{"act":"identify","reason":"identity card seen"}`, http.StatusOK, "")
	step(`{"act":"extend","reason":"many recordings"}`, http.StatusOK, "")
	if r.Due != "2027-02-02" {
		t.Errorf("due %s", r.Due)
	}
	step(`{"act":"carry_out","reason":"asked"}`, http.StatusOK, "")
	if r.State != "in_progress" {
		t.Errorf("%+v", r)
	}
	k.do("officer", "HEAD", one+"/bundle", "").want(http.StatusMethodNotAllowed, "")
	k.get("officer", one+"/bundle?language=tlh").want(http.StatusBadRequest, "bad-request")
	b := k.get("officer", one+"/bundle?language=de").want(http.StatusOK, "").body
	if _, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err != nil {
		t.Error(err)
	}
	if sealed := k.get("officer", one+"/bundle?recipient="+recipient(t)).want(http.StatusOK, "").body; !strings.HasPrefix(string(sealed), "age-encryption.org") {
		t.Errorf("%.20q", sealed)
	}
	step(`{"act":"deliver","reason":"sent by post"}`, http.StatusOK, "")
	if r.State != "done" {
		t.Errorf("%+v", r)
	}
	step(`{"act":"refuse","reason":"late","article":"12(5)"}`, http.StatusConflict, "out-of-order")
	var all struct{ Requests []struct{ ID string } }
	k.get("officer", "/api/v1/requests?open=true").want(http.StatusOK, "").into(&all)
	if len(all.Requests) != 0 {
		t.Errorf("open: %+v", all)
	}
	k.get("officer", "/api/v1/requests").want(http.StatusOK, "").into(&all)
	if len(all.Requests) != 1 {
		t.Errorf("all: %+v", all)
	}
	k.get("officer", one).want(http.StatusOK, "")
}

// TestALiveCallIsSteered by who may, in their name.
func TestALiveCallIsSteered(t *testing.T) {
	k := newKit(t, options{})
	one := "/api/v1/calls/" + callID
	k.do("operator", "POST", one+"/resume", "").want(http.StatusConflict, "call-state")
	k.do("operator", "POST", one+"/pause", "").want(http.StatusNoContent, "")
	var all struct {
		Calls []struct {
			Recording string
			PausedBy  []string `json:"paused_by"`
		}
	}
	k.get("operator", "/api/v1/calls").want(http.StatusOK, "").into(&all)
	if len(all.Calls) != 1 || all.Calls[0].Recording != "paused" || all.Calls[0].PausedBy[0] != "console" {
		t.Errorf("%+v", all)
	}
	k.do("agent-lead", "POST", one+"/resume", "").want(http.StatusNoContent, "")
	k.do("officer", "POST", one+"/withdraw", "").want(http.StatusNoContent, "")
	k.do("officer", "POST", "/api/v1/calls/"+unknownID+"/pause", "").want(http.StatusNotFound, "not-found")
	same(t, "steered by", k.calls.by, []string{"operator", "agent-lead", "officer"})
}

// TestWithoutAStoreCallsAreStillSteered, and all else says when to come again.
func TestWithoutAStoreCallsAreStillSteered(t *testing.T) {
	k := newKit(t, options{noStore: true})
	k.do("operator", "POST", "/api/v1/calls/"+callID+"/pause", "").want(http.StatusNoContent, "")
	k.get("operator", "/api/v1/calls").want(http.StatusOK, "")
	for _, path := range []string{"/api/v1/recordings", "/api/v1/recordings/" + unknownID, "/api/v1/recordings/" + unknownID + "/audio?purpose=training",
		"/api/v1/requests", "/api/v1/audit", "/api/v1/audit/export", "/api/v1/audit/checkpoint"} {
		if g := k.get("officer", path).want(http.StatusServiceUnavailable, "store-closed"); g.header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", path, g.header)
		}
	}
	var s struct{ Store any }
	if k.get("operator", "/api/v1/system").want(http.StatusOK, "").into(&s); s.Store != nil {
		t.Errorf("%+v", s)
	}
}
