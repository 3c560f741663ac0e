// Package certificate keeps the console's TLS certificate fresh.
package certificate

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// Serve is a configuration for servers that show the certificate of two PEM files.
// They are read again when they change, at the next handshake; files that can't be
// read leave what was read before, and a line in the log.
func Serve(cert, key string, log *slog.Logger) (*tls.Config, error) {
	f := &files{cert: cert, key: key, log: log}
	f.seen = f.look()
	pair, err := f.load()
	if err != nil {
		return nil, err
	}
	f.pair = pair
	return &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(), nil }}, nil
}

// files are a certificate's.
type files struct {
	cert, key string
	log       *slog.Logger

	mu   sync.Mutex
	seen [2]os.FileInfo // when pair was read, or last couldn't be
	pair *tls.Certificate
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
