package console

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// besieged is a console over TLS that counts how many answers are under way.
type besieged struct {
	*Server
	now, most atomic.Int64
}

func besiege(t *testing.T) *besieged {
	t.Helper()
	b := &besieged{}
	counted := func(h http.HandlerFunc) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := b.now.Add(1)
			defer b.now.Add(-1)
			for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
			}
			h(w, r)
		})
	}
	routes := allRoutes()
	routes["GET /api/v1/openapi.json"] = counted(func(w http.ResponseWriter, _ *http.Request) {
		for part := make([]byte, 64<<10); ; { // without an end: who reads goes on
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	routes["GET /login"] = counted(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "there") }) //nolint:errcheck // it is read or not
	routes["POST /login"] = counted(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	c := config("127.0.0.1:0", routes)
	c.TLS = &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
	c.Limits = Limits{Header: time.Second, Read: time.Second, Write: time.Second, Idle: time.Second,
		Streams: 8, Connections: 20, PerAddress: 10}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	b.Server = s
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// attacker is a connection that knows HTTP/2 and no manners.
type attacker struct {
	*http2.Framer
	conn *tls.Conn
}

// attack connects from an address of loopback's.
func attack(s *Server, from string, settings ...http2.Setting) (*attacker, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}},
		Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
	c, err := d.Dial("tcp", s.Addr().String())
	if err != nil {
		return nil, err
	}
	a := &attacker{http2.NewFramer(c, c), c.(*tls.Conn)}
	// Long after every limit: who isn't cut off by then won't be.
	if err := c.SetDeadline(time.Now().Add(12 * time.Second)); err != nil {
		return a, err
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return a, err
	}
	return a, a.WriteSettings(settings...)
}

// header is a request's, as frames hold it.
func (a *attacker) header(method, path string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: path}} {
		if err := e.WriteField(f); err != nil {
			panic(err) // a buffer takes it
		}
	}
	return b.Bytes()
}

func (a *attacker) ask(stream uint32, method, path string, end bool) error {
	return a.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: a.header(method, path), EndStream: end, EndHeaders: true})
}

// polite answers the server's pings and reads, until the server ends it.
func (a *attacker) polite() {
	for {
		f, err := a.ReadFrame()
		if err != nil {
			return
		}
		if p, ok := f.(*http2.PingFrame); ok && !p.IsAck() && a.WritePing(true, p.Data) != nil {
			return
		}
	}
}

// sieges are what somebody may do to a server of HTTP/2. Each ends when the server
// ends the connection, or when it has done what there is to do.
var sieges = map[string]struct {
	settings []http2.Setting
	do       func(a *attacker)
	cut      bool // the server must end the connection, and not only what is asked on it
}{
	"says nothing": {nil, func(a *attacker) { a.polite() }, true},
	"a header without an end": {nil, func(a *attacker) {
		if a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.header("GET", "/login"), EndStream: true}) == nil {
			a.polite()
		}
	}, true},
	"a header by the byte": {nil, func(a *attacker) {
		var frame bytes.Buffer
		f := http2.NewFramer(&frame, nil)
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: bytes.Repeat([]byte{0}, 10000)}) // a buffer takes it
		for frame.Len() > 0 {
			if _, err := a.conn.Write(frame.Next(1)); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond) // what slow is
		}
	}, true},
	"continuations without an end": {nil, func(a *attacker) {
		if a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.header("GET", "/login"), EndStream: true}) != nil {
			return
		}
		var field bytes.Buffer
		_ = hpack.NewEncoder(&field).WriteField(hpack.HeaderField{Name: "x", Value: string(bytes.Repeat([]byte("y"), 1000)), Sensitive: true})
		for a.WriteContinuation(1, false, field.Bytes()) == nil {
		}
	}, true},
	"pings whose answers it doesn't read": {nil, func(a *attacker) {
		for a.WritePing(false, [8]byte{}) == nil {
		}
	}, true},
	"reads nothing": {[]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}}, func(a *attacker) {
		if a.WriteWindowUpdate(0, 1<<31-1-65535) != nil {
			return
		}
		for i := range uint32(8) {
			if a.ask(2*i+1, "GET", "/api/v1/openapi.json", true) != nil {
				return
			}
		}
		for a.WritePing(true, [8]byte{}) == nil { // it goes on sending
			time.Sleep(10 * time.Millisecond)
		}
	}, true},
	"has no window": {[]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, func(a *attacker) {
		for i := range uint32(30) {
			if a.ask(2*i+1, "GET", "/api/v1/openapi.json", true) != nil {
				return
			}
		}
		a.polite()
	}, false},
	"a body by the byte": {nil, func(a *attacker) {
		go io.Copy(io.Discard, a.conn) //nolint:errcheck // until the server ends it
		for i := range uint32(8) {
			if a.ask(2*i+1, "POST", "/login", false) != nil {
				return
			}
		}
		for range 100 {
			for i := range uint32(8) {
				if a.WriteData(2*i+1, false, []byte("x")) != nil {
					return
				}
			}
			time.Sleep(20 * time.Millisecond) // what slow is
		}
	}, false},
	"asks and takes it back": {nil, func(a *attacker) {
		go io.Copy(io.Discard, a.conn) //nolint:errcheck // until the server ends it
		for i := range uint32(2000) {
			if a.ask(2*i+1, "GET", "/api/v1/openapi.json", true) != nil || a.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
				return
			}
		}
	}, false},
}

// TestSlowAndHastyClientsOfHTTP2HoldUpNobody: as many of them as their address may have
// connections, one kind at a time. Others are served meanwhile, no more answers are
// under way than connections may have, and in the end none is.
func TestSlowAndHastyClientsOfHTTP2HoldUpNobody(t *testing.T) {
	for name, siege := range sieges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := besiege(t)
			const each = 10
			ended := make(chan struct{}, each)
			var cut atomic.Int64
			var all []*attacker
			for range each {
				a, err := attack(b.Server, "127.0.0.2", siege.settings...)
				if err != nil {
					t.Fatal(err)
				}
				defer a.conn.Close()
				all = append(all, a)
			}
			if more, err := attack(b.Server, "127.0.0.2"); err == nil {
				defer more.conn.Close()
				if _, err := more.ReadFrame(); err == nil {
					t.Error("one address has more connections than it may")
				}
			}
			for _, a := range all {
				go func() {
					siege.do(a)
					if _, err := io.Copy(io.Discard, a.conn); !isTimeout(err) {
						cut.Add(1)
					}
					ended <- struct{}{}
				}()
			}
			c := newClient(t, b.Server)
			for under := each; under > 0; {
				if res, body := c.ask("GET", "/login", ""); res.StatusCode != http.StatusOK || body != "there" || res.ProtoMajor != 2 {
					t.Fatalf("another client: %s %s %q", res.Proto, res.Status, body)
				}
				select {
				case <-ended:
					under--
				case <-time.After(20 * time.Millisecond):
				}
			}
			if siege.cut && cut.Load() != each {
				t.Errorf("%d of %d were cut off", cut.Load(), each)
			}
			eventually(t, "no answer is under way", func() bool { return b.now.Load() == 0 })
			if most := b.most.Load(); most > each*8+1 {
				t.Errorf("%d answers were under way at a time", most)
			}
		})
	}
}

func isTimeout(err error) bool {
	nerr, ok := err.(net.Error) //nolint:errorlint // of net itself
	return ok && nerr.Timeout()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
