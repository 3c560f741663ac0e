package api_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"consentgate/console/access"
	"consentgate/console/api"
	"consentgate/internal/sample"
)

// bodies are sound ones for the routes that need one.
var bodies = map[string]string{
	"PUT /api/v1/recordings/{id}/hold":                          `{"reason":"a claim"}`,
	"DELETE /api/v1/recordings/{id}/hold":                       `{"reason":"over"}`,
	"POST /api/v1/recordings/{id}/restrictions":                 `{"reason":"contested","ground":"accuracy"}`,
	"DELETE /api/v1/recordings/{id}/restrictions/{restriction}": `{"reason":"settled","told":true}`,
	"POST /api/v1/recordings/{id}/erase":                        `{"reason":"asked"}`,
	"POST /api/v1/requests":                                     `{"kind":"access","party":"+442079460123"}`,
	"POST /api/v1/requests/{id}/steps":                          `{"act":"identify","reason":"passport"}`,
	"POST /api/v1/retention/confirm":                            `{"reason":"looked at"}`,
	"POST /api/v1/audit/proof":                                  `{"checkpoint":"none"}`,
	"POST /api/v1/approvals/{id}/approve":                       `{"reason":"looked at"}`,
	"POST /api/v1/approvals/{id}/reject":                        `{"reason":"looked at"}`,
}

// queries are what routes need in theirs.
var queries = map[string]string{
	"GET /api/v1/recordings/{id}/audio":  "?purpose=training",
	"GET /api/v1/recordings/{id}/export": "?purpose=training&form=wav",
	"GET /api/v1/audit/proof":            "?entry=0",
}

const unknownID = "aaaaaaaaaaaaaaaaaaaaaaaaaa"

// target is a request for a route, of something by its id.
func target(pattern, id string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	path = strings.NewReplacer("{id}", id, "{restriction}", unknownID).Replace(path)
	return method, path + queries[pattern]
}

// TestEachRouteIsForTheRolesOfTheTable: every route is asked by every role, by
// nobody, and with a token that isn't anybody's. What happens must be what the
// table says, and the table what is written down here: who changes one has to
// change the other.
func TestEachRouteIsForTheRolesOfTheTable(t *testing.T) {
	k := newKit(t, options{})
	for pattern, roles := range access.Table {
		if !strings.Contains(pattern, " /api/") {
			continue
		}
		method, path := target(pattern, unknownID)
		public := access.Public(pattern)
		for _, role := range access.Roles {
			g := k.do(string(role), method, path, bodies[pattern])
			may := public
			for _, r := range roles {
				may = may || r == role
			}
			if refused := g.status == http.StatusForbidden && g.problem() == "not-your-role"; refused == may {
				t.Errorf("%s by %s: %d %s", pattern, role, g.status, g.body)
			}
			if g.status == http.StatusUnauthorized {
				t.Errorf("%s by %s: %d", pattern, role, g.status)
			}
		}
		for _, nobody := range []string{"", "nobody's", "officer2"} {
			g := k.do(nobody, method, path, bodies[pattern])
			if (g.status == http.StatusUnauthorized) == public {
				t.Errorf("%s by %q: %d", pattern, nobody, g.status)
			}
			challenge := g.header.Get("WWW-Authenticate")
			if !public && (!strings.HasPrefix(challenge, "Bearer ") || strings.Contains(challenge, "invalid_token") != (nobody != "")) {
				t.Errorf("%s by %q: WWW-Authenticate: %s", pattern, nobody, challenge)
			}
		}
	}
	wrong := map[string][]access.Role{ // written down a second time, for the acts that hurt most
		"GET /api/v1/recordings/{id}/audio":  {access.AgentLead, access.Officer},
		"GET /api/v1/recordings/{id}/export": {access.Officer},
		"POST /api/v1/recordings/{id}/erase": {access.Officer},
		"GET /api/v1/requests/{id}/bundle":   {access.Officer},
		"GET /api/v1/recordings":             {access.AgentLead, access.Officer, access.Auditor},
		"GET /api/v1/audit":                  {access.Officer, access.Auditor},
	}
	for pattern, roles := range wrong {
		if !reflect.DeepEqual(access.Table[pattern], roles) {
			t.Errorf("%s is for %v", pattern, access.Table[pattern])
		}
	}
}

