package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"consentgate/console"
	"consentgate/console/access"
	"consentgate/internal/sample"
)

// raw sends bytes as they are and reads one answer.
func (k *kit) raw(text string) (status int, header http.Header, body string) {
	k.t.Helper()
	c, err := net.Dial("tcp", k.server.Addr().String())
	must(k.t, err)
	defer c.Close()
	must(k.t, c.SetDeadline(time.Now().Add(10*time.Second)))
	go io.WriteString(c, text) //nolint:errcheck // who is cut off says so by what is read
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, nil, ""
	}
	b, _ := io.ReadAll(res.Body) // what isn't read of a request resets the connection
	return res.StatusCode, res.Header, string(b)
}

// TestMethodsThatArentServed are told which are, TRACE shows nobody their header, and
// a method in another case is another method.
func TestMethodsThatArentServed(t *testing.T) {
	k := newKit(t, options{})
	for pattern := range access.Table {
		if !strings.Contains(pattern, " /api/") {
			continue
		}
		_, path := target(pattern, unknownID)
		for _, method := range []string{"TRACE", "PATCH", "get", "PROPFIND"} {
			g := k.do("officer", method, path, "").want(http.StatusMethodNotAllowed, "method-not-allowed")
			if strings.Contains(string(g.body), "officer") || !strings.Contains(g.header.Get("Allow"), strings.SplitN(pattern, " ", 2)[0]) {
				t.Errorf("%s %s: %v %s", method, path, g.header, g.body)
			}
		}
		g := k.do("", "OPTIONS", path, "").want(http.StatusNoContent, "")
		if !strings.Contains(g.header.Get("Allow"), strings.SplitN(pattern, " ", 2)[0]) || g.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("OPTIONS %s: %v", path, g.header)
		}
	}
	k.get("officer", "/api/v1/nothing").want(http.StatusNotFound, "not-found")
	k.get("officer", "/api/v2/calls").want(http.StatusNotFound, "not-found")
	k.get("officer", "/nothing").want(http.StatusNotFound, "not-found")
}

