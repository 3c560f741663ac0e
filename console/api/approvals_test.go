package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"consentgate/internal/sample"
	"consentgate/store"
)

// waits is the approval that an answer says it waits for.
func (g got) waits() (id string) {
	g.t.Helper()
	var p struct {
		State    string
		Approval struct{ ID string }
	}
	g.want(http.StatusAccepted, "").into(&p)
	if p.State != "approval" || g.header.Get("Location") != "/api/v1/approvals/"+p.Approval.ID {
		g.t.Fatalf("%s %v", g.body, g.header)
	}
	return p.Approval.ID
}

// approvals are the log's entries of what two had to agree on.
func (k *kit) approvals() (out []string) {
	for _, e := range k.entries(store.TypeApproval) {
		out = append(out, fmt.Sprintf("%v %v by %v, %v", e["act"], e["state"], e["by"], e["second"]))
	}
	return out
}

// TestTwoOfficersEraseWhereThatIsWanted: who asks can't approve, the approval
// erases, and the log has both names.
func TestTwoOfficersEraseWhereThatIsWanted(t *testing.T) {
	k := newKit(t, options{fourEyes: true})
	one := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second)
	id := k.do("officer/one", "POST", one+"/erase", `{"reason":"asked"}`).waits()
	if again := k.do("officer/one", "POST", one+"/erase", `{"reason":"asked again"}`).waits(); again != id {
		t.Errorf("asked twice: %s and %s", id, again)
	}
	k.get("officer/one", one).want(http.StatusOK, "")
	same(t, "logged", k.approvals(), []string{"erase pending by officer/one, <nil>"})
	k.do("officer/one", "POST", "/api/v1/approvals/"+id+"/approve", `{}`).want(http.StatusForbidden, "own-request")
	k.do("officer/two", "POST", "/api/v1/approvals/"+unknownID+"/approve", `{}`).want(http.StatusNotFound, "not-found")
	k.get("officer/two", "/api/v1/approvals").want(http.StatusOK, "")
	k.get("officer/two", "/api/v1/approvals/"+id).want(http.StatusOK, "")
	var a struct{ State, By, Second string }
	k.do("officer/two", "POST", "/api/v1/approvals/"+id+"/approve", `{"reason":"looked at"}`).want(http.StatusOK, "").into(&a)
	if a.State != "done" || a.By != "officer/one" || a.Second != "officer/two" {
		t.Errorf("%+v", a)
	}
	k.get("officer/one", one).want(http.StatusNotFound, "not-found")
	k.do("officer/three", "POST", "/api/v1/approvals/"+id+"/approve", `{}`).want(http.StatusConflict, "decided")
	if gone := k.entries(store.TypeApproval); len(gone) != 2 || gone[0] != nil || gone[1] != nil {
		t.Errorf("what was said of the recording is still there: %v", gone)
	}
}

// TestTwoOfficersTakeOutWhereThatIsWanted: the approval is for who asked, what they
// asked for, and an hour.
func TestTwoOfficersTakeOutWhereThatIsWanted(t *testing.T) {
	k := newKit(t, options{fourEyes: true})
	export := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second) + "/export?purpose=training&form="
	id := k.get("officer/one", export+"wav").waits()
	same(t, "exported", k.plays(store.TypeExported), nil)
	k.get("officer/one", export+"wav&to=counsel").waits()
	k.do("officer/two", "POST", "/api/v1/approvals/"+id+"/approve", `{}`).want(http.StatusOK, "")
	k.get("officer/two", export+"wav").waits() // it is another's
	k.get("officer/one", export+"g711").waits()
	k.get("officer/one", export+"wav&to=counsel").waits()
	k.get("officer/one", export+"wav").want(http.StatusOK, "")
	if logged := k.approvals(); !slices.Contains(logged, "export approved by officer/one, officer/two") {
		t.Errorf("logged: %v", logged)
	}
	same(t, "exported", k.plays(store.TypeExported), []string{"officer/one for training form wav"})
	k.clock.forward(61 * time.Minute)
	other := k.get("officer/one", export+"wav").waits()
	k.do("officer/two", "POST", "/api/v1/approvals/"+other+"/reject", `{"reason":"no need"}`).want(http.StatusOK, "")
	if id := k.get("officer/one", export+"wav").waits(); id == other {
		t.Error("what was turned down waits again")
	}
	k.clock.forward(25 * time.Hour)
	var all struct{ Approvals []any }
	k.get("officer/two", "/api/v1/approvals").want(http.StatusOK, "").into(&all)
	if len(all.Approvals) != 0 {
		t.Errorf("a day later: %v", all.Approvals)
	}
	k.get("agent-lead", "/api/v1/approvals").want(http.StatusForbidden, "not-your-role")
}

// TestWhatErasesOrGivesAwayByARequestWaitsToo: four eyes have no way round.
func TestWhatErasesOrGivesAwayByARequestWaitsToo(t *testing.T) {
	k := newKit(t, options{fourEyes: true})
	one := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second)
	begin := func(kind string) string {
		var r struct{ ID string }
		k.do("officer/one", "POST", "/api/v1/requests", `{"kind":"`+kind+`","party":"`+sample.Caller+`"}`).want(http.StatusCreated, "").into(&r)
		k.do("officer/one", "POST", "/api/v1/requests/"+r.ID+"/steps", `{"act":"identify","reason":"seen"}`).want(http.StatusOK, "")
		return "/api/v1/requests/" + r.ID
	}
	access := begin("access")
	k.do("officer/one", "POST", access+"/steps", `{"act":"carry_out","reason":"asked"}`).want(http.StatusOK, "")
	bundle := k.get("officer/one", access+"/bundle").waits()
	k.do("officer/two", "POST", "/api/v1/approvals/"+bundle+"/approve", `{}`).want(http.StatusOK, "")
	k.get("officer/one", access+"/bundle").want(http.StatusOK, "")
	for _, kind := range []string{"erasure", "objection"} {
		id := k.do("officer/one", "POST", begin(kind)+"/steps", `{"act":"carry_out","reason":"asked"}`).waits()
		k.get("officer/one", one).want(http.StatusOK, "")
		k.do("officer/one", "POST", "/api/v1/approvals/"+id+"/reject", `{"reason":"taken back"}`).want(http.StatusOK, "")
	}
	r := begin("erasure")
	id := k.do("officer/one", "POST", r+"/steps", `{"act":"carry_out","reason":"asked"}`).waits()
	k.do("officer/two", "POST", "/api/v1/approvals/"+id+"/approve", `{}`).want(http.StatusOK, "")
	k.get("officer/one", one).want(http.StatusNotFound, "not-found")
	var done struct{ State string }
	if k.get("officer/one", r).want(http.StatusOK, "").into(&done); done.State != "done" {
		t.Errorf("%+v", done)
	}
}
