package api

import (
	"io"
	"net/http"

	"consentgate/console/office"
	"consentgate/store"
	"consentgate/store/rights"
)

func putHold(c *call) error {
	var in struct {
		Reason string `json:"reason"`
		Case   string `json:"case"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := c.unchanged(); err != nil {
		return err
	}
	h, fresh, err := c.office.Hold(c.r.Context(), c.who, c.r.PathValue("id"), in.Reason, in.Case)
	if err != nil {
		return err
	}
	if fresh {
		return c.json(http.StatusCreated, holdOf(h))
	}
	return c.json(http.StatusOK, holdOf(h))
}

func deleteHold(c *call) error {
	var in struct {
		Reason string `json:"reason"`
		Hold   string `json:"hold"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := c.unchanged(); err != nil {
		return err
	}
	if err := c.office.Release(c.r.Context(), c.who, c.r.PathValue("id"), in.Hold, in.Reason); err != nil {
		return err
	}
	return c.none()
}

func postRestriction(c *call) error {
	var in struct {
		Reason  string        `json:"reason"`
		Ground  rights.Ground `json:"ground"`
		Subject string        `json:"subject"`
		LetGo   bool          `json:"let_go"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := c.unchanged(); err != nil {
		return err
	}
	r, err := c.office.Restrict(c.r.Context(), c.who, c.r.PathValue("id"), in.Ground, in.Subject, in.LetGo, in.Reason)
	if err != nil {
		return err
	}
	return c.json(http.StatusCreated, restrictionOf(r))
}

func deleteRestriction(c *call) error {
	var in struct {
		Reason string `json:"reason"`
		Told   bool   `json:"told"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := c.unchanged(); err != nil {
		return err
	}
	if err := c.office.Lift(c.r.Context(), c.who, c.r.PathValue("id"), c.r.PathValue("restriction"), in.Told, in.Reason); err != nil {
		return err
	}
	return c.none()
}

func postErase(c *call) error {
	var in struct {
		Reason string `json:"reason"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := c.unchanged(); err != nil {
		return err
	}
	id := c.r.PathValue("id")
	if _, err := c.office.Erase(c.r.Context(), c.who, id, in.Reason); err != nil {
		return err
	}
	return c.erasure(id, func(e store.Erasure, certificate []byte) error {
		return c.json(http.StatusOK, erasureOf(e, certificate))
	})
}

// erasure answers with how far one has come, or as final says once it is.
func (c *call) erasure(id string, final func(store.Erasure, []byte) error) error {
	e, certificate, err := c.office.Erasure(id)
	if err != nil {
		return err
	}
	if certificate != nil {
		return final(e, certificate)
	}
	c.w.Header().Set("Location", "/api/v1/recordings/"+id+"/certificate")
	c.w.Header().Set("Retry-After", "60")
	return c.json(http.StatusAccepted, erasureOf(e, nil))
}

func getCertificate(c *call) error {
	return c.erasure(c.r.PathValue("id"), func(_ store.Erasure, certificate []byte) error {
		return c.bytes(http.StatusOK, "text/plain; charset=utf-8", certificate)
	})
}

func getRequests(c *call) error {
	all, err := c.office.Requests(c.who, c.query.Get("open") == "true")
	if err != nil {
		return err
	}
	out := []request{}
	for _, r := range all {
		out = append(out, c.requestOf(r))
	}
	return c.json(http.StatusOK, map[string]any{"requests": out})
}

func getRequest(c *call) error {
	r, err := c.office.Request(c.who, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.requestOf(r))
}

func postRequest(c *call) error {
	var in struct {
		Kind     rights.Kind `json:"kind"`
		Party    string      `json:"party"`
		Received rights.Date `json:"received"`
		Reason   string      `json:"reason"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	r, err := c.office.Receive(c.r.Context(), c.who, in.Kind, in.Party, in.Received, in.Reason)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", "/api/v1/requests/"+r.ID)
	return c.json(http.StatusCreated, c.requestOf(r))
}

func postStep(c *call) error {
	var in office.Step
	if err := c.decode(&in); err != nil {
		return err
	}
	r, err := c.office.Advance(c.r.Context(), c.who, c.r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.requestOf(r))
}

func getBundle(c *call) error {
	q := c.query
	b := office.Bundling{Language: q.Get("language"), Both: q.Get("both") == "true", Numbers: q.Get("numbers") == "true",
		Staff: q.Get("staff") == "true", Recipient: q.Get("recipient")}
	id := c.r.PathValue("id")
	head := func(h http.Header) { attachment(h, "application/zip", "request-"+id+".zip") }
	if b.Recipient != "" {
		head = func(h http.Header) { attachment(h, "application/octet-stream", "request-"+id+".zip.age") }
	}
	return c.stream(head, func(w io.Writer) error { return c.office.Bundle(c.r.Context(), c.who, id, b, w) })
}
