package page_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/console/office"
	"consentgate/internal/sample"
	"consentgate/store"
)

// fill puts an id in the place of a pattern's.
func fill(pattern, id string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, strings.NewReplacer("{$}", "", "{id}", id, "{file}", "none.css").Replace(path)
}

// TestEachRoleHasItsScreensAndNoOthers walks every route of the page with every
// role, and with none.
func TestEachRoleHasItsScreensAndNoOthers(t *testing.T) {
	d := open(t)
	id := d.record(caller)
	visitors := map[access.Role]*visitor{"": d.visitor()}
	for _, r := range access.Roles {
		visitors[r] = d.as(string(r))
	}
	for pattern := range access.Table {
		if strings.Contains(pattern, " /api/") || pattern == "POST /logout" {
			continue
		}
		method, path := fill(pattern, id)
		for role, v := range visitors {
			if strings.HasSuffix(pattern, "/erase") && method == "POST" {
				continue // has a test of its own
			}
			a := v.do(method, path, map[string][]string{"csrf": {v.csrf}})
			toLogin := a.status == http.StatusSeeOther && strings.HasPrefix(a.to, "/login")
			switch {
			case access.Public(pattern):
			case role == "" && !toLogin:
				t.Errorf("%s without a login: %d to %q", pattern, a.status, a.to)
			case role != "" && access.May(pattern, role) == (a.status == http.StatusForbidden) || role != "" && toLogin:
				t.Errorf("%s as %s: %d to %q", pattern, role, a.status, a.to)
			}
			if a.status >= 500 {
				t.Errorf("%s as %q: %d", pattern, role, a.status)
			}
		}
	}
}

// TestNumbersSearchedForStayOutOfAddresses: what the form asks is sealed into the
// address of the results, for the same user only.
func TestNumbersSearchedForStayOutOfAddresses(t *testing.T) {
	d := open(t)
	d.record(caller)
	id := d.record("+493090182000")
	lead := d.as("agent-lead")
	a := lead.post("/recordings", "party", "+49 30 90182000")
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.to, "/recordings?q=") || strings.Contains(a.to, "90182") {
		t.Fatalf("the search led to %q (%d)", a.to, a.status)
	}
	found := lead.get(a.to)
	if !strings.Contains(found.body, "/recordings/"+id) || strings.Contains(found.body, caller[1:]) || !strings.Contains(found.body, `value="&#43;49 30 90182000"`) {
		t.Errorf("the search found something else: %d %s", found.status, found.body)
	}
	if other := d.as("officer").get(a.to); other.status != http.StatusBadRequest {
		t.Errorf("somebody else's search is open: %d", other.status)
	}
	if none := lead.get(lead.post("/recordings", "party", "112").to); !strings.Contains(none.body, "Nothing matches") {
		t.Errorf("nothing found, and no word of it: %s", none.body)
	}
	if wrong := lead.get(lead.post("/recordings", "from", "2026-02-31T25:00").to); !strings.Contains(wrong.body, "can&#39;t be done") {
		t.Error("a time that is none is taken for one")
	}
}

// TestRecordingsAreSearchedByHowTheyEnded, in words of the visitor's language.
func TestRecordingsAreSearchedByHowTheyEnded(t *testing.T) {
	d := open(t)
	whole, r := d.record(caller), sample.Begin(t, d.store, caller, time.Second)
	must(t, r.Seal(time.Now(), consent.EndWithdrawn))
	lead := d.as("agent-lead")
	found := lead.get(lead.post("/recordings", "outcome", store.OutcomeWithdrawn).to).body
	if !strings.Contains(found, "/recordings/"+r.ID()) || strings.Contains(found, "/recordings/"+whole) ||
		!strings.Contains(found, `<option value="withdrawn" selected>consent was withdrawn</option>`) {
		t.Errorf("withdrawn: %s", found)
	}
	if all := lead.get("/recordings").body; strings.Count(all, "consent was withdrawn</span>") != 1 || strings.Contains(all, "the call ended</span>") {
		t.Errorf("the list says how each ended, though nothing is odd about it, or doesn't: %s", all)
	}
	if one := lead.get("/recordings/" + r.ID()).body; !strings.Contains(one, "<dd>consent was withdrawn</dd>") {
		t.Errorf("the recording doesn't say how it ended: %s", one)
	}
	if wrong := lead.get(lead.post("/recordings", "outcome", "lost").to).body; !strings.Contains(wrong, "can&#39;t be done") {
		t.Error("an outcome that there isn't is taken for one")
	}
}

