package api

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"consentgate/console/office"
)

// problem is what went wrong, for programs (RFC 9457). Name is what they may rely on.
type problem struct {
	Status int
	Name   string
	Detail string
}

// problemType begins the type of each problem; its name follows.
const problemType = "urn:consentgate:problem:"

// problemNames are the names of problems that are no office's.
var problemNames = map[int]string{
	http.StatusBadRequest:                   "bad-request",
	http.StatusUnauthorized:                 "not-logged-in",
	http.StatusForbidden:                    "not-your-role",
	http.StatusNotFound:                     "not-found",
	http.StatusMethodNotAllowed:             "method-not-allowed",
	http.StatusRequestTimeout:               "too-slow",
	http.StatusConflict:                     "conflict",
	http.StatusPreconditionFailed:           "changed-since",
	http.StatusRequestEntityTooLarge:        "too-large",
	http.StatusRequestURITooLong:            "too-long",
	http.StatusUnsupportedMediaType:         "not-json",
	http.StatusRequestedRangeNotSatisfiable: "no-such-range",
	http.StatusUnprocessableEntity:          "key-used-before",
	http.StatusTooManyRequests:              "busy",
	http.StatusServiceUnavailable:           "not-now",
	http.StatusInternalServerError:          "internal",
}

// Error makes it an error of handlers.
func (p problem) Error() string { return p.Name + ": " + p.Detail }

// refused is a problem of the request itself.
func refused(status int, detail string) problem { return problem{status, problemNames[status], detail} }

func (p problem) write(w http.ResponseWriter) {
	title := strings.ReplaceAll(p.Name, "-", " ")
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{problemType + p.Name, strings.ToUpper(title[:1]) + title[1:], p.Status, p.Detail})
	if err != nil { // strings and a number
		panic("api: internal error: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	for _, of := range []string{"ETag", "Content-Disposition", "Accept-Ranges", "Last-Modified"} {
		h.Del(of) // of the answer that it isn't
	}
	if (p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests) && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "5")
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // who doesn't read it has gone
}

// fail tells an error to who asked. What was begun can only be cut off.
func (c *call) fail(err error) {
	if c.begun {
		c.log.Warn("an answer was cut off", "route", c.route.pattern, "error", err)
		panic(http.ErrAbortHandler)
	}
	var p problem
	var pending *office.PendingError
	switch {
	case errors.As(err, &p):
	case errors.As(err, &pending):
		c.pending(pending.Approval)
		return
	default:
		t := office.TroubleOf(err)
		p = problem{Status: t.Status, Name: t.Name}
		if t.Shown {
			p.Detail = err.Error()
		}
		if t.Status == http.StatusInternalServerError {
			incident := strings.ToLower(rand.Text()[:12])
			c.log.Error("the console couldn't do what it was asked", "route", c.route.pattern, "incident", incident, "error", err)
			p.Detail = "the gate's log has more, as incident " + incident
		}
	}
	p.write(c.w)
}
