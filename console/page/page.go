package page

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	_ "time/tzdata" // whose machine has no time zones still knows those of browsers

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/console/office"
)

// Door is where people prove who they are; access.Gatekeeper is one.
type Door interface {
	LogIn(w http.ResponseWriter, r *http.Request, name, password string) error
	LogOut(w http.ResponseWriter, r *http.Request)
	CSRF(r *http.Request) string
	HasOIDC() bool
	BeginOIDC(w http.ResponseWriter, r *http.Request, next string) (address string, err error)
	FinishOIDC(w http.ResponseWriter, r *http.Request) (next string, err error)
}

// Config says what a page is made of.
type Config struct {
	Office     *office.Office
	Door       Door
	Controller consent.Controller
	Purposes   []consent.Purpose // those of the configuration, to search by
	Trunks     []string          // the same
	Zone       *time.Location    // of times, where a browser doesn't tell its own; nil: the machine's
	Version    string
	HasURL     bool         // the console has an address that others are told
	Log        *slog.Logger // nil: none
}

// Page is made by New. It is safe for concurrent use.
type Page struct {
	c        Config
	o        *office.Office
	searches searches
	verified atomic.Pointer[verified] // the last check of the log
}

// New makes a page.
func New(c Config) *Page {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Zone = cmp.Or(c.Zone, time.Local)
	return &Page{c: c, o: c.Office, searches: newSearches()}
}

// policy lets a page have what this origin serves, and nothing that is written into
// it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Routes are the page's handlers by their patterns, as in access.Table.
func (p *Page) Routes() map[string]http.Handler {
	all := map[string]http.Handler{"GET /static/{file}": http.HandlerFunc(static)}
	for pattern, h := range map[string]func(*visit) error{
		"GET /{$}": home, "GET /login": getLogin, "POST /login": postLogin, "POST /logout": postLogout, "POST /language": postLanguage,
		"GET /login/oidc": getOIDC, "GET /login/oidc/callback": getOIDCBack,
		"GET /calls": getCalls, "GET /calls/live": getLive, "GET /calls/{id}/withdraw": getWithdraw,
		"POST /calls/{id}/pause": steer(office.Pause), "POST /calls/{id}/resume": steer(office.Resume), "POST /calls/{id}/withdraw": steer(office.Withdraw),
		"GET /recordings": getRecordings, "POST /recordings": postSearch, "GET /recordings/{id}": getRecording, "GET /recordings/{id}/receipt": getReceipt,
		"GET /recordings/{id}/loudness.svg": getLoudness, "POST /recordings/{id}/export": postExport,
		"POST /recordings/{id}/hold": postHold, "POST /recordings/{id}/release": postRelease,
		"POST /recordings/{id}/restrict": postRestrict, "POST /recordings/{id}/lift": postLift,
		"GET /recordings/{id}/erase": getErase, "POST /recordings/{id}/erase": postErase, "GET /erasures/{id}": getErasure,
		"GET /requests": getRequests, "POST /requests": postRequest, "GET /requests/{id}": getRequest, "POST /requests/{id}/bundle": postBundle, "POST /requests/{id}/steps": postStep,
		"GET /approvals": getApprovals, "POST /approvals/{id}/approve": decide(true), "POST /approvals/{id}/reject": decide(false),
		"GET /audit": getAudit, "POST /audit/verify": postVerify, "GET /system": getSystem, "POST /system/retention": postRetention,
	} {
		all[pattern] = p.serve(h)
	}
	return all
}

// visit is one request, and who makes it.
type visit struct {
	*Page
	w        http.ResponseWriter
	r        *http.Request
	who      access.Principal
	loggedIn bool
	language string
	zone     *time.Location
}

func (p *Page) visit(w http.ResponseWriter, r *http.Request) *visit {
	v := &visit{Page: p, w: w, r: r, language: languageOf(r), zone: p.zoneOf(r)}
	v.who, v.loggedIn = access.From(r.Context())
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Vary", "Accept-Language, Cookie")
	return v
}

func (p *Page) serve(h func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := p.visit(w, r)
		if err := h(v); err != nil {
			v.fail(err)
		}
	})
}

const zoneCookie = "consentgate_zone"

// zoneOf is the time zone that a browser says it is in.
func (p *Page) zoneOf(r *http.Request) *time.Location {
	c, err := r.Cookie(zoneCookie)
	if err != nil {
		return p.c.Zone
	}
	name, err := url.QueryUnescape(c.Value)
	if err != nil || name == "" || name == "Local" {
		return p.c.Zone
	}
	zone, err := time.LoadLocation(name) // refuses what isn't a zone's name
	if err != nil {
		return p.c.Zone
	}
	return zone
}

// navigation is the screens in order, and the route that says whose they are.
var navigation = []struct{ screen, pattern string }{
	{"calls", "GET /calls"}, {"recordings", "GET /recordings"}, {"requests", "GET /requests"},
	{"approvals", "GET /approvals"}, {"audit", "GET /audit"}, {"system", "GET /system"},
}

// nav is what somebody's role has.
func (v *visit) nav() (out []string) {
	for _, n := range navigation {
		if access.May(n.pattern, v.who.Role) && (n.screen != "approvals" || v.o.FourEyes()) {
			out = append(out, n.screen)
		}
	}
	return out
}

// show answers with a screen. title is said as it is.
func (v *visit) show(screen, of, title string, body any) error {
	return v.showAs(http.StatusOK, screen, of, title, body)
}

func (v *visit) showAs(status int, screen, of, title string, body any) error {
	return render(v.w, status, screen, "layout", v.page(of, title, body))
}

func (v *visit) page(of, title string, body any) *view {
	out := &view{Language: v.language, Title: title, Screen: of, Who: v.who, LoggedIn: v.loggedIn, CSRF: v.c.Door.CSRF(v.r),
		Here: "/", Version: v.c.Version, Zone: v.zone, Body: body}
	if v.loggedIn {
		out.Nav = v.nav()
	}
	if v.r.Method == http.MethodGet {
		out.Here = v.r.URL.RequestURI()
	}
	if done := v.r.URL.Query().Get("done"); notices[done] {
		out.Notice = done
	}
	return out
}

// notices are the keys that an address may ask to be said.
var notices = map[string]bool{
	"calls.done.pause": true, "calls.done.resume": true, "calls.done.withdraw": true, "hold.done": true, "hold.released": true,
	"restrict.done": true, "restrict.lifted": true, "requests.new.done": true, "request.done": true, "pending.done": true,
	"approvals.done": true, "approvals.done.refused": true, "system.retention.done": true,
}

// done leads to an address of ours after a form was carried out, and has it say so.
func (v *visit) done(address, notice string) error {
	if notice != "" {
		sep := "?"
		if strings.Contains(address, "?") {
			sep = "&"
		}
		address += sep + "done=" + notice
	}
	http.Redirect(v.w, v.r, address, http.StatusSeeOther)
	return nil
}

// decimal is a number with two places, as the visitor's language writes it.
func (v *visit) decimal(f float64) string {
	s := strconv.FormatFloat(f, 'f', 2, 64)
	if v.language == "de" {
		return strings.Replace(s, ".", ",", 1)
	}
	return s
}

// t is a phrase in the visitor's language.
func (v *visit) t(key string, args ...any) string { return text(v.language, key, args...) }

// form is a field of the form that was sent, never of the address.
func (v *visit) form(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }

func (v *visit) id() string { return v.r.PathValue("id") }

// home is the first screen that somebody's role has.
func home(v *visit) error { return v.done("/"+v.nav()[0], "") }
