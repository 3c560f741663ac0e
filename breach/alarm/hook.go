package alarm

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"consentgate/breach"
)

// Hook is where alarms are told by HTTP; with URL "" nowhere.
type Hook struct {
	URL       string // https, or on loopback
	TokenFile string // its content goes along as bearer token; read each time
}

// message is the body of a request. It names nobody: who gets it needn't be who
// may read the log, which has the rest at Entry.
type message struct {
	Format string      `json:"format"`
	ID     string      `json:"id"` // the same when it is told again
	Node   string      `json:"node"`
	Rule   breach.Rule `json:"rule"`
	At     time.Time   `json:"at"`              // of the entry that was too much
	Entry  *int64      `json:"entry,omitempty"` // that entry; none: there is no log that could be opened
	Count  int         `json:"count,omitempty"` // of what the rule counts
	Within float64     `json:"within_seconds,omitempty"`
	Raised time.Time   `json:"raised,omitzero"` // when it was logged
}

const messageFormat = "consentgate-alarm-1"

// poster posts.
type poster struct {
	Hook
	node   string
	client http.Client
}

func newPoster(h Hook, node string) *poster {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	return &poster{Hook: h, node: node, client: http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}} // the token is for this server
}

// post tells one; nil: whoever is there has it.
func (p *poster) post(ctx context.Context, m message) error {
	m.Format, m.Node = messageFormat, p.node
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if p.TokenFile != "" {
		token, err := os.ReadFile(p.TokenFile)
		if err != nil {
			return fmt.Errorf("reading the webhook's token: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	if err = errors.Join(err, resp.Body.Close()); err == nil && (resp.StatusCode < 200 || resp.StatusCode > 299) {
		err = fmt.Errorf("the webhook answers %d", resp.StatusCode)
	}
	return err
}

// teller is the goroutine that posts what the log has of alarms, in order, each
// until it is taken. The log is its queue: nothing waits in memory.
type teller struct {
	*Watch
	log    Log
	hook   *poster
	cursor cursor // the entry from which on alarms are to be told
}

func (t *teller) run() {
	defer t.hook.client.CloseIdleConnections()
	for {
		next, err := t.log.Read(t.cursor.next, map[string]bool{typeAlarm: true}, t.tell)
		switch {
		case err != nil:
			t.o.Log.Error("alarms can't be read, and aren't told", "error", err)
		case next > t.cursor.next && t.ctx.Err() == nil:
			t.cursor.next = next // behind it are no alarms; it is saved with the next
		}
		select {
		case <-t.ctx.Done():
			return
		case <-t.raised:
		case <-time.After(longest):
		}
	}
}

// tell posts one until it is taken; false: the watch is closed.
func (t *teller) tell(e breach.Entry) bool {
	m := message{ID: fmt.Sprintf("%s/%d", t.log.Name(), e.Seq), Raised: e.At}
	var a raised
	if json.Unmarshal(e.Payload, &a) == nil {
		m.Rule, m.At, m.Entry, m.Count, m.Within = a.Rule, a.At, &a.Entry, a.Count, a.Within
	}
	for wait := t.o.Retry; ; wait = min(2*wait, longest) {
		ctx, cancel := context.WithTimeout(t.ctx, patience)
		err := t.hook.post(ctx, m)
		cancel()
		if err == nil {
			break
		}
		t.failed(err)
		select {
		case <-t.ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
	t.metrics.waiting.Dec()
	t.cursor.next = e.Seq + 1
	if err := t.cursor.save(); err != nil {
		t.o.Log.Error("which alarms were told can't be kept: after a restart they are told again", "error", err)
	}
	return true
}

// raised is the payload of an alarm.raised entry.
type raised struct {
	Rule   breach.Rule `json:"rule"`
	Entry  int64       `json:"entry"`
	At     time.Time   `json:"at"`
	Count  int         `json:"count"`
	Within float64     `json:"within"`
}

func ruleOf(e breach.Entry) (breach.Rule, bool) {
	var a raised
	err := json.Unmarshal(e.Payload, &a)
	return a.Rule, err == nil && a.Rule != ""
}
