package client

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether people see at once what is written there.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// progress tells on a terminal how far a download is.
type progress struct {
	to    io.Writer // nil: nobody looks
	total int64     // bytes; -1: the gate doesn't know
	begun time.Time
	next  time.Time
	said  bool
}

// progressEvery is how often it is told.
const progressEvery = 200 * time.Millisecond

func (p *progress) at(n int64, now time.Time) {
	if p.to == nil || now.Before(p.next) {
		return
	}
	p.next, p.said = now.Add(progressEvery), true
	rate := float64(n) / max(now.Sub(p.begun).Seconds(), 0.001)
	share := ""
	if p.total > 0 {
		share = fmt.Sprintf("%3d%%  ", 100*n/p.total)
	}
	fmt.Fprintf(p.to, "\r\x1b[K%s%s, %s/s", share, size(n), size(int64(rate)))
}

// end leaves the line as it was.
func (p *progress) end() {
	if p.said {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// pour copies an answer into a file, and returns how many bytes came. An answer of
// which nothing comes for too long is given up.
func (t *task) pour(f *file, res *http.Response) (n int64, err error) {
	now := time.Now()
	p := progress{total: res.ContentLength, begun: now, next: now.Add(progressEvery)}
	if isTerminal(t.errs) && !(f.name == "" && isTerminal(t.out)) {
		p.to = t.errs
	}
	defer p.end()
	quiet := time.AfterFunc(patience, func() { _ = res.Body.Close() }) // ends a Read that waits
	defer quiet.Stop()
	buf := make([]byte, 64<<10)
	for {
		m, err := res.Body.Read(buf)
		if !quiet.Reset(patience) {
			return n, fmt.Errorf("nothing came from the gate for %s", patience)
		}
		if _, werr := f.to.Write(buf[:m]); werr != nil {
			return n, fmt.Errorf("writing: %w", werr)
		}
		n += int64(m)
		p.at(n, time.Now())
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, fmt.Errorf("the gate broke off, so it isn't whole and isn't kept: %w", err)
		}
	}
}
