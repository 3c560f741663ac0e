package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"consentgate/console/office"
	"consentgate/store"
)

// route is what there is to know of one.
type route struct {
	pattern string
	about   string
	params  []param
	body    string // name of its schema; "": none is taken
	answers []reply
	fails   []string // names of the problems that are its own; those that all may have are known
	fresh   bool     // it is made anew each time, and bears no ETag
	serve   func(*call) error
}

// reply is an answer that isn't a problem.
type reply struct {
	status int
	media  string // "": none
	schema string // of application/json
}

// param is a parameter of the query.
type param struct {
	name, kind string // string, strings, integer, boolean, time
	required   bool
	values     []string // those that there are; none: any
	about      string
}

func (r route) param(name string) (param, bool) {
	i := slices.IndexFunc(r.params, func(p param) bool { return p.name == name })
	if i < 0 {
		return param{}, false
	}
	return r.params[i], true
}

func (r route) paramNames() string {
	var names []string
	for _, p := range r.params {
		names = append(names, p.name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (p param) check(value string) (err error) {
	switch p.kind {
	case "integer":
		_, err = strconv.ParseInt(value, 10, 64)
	case "boolean":
		if value != "true" && value != "false" {
			err = errors.New("true or false")
		}
	case "time":
		_, err = parseTime(value)
	}
	if err == nil && len(p.values) > 0 && !slices.Contains(p.values, value) {
		err = fmt.Errorf("one of %s", strings.Join(p.values, ", "))
	}
	return err
}

// parseTime reads a moment (RFC 3339), or a day, which begins in UTC. A plus that
// nobody escaped has become a space.
func parseTime(value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, value); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, strings.ReplaceAll(value, " ", "+"))
	if err != nil {
		return t, errors.New("a time as 2026-11-25T13:00:00Z, or a day as 2026-11-25")
	}
	return t, nil
}

func (c *call) integer(name string, unless int64) int64 {
	n, err := strconv.ParseInt(c.query.Get(name), 10, 64)
	if err != nil { // it isn't given: check saw to the rest
		return unless
	}
	return n
}

func (c *call) time(name string) time.Time {
	t, _ := parseTime(c.query.Get(name)) // check saw to it
	return t
}

const problemMedia, jsonMedia = "application/problem+json", "application/json"

func ok(schema string) []reply { return []reply{{http.StatusOK, jsonMedia, schema}} }

var done = []reply{{http.StatusNoContent, "", ""}}

// orPending adds that a second officer may have to approve it.
func orPending(r ...reply) []reply {
	return append(r, reply{http.StatusAccepted, jsonMedia, "Pending"})
}

var (
	purpose = param{"purpose", "string", true, nil, "What it is used for: the purpose that was consented to. It is logged."}
	reason  = "Reason"
)

func formNames() (names []string) {
	for _, f := range office.Forms {
		names = append(names, f.Name)
	}
	return names
}

// routes are all of the API.
var routes []route

func init() { // the handlers look at the table
	routes = slices.Concat(commonRoutes(), callRoutes(), recordingRoutes(), rightsRoutes(), requestRoutes(), auditRoutes())
}

func commonRoutes() []route {
	return []route{
		{pattern: "GET /api/v1/openapi.json", about: "This description.", answers: ok("Document"),
			serve: func(c *call) error { return c.bytes(http.StatusOK, jsonMedia, c.document) }},
		{pattern: "GET /api/v1/me", about: "Who you are, and what you may ask for.", answers: ok("Me"), serve: getMe},
		{pattern: "GET /api/v1/system", about: "How the gate is: disk, root key, witnesses, what is being recorded.", answers: ok("System"),
			fresh: true, serve: getSystem},
		{pattern: "POST /api/v1/retention/confirm", about: "Lets go what a run of the retention was stopped over.", body: reason, answers: done,
			fails: []string{"not-stopped", "incomplete"}, serve: confirmRetention},
	}
}

func callRoutes() []route {
	var out []route
	for _, x := range []struct{ act, about string }{
		{office.Pause, "Pauses a call's recording."}, {office.Resume, "Resumes a call's recording."},
		{office.Withdraw, "Takes the consent back for who asked for it: what follows isn't recorded, and what was goes if the policy says so."}} {
		out = append(out, route{pattern: "POST /api/v1/calls/{id}/" + x.act, about: x.about, answers: done, fails: []string{"call-state"},
			serve: func(c *call) error {
				if err := c.office.Steer(c.r.Context(), c.who, c.r.PathValue("id"), x.act); err != nil {
					return err
				}
				return c.none()
			}})
	}
	return append(out, route{pattern: "GET /api/v1/calls", about: "Live calls, the latest first.", answers: ok("Calls"), serve: getCalls})
}

func recordingRoutes() []route {
	return []route{
		{pattern: "GET /api/v1/recordings", about: "Finds recordings, the latest first. All that is given must fit.", answers: ok("Recordings"),
			fails: []string{"bad-query", "numbers-not-shown"}, serve: getRecordings, params: []param{
				{"party", "string", false, nil, "A number of either party, in any spelling."},
				{"agent", "string", false, nil, "A number of the local party, in any spelling."},
				{"from", "time", false, nil, "The first moment of their start that is wanted, or a day."},
				{"to", "time", false, nil, "The first moment of their start that isn't wanted any more, or a day."},
				{"purpose", "string", false, nil, ""},
				{"trunk", "string", false, nil, ""},
				{"direction", "string", false, []string{"inbound", "outbound"}, ""},
				{"state", "string", false, []string{"recording", "sealed", "truncated"}, ""},
				{"outcome", "string", false, store.Outcomes(), "How it ended: running: not yet; complete: with the call; withdrawn: by a withdrawal of consent; party_changed: since somebody else " +
					"came onto the line; not_begun: before anything was recorded; crashed: since the gate stopped; recorder_failed: by trouble of the recorder or its disk."},
				{"held", "boolean", false, nil, "true: only those under a legal hold."},
				{"restricted", "boolean", false, nil, "true: only those that are restricted (GDPR Art. 18)."},
				{"limit", "integer", false, nil, "Of a page; 1 to 1000, 100 where it isn't given."},
				{"cursor", "string", false, nil, "The member next of the page before, with the same search."}}},
		{pattern: "GET /api/v1/recordings/{id}", about: "All there is to know of a recording: consents, gaps, who used it, what keeps it.",
			answers: ok("Recording"), serve: getRecording},
		{pattern: "GET /api/v1/recordings/{id}/audio", about: "The recording as stereo WAV: left the remote party, right the local one. One range works. Listening is logged.",
			params: []param{purpose}, answers: []reply{{http.StatusOK, "audio/wav", ""}, {http.StatusPartialContent, "audio/wav", ""}},
			fails: []string{"purpose-missing", "purpose-not-consented", "restricted", "damaged", "no-such-range"}, fresh: true, serve: getAudio},
		{pattern: "GET /api/v1/recordings/{id}/export", about: "Takes a recording out. It is logged before the first byte.",
			params: []param{{"form", "string", true, formNames(), "wav: stereo, 16 bit; g711: as it came; remote, local: that party alone; opus: smaller; " +
				"age: the capture, encrypted to recipients; vcon: with consent and audio."},
				{"purpose", "string", false, nil, "What it is used for: the purpose that was consented to. Needed but with case."},
				{"to", "string", false, nil, "Who gets it, where that isn't you."},
				{"recipient", "strings", false, nil, "Of form age: age1..., may be given again."},
				{"case", "string", false, nil, "The legal claim that a restricted recording is needed for (GDPR Art. 18(2)), with reason and form wav."},
				{"reason", "string", false, nil, "Why; for the second officer, and with case."}},
			answers: orPending(reply{http.StatusOK, "*/*", ""}), fresh: true, serve: getExport,
			fails: []string{"purpose-missing", "purpose-not-consented", "restricted", "damaged", "not-g711", "not-set-up", "incomplete", "unknown-form", "method-not-allowed"}},
		{pattern: "GET /api/v1/recordings/{id}/receipt", about: "The consent receipt (ISO/IEC TS 27560, JSON-LD).", fresh: true,
			answers: []reply{{http.StatusOK, "application/ld+json", ""}}, fails: []string{"damaged"}, serve: getReceipt},
		{pattern: "GET /api/v1/recordings/{id}/vcon", about: "What is known of the recording as a vCon, without its audio: that is an export.", fresh: true,
			params:  []param{{"audio", "string", false, []string{noAudio, byURL}, "url: where the audio is, at console.url, with its hash. Who goes there says what for, and is logged."}},
			answers: []reply{{http.StatusOK, "application/vcon+json", ""}}, fails: []string{"damaged", "restricted", "goes-on", "not-set-up", "method-not-allowed"}, serve: getVCon},
	}
}

func rightsRoutes() []route {
	if_ := "changed-since"
	return []route{
		{pattern: "PUT /api/v1/recordings/{id}/hold", about: "Puts a legal hold on a recording. One of the same reason and case is there once.", body: "Holding",
			answers: []reply{{http.StatusCreated, jsonMedia, "Hold"}, {http.StatusOK, jsonMedia, "Hold"}},
			fails:   []string{"incomplete", "being-erased", if_}, serve: putHold},
		{pattern: "DELETE /api/v1/recordings/{id}/hold", about: "Ends a legal hold. An erasure that waited for it is carried out.", body: "Releasing", answers: done,
			fails: []string{"incomplete", "being-erased", "several", if_}, serve: deleteHold},
		{pattern: "POST /api/v1/recordings/{id}/restrictions", about: "Restricts a recording for a subject (GDPR Art. 18).", body: "Restricting",
			answers: []reply{{http.StatusCreated, jsonMedia, "Restriction"}}, fails: []string{"incomplete", "being-erased", if_}, serve: postRestriction},
		{pattern: "DELETE /api/v1/recordings/{id}/restrictions/{restriction}", about: "Ends a restriction, of which its subject must have been told.", body: "Lifting",
			answers: done, fails: []string{"incomplete", "being-erased", if_}, serve: deleteRestriction},
		{pattern: "POST /api/v1/recordings/{id}/erase", about: "Erases a recording, as soon as nothing keeps it. It is final when the root key has been replaced.", body: reason,
			answers: orPending(reply{http.StatusOK, jsonMedia, "Erasure"}, reply{http.StatusAccepted, jsonMedia, "Erasure"}), fails: []string{"incomplete", "being-erased", "bad-query", if_}, serve: postErase},
		{pattern: "GET /api/v1/recordings/{id}/certificate", about: "The certificate of an erasure, a signed note for 'consentgate verify --certificate'; how far it came until it is final.",
			answers: []reply{{http.StatusOK, "text/plain", ""}, {http.StatusAccepted, jsonMedia, "Erasure"}}, fresh: true, serve: getCertificate},
		{pattern: "GET /api/v1/approvals", about: "What waits for a second officer, and what was decided within the hour.", answers: ok("Approvals"), serve: getApprovals},
		{pattern: "GET /api/v1/approvals/{id}", about: "One of them.", answers: ok("Approval"), serve: getApproval},
		{pattern: "POST /api/v1/approvals/{id}/approve", about: "Approves what another officer asked for.", body: reason, answers: ok("Approval"),
			fails: []string{"own-request", "decided", "being-erased", "out-of-order", "incomplete"}, serve: func(c *call) error { return c.decide(c.office.Approve) }},
		{pattern: "POST /api/v1/approvals/{id}/reject", about: "Turns it down, or takes one's own back.", body: reason, answers: ok("Approval"),
			fails: []string{"decided"}, serve: func(c *call) error { return c.decide(c.office.Reject) }},
	}
}

func requestRoutes() []route {
	return []route{
		{pattern: "GET /api/v1/requests", about: "Subjects' requests, by the day they are due.", answers: ok("Requests"), serve: getRequests,
			params: []param{{"open", "boolean", false, nil, "true: only those that are."}}},
		{pattern: "POST /api/v1/requests", about: "Takes a subject's request in.", body: "Receiving",
			answers: []reply{{http.StatusCreated, jsonMedia, "Request"}}, fails: []string{"incomplete"}, serve: postRequest},
		{pattern: "GET /api/v1/requests/{id}", about: "One of them.", answers: ok("Request"), serve: getRequest},
		{pattern: "POST /api/v1/requests/{id}/steps", about: "Brings a request a step further.", body: "Step", answers: orPending(reply{http.StatusOK, jsonMedia, "Request"}),
			fails: []string{"incomplete", "out-of-order", "too-late", "bad-query"}, serve: postStep},
		{pattern: "GET /api/v1/requests/{id}/bundle", about: "The answer to a request for access or portability that is being carried out, a zip.", params: []param{
			{"language", "string", false, nil, "Of its page; en where it isn't given."},
			{"both", "boolean", false, nil, "true: the other party is heard, too; else silenced (GDPR Art. 15(4))."},
			{"numbers", "boolean", false, nil, "true: the other party's number is in it in full."},
			{"staff", "boolean", false, nil, "true: names of those who listened; else numbered."},
			{"recipient", "string", false, nil, "It is sealed with age for this one: age1..."}},
			answers: orPending(reply{http.StatusOK, "application/zip", ""}, reply{http.StatusOK, "application/octet-stream", ""}), fresh: true, serve: getBundle,
			fails: []string{"out-of-order", "damaged", "method-not-allowed"}},
	}
}

func auditRoutes() []route {
	return []route{
		{pattern: "GET /api/v1/audit", about: "Entries of the audit log, the oldest first.", answers: ok("Entries"), serve: getAudit, params: []param{
			{"after", "integer", false, nil, "The number of the entry before the first; -1 is the beginning, and where it isn't given."},
			{"limit", "integer", false, nil, "Of a page; 1 to 1000, 100 where it isn't given."},
			{"type", "string", false, nil, "Entries of this type only."}}},
		{pattern: "GET /api/v1/audit/export", about: "The whole log as JSON lines, for 'consentgate verify --export'. What the entries say goes along where your role sees numbers.",
			answers: []reply{{http.StatusOK, "application/jsonl", ""}}, fails: []string{"method-not-allowed"}, fresh: true, serve: getAuditExport},
		{pattern: "GET /api/v1/audit/checkpoint", about: "The log's latest checkpoint, a signed note.", answers: []reply{{http.StatusOK, "text/plain", ""}}, serve: getCheckpoint},
		{pattern: "GET /api/v1/audit/key", about: "The key that checkpoints, proofs and certificates are verified with.", answers: []reply{{http.StatusOK, "text/plain", ""}}, serve: getKey},
		{pattern: "GET /api/v1/audit/proof", about: "A proof that an entry is in the log, for 'consentgate verify --proof'.", answers: ok("Proof"), serve: getProof,
			params: []param{{"entry", "integer", true, nil, "Its number."}}},
		{pattern: "POST /api/v1/audit/proof", about: "A proof that the log continues an older checkpoint.", body: "Proving", answers: ok("Proof"), fails: []string{"not-this-log"}, serve: postProof},
		{pattern: "POST /api/v1/audit/verify", about: "Verifies the whole log. One at a time; it may take a minute.", answers: ok("Report"), fails: []string{"busy", "not-set-up"}, serve: postVerify},
	}
}
