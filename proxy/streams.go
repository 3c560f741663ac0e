package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

const (
	// maxStreams bounds the connections of one listener: peers of a trunk need
	// a few each.
	maxStreams = 1024
	// streamQueue bounds what may wait for a connection to be made, or for a
	// peer that reads slowly. Beyond it the connection is given up.
	streamQueue = 1024
	// dialPatience bounds making a connection, the TLS handshake included.
	dialPatience = 3 * time.Second
	// writePatience bounds one write.
	writePatience = 5 * time.Second
	// readPatience bounds how long a message that has begun may take to come. An
	// idle connection stays.
	readPatience = 10 * time.Second
	// parting is for how long a connection that we give up is still written and
	// read, so that the peer gets our last words.
	parting = 500 * time.Millisecond
)

var errBusy = errors.New("the peer doesn't read what it is sent")

// streams is a TCP or TLS listener, and the connections by way of it. A
// connection serves both directions, whoever opened it (RFC 5923).
type streams struct {
	listener net.Listener
	tls      *certificates // nil: TCP
	patience time.Duration // with half a message
	e        *endpoint
	ctx      context.Context // ends dials and handshakes
	stop     context.CancelFunc
	done     sync.WaitGroup

	mu     sync.Mutex
	conns  map[netip.AddrPort]*stream
	closed bool
}

// stream is one connection, or one being made.
type stream struct {
	to   Place
	out  chan []byte
	quit chan struct{}
	end  sync.Once
}

func (st *stream) kill() { st.end.Do(func() { close(st.quit) }) }

