package console

import (
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"
)

// front is what every request comes to first: limits, headers that keep browsers
// from harm, and answers of ours where net/http would give its own.
type front struct {
	mux    *http.ServeMux
	c      Config
	limits Limits
}

func newFront(c Config, limits Limits) (http.Handler, error) {
	mux, err := guard(c)
	return &front{mux, c, limits}, err
}

// maxTarget bounds a request's path and query, in bytes.
const maxTarget = 4 << 10

// ServeHTTP is http.Handler's.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &answer{ResponseWriter: w}
	start := time.Now()
	h := out.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	r.Body = http.MaxBytesReader(out, r.Body, f.limits.BodyBytes)
	pattern := ""
	defer func() {
		f.recovered(out, r, recover())
		// The pattern, never the path or the query: they hold ids and numbers.
		f.c.Log.Debug("console", "method", knownMethod(r.Method), "route", pattern, "status", out.status, "took", time.Since(start))
	}()
	switch {
	case len(r.RequestURI) > maxTarget:
		f.deny(out, r, http.StatusRequestURITooLong)
	case !isClean(r.URL.Path):
		f.deny(out, r, http.StatusNotFound)
	default:
		var next http.Handler
		if next, pattern = f.mux.Handler(r); pattern == "" {
			f.unrouted(out, r, next)
			return
		}
		f.mux.ServeHTTP(out, r)
	}
}

// isClean reports whether a path is as it is written in patterns; net/http would
// redirect others.
func isClean(p string) bool {
	return p == path.Clean(p) || len(p) > 1 && p == path.Clean(p)+"/"
}

func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// unrouted answers where there is no route: net/http knows whether it is for want of
// the path or of the method.
func (f *front) unrouted(w http.ResponseWriter, r *http.Request, next http.Handler) {
	said := &answer{ResponseWriter: nowhere{http.Header{}}}
	next.ServeHTTP(said, r)
	if said.status != http.StatusMethodNotAllowed {
		f.deny(w, r, http.StatusNotFound)
		return
	}
	w.Header().Set("Allow", said.Header().Get("Allow")+", OPTIONS")
	if r.Method == http.MethodOptions { // RFC 9110 section 9.3.7
		w.WriteHeader(http.StatusNoContent)
		return
	}
	f.deny(w, r, http.StatusMethodNotAllowed)
}

// nowhere is a ResponseWriter that keeps the header only.
type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header       { return n.h }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// deny turns a request away in the way of the part that it is for.
func (f *front) deny(w http.ResponseWriter, r *http.Request, status int) { f.c.denier(r)(w, r, status) }

// denier is that of the part that a request is for.
func (c Config) denier(r *http.Request) Denier {
	if c.Page.Deny == nil || strings.HasPrefix(r.URL.Path, "/api/") {
		return c.API.Deny
	}
	return c.Page.Deny
}

// recovered answers where a handler panicked, which is our fault.
func (f *front) recovered(w *answer, r *http.Request, why any) {
	if why == nil {
		return
	}
	if why == http.ErrAbortHandler { //nolint:errorlint // it is panicked with, never wrapped
		panic(why)
	}
	f.c.Log.Error("a handler of the console panicked", "panic", fmt.Sprintf("%T", why), "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	f.deny(w, r, http.StatusInternalServerError)
}

// answer knows the status that it was given.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader is http.ResponseWriter's.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 || a.status < http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
