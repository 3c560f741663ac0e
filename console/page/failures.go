package page

import (
	"errors"
	"net/http"
	"net/url"

	"consentgate/console/office"
)

// errExpired means that the address of a search isn't good any more.
var errExpired = errors.New("the search's address isn't good any more")

// fail answers with a page that says what is wrong and what to do. What an error
// says in English stays in the log, unless the catalogue knows its name.
func (v *visit) fail(err error) {
	if errors.Is(err, office.ErrPending) {
		if err := v.done("/approvals", "pending.done"); err != nil {
			v.c.Log.Error("answering", "error", err)
		}
		return
	}
	trouble, detail := office.TroubleOf(err), ""
	if errors.Is(err, errExpired) {
		trouble, detail = office.Trouble{Status: http.StatusBadRequest}, "error.expired"
	} else if _, known := words["trouble."+trouble.Name]; known {
		detail = "trouble." + trouble.Name
	}
	if trouble.Status >= http.StatusInternalServerError {
		v.c.Log.Error("a page of the console failed", "trouble", trouble.Name, "error", err)
	}
	if trouble.Status == http.StatusServiceUnavailable {
		v.w.Header().Set("Retry-After", "30")
	}
	v.refuse(trouble.Status, detail)
}

func (v *visit) refuse(status int, detail string) {
	what := "error." + http.StatusText(status)
	switch status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		what = "error." + itoa(status)
	case http.StatusUnprocessableEntity, http.StatusRequestURITooLong, http.StatusRequestEntityTooLarge, http.StatusMethodNotAllowed:
		what = "error.400"
	default:
		what = "error.500"
	}
	body := errorBody{Status: status, What: what, Detail: detail, Help: what + ".help"}
	if err := v.showAs(status, "error", "", v.t(what), body); err != nil {
		v.c.Log.Error("rendering an error", "error", err)
		http.Error(v.w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// Deny turns a request away with a page. Who isn't logged in may do that first, and
// comes back then; the script that refreshes calls is told so.
func (p *Page) Deny(w http.ResponseWriter, r *http.Request, status int) {
	v := p.visit(w, r)
	if status == http.StatusUnauthorized && r.Header.Get("X-Unattended") == "" {
		next := ""
		if r.Method == http.MethodGet && r.URL.Path != "/" {
			next = "?next=" + url.QueryEscape(r.URL.RequestURI())
		}
		http.Redirect(w, r, "/login"+next, http.StatusSeeOther)
		return
	}
	if status == http.StatusUnauthorized {
		w.WriteHeader(status)
		return
	}
	v.refuse(status, "")
}
