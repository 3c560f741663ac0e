package tpmcell_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// bus passes on what goes between a processor and its TPM, and keeps it.
type bus struct {
	mu   sync.Mutex
	kept []byte
}

func (b *bus) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, p...)
	return len(p), nil
}

func (b *bus) heard() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.kept)
}

// listen makes a socket whose connections go to another one.
func listen(t *testing.T, path, to string) *bus {
	t.Helper()
	b := &bus{}
	l, err := net.Listen("unix", path)
	must(t, err)
	var all sync.WaitGroup
	t.Cleanup(func() {
		must(t, l.Close())
		all.Wait()
	})
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(io.MultiWriter(to, b), from) // until one of them closes
				_ = to.Close()
			}
			all.Go(func() { pass(far, near) })
			all.Go(func() { pass(near, far) })
		}
	})
	return b
}
