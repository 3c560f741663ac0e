package office

import (
	"context"
	"errors"
	"net/http"

	"consentgate/store"
	"consentgate/store/rights"
)

// Errors of the office; those of store and rights pass through it.
var (
	// ErrForbiddenPurpose means that nobody consented to what a recording is wanted for.
	ErrForbiddenPurpose = store.ErrPurpose
	// ErrNoPurpose means that who wants to listen didn't say what for.
	ErrNoPurpose = errors.New("the purpose of the use must be stated")
	// ErrClosed means that the store isn't open. Live calls go on.
	ErrClosed = errors.New("the data directory isn't open")
	// ErrPending means that an act waits for a second officer; Pending has which.
	ErrPending = errors.New("a second officer has to approve this first")
	// ErrOwn means that somebody would decide about what they asked for themselves.
	ErrOwn = errors.New("who asked for it can't approve it")
	// ErrNumbers means that somebody would search by numbers who doesn't see them.
	ErrNumbers = errors.New("your role doesn't see telephone numbers, so it can't search by them")
	// ErrNoCall means that there is no such call, or none any more.
	ErrNoCall = errors.New("no such call")
	// ErrCallState means that the call isn't in a state for that.
	ErrCallState = errors.New("the call isn't being recorded so")
	// ErrNoApproval means that there is no such approval, or none any more.
	ErrNoApproval = errors.New("no such approval")
	// ErrDecided means that an approval was decided before, or ran out.
	ErrDecided = errors.New("it is decided already, or its time is over")
	// ErrBusy means that somebody does the same now, and that it is too much for two.
	ErrBusy = errors.New("it is being done for somebody else now; try again later")
	// ErrForm means that something was asked for in a form that there isn't.
	ErrForm = errors.New("there is no such form")
	// ErrInput means that what was given can't be meant.
	ErrInput = errors.New("that can't be meant")
	// ErrSeveral means that it isn't clear which is meant.
	ErrSeveral = errors.New("there are several; say which")
	// ErrGoesOn means that a recording has to end first.
	ErrGoesOn = errors.New("the recording goes on")
	// ErrUnavailable means that this gate can't do it as it is set up.
	ErrUnavailable = errors.New("this gate isn't set up for it")
)

// Trouble is how an error is told to who asked: an HTTP status, a short name that
// programs may rely on, and whether its text may be shown.
type Trouble struct {
	Status int
	Name   string
	Shown  bool
}

// troubles are tried in order.
var troubles = []struct {
	err error
	Trouble
}{
	{store.ErrNotFound, Trouble{http.StatusNotFound, "not-found", false}},
	{store.ErrNoRequest, Trouble{http.StatusNotFound, "not-found", false}},
	{store.ErrNoEntry, Trouble{http.StatusNotFound, "not-found", false}},
	{ErrNoCall, Trouble{http.StatusNotFound, "not-found", false}},
	{ErrNoApproval, Trouble{http.StatusNotFound, "not-found", false}},
	{rights.ErrNoSuch, Trouble{http.StatusNotFound, "not-found", false}},
	{ErrNoPurpose, Trouble{http.StatusBadRequest, "purpose-missing", true}},
	{store.ErrPurpose, Trouble{http.StatusForbidden, "purpose-not-consented", true}},
	{store.ErrRestricted, Trouble{http.StatusForbidden, "restricted", true}},
	{ErrOwn, Trouble{http.StatusForbidden, "own-request", true}},
	{ErrNumbers, Trouble{http.StatusForbidden, "numbers-not-shown", true}},
	{ErrPending, Trouble{http.StatusAccepted, "approval-pending", true}},
	{ErrForm, Trouble{http.StatusBadRequest, "unknown-form", true}},
	{ErrInput, Trouble{http.StatusBadRequest, "bad-request", true}},
	{store.ErrQuery, Trouble{http.StatusBadRequest, "bad-query", true}},
	{store.ErrProof, Trouble{http.StatusConflict, "not-this-log", true}},
	{rights.ErrIncomplete, Trouble{http.StatusUnprocessableEntity, "incomplete", true}},
	{rights.ErrOutOfOrder, Trouble{http.StatusConflict, "out-of-order", true}},
	{rights.ErrTooLate, Trouble{http.StatusConflict, "too-late", true}},
	{rights.ErrGoing, Trouble{http.StatusConflict, "being-erased", true}},
	{ErrSeveral, Trouble{http.StatusConflict, "several", true}},
	{ErrDecided, Trouble{http.StatusConflict, "decided", true}},
	{ErrCallState, Trouble{http.StatusConflict, "call-state", true}},
	{ErrGoesOn, Trouble{http.StatusConflict, "goes-on", true}},
	{store.ErrNotG711, Trouble{http.StatusConflict, "not-g711", true}},
	{store.ErrDamaged, Trouble{http.StatusConflict, "damaged", true}},
	{store.ErrNotBraked, Trouble{http.StatusConflict, "not-stopped", true}},
	{ErrBusy, Trouble{http.StatusTooManyRequests, "busy", true}},
	{ErrClosed, Trouble{http.StatusServiceUnavailable, "store-closed", true}},
	{ErrUnavailable, Trouble{http.StatusNotImplemented, "not-set-up", true}},
	{store.ErrNoEncoder, Trouble{http.StatusNotImplemented, "not-set-up", true}},
	{store.ErrDiskFailed, Trouble{http.StatusServiceUnavailable, "disk", true}},
	{store.ErrDiskHangs, Trouble{http.StatusServiceUnavailable, "disk", true}},
	{context.DeadlineExceeded, Trouble{http.StatusServiceUnavailable, "took-too-long", false}},
}

// TroubleOf is what an error means to who asked. What isn't known is our fault, and
// its text is for the log.
func TroubleOf(err error) Trouble {
	for _, t := range troubles {
		if errors.Is(err, t.err) {
			return t.Trouble
		}
	}
	return Trouble{http.StatusInternalServerError, "internal", false}
}

// StatusOf is the status of an error by the name that it has in Trouble; 0: none has
// it.
func StatusOf(name string) int {
	for _, t := range troubles {
		if t.Name == name {
			return t.Status
		}
	}
	return 0
}