// TestAVConByAddressIsOfferedToWhoTakesOut, where there is something to point to.
func TestAVConByAddressIsOfferedToWhoTakesOut(t *testing.T) {
	d := open(t)
	id, running := d.record(caller), sample.Begin(t, d.store, caller, time.Second)
	defer func() { must(t, running.Seal(time.Now(), consent.EndHangUp)) }()
	offers := func(role, id string) bool {
		return strings.Contains(d.as(role).get("/recordings/"+id).body, `href="/api/v1/recordings/`+id+`/vcon?audio=url"`)
	}
	if !offers("officer", id) || offers("agent-lead", id) || offers("officer", running.ID()) {
		t.Errorf("officer %v, agent lead %v, of a running one %v", offers("officer", id), offers("agent-lead", id), offers("officer", running.ID()))
	}
}

// TestWhoSeesNoNumbersDoesntSearchByThem, and sees their ends only.
func TestWhoSeesNoNumbersDoesntSearchByThem(t *testing.T) {
	d := open(t)
	id := d.record(caller)
	auditor := d.as("auditor")
	for _, path := range []string{"/recordings", "/recordings/" + id, "/recordings/" + id + "/receipt", "/audit"} {
		if body := auditor.get(path).body; strings.Contains(body, caller[1:]) || strings.Contains(body, called[1:]) {
			t.Errorf("%s shows a number", path)
		}
	}
	if body := auditor.get("/recordings").body; strings.Contains(body, `name="party"`) || !strings.Contains(body, "…018") {
		t.Error("the form asks for a number, or the list hides all of it")
	}
	if a := auditor.get(auditor.post("/recordings", "party", caller).to); a.status != http.StatusForbidden {
		t.Errorf("searching by a number: %d", a.status)
	}
}

// TestAFormOfAnotherPageDoesNothing: without the session's token nothing changes.
func TestAFormOfAnotherPageDoesNothing(t *testing.T) {
	d := open(t)
	id := d.record(caller)
	officer := d.as("officer")
	for _, token := range []string{"", "another"} {
		officer.csrf = token
		if a := officer.post("/recordings/"+id+"/hold", "reason", "x"); a.status != http.StatusForbidden {
			t.Errorf("a hold with token %q: %d", token, a.status)
		}
	}
	file, err := d.store.Rights(id)
	must(t, err)
	if len(file.Holds) > 0 {
		t.Error("there is a hold")
	}
}

// TestWhatKeepsARecordingBeatsItsErasure goes all the way: hold, erase in vain,
// release, gone, certificate.
func TestWhatKeepsARecordingBeatsItsErasure(t *testing.T) {
	d := open(t)
	id := d.record(caller)
	officer := d.as("officer")
	if a := officer.post("/recordings/"+id+"/hold", "reason", "a claim", "case", "7/26"); a.to != "/recordings/"+id+"?done=hold.done" {
		t.Fatalf("the hold led to %q (%d)", a.to, a.status)
	}
	body := officer.get("/recordings/" + id).body
	if !strings.Contains(body, "a claim") || !strings.Contains(body, "7/26") {
		t.Error("the hold isn't shown")
	}
	if a := officer.post("/recordings/"+id+"/erase", "reason", "asked for"); a.status != http.StatusOK || !strings.Contains(a.body, "Give a reason and confirm") {
		t.Errorf("an erasure that wasn't confirmed: %d", a.status)
	}
	a := officer.post("/recordings/"+id+"/erase", "reason", "asked for", "confirm", "yes")
	if a.to != "/erasures/"+id || !strings.Contains(officer.get(a.to).body, "keeps it still") {
		t.Fatalf("the erasure led to %q (%d)", a.to, a.status)
	}
	file, err := d.store.Rights(id)
	must(t, err)
	if a := officer.post("/recordings/"+id+"/release", "hold", file.Holds[0].ID, "reason", "settled"); !strings.HasPrefix(a.to, "/erasures/"+id) {
		t.Fatalf("the release led to %q (%d)", a.to, a.status)
	}
	unknown, gone := officer.get("/recordings/aaaaaaaaaaaaaaaaaaaaaaaaaa"), officer.get("/recordings/"+id)
	if gone.status != http.StatusNotFound || strings.ReplaceAll(gone.body, id, "") != strings.ReplaceAll(unknown.body, "aaaaaaaaaaaaaaaaaaaaaaaaaa", "") {
		t.Errorf("an erased recording (%d) looks unlike one that never was (%d)", gone.status, unknown.status)
	}
	must(t, d.store.Rotate(context.Background()))
	final := officer.get("/erasures/" + id).body
	if !strings.Contains(final, "Certificate of erasure") || !strings.Contains(final, "number 1 was destroyed") {
		t.Errorf("no certificate: %s", final)
	}
}

