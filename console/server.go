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
}

var defaultLimits = Limits{Header: 5 * time.Second, Read: 15 * time.Second, Write: 30 * time.Second, Idle: 60 * time.Second,
	HeaderBytes: 16 << 10, BodyBytes: 64 << 10, Connections: 1000}

func (l Limits) orDefault() Limits {
	d := defaultLimits
	return Limits{cmp.Or(l.Header, d.Header), cmp.Or(l.Read, d.Read), cmp.Or(l.Write, d.Write), cmp.Or(l.Idle, d.Idle),
		cmp.Or(l.HeaderBytes, d.HeaderBytes), cmp.Or(l.BodyBytes, d.BodyBytes), cmp.Or(l.Connections, d.Connections)}
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
	l = &bounded{Listener: l, free: make(chan struct{}, limits.Connections)}
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
		c.TLS.NextProtos = []string{"h2", "http/1.1"}
		l = tls.NewListener(l, c.TLS)
	}
	s := &Server{listener: l, tls: c.TLS != nil, log: c.Log}
	s.server = http.Server{Handler: h, ReadHeaderTimeout: limits.Header, ReadTimeout: limits.Read, WriteTimeout: limits.Write,
		IdleTimeout: limits.Idle, MaxHeaderBytes: limits.HeaderBytes, ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)}
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

// bounded accepts so many connections at a time as free holds tokens. More are closed
// at once: file descriptors are for calls first, and waiting clients would only hide
// what is wrong.
type bounded struct {
	net.Listener
	free chan struct{}
}

// Accept is net.Listener's.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.free <- struct{}{}:
			return &counted{Conn: c, release: sync.OnceFunc(func() { <-b.free })}, nil
		default:
			c.Close() // its error is the client's loss only
		}
	}
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