// TestWhatIsntThereIsNotFoundInOneWay: of what was erased, what never was and what
// can't be, nobody learns which, by body or header.
func TestWhatIsntThereIsNotFoundInOneWay(t *testing.T) {
	k := newKit(t, options{})
	erased := sample.Record(t, k.store, sample.Caller, time.Second)
	k.do("officer", "POST", "/api/v1/recordings/"+erased+"/erase", `{"reason":"asked"}`).want(http.StatusAccepted, "")
	for pattern := range access.Table {
		if !strings.Contains(pattern, "/recordings/{id}") || strings.HasSuffix(pattern, "/certificate") { // an erasure has one
			continue
		}
		var first got
		for i, id := range []string{erased, unknownID, "x", "ABC", "..%2f..%2fkeys.db", "%00", strings.Repeat("a", 300)} {
			method, path := target(pattern, id)
			g := k.do("officer", method, path, bodies[pattern]).want(http.StatusNotFound, "not-found")
			g.header.Del("Date")
			g.t = nil
			if i == 0 {
				first = g
			} else if !reflect.DeepEqual(g, first) {
				t.Errorf("%s of %s:\n%v %s\nof an erased one:\n%v %s", pattern, id, g.header, g.body, first.header, first.body)
			}
		}
	}
}

// TestNumbersAreShownByRole, wherever they are: in lists, in a recording with all
// that was logged, in live calls, documents and the audit log.
func TestNumbersAreShownByRole(t *testing.T) {
	k := newKit(t, options{})
	id := sample.Record(t, k.store, sample.Caller, time.Second)
	one := "/api/v1/recordings/" + id
	k.do("officer", "POST", one+"/restrictions", `{"reason":"contested","ground":"accuracy","subject":"`+sample.Caller+`"}`).want(http.StatusCreated, "")
	k.do("officer", "POST", "/api/v1/requests", `{"kind":"access","party":"`+sample.Caller+`"}`).want(http.StatusCreated, "")
	for _, path := range []string{"/api/v1/calls", "/api/v1/recordings", one, one + "/receipt", one + "/vcon", "/api/v1/audit?limit=1000", "/api/v1/audit/export",
		"/api/v1/audit/proof?entry=1", "/api/v1/audit/proof?entry=2"} {
		for _, role := range access.Roles {
			g := k.get(string(role), path)
			if g.status == http.StatusForbidden {
				continue
			}
			g.want(http.StatusOK, "")
			sees := role == access.Officer || role == access.AgentLead
			for _, number := range []string{sample.Caller, strings.TrimPrefix(sample.Caller, "+"), sample.Agent, strings.TrimPrefix(sample.Agent, "+")} {
				if shown := strings.Contains(string(g.body), number); shown && !sees {
					t.Errorf("%s shows %s to %s: %s", path, number, role, g.body)
				}
			}
			if masked := strings.Contains(string(g.body), `"…123"`); masked == sees && (path == one || path == "/api/v1/calls" || path == "/api/v1/recordings") {
				t.Errorf("%s to %s: %s", path, role, g.body)
			}
		}
	}
	if b := k.get("officer", one).body; !strings.Contains(string(b), sample.Caller) {
		t.Errorf("control: %s", b)
	}
	k.get("auditor", "/api/v1/recordings?party="+sample.Caller).want(http.StatusForbidden, "numbers-not-shown")
	k.get("auditor", "/api/v1/recordings?agent=123").want(http.StatusForbidden, "numbers-not-shown")
}

// TestWhoAmI says what the table says.
func TestWhoAmI(t *testing.T) {
	k := newKit(t, options{})
	for _, role := range access.Roles {
		var me struct {
			Name, Role string
			May        []string
		}
		k.get(string(role), "/api/v1/me").want(http.StatusOK, "").into(&me)
		n := 0
		for pattern := range access.Table {
			if access.May(pattern, role) {
				n++
			}
		}
		if me.Name != string(role) || me.Role != string(role) || len(me.May) != n {
			t.Errorf("%+v", me)
		}
	}
}

// TestASessionsForgedWriteIsToldFromAMissingRole: who uses a page's session from a
// program learns what it lacks; a token's user has a role only.
func TestASessionsForgedWriteIsToldFromAMissingRole(t *testing.T) {
	for token, want := range map[string]bool{"": true, "Bearer x": false} {
		r, w := httptest.NewRequest("POST", "/api/v1/requests", nil), httptest.NewRecorder()
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		new(api.API).Deny(w, r, http.StatusForbidden)
		if told := strings.Contains(w.Body.String(), "X-CSRF-Token"); w.Code != http.StatusForbidden || told != want {
			t.Errorf("with %q: %d %s", token, w.Code, w.Body)
		}
	}
}
