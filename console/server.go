package console

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"consentgate/console/access/attempts"
)

// Part is what serves some of the routes, and how it turns people away.
type Part struct {
	Routes Routes
	Deny   Denier
}

// Config says what a server serves, and to whom.
type Config struct {
	Listen string      // host:port
	TLS    *tls.Config // nil: plain HTTP, on loopback only
	Who    Authenticator
	API    Part // what is under /api/
	Page   Part // all else; the zero Part: nothing
	Log    *slog.Logger
	Limits Limits // zero values: the defaults
}

// Limits keep clients who are slow, or many, from being a burden.
type Limits struct {
	Header      time.Duration // for a request's header to arrive
	Read        time.Duration // for all of a request
	Write       time.Duration // for an answer, or each part of a long one
	Idle        time.Duration // of a connection that is kept
	HeaderBytes int
	BodyBytes   int64
	Connections int // at a time; more are closed at once
	PerAddress  int // of those; an address is one of IPv4, or a network of 64 bits
	Streams     int // requests at a time on a connection of HTTP/2; more are refused
}

var defaultLimits = Limits{Header: 5 * time.Second, Read: 15 * time.Second, Write: 30 * time.Second, Idle: 60 * time.Second,
	HeaderBytes: 16 << 10, BodyBytes: 64 << 10, Connections: 1000, PerAddress: 250, Streams: 32}

func (l Limits) orDefault() Limits {
	d := defaultLimits
	return Limits{cmp.Or(l.Header, d.Header), cmp.Or(l.Read, d.Read), cmp.Or(l.Write, d.Write), cmp.Or(l.Idle, d.Idle),
		cmp.Or(l.HeaderBytes, d.HeaderBytes), cmp.Or(l.BodyBytes, d.BodyBytes), cmp.Or(l.Connections, d.Connections),
		cmp.Or(l.PerAddress, d.PerAddress), cmp.Or(l.Streams, d.Streams)}
}

// http2 is what net/http leaves open by itself: 250 requests at a time on a connection,
// each with memory of its own, and writing for ever to who sends and doesn't read.
func (l Limits) http2() *http.HTTP2Config {
	return &http.HTTP2Config{MaxConcurrentStreams: l.Streams, MaxReadFrameSize: 16 << 10, MaxReceiveBufferPerConnection: 128 << 10,
		MaxReceiveBufferPerStream: 64 << 10, SendPingTimeout: l.Idle, PingTimeout: l.Header, WriteByteTimeout: l.Write}
}

// Server is made by New and serves from Start to Stop.
type Server struct {
	listener net.Listener
	server   http.Server
	tls      bool
	log      *slog.Logger
	done     sync.WaitGroup
}

// ErrPlain means that a server would carry personal data in the clear over a network.
var ErrPlain = errors.New("the console is served without TLS on loopback addresses only (GDPR Art. 32)")

// New binds the socket. A route that isn't in access.Table, or that nobody serves,
// is an error.
func New(c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	limits := c.Limits.orDefault()
	h, err := newFront(c, limits)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for the console: %w", err)
	}
	if c.TLS == nil && !isLoopback(l.Addr()) {
		return nil, errors.Join(ErrPlain, l.Close())
	}
	l = &bounded{Listener: l, most: limits.Connections, each: limits.PerAddress, from: map[netip.Addr]int{}}
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
		c.TLS.NextProtos = []string{"h2", "http/1.1"}
		l = tls.NewListener(l, c.TLS)
	}
	s := &Server{listener: l, tls: c.TLS != nil, log: c.Log}
	s.server = http.Server{Handler: h, ReadHeaderTimeout: limits.Header, ReadTimeout: limits.Read, WriteTimeout: limits.Write,
		IdleTimeout: limits.Idle, MaxHeaderBytes: limits.HeaderBytes, HTTP2: limits.http2(), ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)}
	return s, nil
}

func isLoopback(a net.Addr) bool {
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// Addr is where it is served.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL is where people find it.
func (s *Server) URL() string {
	if s.tls {
		return "https://" + s.Addr().String()
	}
	return "http://" + s.Addr().String()
}

// Start begins to serve.
func (s *Server) Start() {
	s.done.Go(func() {
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serving the console", "error", err)
		}
	})
}

// Stop ends it. Answers under way have until ctx ends; then they are cut.
func (s *Server) Stop(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = s.server.Close()
	}
	if cerr := s.listener.Close(); !errors.Is(cerr, net.ErrClosed) { // it is open where Start wasn't called
		err = errors.Join(err, cerr)
	}
	s.done.Wait()
	return err
}

// bounded accepts so many connections at a time, and of an address so many of them.
// More are closed at once: file descriptors are for calls first, and waiting clients
// would only hide what is wrong.
type bounded struct {
	net.Listener
	most, each int

	mu   sync.Mutex
	open int
	from map[netip.Addr]int // those open, by attempts.Place
}

// Accept is net.Listener's.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if release, ok := b.take(c.RemoteAddr()); ok {
			return &counted{Conn: c, release: release}, nil
		}
		c.Close() // its error is the client's loss only
	}
}

// take counts a connection until release is called.
func (b *bounded) take(remote net.Addr) (release func(), ok bool) {
	var place netip.Addr
	if a, err := netip.ParseAddrPort(remote.String()); err == nil {
		place = attempts.Place(a.Addr())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= b.most || b.from[place] >= b.each {
		return nil, false
	}
	b.open++
	b.from[place]++
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.open--
		if b.from[place]--; b.from[place] == 0 {
			delete(b.from, place)
		}
	}), true
}

type counted struct {
	net.Conn
	release func()
}

// Close is net.Conn's.
func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}
