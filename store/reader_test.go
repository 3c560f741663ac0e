package store_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

// TestASlowReaderDoesntHoldUpTheLog: a read transaction held open would keep
// bbolt from growing its file, and with it every grant from its record.
func TestASlowReaderDoesntHoldUpTheLog(t *testing.T) {
	s, _ := kit(t)
	big := consent.Record{Kind: consent.Withdrawn, Reason: strings.Repeat("x", 64<<10)}
	write := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for range 30 { // many times what the file's mapping has room for
			if _, err := s.Audit().Append(ctx, big); err != nil {
				t.Fatalf("the log waits for its reader: %v", err)
			}
		}
	}
	first := true
	must(t, s.Entries(0, func(store.Entry) bool {
		if first {
			first = false
			write()
		}
		return true
	}))
	w := writerFunc(func(b []byte) (int, error) { write(); return len(b), nil })
	once := &onceWriter{w: w}
	must(t, s.Export(once))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// onceWriter is slow at its first write only.
type onceWriter struct {
	w    writerFunc
	done bool
	buf  bytes.Buffer
}

func (o *onceWriter) Write(b []byte) (int, error) {
	if !o.done {
		o.done = true
		if _, err := o.w(b); err != nil {
			return 0, err
		}
	}
	return o.buf.Write(b)
}

// TestAnExportOfARunningGateIsWhole: entries that come during the export are
// left out, for the checkpoint in its first line doesn't have them.
func TestAnExportOfARunningGateIsWhole(t *testing.T) {
	t.Parallel()
	s, _ := kit(t)
	for range 1000 {
		_, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Withdrawn, Reason: strings.Repeat("x", 100)})
		must(t, err)
	}
	out := &onceWriter{w: func(b []byte) (int, error) {
		_, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Withdrawn})
		return len(b), err
	}}
	must(t, s.Export(out))
	r, err := store.VerifyExport(&out.buf, "", nil)
	if err != nil || !r.OK() || r.Size != 1001 || r.Opened != 1001 {
		t.Errorf("%+v %v", r, err)
	}
}

// TestADirectoryMayHaveAnyName: recovery finds its files in it.
func TestADirectoryMayHaveAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data [1] *")
	s := openStore(t, dir)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err, s.Close())
	s = openStore(t, dir)
	if sum, err := s.Get(r.ID()); err != nil || sum.State != store.StateTruncated {
		t.Errorf("%+v %v", sum, err)
	}
	must(t, s.Close())
	verify(t, dir)
}
