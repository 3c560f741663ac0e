package client

import (
	"net/http"
	"time"
)

func holdRecording(t *task) error {
	a, err := t.client.ask(t.ctx, "PUT", path("recordings", t.args[0], "hold"), nil, t.body("reason", "case"))
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		var h act
		if err := a.decode(&h); err != nil {
			return err
		}
		word := "is on hold"
		if a.status == http.StatusOK {
			word = "was on hold for that already"
		}
		return t.say("%s %s: hold %s, since %s, by %s", plain(t.args[0]), word, plain(h.ID), moment(h.At), plain(h.By))
	})
}

func releaseRecording(t *task) error {
	a, err := t.client.ask(t.ctx, "DELETE", path("recordings", t.args[0], "hold"), nil, t.body("reason", "hold"))
	if err != nil {
		return err
	}
	return t.put(a, func() error { return t.say("the hold on %s is over", plain(t.args[0])) })
}

func restrictRecording(t *task) error {
	a, err := t.client.ask(t.ctx, "POST", path("recordings", t.args[0], "restrictions"), nil, t.body("reason", "ground", "subject", "let-go"))
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		var r act
		if err := a.decode(&r); err != nil {
			return err
		}
		return t.say("%s is restricted: restriction %s", plain(t.args[0]), plain(r.ID))
	})
}

func liftRestriction(t *task) error {
	if !t.is("told") {
		return usageError("--told is missing: its subject has to be told before (GDPR Art. 18(3))")
	}
	a, err := t.client.ask(t.ctx, "DELETE", path("recordings", t.args[0], "restrictions", t.args[1]), nil, t.body("reason", "told"))
	if err != nil {
		return err
	}
	return t.put(a, func() error { return t.say("the restriction of %s is over", plain(t.args[0])) })
}

// erasure is how far one came.
type erasure struct {
	State       string    `json:"state"`
	Requested   time.Time `json:"requested"`
	Logical     time.Time `json:"logical"`
	Shredded    time.Time `json:"shredded"`
	Certificate string    `json:"certificate"`
	Archive     []struct {
		Place   string    `json:"place"`
		Deleted time.Time `json:"deleted"`
		Why     string    `json:"why"`
	} `json:"archive"`
}

func (e erasure) words() string {
	said := e.state()
	for _, at := range e.Archive {
		switch {
		case !at.Deleted.IsZero():
			said += "; deleted at " + plain(at.Place) + " " + moment(at.Deleted)
		case at.Why != "":
			said += "; not yet deleted at " + plain(at.Place) + ": " + plain(at.Why)
		default:
			said += "; not yet deleted at " + plain(at.Place)
		}
	}
	return said
}

func (e erasure) state() string {
	switch e.State {
	case "requested":
		return "asked for " + moment(e.Requested) + "; it waits for what keeps the recording: a hold, or the call that goes on"
	case "logical", "pending":
		return "the gate can't read it any more since " + moment(e.Logical) + "; final when the root key has been replaced"
	case "shredded":
		return "final since " + moment(e.Shredded)
	}
	return plain(e.State)
}

func eraseRecording(t *task) error {
	a, err := t.client.ask(t.ctx, "POST", path("recordings", t.args[0], "erase"), nil, t.body("reason"))
	if err != nil {
		return err
	}
	return t.put(a, func() error {
		if w, ok := waits(a); ok {
			return t.say("%s; it is erased when they approve it", w)
		}
		var e erasure
		if err := a.decode(&e); err != nil {
			return err
		}
		return t.say("%s: %s\n'consentgate recordings certificate %s' has the certificate once it is final", plain(t.args[0]), e.words(), plain(t.args[0]))
	})
}

// showCertificate gives the certificate alone to standard output, or to a file.
func showCertificate(t *task) error {
	a, err := t.client.ask(t.ctx, "GET", path("recordings", t.args[0], "certificate"), nil, nil)
	if err != nil {
		return err
	}
	if a.status == http.StatusAccepted {
		var e erasure
		if err := a.decode(&e); err != nil {
			return err
		}
		return notYet("there is no certificate yet: " + e.words())
	}
	return t.keep(a.body)
}

// notYet says that what was asked for isn't there now.
type notYet string

func (e notYet) Error() string { return string(e) }