func listenStream(at netip.AddrPort, tls *certificates) (*streams, error) {
	network := "tcp4"
	if at.Addr().Is6() {
		network = "tcp6"
	}
	listen := net.ListenConfig{Control: markSignalling}
	l, err := listen.Listen(context.Background(), network, at.String())
	if err != nil {
		return nil, fmt.Errorf("listening for SIP on tcp %s: %w", at, err)
	}
	s := &streams{listener: l, tls: tls, patience: readPatience, conns: map[netip.AddrPort]*stream{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

func (s *streams) local() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

func (s *streams) serve(e *endpoint) {
	s.mu.Lock()
	s.e = e
	s.mu.Unlock()
	s.done.Go(s.acceptAll)
}

func (s *streams) connected(to netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[to] != nil
}

func (s *streams) close() error {
	s.mu.Lock()
	s.closed = true
	for _, st := range s.conns {
		st.kill()
	}
	s.mu.Unlock()
	s.stop()
	err := s.listener.Close()
	s.done.Wait()
	return err
}

func (s *streams) acceptAll() {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, or a peer that went at once
			s.e.reject("socket_error")
			select {
			case <-time.After(50 * time.Millisecond):
			case <-s.ctx.Done():
			}
			continue
		}
		from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		reason := ""
		if !s.e.accept(from.Addr()) {
			reason = "not_a_peer"
		} else if _, ok := s.enter(Place{Transport: s.e.transport, Addr: from}, func(st *stream) { s.run(st, conn, false) }); !ok {
			reason = "connections"
		}
		if reason != "" {
			s.e.reject(reason)
			_ = conn.Close() // nothing was said on it
		}
	}
}

// enter adds a connection and starts its goroutine; false if there are too many.
func (s *streams) enter(to Place, run func(*stream)) (*stream, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxStreams {
		return nil, false
	}
	st := &stream{to: to, out: make(chan []byte, streamQueue), quit: make(chan struct{})}
	s.conns[to.Addr] = st
	s.done.Go(func() { run(st) })
	return st, true
}

func (s *streams) send(data []byte, to, back Place) error {
	s.mu.Lock()
	st := s.conns[to.Addr]
	if st == nil && back.Addr.IsValid() {
		to = back
		st = s.conns[to.Addr]
	}
	s.mu.Unlock()
	if st == nil {
		var ok bool
		if st, ok = s.enter(to, s.dial); !ok {
			return errors.New("no further connection can be made")
		}
	}
	select {
	case st.out <- data:
		return nil
	default:
		st.kill()
		return errBusy
	}
}

// dial makes a connection from the address we listen on.
func (s *streams) dial(st *stream) {
	ctx, cancel := context.WithTimeout(s.ctx, dialPatience)
	defer cancel()
	d := net.Dialer{Control: markSignalling, LocalAddr: &net.TCPAddr{IP: s.local().Addr().AsSlice()}}
	conn, err := d.DialContext(ctx, "tcp", st.to.Addr.String())
	if err != nil {
		s.forget(st)
		s.e.log.Warn("connecting to a peer", "peer", st.to.String(), "error", err)
		s.e.lost(st.to.Addr, true)
		return
	}
	s.run(st, conn, true)
}

// run is a connection's life. The reader is its goroutine; the writer is ours.
func (s *streams) run(st *stream, conn net.Conn, dialled bool) {
	var writer sync.WaitGroup
	defer writer.Wait()
	secured, err := s.secure(st, conn, dialled)
	if err == nil {
		writer.Go(func() { s.write(st, secured) })
		s.read(st, secured)
		st.kill()
		s.forget(st) // what is sent from here on takes another connection
		writer.Wait()
	} else {
		s.e.reject("tls_handshake")
		s.e.log.Warn("TLS handshake", "peer", st.to.String(), "error", err)
	}
	st.kill()
	s.forget(st)
	_ = conn.Close() // it is over; there is nothing to do about it
	s.e.lost(st.to.Addr, err != nil)
}

func (s *streams) forget(st *stream) {
	s.mu.Lock()
	if s.conns[st.to.Addr] == st {
		delete(s.conns, st.to.Addr)
	}
	s.mu.Unlock()
}

func (s *streams) secure(st *stream, conn net.Conn, dialled bool) (net.Conn, error) {
	if s.tls == nil {
		return conn, nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, dialPatience)
	defer cancel()
	return s.tls.handshake(ctx, conn, st.to.Name, dialled)
}

func (s *streams) read(st *stream, conn net.Conn) {
	r := bufio.NewReaderSize(conn, maxHeaders)
	for {
		msg, err := s.next(r, conn)
		switch {
		case err == nil:
			s.e.take(msg, st.to.Addr)
		case errors.Is(err, errPing):
			select {
			case st.out <- []byte("\r\n"):
			default:
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.e.reject("slow")
			return
		case errors.Is(err, errHeaders):
			s.e.reject("framing")
			return
		case errors.Is(err, errLength):
			s.e.reject("framing")
			s.e.take(msg, st.to.Addr) // which refuses it
			// A connection closed with bytes unread takes the answer with it.
			if conn.SetReadDeadline(time.Now().Add(parting)) == nil {
				_, _ = io.Copy(io.Discard, r)
			}
			return
		default:
			return
		}
	}
}

// next reads the next message: it may begin whenever it likes, and must come to
// its end then.
func (s *streams) next(r *bufio.Reader, conn net.Conn) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if err := awaitMessage(r); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(s.patience)); err != nil {
		return nil, err
	}
	return readMessage(r)
}

// write sends what is queued, and closes the connection at the stream's end so
// that the reader ends, too.
func (s *streams) write(st *stream, conn net.Conn) {
	defer func() { _ = conn.Close() }() // the reader learns of it
	for {
		select {
		case data := <-st.out:
			if err := conn.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
				return
			}
			if _, err := conn.Write(data); err != nil {
				return
			}
		case <-st.quit:
			s.lastWords(st, conn)
			return
		}
	}
}

// lastWords sends what is still queued.
func (s *streams) lastWords(st *stream, conn net.Conn) {
	if conn.SetWriteDeadline(time.Now().Add(parting)) != nil {
		return
	}
	for {
		select {
		case data := <-st.out:
			if _, err := conn.Write(data); err != nil {
				return
			}
		default:
			return
		}
	}
}
