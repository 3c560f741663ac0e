package trace

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// patience bounds one question and its answer.
	patience = 5 * time.Second
	// maxQuestion and maxAnswer bound them in bytes.
	maxQuestion = 4 << 10
	maxAnswer   = 64 << 20
)

// Control answers one question on a Unix socket: the messages of a call. Who may
// open the socket's file may ask.
type Control struct {
	tracer   *Tracer
	listener net.Listener
	log      *slog.Logger
	done     sync.WaitGroup
}

// answer is a JSON object.
type answer struct {
	Error    string `json:",omitempty"`
	Messages []Kept
	Lost     int
}

// Listen serves the socket at path, mode 0600. A file that a crash has left is
// replaced; that of a running gate is an error. Close ends it.
func Listen(path string, t *Tracer, log *slog.Logger) (*Control, error) {
	if err := nameable(path); err != nil {
		return nil, err
	}
	if conn, err := net.DialTimeout("unix", path, patience); err == nil {
		_ = conn.Close() // nothing was said on it
		return nil, fmt.Errorf("listening on %s: another gate answers there", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replacing an old control socket: %w", err)
	}
	l, err := (&net.ListenConfig{Control: ownersOnly}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for control: %w", err)
	}
	c := &Control{tracer: t, listener: l, log: log}
	c.done.Go(c.serve)
	return c, nil
}

// nameable finds a path that is too long for the system's sockets (unix(7)).
func nameable(path string) error {
	if most := len(syscall.RawSockaddrUnix{}.Path) - 1; len(path) > most {
		return fmt.Errorf("the control socket %s: a socket's path has at most %d bytes: choose a shorter data_dir", path, most)
	}
	return nil
}

// ownersOnly sets a socket's mode before it has a name: Linux gives it to the
// file, so nobody else can come in between.
func ownersOnly(_, _ string, c syscall.RawConn) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }); ctlErr != nil {
		return ctlErr
	}
	return err
}

// Close ends the goroutine, waits for it and removes the socket's file.
func (c *Control) Close() error {
	err := c.listener.Close()
	c.done.Wait()
	return err
}

// serve answers one question after the other: there is one operator.
func (c *Control) serve() {
	for {
		conn, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if err := c.reply(conn); err != nil {
			c.log.Warn("answering on the control socket", "error", err)
		}
	}
}

func (c *Control) reply(conn net.Conn) (err error) {
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxQuestion)).ReadString('\n')
	if errors.Is(err, io.EOF) && line == "" { // a look whether somebody is here
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the question: %w", err)
	}
	var a answer
	which, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "trace ")
	if !ok {
		a.Error = "the only question is 'trace CALL-ID' or 'trace latest'"
	} else if a.Messages, a.Lost, ok = c.tracer.Find(which); !ok {
		a.Error = "no such call is kept: give the id after call= in the log, or the SIP Call-ID; trace.calls in the configuration" +
			" says how many calls are kept, and after a restart or a day none is"
	}
	return json.NewEncoder(conn).Encode(a)
}

// Ask asks a running gate for a call's messages. lost are those that there was no
// room for.
func Ask(ctx context.Context, path, which string) (messages []Kept, lost int, err error) {
	if strings.ContainsAny(which, "\r\n") || len(which) > maxQuestion-16 {
		return nil, 0, errors.New("that is no call's id")
	}
	if err := nameable(path); err != nil {
		return nil, 0, err
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, 0, fmt.Errorf("no gate answers: is it running, with this data_dir and trace.calls above 0, and may you open its socket? %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return nil, 0, err
	}
	if _, err := fmt.Fprintf(conn, "trace %s\n", which); err != nil {
		return nil, 0, fmt.Errorf("asking the gate: %w", err)
	}
	var a answer
	if err := json.NewDecoder(io.LimitReader(conn, maxAnswer)).Decode(&a); err != nil {
		return nil, 0, fmt.Errorf("reading the gate's answer: %w", err)
	}
	if a.Error != "" {
		return nil, 0, errors.New(a.Error)
	}
	return a.Messages, a.Lost, nil
}
