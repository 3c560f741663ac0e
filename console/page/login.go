package page

import (
	"errors"
	"net/http"

	"consentgate/console/access"
)

func getLogin(v *visit) error {
	next := access.LocalPath(v.r.URL.Query().Get("next"))
	if v.loggedIn {
		return v.done(next, "")
	}
	return v.login(http.StatusOK, next, "")
}

func (v *visit) login(status int, next, problem string) error {
	body := loginBody{Next: next, Problem: problem, OIDC: v.c.Door.HasOIDC()}
	return v.showAs(status, "login", "", v.t("login.title"), body)
}

func postLogin(v *visit) error {
	name, password, next, err := access.LoginForm(v.w, v.r)
	if err == nil {
		err = v.c.Door.LogIn(v.w, v.r, name, password)
	}
	if err == nil {
		return v.done(next, "")
	}
	return v.turnedAway(next, err)
}

// turnedAway shows the form again, and says why.
func (v *visit) turnedAway(next string, err error) error {
	status, problem := access.Refusal(v.w, err), "login.failed"
	switch {
	case status == http.StatusTooManyRequests:
		problem = "login.locked"
	case errors.Is(err, access.ErrNoRole) || errors.Is(err, access.ErrProvider):
		problem = "login.oidcfailed"
	case errors.Is(err, access.ErrForged):
		problem = "error.csrf"
	case status == http.StatusServiceUnavailable:
		problem = "login.nolog"
	}
	return v.login(status, next, problem)
}

func postLogout(v *visit) error {
	v.c.Door.LogOut(v.w, v.r)
	return v.done("/login", "")
}

func getOIDC(v *visit) error {
	if !v.c.Door.HasOIDC() {
		v.refuse(http.StatusNotFound, "")
		return nil
	}
	next := access.LocalPath(v.r.URL.Query().Get("next"))
	address, err := v.c.Door.BeginOIDC(v.w, v.r, next)
	if err != nil {
		return v.turnedAway(next, err)
	}
	http.Redirect(v.w, v.r, address, http.StatusSeeOther)
	return nil
}

func getOIDCBack(v *visit) error {
	next, err := v.c.Door.FinishOIDC(v.w, v.r)
	if err != nil {
		return v.turnedAway("/", err)
	}
	return access.Onward(v.w, next)
}

// postLanguage keeps a choice in a cookie. It changes nothing else, so anybody may.
func postLanguage(v *visit) error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, 8<<10)
	for _, l := range Languages {
		if v.form("language") == l {
			http.SetCookie(v.w, &http.Cookie{Name: languageCookie, Value: l, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: v.r.TLS != nil})
		}
	}
	return v.done(access.LocalPath(v.form("next")), "")
}
