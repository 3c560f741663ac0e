package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/proxy"
	"consentgate/proxy/trace"
)

// maxTraced bounds trace.calls; 16 MiB of text are the other bound.
const maxTraced = 10000

func tracedCalls(v string) (int, error) {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n > maxTraced {
		return 0, fmt.Errorf("allowed: 0 to %d", maxTraced)
	}
	return int(n), nil
}

func captureServer(v string) (netip.AddrPort, error) {
	if v == "" {
		return netip.AddrPort{}, nil
	}
	at, err := netip.ParseAddrPort(v)
	if err != nil || at.Port() == 0 {
		return at, errors.New("an address and a port, for instance 192.0.2.60:9060")
	}
	return at, nil
}

func captureID(v string) (uint32, error) {
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return 0, errors.New("a whole number of 32 bits")
	}
	return uint32(n), nil
}

// controlSocket is where a running gate is asked.
func controlSocket(c *Config) string { return filepath.Join(c.DataDir, "control.sock") }

// tracing is what shows messages to operators. It is a proxy.Trace.
type tracing struct {
	*trace.Tracer
	control *trace.Control // nil: nobody can ask
}

// Message is proxy.Trace's.
func (t *tracing) Message(m proxy.Traced) { t.Tracer.Message(trace.Message(m)) }

// openTracing is nil where no trace is wanted. Calls go on without one if it
// can't be had (law 2).
func openTracing(c *Config, reg prometheus.Registerer, log *slog.Logger) *tracing {
	if c.Trace.Calls == 0 && !c.Trace.HEP.IsValid() {
		return nil
	}
	tracer, err := trace.New(trace.Config{Calls: c.Trace.Calls, HEP: c.Trace.HEP, HEPID: c.Trace.HEPID, Log: log, Registerer: reg})
	if err != nil {
		log.Error("there will be no trace", "error", err)
		return nil
	}
	t := &tracing{Tracer: tracer}
	if c.Trace.Calls > 0 {
		if t.control, err = trace.Listen(controlSocket(c), tracer, log); err != nil {
			log.Error("nobody can ask for a trace", "error", err)
		}
	}
	return t
}

func (t *tracing) close() error {
	if t == nil {
		return nil
	}
	var err error
	if t.control != nil {
		err = t.control.Close()
	}
	return errors.Join(err, t.Tracer.Close())
}

func traceCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("trace", errs)
	path := f.String("config", "", "the configuration `file` of the running gate")
	pcap := f.String("pcap", "", "writes the messages as packets into this `file` instead of printing them")
	if f.Parse(args) != nil {
		return exitUsage
	}
	which := "latest"
	if f.NArg() > 0 {
		which = f.Arg(0)
		if !parseFlags(f, f.Args()[1:], errs) { // what follows the call's id
			return exitUsage
		}
	}
	c, code, ok := loadFor(*path, errs)
	if !ok {
		return code
	}
	messages, lost, err := trace.Ask(ctx, controlSocket(c), which)
	if err != nil {
		return fail(errs, fmt.Errorf("tracing a call: %w", err))
	}
	if lost > 0 {
		fmt.Fprintf(errs, "%d messages from the middle of the call are gone: there is room for so many only\n", lost)
	}
	if *pcap == "" {
		err = printTrace(out, messages)
	} else {
		err = writePcap(*pcap, messages)
	}
	if err != nil {
		return fail(errs, fmt.Errorf("tracing a call: %w", err))
	}
	return exitOK
}

// printTrace writes each message below a line that says when it went where.
func printTrace(out io.Writer, messages []trace.Kept) error {
	for _, m := range messages {
		way, arrow := "in", "<-"
		if m.Sent {
			way, arrow = "out", "->"
		}
		text := bytes.ReplaceAll(m.Text, []byte("\r\n"), []byte("\n"))
		if _, err := fmt.Fprintf(out, "---- %s %s %s %s %s %s %s\n%s\n", m.At.UTC().Format("2006-01-02T15:04:05.000000Z"), m.Side, way,
			m.Transport, m.Local, arrow, m.Remote, text); err != nil {
			return err
		}
	}
	return nil
}

func writePcap(path string, messages []trace.Kept) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return trace.WritePcap(f, messages)
}
