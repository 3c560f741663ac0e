package store

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"filippo.io/age"

	"consentgate/consent"
	"consentgate/store/pcapng"
)

// aCapture is a small recording in its standard form.
func aCapture(t testing.TB) []byte {
	var b bytes.Buffer
	w, x, sc := newStandardWriter(&b), indexer{}, scout{rate: narrow}
	m := []byte(`{"grant":"` + consent.Hash{}.String() + `","record":{},"started":"2026-11-25T12:00:00.000001Z"}`)
	packet := append([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7}, make([]byte, 80)...)
	for _, c := range []content{{kind: recMeta, data: m}, {kind: recFormat, text: "PCMU", clockRate: 8000},
		{kind: recRTP, party: consent.Local, at: time.Second, data: packet}, {kind: recRTP, at: 2 * time.Second, data: packet},
		{kind: recGap, text: "hold\xff<&", at: time.Second, to: time.Minute}, {kind: recRTP, at: 70 * time.Second, data: packet},
		{kind: recEnd, at: 80 * time.Second, text: "hang-up"}} {
		x.take(c, w.off)
		if err := errors.Join(sc.take(c), w.put(c)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(sealNote{ID: "id", Length: 80e6, Spoken: sc.spoken, Index: x.done()}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTheStandardFormSaysWhatTheRecordsSaid: each comes back as it was.
func TestTheStandardFormSaysWhatTheRecordsSaid(t *testing.T) {
	r := newStandardReader(bytes.NewReader(aCapture(t)))
	var kinds []byte
	for {
		c, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		kinds = append(kinds, c.kind)
		switch {
		case c.kind == recGap && (c.text != "hold\uFFFD<&" || c.at != time.Second || c.to != time.Minute),
			c.kind == recEnd && (c.text != "hang-up" || c.at != 80*time.Second),
			c.kind == recRTP && (len(c.data) != 92 || c.at < time.Second),
			c.kind == recFormat && (c.text != "PCMU" || c.clockRate != 8000):
			t.Errorf("%+v", c)
		}
	}
	if string(kinds) != "MFRRGRE" || r.sealed == nil || len(r.sealed.Index.Points) != 2 || r.sealed.Records != 7 {
		t.Errorf("%s, %+v", kinds, r.sealed)
	}
}

// TestEveryChangedByteOfACaptureIsFound, wherever it is: that age authenticates
// what is inside is not the only thing that holds.
func TestEveryChangedByteOfACaptureIsFound(t *testing.T) {
	whole := aCapture(t)
	want := digestOf(t, whole)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1
		if got := digestOf(t, b); got == want {
			t.Errorf("byte %d was changed, and nothing tells", i)
		}
	}
}

// digestOf is of the records, and the last note; "" for what can't be read.
func digestOf(t *testing.T, b []byte) string {
	r, w := newStandardReader(bytes.NewReader(b)), newStandardWriter(io.Discard)
	for {
		c, err := r.next()
		if errors.Is(err, io.EOF) {
			last, err := w.appendNote(nil, remark{Sealed: r.sealed}, 0)
			must(t, err)
			return string(w.digest.Sum(last))
		}
		if err != nil {
			return ""
		}
		w.digestOf(c)
	}
}

// FuzzStandard: what the reader takes is what the writer writes; nothing panics,
// whatever the last note and its index say.
func FuzzStandard(f *testing.F) {
	whole := aCapture(f)
	f.Add(whole)
	f.Add(whole[:len(whole)-8])
	f.Add(bytes.Replace(whole, []byte(`"o":`), []byte(`"o":9`), 1))
	f.Add(bytes.Replace(whole, []byte(`"party":"remote"`), []byte(`"party":"nobody"`), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newStandardReader(bytes.NewReader(data))
		again := standardWriter{}
		out := bytes.Clone(captureHead)
		g, sc := gapMap{}, scout{rate: narrow}
		for {
			c, err := r.next()
			if err != nil {
				if errors.Is(err, io.EOF) {
					if p, err := pcapng.Parse(data[len(out):]); err != nil || p.Interface != notesInterface {
						t.Fatal("what was read isn't what stands there")
					}
				}
				break
			}
			again.started = r.same.started
			if out, err = again.append(out, c); err != nil || !bytes.HasPrefix(data, out) {
				t.Fatal("a record isn't what stands there")
			}
			g.take(c)
			_ = sc.take(c)
		}
		g.gaps(nil, time.Minute)
		last, err := lastNote(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if p, ok := last.Index.before(time.Hour); ok && p.Offset < int64(len(data)) {
			s := last.Index.stage(p)
			on := readOn(bytes.NewReader(data[p.Offset:]), p.Offset, time.Unix(0, 0))
			for c, err := on.next(); err == nil; c, err = on.next() {
				s.take(c, func(consent.Party, arrived) {})
			}
		}
		_, _ = newPlan(last.Spoken, micros(last.Length), WAVOptions{})
	})
}

// FuzzSealedHeader: a header opens only where it is that of the recording, and
// unchanged.
func FuzzSealedHeader(f *testing.F) {
	key := &keyless{id: "id"}
	var file bytes.Buffer
	w, err := age.Encrypt(&file, key)
	if err == nil {
		_, err = w.Write([]byte("hello"))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		f.Fatal(err)
	}
	whole := file.Bytes()
	f.Add(whole, 0, byte(0))
	f.Add(whole, 30, byte(1))
	f.Add(bytes.Replace(whole, []byte(" id\n"), []byte(" id x\n"), 1), 0, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at int, flip byte) {
		data = bytes.Clone(data)
		if at >= 0 && at < len(data) {
			data[at] ^= flip
		}
		r, err := age.Decrypt(bytes.NewReader(data), keyed{"id", key.key})
		if err != nil {
			return
		}
		if plain, err := io.ReadAll(r); err == nil && (string(plain) != "hello" || !bytes.Equal(data, whole)) {
			t.Fatalf("%q was taken for good", data)
		}
	})
}

// TestAForeignFileUnderARightKeyIsRefused: header and last note both name the
// recording.
func TestAForeignFileUnderARightKeyIsRefused(t *testing.T) {
	if _, err := (keyed{"other", nil}).Unwrap([]*age.Stanza{{Type: stanzaType, Args: []string{"id"}}}); err == nil {
		t.Error("another recording's header was taken")
	}
	if _, err := lastNote(bytes.NewReader([]byte("....")), 4); !errors.Is(err, pcapng.ErrFormat) {
		t.Error(err)
	}
}
