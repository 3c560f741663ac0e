package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/console/office"
	"consentgate/store"
)

func getMe(c *call) error {
	out := me{Name: c.who.Name, Role: c.who.Role, Via: c.who.Via}
	for pattern := range access.Table {
		if access.May(pattern, c.who.Role) {
			out.May = append(out.May, pattern)
		}
	}
	slices.Sort(out.May)
	return c.json(http.StatusOK, out)
}

func getSystem(c *call) error {
	s, err := c.office.System()
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, systemOf(s, c.now()))
}

func getCalls(c *call) error {
	return c.json(http.StatusOK, map[string]any{"calls": append([]office.Call{}, c.office.Calls(c.who)...)})
}

// number is a number from a query, in which a plus that nobody escaped has become a
// space.
func (c *call) number(name string) string {
	if n, ok := strings.CutPrefix(c.query.Get(name), " "); ok {
		return "+" + n
	}
	return c.query.Get(name)
}

func getRecordings(c *call) error {
	q := store.Query{Party: c.number("party"), Agent: c.number("agent"), From: c.time("from"), To: c.time("to"), Purpose: c.query.Get("purpose"),
		Trunk: c.query.Get("trunk"), Direction: consent.Direction(c.query.Get("direction")), State: c.query.Get("state"),
		Outcome: c.query.Get("outcome"),
		Held:    c.query.Get("held") == "true", Restricted: c.query.Get("restricted") == "true",
		Limit: int(min(c.integer("limit", 0), store.MaxPage+1)), Cursor: c.query.Get("cursor")}
	if c.query.Has("limit") && q.Limit < 1 {
		return refused(http.StatusBadRequest, fmt.Sprintf("limit: 1 to %d", store.MaxPage))
	}
	page, next, err := c.office.Recordings(c.r.Context(), c.who, q)
	if err != nil {
		return err
	}
	out := struct {
		Recordings []listed `json:"recordings"`
		Next       string   `json:"next,omitempty"`
	}{[]listed{}, next}
	for _, s := range page {
		out.Recordings = append(out.Recordings, listedOf(s))
	}
	return c.json(http.StatusOK, out)
}

func (c *call) recording() (recorded, error) {
	r, err := c.office.Recording(c.r.Context(), c.who, c.r.PathValue("id"))
	if err != nil {
		return recorded{}, err
	}
	return recordedOf(r), nil
}

func getRecording(c *call) error {
	r, err := c.recording()
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, r)
}

// unchanged holds an act to what its asker saw: If-Match has the ETag of the
// recording (RFC 9110 section 13.1.1).
func (c *call) unchanged() error {
	want := c.r.Header.Get("If-Match")
	if want == "" {
		return nil
	}
	r, err := c.recording()
	if err != nil {
		return err
	}
	body, err := encode(r)
	if err != nil {
		return err
	}
	if !matches(want, etag(body), false) {
		return refused(http.StatusPreconditionFailed, "the recording isn't as it was when you read it")
	}
	return nil
}

func getAudio(c *call) error {
	sound, err := c.office.Audio(c.r.Context(), c.who, c.r.PathValue("id"), c.query.Get("purpose"))
	if err != nil {
		return err
	}
	defer sound.Close() // it was read from only
	from, to, err := c.wanted(sound.Size())
	if err != nil {
		return err
	}
	if c.r.Method == http.MethodGet {
		if err := sound.Ask(from, to); err != nil {
			return err
		}
	}
	c.w.Header().Set("Content-Type", "audio/wav")
	c.extend(c.write)
	http.ServeContent(patient{c.w, c}, c.r, "", time.Time{}, sound)
	return nil
}

func getExport(c *call) error {
	t := office.Taking{Form: c.query.Get("form"), Purpose: c.query.Get("purpose"), To: c.query.Get("to"), Recipients: c.query["recipient"],
		Case: c.query.Get("case"), Reason: c.query.Get("reason")}
	form, err := office.FormOf(t.Form)
	if err != nil {
		return err
	}
	id := c.r.PathValue("id")
	return c.stream(func(h http.Header) { attachment(h, form.Type, "recording-"+id+form.Suffix) }, func(w io.Writer) error {
		return c.office.Export(c.r.Context(), c.who, id, t, w)
	})
}

// stream answers with what make writes. Asking for the header alone is no use, so it
// isn't one: nothing is made, nothing is logged.
func (c *call) stream(head func(http.Header), make func(io.Writer) error) error {
	if c.r.Method == http.MethodHead {
		c.w.Header().Set("Allow", "GET, OPTIONS")
		return refused(http.StatusMethodNotAllowed, "it is made as it is sent, so there is no header without it")
	}
	c.extend(c.write)
	out := &stream{c, head}
	if err := make(out); err != nil {
		return err
	}
	_, err := out.Write(nil) // of nothing, too, there is a header
	return err
}

func getReceipt(c *call) error {
	b, err := c.office.Receipt(c.r.Context(), c.who, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.bytes(http.StatusOK, "application/ld+json", b)
}

func getVCon(c *call) error {
	id := c.r.PathValue("id")
	var audioAt func(string) string
	if c.query.Get("audio") == byURL {
		if c.url == "" {
			return fmt.Errorf("%w: others can't be told where its audio is until console.url says so", office.ErrUnavailable)
		}
		audioAt = func(purpose string) string { return c.audioURL(id, purpose) }
	}
	return c.stream(func(h http.Header) { attachment(h, "application/vcon+json", "recording-"+id+".vcon.json") }, func(w io.Writer) error {
		return c.office.VCon(c.r.Context(), c.who, id, audioAt, w)
	})
}

// Where a vCon has its audio.
const (
	noAudio = "none"
	byURL   = "url"
)

// audioURL is where a recording is heard for a purpose, for whom that is written down.
// The Host of a request isn't to be trusted with that: who follows the address
// brings a token.
func (a *API) audioURL(id, purpose string) string {
	return a.url + "/api/v1/recordings/" + id + "/audio?" + url.Values{"purpose": {purpose}}.Encode()
}

func (c *call) pending(a office.Approval) {
	c.w.Header().Set("Location", "/api/v1/approvals/"+a.ID)
	if err := c.json(http.StatusAccepted, approvalWait{"approval", a}); err != nil {
		c.log.Error("telling of an approval", "error", err)
	}
}

func getApprovals(c *call) error {
	return c.json(http.StatusOK, map[string]any{"approvals": append([]office.Approval{}, c.office.Approvals(c.who)...)})
}

func getApproval(c *call) error {
	a, err := c.office.Approval(c.who, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, a)
}

// decide approves or turns down.
func (c *call) decide(as func(context.Context, access.Principal, string, string) (office.Approval, error)) error {
	var in struct {
		Reason string `json:"reason"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	a, err := as(c.r.Context(), c.who, c.r.PathValue("id"), in.Reason)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, a)
}

func confirmRetention(c *call) error {
	var in struct {
		Reason string `json:"reason"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := c.office.ConfirmRetention(c.r.Context(), c.who, in.Reason); err != nil {
		return err
	}
	return c.none()
}