// TestLoudnessNeedsThePurposeAndShowsWhoSpoke: half the bars are tall on each side.
func TestLoudnessNeedsThePurposeAndShowsWhoSpoke(t *testing.T) {
	d := open(t)
	id := d.record(caller)
	lead := d.as("agent-lead")
	for _, purpose := range []string{"", "marketing"} {
		if a := lead.get("/recordings/" + id + "/loudness.svg?purpose=" + purpose); a.status/100 != 4 {
			t.Errorf("for %q: %d", purpose, a.status)
		}
	}
	a := lead.get("/recordings/" + id + "/loudness.svg?purpose=training")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "image/svg+xml" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	paths := strings.Split(a.body, "<path")
	if len(paths) != 3 {
		t.Fatal("there aren't two sides")
	}
	for side, sign := range []string{"-", ""} {
		tall, flat := strings.Count(paths[side+1], "v"+sign+"5"), strings.Count(paths[side+1], "v"+sign+"0.5")
		if tall < 100 || flat < 100 {
			t.Errorf("side %d has %d tall bars and %d flat ones", side, tall, flat)
		}
	}
	for range 3 {
		lead.get("/recordings/" + id + "/loudness.svg?purpose=training")
	}
	if body := lead.get("/recordings/" + id).body; !strings.Contains(body, "Nobody listened to it") {
		t.Error("a look at the loudness counts as listening")
	}
}

// TestTwoOfficersWhereThatIsWanted: one asks, the other approves, and it is done.
func TestTwoOfficersWhereThatIsWanted(t *testing.T) {
	d := open(t, func(c *office.Config) { c.FourEyes = true })
	id := d.record(caller)
	first, second := d.as("officer"), d.as("officer-2")
	if a := first.post("/recordings/"+id+"/erase", "reason", "asked for", "confirm", "yes"); a.to != "/approvals?done=pending.done" {
		t.Fatalf("the erasure led to %q (%d)", a.to, a.status)
	}
	if body := first.get("/approvals").body; strings.Contains(body, ">Approve<") || !strings.Contains(body, "Take back") {
		t.Error("who asked may approve, or can't take it back")
	}
	body := second.get("/approvals").body
	_, after, ok := strings.Cut(body, `action="/approvals/`)
	approval, _, _ := strings.Cut(after, "/")
	if !ok || !strings.Contains(body, "asked for") {
		t.Fatalf("nothing waits for the second officer: %s", body)
	}
	if a := second.post("/approvals/"+approval+"/approve", "reason", ""); a.to != "/approvals?done=approvals.done" {
		t.Fatalf("the approval led to %q (%d): %s", a.to, a.status, a.body)
	}
	if a := first.get("/recordings/" + id); a.status != http.StatusNotFound {
		t.Errorf("it is still there: %d", a.status)
	}
}

// TestARequestComesFromItsReceiptToItsEnd, by the page's forms alone.
func TestARequestComesFromItsReceiptToItsEnd(t *testing.T) {
	d := open(t)
	id := d.record(caller)
	officer := d.as("officer")
	day := time.Now().UTC().AddDate(0, -2, 0).Format(time.DateOnly)
	a := officer.post("/requests", "kind", "erasure", "party", caller, "received", day, "reason", "by letter")
	if !strings.HasPrefix(a.to, "/requests/") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	path, _, _ := strings.Cut(a.to, "?")
	if body := officer.get("/requests").body; !strings.Contains(body, "Overdue") || !strings.Contains(body, path) {
		t.Error("an overdue request isn't said to be one")
	}
	for _, act := range []string{"identify", "carry_out"} {
		if !strings.Contains(officer.get(path).body, `value="`+act+`"`) {
			t.Errorf("the page doesn't offer to %s", act)
		}
		if a := officer.post(path+"/steps", "act", act, "reason", "so it is"); a.status != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", act, a.status, a.body)
		}
	}
	if a := officer.get("/recordings/" + id); a.status != http.StatusNotFound {
		t.Errorf("the recording is still there: %d", a.status)
	}
	if body := officer.get(path).body; !strings.Contains(body, "Done") || strings.Contains(body, "Overdue") {
		t.Error("the request isn't done")
	}
	if a := officer.post("/requests", "kind", "erasure", "party", "", "received", "soon"); a.status != http.StatusOK || !strings.Contains(a.body, "Something is missing") {
		t.Errorf("a request without a number: %d", a.status)
	}
}

