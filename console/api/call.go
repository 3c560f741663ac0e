package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"consentgate/console/access"
)

// call is one request and its answer.
type call struct {
	*API
	route route
	w     http.ResponseWriter
	r     *http.Request
	rc    *http.ResponseController
	who   access.Principal
	query url.Values
	body  []byte
	begun bool // some of a long answer is out
}

// check holds a request to its route's row in the table: parameters that it knows,
// each once and of its kind; a body, where it takes one, that is JSON.
func (c *call) check() (err error) {
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return refused(http.StatusBadRequest, "the query can't be read")
	}
	for name, values := range c.query {
		p, ok := c.route.param(name)
		switch {
		case !ok:
			return refused(http.StatusBadRequest, fmt.Sprintf("there is no parameter %q here; there are: %s", name, c.route.paramNames()))
		case len(values) > 1 && p.kind != "strings":
			return refused(http.StatusBadRequest, fmt.Sprintf("%s is given %d times", name, len(values)))
		}
		if err := p.check(values[0]); err != nil {
			return refused(http.StatusBadRequest, fmt.Sprintf("%s: %v", name, err))
		}
	}
	for _, p := range c.route.params {
		if p.required && c.query.Get(p.name) == "" {
			if p.name == "purpose" {
				return problem{http.StatusBadRequest, "purpose-missing", "the purpose of the use must be stated: ?purpose="}
			}
			return refused(http.StatusBadRequest, p.name+" is missing")
		}
	}
	return c.readBody()
}

// readBody reads all of a request's body.
func (c *call) readBody() error {
	body, err := io.ReadAll(c.r.Body)
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		return refused(http.StatusRequestEntityTooLarge, fmt.Sprintf("a body may have %d bytes", tooLarge.Limit))
	case errors.As(err, &timeout) && timeout.Timeout():
		c.w.Header().Set("Connection", "close")
		return refused(http.StatusRequestTimeout, "the body didn't arrive in time")
	case err != nil:
		return refused(http.StatusBadRequest, "the body can't be read")
	}
	c.body = body
	if len(body) == 0 {
		return nil
	}
	if c.route.body == "" {
		return refused(http.StatusBadRequest, "this takes no body")
	}
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || kind != "application/json" || charset != "" && charset != "utf-8" {
		return refused(http.StatusUnsupportedMediaType, "a body is application/json, in UTF-8")
	}
	return nil
}

// decode reads the body into v, a struct, strictly: members that v doesn't have, or
// that come twice, and what comes behind are errors. No body is an empty object.
func (c *call) decode(v any) error {
	if len(c.body) == 0 {
		c.body = []byte("{}")
	}
	if err := uniqueMembers(c.body); err != nil {
		return refused(http.StatusBadRequest, err.Error())
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return refused(http.StatusBadRequest, strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return refused(http.StatusBadRequest, "there is something behind the JSON value")
	}
	return nil
}

// uniqueMembers refuses an object that says something twice: readers differ in what
// they take (RFC 8259 section 4). encoding/json takes names in any case, too; here
// they are as they are written in the schema, in small letters.
func uniqueMembers(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("the body isn't a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return errors.New("the body isn't JSON")
		}
		switch {
		case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") != "":
			return fmt.Errorf("there is no member %q", name)
		case seen[name]:
			return fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return errors.New("the body isn't JSON")
		}
	}
	return nil
}

// json answers with a value. What is read bears an ETag, and isn't sent again to who
// has it.
func (c *call) json(status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	return c.bytes(status, "application/json", body)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

func (c *call) bytes(status int, kind string, body []byte) error {
	h := c.w.Header()
	if status == http.StatusOK && (c.r.Method == http.MethodGet || c.r.Method == http.MethodHead) && !c.route.fresh {
		tag := etag(body)
		h.Set("ETag", tag)
		if matches(c.r.Header.Get("If-None-Match"), tag, true) {
			c.w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // who doesn't read it has gone
	return nil
}

// none answers that it is done, and that there is nothing to say.
func (c *call) none() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
}

// matches reports whether a list of entity tags has one (RFC 9110 section 8.8.3.2),
// weak ones too where that will do.
func matches(list, tag string, weak bool) bool {
	for t := range strings.SplitSeq(list, ",") {
		t = strings.TrimSpace(t)
		if weak {
			t = strings.TrimPrefix(t, "W/")
		}
		if t == tag || t == "*" {
			return true
		}
	}
	return false
}

// stream is where a long answer goes. Its header is told with the first byte; until
// then an error can still be told. Each part has the time to be written that a short
// answer has in all.
type stream struct {
	c    *call
	head func(h http.Header)
}

// Write is io.Writer's.
func (s *stream) Write(p []byte) (int, error) {
	if !s.c.begun {
		s.head(s.c.w.Header())
		s.c.begun = true
	}
	s.c.extend(s.c.write)
	return s.c.w.Write(p)
}

// extend gives the next part of an answer more time.
func (c *call) extend(by time.Duration) {
	_ = c.rc.SetWriteDeadline(time.Now().Add(by)) // where it can't be set there is none
}

// patient is a ResponseWriter each part of which has time of its own.
type patient struct {
	http.ResponseWriter
	c *call
}

// Write is http.ResponseWriter's.
func (p patient) Write(b []byte) (int, error) {
	p.c.begun = true
	p.c.extend(p.c.write)
	return p.ResponseWriter.Write(b)
}

// attachment has browsers keep what comes under a name.
func attachment(h http.Header, kind, name string) {
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
}
