package access

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"consentgate/console/access/oidc"
	"consentgate/console/access/passwords"
)

// Why somebody doesn't get in, beside ErrNobody.
var (
	// ErrProof: the token isn't anybody's.
	ErrProof = errors.New("the proof isn't good")
	// ErrDenied: name or password are wrong, and it isn't said which.
	ErrDenied = errors.New("name or password are wrong")
	// ErrForged: the request comes from another page than ours (CSRF).
	ErrForged = errors.New("the request doesn't come from this console's own page")
	// ErrNoTrail: the audit log can't be written, and without it nobody gets in.
	ErrNoTrail = errors.New("the audit log can't be written")
	// ErrTooLarge: no login form is so large.
	ErrTooLarge = errors.New("the form is too large")
	// ErrBusy: too many log in at once.
	ErrBusy = passwords.ErrBusy
)

// TooSoon says that a try has to wait, after others failed.
type TooSoon struct{ Wait time.Duration }

func (t *TooSoon) Error() string {
	return fmt.Sprintf("too many failed logins: the next one in %.0f s", math.Ceil(t.Wait.Seconds()))
}

// outcomes are the values of the metric's label.
var outcomes = []string{"ok", "wrong", "slowed", "forged", "busy", "no_log", "no_role", "provider"}

// refusals are what errors are to the one who asked.
var refusals = []struct {
	err     error
	status  int
	retry   int // seconds
	outcome string
}{
	{ErrNobody, http.StatusUnauthorized, 0, ""},
	{ErrProof, http.StatusUnauthorized, 0, "wrong"},
	{ErrDenied, http.StatusForbidden, 0, "wrong"},
	{ErrNoRole, http.StatusForbidden, 0, "no_role"},
	{oidc.ErrAnswer, http.StatusForbidden, 0, "wrong"},
	{ErrForged, http.StatusForbidden, 0, "forged"},
	{ErrTooLarge, http.StatusRequestEntityTooLarge, 0, "wrong"},
	{ErrProvider, http.StatusServiceUnavailable, 10, "provider"},
	{ErrBusy, http.StatusServiceUnavailable, 2, "busy"},
	{ErrNoTrail, http.StatusServiceUnavailable, 30, "no_log"},
}

// Refusal is the status that answers an error of this package, and sets
// Retry-After where waiting helps. It says no more than the error's kind, so an
// answer may say the same.
func Refusal(w http.ResponseWriter, err error) int {
	if soon := (*TooSoon)(nil); errors.As(err, &soon) {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(soon.Wait.Seconds()))))
		return http.StatusTooManyRequests
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			if r.retry > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(r.retry))
			}
			return r.status
		}
	}
	return http.StatusServiceUnavailable
}

// outcome is the metric's label for how a login ended.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if soon := (*TooSoon)(nil); errors.As(err, &soon) {
		return "slowed"
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.outcome
		}
	}
	return "busy" // who asked went away
}