// TestWhatIsTakenOutIsAFileAndIsLogged, and what isn't allowed is a page that says why.
func TestWhatIsTakenOutIsAFileAndIsLogged(t *testing.T) {
	d := open(t)
	id := d.record(caller)
	officer := d.as("officer")
	path := "/recordings/" + id + "/export"
	if a := officer.post(path, "form", "wav", "purpose", "marketing", "to", "court"); a.status != http.StatusForbidden || !strings.Contains(a.body, "Nobody consented") {
		t.Errorf("for another purpose: %d %s", a.status, a.body)
	}
	a := officer.post(path, "form", "wav", "purpose", "training", "to", "the trainer")
	if a.status != http.StatusOK || !strings.HasPrefix(a.body, "RIFF") || a.header.Get("Content-Disposition") != `attachment; filename="recording-`+id+`.wav"` {
		t.Fatalf("%d %v", a.status, a.header)
	}
	if body := officer.get("/recordings/" + id).body; !strings.Contains(body, "Taken out <bdi>to the trainer</bdi>") {
		t.Error("the page doesn't say who got it")
	}
	if a := officer.post("/recordings/"+id+"/restrict", "ground", "accuracy", "reason", "contested"); a.status != http.StatusSeeOther {
		t.Fatalf("restricting: %d", a.status)
	}
	if a := officer.post(path, "form", "wav", "purpose", "training", "to", "the trainer"); a.status != http.StatusForbidden || !strings.Contains(a.body, "Art. 18") {
		t.Errorf("restricted: %d", a.status)
	}
	if body := officer.get("/recordings/" + id + "?purpose=training").body; strings.Contains(body, "<audio") || !strings.Contains(body, "For a legal claim") {
		t.Error("what is restricted has a player, or no way for a claim")
	}
	if a := officer.post(path, "form", "wav", "case", "7/26", "reason", "defence", "to", "the court"); a.status != http.StatusOK || !strings.HasPrefix(a.body, "RIFF") {
		t.Errorf("for a claim: %d", a.status)
	}
}

// TestCallersNamesAreText, wherever they are shown.
func TestCallersNamesAreText(t *testing.T) {
	d := open(t)
	const name = `sip:"><script>alert(1)</script>@x`
	id := d.record(name)
	d.live.calls = []office.Call{{ID: name, Trunk: name, Direction: "inbound", Remote: name, Local: name, Consent: name, Recording: "recording", Purpose: name, Started: time.Now()}}
	officer := d.as("officer")
	shown := 0
	for _, path := range []string{"/calls", "/calls/live", "/recordings", "/recordings/" + id, "/recordings/" + id + "/receipt", "/recordings/" + id + "/erase", "/audit"} {
		body := officer.get(path).body
		if strings.Contains(body, "<script>alert") {
			t.Errorf("%s runs a caller's script", path)
		}
		shown += strings.Count(body, "&lt;script&gt;alert")
	}
	if shown < 7 {
		t.Errorf("the name was shown %d times only", shown)
	}
}

