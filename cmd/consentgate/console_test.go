package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"consentgate/internal/sample"
	"consentgate/store"
)

// TestARunningGatesLogIsVerifiedInAProcessOfItsOwn: what is sound, what was changed,
// what isn't an export, and a verification that is given up.
func TestARunningGatesLogIsVerifiedInAProcessOfItsOwn(t *testing.T) {
	s := sample.Open(t)
	sample.Record(t, s, sample.Caller, 100*time.Millisecond)
	r, err := verifyExport(t.Context(), s.Export)
	if err != nil || !r.OK() || r.Size != s.Audit().Size() || r.Grants != 1 || r.Opened != r.Size {
		t.Errorf("%+v %v", r, err)
	}
	changed := func(w io.Writer) error {
		var b bytes.Buffer
		if err := s.Export(&b); err != nil {
			return err
		}
		_, err := w.Write(bytes.Replace(b.Bytes(), []byte(store.TypeSealed), []byte(store.TypeFailed), 1))
		return err
	}
	if r, err = verifyExport(t.Context(), changed); err != nil || r.OK() || r.Problem == "" {
		t.Errorf("a changed log: %+v %v", r, err)
	}
	if r, err = verifyExport(t.Context(), func(w io.Writer) error { _, err := io.WriteString(w, "x\n"); return err }); err == nil {
		t.Errorf("no export: %+v", r)
	}
	broken := errors.New("the disk hangs")
	half := func(w io.Writer) error {
		var b bytes.Buffer
		if err := s.Export(&b); err != nil {
			return err
		}
		if _, err := w.Write(b.Bytes()[:bytes.LastIndexByte(b.Bytes()[:b.Len()-1], '\n')+1]); err != nil {
			return err
		}
		return broken
	}
	if r, err = verifyExport(t.Context(), half); !errors.Is(err, broken) {
		t.Errorf("half an export: %+v %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	_, err = verifyExport(ctx, func(w io.Writer) error {
		defer close(ended)
		cancel()
		for {
			if _, err := io.WriteString(w, "{}\n"); err != nil {
				return err
			}
		}
	})
	<-ended
	if err == nil {
		t.Error("given up, and there is a result")
	}
}
