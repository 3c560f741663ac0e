package page

import (
	"time"

	"consentgate/console/access"
	"consentgate/store"
	"consentgate/store/rights"
)

// hostile is what callers may call themselves.
const hostile = `<script>alert(1)</script>"'&lt;`

// fixtures are bodies for every screen, with and without content.
func fixtures() map[string][]any {
	at := time.Date(2026, 11, 25, 9, 41, 7, 0, time.UTC)
	row := recordingRow{ID: "k3vq7mzt5y2hd4pwb6nxa8ce", Trunk: "main", Direction: "inbound", Remote: "+442079460018", Local: "+441134960123", Purpose: "training", State: "sealed", Outcome: "complete",
		Started: at, Until: at.AddDate(0, 0, 90), Length: 4*time.Minute + 12*time.Second}
	held, cut, odd := row, row, row
	held.Held, held.Restricted, held.Started, held.Direction = true, true, at.Add(-time.Hour), "outbound"
	cut.State, cut.Outcome, cut.Started, cut.Length = "truncated", "crashed", at.Add(-26*time.Hour), 71*time.Second
	odd.Remote, odd.State, odd.Outcome, odd.Started = hostile, "recording", "running", at.Add(time.Hour)
	rec := recording{recordingRow: row, Reason: "hang-up", Bytes: 2714003, Accesses: []use{{At: at.Add(time.Hour), By: "dana", Purpose: "training", Up: 42 * time.Second}, {At: at.Add(2 * time.Hour), By: "omar", Purpose: "training", Exported: true, To: hostile}},
		Holds: []hold{{ID: "h1", Case: "2026/114", Act: act{By: "dana", Reason: "complaint about the quote", At: at.Add(3 * time.Hour)}}}}
	answers := []answer{{Party: "remote", Key: "1", Heard: "“training-en”, en, 0:07, to its end", Prompt: "5f2a", At: at.Add(-2 * time.Second)}}
	body := recordingBody{Recording: rec, Listens: true, Officer: true, Purposes: []purpose{{"training", "staff training"}}, Answers: answers,
		Grounds: []string{"accuracy", "unlawful", "claims", "objection"}, Forms: []string{"wav", "opus", "age", "vcon"},
		Events: []event{{-2 * time.Second, "check", "agreed", "Pressed 1: yes (telephone-event)", "Caller's side"}, {0, "dot", "agreed", "Recording began", ""},
			{72 * time.Second, "pause", "gap", "Paused", "Our side"}, {95 * time.Second, "play", "", "Resumed", "Our side"},
			{140 * time.Second, "alert", "gap", "Nothing recorded until 2:22: lost in the network", hostile}, {252 * time.Second, "cross", "stopped", "Recording ended", ""}},
		Drawing: &drawing{Lanes: []rect{{"remote", 0, 8, 1000}, {"local", 0, 34, 1000}}, Gaps: []rect{{"", 286, 8, 91}, {"", 286, 34, 91}, {"", 555, 8, 8}}, Marks: []line{{"event", 0}, {"event", 286}, {"event", 377}, {"stop", 1000}}}}
	chosen := body
	chosen.Purpose, chosen.PurposeText, chosen.Named = "training", "staff training", true
	auditor := recordingBody{Recording: rec, Answers: answers}
	request := func(kind, state string, left int, owed bool) requestRow {
		return requestRow{ID: "q1", Kind: kind, Party: "+442079460018", State: state, Received: rights.Date{Year: 2026, Month: 11, Day: 3}, Due: rights.Date{Year: 2026, Month: 12, Day: 3}, Owed: owed, Left: left}
	}
	return map[string][]any{
		"withdraw":   {callRow{ID: "c1", Remote: hostile, Local: "+441134960123", Direction: "inbound", Started: at}},
		"login":      {loginBody{Next: "/"}, loginBody{Next: "/", Problem: "login.failed", OIDC: true}},
		"error":      {errorBody{404, "error.404", "", "error.404.help"}, errorBody{403, "error.403", "trouble.restricted", "error.403.help"}},
		"calls":      {callsBody{}, callsBody{Live: 3, Recording: 1, Asking: 1, Unrecorded: 1, Calls: []callRow{{ID: "c1", Trunk: "main", Direction: "inbound", Remote: "+442079460018", Local: "+441134960123", Consent: "granted", Recording: "recording", Purpose: "training", Started: at, Lasted: 84 * time.Second, Acts: []string{"pause", "withdraw"}}, {ID: "c2", Trunk: "main", Direction: "outbound", Remote: hostile, Local: "+441134960124", Consent: "asking", Recording: "off", Purpose: "training", Started: at.Add(70 * time.Second), Lasted: 14 * time.Second}, {ID: "c3", Trunk: "main", Direction: "inbound", Remote: "+493090182000", Local: "+441134960125", Consent: "declined", Recording: "off", Started: at.Add(-200 * time.Second), Lasted: 284 * time.Second}}}},
		"recordings": {recordingsBody{}, recordingsBody{Numbers: true, Asked: asked{Party: hostile}, Searched: true, Purposes: []string{"training", "quality"}, Trunks: []string{"main"}, Directions: []string{"inbound", "outbound"}, States: []string{"recording", "sealed", "truncated"}, Outcomes: store.Outcomes(), Rights: []string{"held", "restricted"}, Found: []recordingRow{odd, row, held, cut}, Next: "/recordings?q=abc"}},
		"recording":  {body, chosen, auditor},
		"erase":      {eraseBody{Recording: rec}, eraseBody{Recording: rec, Kept: true, Problem: "erase.missing"}},
		"erasure":    {erasureBody{ID: row.ID, Erasure: erasure{State: "pending", Requested: at, Logical: at}}, erasureBody{ID: row.ID, Erasure: erasure{"shredded", at, at, at.Add(time.Hour)}, Certificate: &store.Certificate{Log: "consentgate/gate-1", Issued: at, Requested: at, Logical: at, Shredded: at, Erased: store.ErasedThing{Commitment: "9c1e"}, NotCover: []string{"copies that were given out"}}}},
		"receipt":    {receiptBody{Recording: rec, Controller: "Example Ltd", Contact: "privacy@example.com", PurposeText: "staff training", Policy: "default", Grant: "77aa", Granted: at, Days: 90, Seq: 4, Answers: answers, Acts: []receiptAct{{at, "paused", "Our side"}}}},
		"requests":   {requestsBody{}, requestsBody{Kinds: []string{"access", "erasure"}, Today: "2026-11-25", Requests: []requestRow{request("erasure", "received", -2, true), request("access", "in_progress", 5, true), request("restriction", "identified", 24, true), request("access", "done", 0, false)}}},
		"request":    {requestBody{Request: request2(request("erasure", "identified", 5, true), at), Acts: []string{"carry_out", "extend", "refuse"}, Grounds: []string{"accuracy"}}, requestBody{Request: request2(request("access", "in_progress", -1, true), at), Acts: []string{"deliver"}, Bundles: true}},
		"audit":      {auditBody{}, auditBody{Types: []string{"consent", "user.login"}, Type: "consent", Checkpoint: "consentgate/gate-1\n42\nabc=\n\n— consentgate/gate-1 sig", Report: &store.Report{Size: 42, Root: "abc=", BadSeq: -1}, VerifiedAt: at, Entries: []entry{{41, at, "recording.played", []said{{"by", "dana", ""}, {"recording", row.ID, "/recordings/" + row.ID}}}, {40, at, "consent", nil}, {39, at, "user.failed", []said{{"as", hostile, ""}}}}, Older: "/audit?before=39"}, auditBody{Report: &store.Report{BadSeq: 7, Problem: "the payload isn't what was committed to"}}},
		"system":     {systemBody{Node: "gate-1", Started: at, Worst: "warn", Watches: true, Alarms: []alarm{{at, "play_burst", hostile, 41}}, Braked: true, Confirms: true, Checks: []check{{"store", "ok", "open; recording is possible"}, {"disk", "ok", "412.0 GB free of 500.1 GB"}, {"witness", "off", ""}, {"retention", "warn", hostile}}, Counts: []countRow{{"training", "sealed", 1204}, {"training", "truncated", 3}}}},
		"approvals":  {approvalsBody{}, approvalsBody{[]pending{{ID: "a1", Open: true, State: "pending", Act: "erase", By: "dana", Reason: hostile, Link: "/recordings/" + row.ID, At: at}, {ID: "a2", Open: true, State: "pending", Form: "wav", To: hostile, Act: "export", By: "omar", Reason: "for the court", At: at, Own: true}, {ID: "a3", Act: "bundle", State: "approved", By: "dana", Second: "omar", At: at}}}},
	}
}

func request2(r requestRow, at time.Time) request {
	return request{requestRow: r, Steps: []step{{act{"dana", "by letter", at}, "received"}, {act{"dana", hostile, at}, r.State}}, Outstanding: []string{"k3vq7mzt5y2hd4pwb6nxa8ce"}}
}

func viewOf(language, screen string, body any) *view {
	return &view{Language: language, Title: "x", Screen: screen, Nav: []string{"calls", "recordings", "requests", "approvals", "audit", "system"},
		Who: access.Principal{Name: hostile, Role: access.Officer}, LoggedIn: screen != "login", CSRF: "token", Here: "/", Version: "v1", Zone: time.UTC, Body: body}
}