// TestTheAuditLogIsVerifiedFromThePage, and shows the checkpoint and the result.
func TestTheAuditLogIsVerifiedFromThePage(t *testing.T) {
	d := open(t)
	d.record(caller)
	auditor := d.as("auditor")
	if a := auditor.post("/audit/verify"); a.to != "/audit" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	body := auditor.get("/audit").body
	for _, want := range []string{"The log is sound", "Root hash", "Signed checkpoint", "Recording sealed"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	only := auditor.get("/audit?type=consent").body
	if !strings.Contains(only, `data-label="Type">Consent<`) || strings.Contains(only, `data-label="Type">Recording sealed<`) {
		t.Error("the filter lets others through")
	}
}

// TestWithoutAStoreThePagesSaySo, and live calls go on.
func TestWithoutAStoreThePagesSaySo(t *testing.T) {
	d := open(t)
	officer := d.as("officer")
	s := d.store
	d.store = nil
	defer func() { d.store = s }()
	d.live.calls = []office.Call{{ID: "c1", Direction: "inbound", Remote: caller, Local: called, Consent: "granted", Recording: "recording", Started: time.Now()}}
	for _, path := range []string{"/recordings", "/requests", "/audit"} {
		if a := officer.get(path); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "Calls go on") {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if body := officer.get("/system").body; !strings.Contains(body, "Act now") {
		t.Error("the system page doesn't say it")
	}
	if a := officer.get("/calls"); a.status != http.StatusOK || !strings.Contains(a.body, caller[1:]) {
		t.Errorf("live calls: %d", a.status)
	}
	if a := officer.get("/calls/c1/withdraw"); a.status != http.StatusOK || !strings.Contains(a.body, `action="/calls/c1/withdraw"`) || len(d.live.done) > 0 {
		t.Errorf("asking before a withdrawal: %d, done: %v", a.status, d.live.done)
	}
	if a := officer.post("/calls/c1/pause"); a.to != "/calls?done=calls.done.pause" || fmt.Sprint(d.live.done) != "[pause c1 officer]" {
		t.Errorf("the pause led to %q, done: %v", a.to, d.live.done)
	}
}

// TestAlarmsAreForThoseWhoReadTheLog: they name users, who must not be warned.
func TestAlarmsAreForThoseWhoReadTheLog(t *testing.T) {
	d := open(t)
	must(t, d.store.Audit().Note(context.Background(), store.AlarmRaised{Rule: "play_burst", By: "agent-lead", At: time.Now(), Count: 51}))
	for _, r := range access.Roles {
		body := d.as(string(r)).get("/system").body
		if shown := strings.Contains(body, "Many recordings listened to"); shown != (r == access.Officer || r == access.Auditor) {
			t.Errorf("%s sees the alarm: %t", r, shown)
		}
	}
}

// TestLanguageAndZoneAreTheVisitors.
func TestLanguageAndZoneAreTheVisitors(t *testing.T) {
	d := open(t)
	v := d.visitor()
	v.also.Set("Accept-Language", "fr, de-AT;q=0.8, en;q=0.5")
	if body := v.get("/login").body; !strings.Contains(body, `<html lang="de">`) || !strings.Contains(body, "Benutzername") {
		t.Error("who prefers German gets something else")
	}
	if a := v.post("/language", "language", "en", "next", "//evil.example/"); a.to != "/" {
		t.Errorf("a change of language leads to %q", a.to)
	}
	v.also.Set("Cookie", "consentgate_zone=Asia%2FKolkata; consentgate_language=en")
	if body := v.get("/login").body; !strings.Contains(body, `<html lang="en">`) || !strings.Contains(body, "Times are in Asia/Kolkata") {
		t.Error("the chosen language or the browser's zone doesn't count")
	}
	v.also.Set("Cookie", "consentgate_zone=..%2F..%2Fetc%2Fpasswd")
	if body := v.get("/login").body; !strings.Contains(body, "Times are in UTC") {
		t.Error("what is no zone counts as one")
	}
}

// TestPagesHoldNothingOfOthersAndAreKeptByNobody: headers of every screen.
func TestPagesHoldNothingOfOthersAndAreKeptByNobody(t *testing.T) {
	d := open(t)
	officer := d.as("officer")
	for _, path := range []string{"/calls", "/recordings", "/nothing", "/login"} {
		h := officer.get(path).header
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'; script-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s has the policy %q", path, csp)
		}
		if h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %q", path, h.Get("Cache-Control"))
		}
	}
	page := officer.get("/calls").body
	_, after, _ := strings.Cut(page, `href="/static/style-`)
	name, _, _ := strings.Cut(after, `"`)
	if a := officer.get("/static/style-" + name); a.status != http.StatusOK || !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
		t.Errorf("the style: %d %q", a.status, a.header.Get("Cache-Control"))
	}
}
