package page

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/console/office"
)

func getCalls(v *visit) error {
	body := v.calls()
	body.Refresh = v.r.URL.Query().Get("refresh") != ""
	return v.show("calls", "calls", v.t("calls.title"), body)
}

// getLive is the part of the page that the script puts in again and again.
func getLive(v *visit) error {
	return render(v.w, http.StatusOK, "calls", "live", v.page("calls", "", v.calls()))
}

func (v *visit) calls() callsBody {
	var b callsBody
	for _, c := range v.o.Calls(v.who) {
		b.Calls = append(b.Calls, v.callRow(c))
		b.Live++
		switch {
		case c.Recording == "recording":
			b.Recording++
		case c.Consent == "asking":
			b.Asking++
		default:
			b.Unrecorded++
		}
	}
	return b
}

func (v *visit) callRow(c office.Call) callRow {
	row := callRow{ID: c.ID, Trunk: c.Trunk, Direction: c.Direction, Remote: c.Remote, Local: c.Local, Consent: c.Consent, Recording: c.Recording,
		Purpose: c.Purpose, Started: c.Started, Lasted: max(0, time.Since(c.Started))}
	may := func(act string) {
		if access.May("POST /calls/{id}/"+act, v.who.Role) {
			row.Acts = append(row.Acts, act)
		}
	}
	switch c.Recording {
	case "recording":
		may(office.Pause)
		may(office.Withdraw)
	case string(consent.Paused):
		row.Why = v.why(c)
		if slices.Contains(c.PausedBy, "console") {
			may(office.Resume) // ends the console's pause only
		} else {
			may(office.Pause)
		}
		may(office.Withdraw)
	}
	return row
}

// why a recording stands still, in words.
func (v *visit) why(c office.Call) string {
	if c.Gap != "" {
		return word(v.language, "cause", c.Gap)
	}
	var by []string
	for _, who := range c.PausedBy {
		by = append(by, word(v.language, "pausedby", who))
	}
	return strings.Join(by, ", ")
}

// getWithdraw asks once more: what is withdrawn isn't recorded again.
func getWithdraw(v *visit) error {
	for _, c := range v.o.Calls(v.who) {
		if c.ID == v.id() {
			return v.show("withdraw", "calls", v.t("withdraw.title"), v.callRow(c))
		}
	}
	return office.ErrNoCall
}

// steer is the handler of what is done to a live call.
func steer(act string) func(*visit) error {
	return func(v *visit) error {
		if err := v.o.Steer(v.r.Context(), v.who, v.id(), act); err != nil {
			return err
		}
		return v.done("/calls", "calls.done."+act)
	}
}
