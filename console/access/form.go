package access

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

const (
	// MaxName bounds a user's name, in bytes.
	MaxName = 128
	// maxLogin bounds a login form, in bytes.
	maxLogin = 8 << 10
	// maxPath bounds where to go after a login, in bytes.
	maxPath = 1 << 10
)

// LoginForm reads what a login form brings: the fields name, password and next,
// from the body alone. next is a path of ours, whatever it was. ErrTooLarge: no
// login is so large.
func LoginForm(w http.ResponseWriter, r *http.Request) (name, password, next string, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLogin)
	if err := r.ParseForm(); err != nil {
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			return "", "", "", ErrTooLarge
		}
		return "", "", "", ErrDenied
	}
	f := r.PostForm
	return f.Get("name"), f.Get("password"), LocalPath(f.Get("next")), nil
}

// LocalPath is next where that is a path of this console, and "/" where it would
// lead elsewhere, or says something to the browser beside the path.
func LocalPath(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil, len(next) > maxPath, u.Scheme != "", u.Host != "", u.Opaque != "", u.User != nil,
		!strings.HasPrefix(next, "/"), strings.HasPrefix(next, "//"),
		strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }): // browsers take \ for /
		return "/"
	}
	return next
}
