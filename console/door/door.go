// Package door is where the console's connections come in: over TLS, with files
// that may change while it is open, or from this machine alone.
package door

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
)

// ErrPlain: passwords and recordings don't cross a network in the clear (GDPR
// Art. 32(1)(a)).
var ErrPlain = errors.New("without TLS only a loopback address is served: set console.tls, or listen on 127.0.0.1")

// Listen opens an address for HTTP. cert and key are PEM files; where they are ""
// there is no TLS, and the address must be a loopback one. They are read again
// when they change, at the next handshake; files that can't be read leave what was
// read before, and a line in the log.
func Listen(address, cert, key string, log *slog.Logger) (net.Listener, error) {
	var conf *tls.Config
	if cert != "" || key != "" {
		f, err := open(cert, key, log)
		if err != nil {
			return nil, err
		}
		conf = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(), nil }}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for the console: %w", err)
	}
	if conf != nil {
		return tls.NewListener(l, conf), nil
	}
	// What was asked for may be a name: what counts is what it came to.
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("console.listen %s: %w", address, ErrPlain), l.Close())
	}
	return l, nil
}

// files are a certificate's.
type files struct {
	cert, key string
	log       *slog.Logger

	mu   sync.Mutex
	seen [2]os.FileInfo // when pair was read, or last couldn't be
	pair *tls.Certificate
}

func open(cert, key string, log *slog.Logger) (*files, error) {
	f := &files{cert: cert, key: key, log: log}
	f.seen = f.look()
	pair, err := f.load()
	f.pair = pair
	return f, err
}

func (f *files) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("reading the console's TLS certificate %s and its key: %w", f.cert, err)
	}
	return &pair, nil
}

func (f *files) look() (out [2]os.FileInfo) {
	for i, name := range []string{f.cert, f.key} {
		if info, err := os.Stat(name); err == nil {
			out[i] = info
		}
	}
	return out
}

// current is what a handshake that begins now shows.
func (f *files) current() *tls.Certificate {
	now := f.look()
	f.mu.Lock()
	pair, unchanged := f.pair, same(now, f.seen)
	f.mu.Unlock()
	if unchanged {
		return pair
	}
	read, err := f.load()
	f.mu.Lock()
	told := same(now, f.seen) // by another handshake at the same time
	f.seen = now              // what is broken is told of once, and tried again when it changes
	if err == nil {
		f.pair = read
	}
	pair = f.pair
	f.mu.Unlock()
	switch {
	case told:
	case err != nil:
		f.log.Error("the console's TLS files changed and can't be read: the earlier ones stay in use", "error", err)
	default:
		f.log.Info("the console's TLS files were read again", "certificate", f.cert, "until", pair.Leaf.NotAfter)
	}
	return pair
}

func same(a, b [2]os.FileInfo) bool {
	for i := range a {
		if a[i] == nil || b[i] == nil {
			if a[i] != b[i] {
				return false
			}
			continue
		}
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