// TestBodiesThatAreTooMuchOrNone: too long, of another type, not JSON, with members
// that there aren't, or twice, or nested into the ground.
func TestBodiesThatAreTooMuchOrNone(t *testing.T) {
	k := newKit(t, options{})
	long := `{"kind":"access","party":"` + strings.Repeat("4", 70<<10) + `"}`
	k.do("officer", "POST", "/api/v1/requests", long).want(http.StatusRequestEntityTooLarge, "too-large")
	k.do("officer", "POST", "/api/v1/requests", `{}`, "Content-Type", "text/plain").want(http.StatusUnsupportedMediaType, "not-json")
	k.do("officer", "POST", "/api/v1/requests", `{}`, "Content-Type", "application/json; charset=utf-16").want(http.StatusUnsupportedMediaType, "not-json")
	k.do("officer", "POST", "/api/v1/requests", `kind=access`, "Content-Type", "application/x-www-form-urlencoded").want(http.StatusUnsupportedMediaType, "not-json")
	for _, body := range []string{`{`, `null`, `[]`, `"x"`, `{"kind":"access","party":"x","more":1}`, `{"kind":"access","kind":"erasure","party":"x"}`,
		`{"kind":"access","Kind":"erasure","party":"x"}`, `{"kind":"access","party":"x"} {}`, `{"kind":["access"],"party":"x"}`, `{"kind":1}`, `{"party":{"party":{}}}`,
		`{"party":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, `{"a":` + strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat("}", 9000) + `}`,
		"\xff", `{"kind":"access","party":"x"`, strings.Repeat(" ", 1000)} {
		k.do("officer", "POST", "/api/v1/requests", body).want(http.StatusBadRequest, "bad-request")
	}
	k.do("officer", "GET", "/api/v1/me", `{}`).want(http.StatusBadRequest, "bad-request")
	k.do("officer", "POST", "/api/v1/calls/"+callID+"/pause", `{}`).want(http.StatusBadRequest, "bad-request")
}

// TestRequestsThatMeanTwoThings are refused before anything looks at them: request
// smuggling and header injection.
func TestRequestsThatMeanTwoThings(t *testing.T) {
	k := newKit(t, options{})
	const auth = "Authorization: Bearer officer\r\n"
	for name, text := range map[string]string{
		"two hosts":           "GET /api/v1/me HTTP/1.1\r\nHost: a\r\nHost: b\r\n" + auth + "\r\n",
		"no host":             "GET /api/v1/me HTTP/1.1\r\n" + auth + "\r\n",
		"two lengths":         "POST /api/v1/requests HTTP/1.1\r\nHost: a\r\n" + auth + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
		"length and chunks":   "POST /api/v1/requests HTTP/1.1\r\nHost: a\r\n" + auth + "Transfer-Encoding: chunked, identity\r\nContent-Length: 2\r\n\r\n{}",
		"a folded header":     "GET /api/v1/me HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n" + auth + "\r\n",
		"a space in a name":   "GET /api/v1/me HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer officer\r\n\r\n",
		"a bad version":       "GET /api/v1/me HTTP/9.9\r\nHost: a\r\n" + auth + "\r\n",
		"a header too long":   "GET /api/v1/me HTTP/1.1\r\nHost: a\r\n" + auth + "X: " + strings.Repeat("x", 40<<10) + "\r\n\r\n",
		"a thousand headers":  "GET /api/v1/me HTTP/1.1\r\nHost: a\r\n" + auth + strings.Repeat("Cookie: a=b\r\n", 4000) + "\r\n",
		"a line break in it":  "GET /api/v1/recordings?trunk=a\r\nX-Injected: 1 HTTP/1.1\r\nHost: a\r\n" + auth + "\r\n",
		"a path without root": "GET api/v1/me HTTP/1.1\r\nHost: a\r\n" + auth + "\r\n",
	} {
		status, header, body := k.raw(text)
		if status < 400 && status != 0 || strings.Contains(body, "officer") || header.Get("X-Injected") != "" {
			t.Errorf("%s: %d %v %s", name, status, header, body)
		}
	}
	if status, _, body := k.raw("GET /api/v1/me HTTP/1.1\r\nHost: a\r\n" + auth + "\r\n"); status != 200 || !strings.Contains(body, "officer") {
		t.Errorf("control: %d %s", status, body)
	}
	g := k.get("officer", "/api/v1/recordings/x%0d%0aX-Injected:%201/audio?purpose=a%0d%0aX-Injected:%201").want(http.StatusNotFound, "not-found")
	if g.header.Get("X-Injected") != "" {
		t.Errorf("%v", g.header)
	}
	k.get("officer", "/api/v1/me?"+strings.Repeat("x", 5000)).want(http.StatusRequestURITooLong, "too-long")
	k.get("officer", "/api/v1/recordings?"+strings.Repeat("trunk=a&", 400)).want(http.StatusBadRequest, "bad-request")
}

// TestPathsThatLeadElsewhereLeadNowhere.
func TestPathsThatLeadElsewhereLeadNowhere(t *testing.T) {
	k := newKit(t, options{})
	for _, path := range []string{"/api/v1/../../etc/passwd", "/api/v1/recordings/../me", "//api/v1/me", "/api/v1/./me", "/api/v1/me/", "/api//v1/me",
		"/api/v1/recordings/%2e%2e/me", "/api/v1/recordings/..%2fme", "/api/v1/recordings/..%5c..%5ckeys.db", "/api/v1/recordings/%2fetc%2fpasswd/audio?purpose=training"} {
		if status, _, body := k.raw("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer officer\r\n\r\n"); status != http.StatusNotFound || !strings.Contains(body, "urn:consentgate:problem:not-found") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestWhoSendsAByteAtATimeIsCutOff, in the header, in the body, and silent between
// requests; and holds up nobody.
func TestWhoSendsAByteAtATimeIsCutOff(t *testing.T) {
	k := newKit(t, options{limits: console.Limits{Header: 300 * time.Millisecond, Read: 600 * time.Millisecond, Idle: 300 * time.Millisecond}})
	slow := map[string]string{
		"header": "GET /api/v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer officer\r\n" + strings.Repeat("X: y\r\n", 1000),
		"body":   strings.Repeat(" ", 5000),
		"idle":   "",
	}
	before := map[string]string{"body": "POST /api/v1/requests HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer officer\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n",
		"idle": "GET /api/v1/me HTTP/1.1\r\nHost: a\r\n\r\n"}
	ended := make(chan string)
	const each = 20
	for name, text := range slow {
		for range each {
			go func() {
				c, err := net.Dial("tcp", k.server.Addr().String())
				if err != nil {
					ended <- err.Error()
					return
				}
				defer c.Close()
				io.WriteString(c, before[name]) //nolint:errcheck // what follows shows it
				go func() {
					for i := range text {
						if _, err := io.WriteString(c, text[i:i+1]); err != nil {
							return
						}
						time.Sleep(10 * time.Millisecond)
					}
				}()
				if err := c.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
					ended <- err.Error()
					return
				}
				b, err := io.ReadAll(c)
				if nerr, ok := err.(net.Error); ok && nerr.Timeout() { //nolint:errorlint // of net itself
					ended <- fmt.Sprintf("%s: it is still open", name)
					return
				}
				if name == "body" && !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
					ended <- fmt.Sprintf("%s: %s", name, b)
					return
				}
				ended <- ""
			}()
		}
	}
	for range 10 {
		k.get("officer", "/api/v1/me").want(http.StatusOK, "")
	}
	for range each * len(slow) {
		if what := <-ended; what != "" {
			t.Error(what)
		}
	}
}

// TestMoreConnectionsThanMayBeAreClosed, and when some end others may come.
func TestMoreConnectionsThanMayBeAreClosed(t *testing.T) {
	k := newKit(t, options{limits: console.Limits{Connections: 5, Header: 20 * time.Second}})
	var open []net.Conn
	for range 5 {
		c, err := net.Dial("tcp", k.server.Addr().String())
		must(t, err)
		open = append(open, c)
	}
	for range 3 {
		deadline := time.Now().Add(10 * time.Second)
		for { // until the five before are accepted
			c, err := net.Dial("tcp", k.server.Addr().String())
			must(t, err)
			must(t, c.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
			_, err = c.Read(make([]byte, 1))
			c.Close()
			if nerr, ok := err.(net.Error); !ok || !nerr.Timeout() { //nolint:errorlint // of net itself
				break // closed
			}
			if time.Now().After(deadline) {
				t.Fatal("a sixth connection is kept")
			}
		}
	}
	for _, c := range open {
		must(t, c.Close())
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if status, _, _ := k.raw("GET /api/v1/openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody is let in any more")
		}
	}
}

// TestALongAnswerMayTakeLongerThanARequest as long as it goes on, and who stops
// reading is cut off.
func TestALongAnswerMayTakeLongerThanARequest(t *testing.T) {
	k := newKit(t, options{limits: console.Limits{Read: 300 * time.Millisecond, Write: 300 * time.Millisecond}, write: time.Second})
	made := sample.Begin(t, k.store, sample.Caller, time.Second)
	must(t, made.Seal(time.Now().Add(10*time.Minute), "hang-up")) // most of it silence; more than sockets hold
	id := made.ID()
	c, err := net.Dial("tcp", k.server.Addr().String())
	must(t, err)
	defer c.Close()
	must(t, c.(*net.TCPConn).SetReadBuffer(32<<10), c.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(c, "GET /api/v1/recordings/"+id+"/audio?purpose=training HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer officer\r\n\r\n")
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReaderSize(c, 16<<10), nil)
	must(t, err)
	n := int64(0)
	start := time.Now()
	for n < res.ContentLength {
		m, err := io.ReadFull(res.Body, make([]byte, min(64<<10, res.ContentLength-n)))
		n += int64(m)
		if err != nil {
			t.Fatalf("after %d bytes of %d: %v", n, res.ContentLength, err)
		}
		if time.Since(start) < 900*time.Millisecond { // thrice a request's time
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// TestWhoDoesntReadHoldsUpNobody: recordings are read a few at a time, and who waits
// for a client isn't among them.
func TestWhoDoesntReadHoldsUpNobody(t *testing.T) {
	k := newKit(t, options{})
	made := sample.Begin(t, k.store, sample.Caller, time.Second)
	must(t, made.Seal(time.Now().Add(10*time.Minute), "hang-up")) // more than sockets hold
	one := "/api/v1/recordings/" + made.ID()
	for i := range 2 * runtime.NumCPU() {
		c, err := net.Dial("tcp", k.server.Addr().String())
		must(t, err)
		defer c.Close()
		path := one + []string{"/audio?purpose=training", "/export?purpose=training&form=wav"}[i%2]
		_, err = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer officer/"+strconv.Itoa(i)+"\r\n\r\n")
		must(t, err)
		must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		_, err = io.ReadFull(c, make([]byte, 2000)) // it has begun
		must(t, err)
	}
	k.get("officer", one).want(http.StatusOK, "")
	k.get("officer", one+"/audio?purpose=training", "Range", "bytes=0-99999").want(http.StatusPartialContent, "")
	k.get("officer", one+"/export?purpose=training&form=wav").want(http.StatusOK, "")
}

// TestNothingPersonalIsLogged of requests: no query, no path, no token.
func TestNothingPersonalIsLogged(t *testing.T) {
	k := newKit(t, options{})
	id := sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	k.get("officer/secret", "/api/v1/recordings?party=%2B442079460123").want(http.StatusOK, "")
	k.get("officer/secret", "/api/v1/recordings/"+id).want(http.StatusOK, "")
	k.get("nobody's", "/api/v1/recordings?party=%2B442079460123").want(http.StatusUnauthorized, "not-logged-in")
	k.get("officer", "/442079460123").want(http.StatusNotFound, "not-found")
	said := k.log.String()
	if !strings.Contains(said, "GET /api/v1/recordings") {
		t.Errorf("control: %s", said)
	}
	for _, secret := range []string{"442079460123", id, "secret", "nobody's", "party"} {
		if strings.Contains(said, secret) {
			t.Errorf("the log has %s: %s", secret, said)
		}
	}
}
