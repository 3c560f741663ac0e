package store

import (
	"bytes"
	"testing"
	"time"

	"consentgate/consent"
)

// FuzzFrames: bytes that aren't ours, or were changed, give no frame and no
// panic, and take no more memory than a frame may.
func FuzzFrames(f *testing.F) {
	k := key{1}
	s := newSealer(k, [idSize]byte{2})
	file := append([]byte(nil), s.header[:]...)
	file = append(file, s.frame([]byte("one"), flagData)...)
	file = append(file, s.frame([]byte("two"), flagFinal)...)
	f.Add(file, 0, byte(0))
	f.Add(file, 30, byte(1))
	f.Add(file[:len(file)-1], 0, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at int, flip byte) {
		data = bytes.Clone(data)
		if at >= 0 && at < len(data) {
			data[at] ^= flip
		}
		fr, err := openFrames(bytes.NewReader(data), k)
		if err != nil {
			return
		}
		n := 0
		for {
			plain, err := fr.next()
			if err != nil {
				break
			}
			if want := []string{"one", "two"}; n >= 2 || string(plain) != want[n] {
				t.Fatalf("frame %d says %q", n, plain)
			}
			n++
		}
		// a header vouches for nothing before its first frame has opened
		if n > 0 && !bytes.HasPrefix(file, data[:fr.offset]) {
			t.Fatal("changed bytes were taken for good")
		}
	})
}

// FuzzContent: any frame content decodes without panic; what we encode we read.
func FuzzContent(f *testing.F) {
	var b []byte
	for _, c := range []content{{kind: recMeta, data: []byte("{}")}, {kind: recFormat, pt: 8, clockRate: 8000, text: "PCMA"},
		{kind: recRTP, party: consent.Local, at: time.Second, data: []byte{0x80}}, {kind: recGap, text: "hold", at: 1000, to: 2000},
		{kind: recEnd, at: time.Minute, text: "hang-up"}} {
		b = appendRecord(b, c)
	}
	f.Add(b)
	f.Add([]byte{recRTP, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		d := decoder{b: data}
		var again []byte
		for c, ok := d.next(); ok; c, ok = d.next() {
			again = appendRecord(again, c)
		}
		if d.err() != nil {
			return
		}
		e := decoder{b: again}
		for _, ok := e.next(); ok; _, ok = e.next() {
		}
		if e.err() != nil {
			t.Fatal("what was decoded and encoded again can't be read")
		}
		var r Reading
		d = decoder{b: data}
		for c, ok := d.next(); ok; c, ok = d.next() {
			_ = r.record(c)
		}
	})
}

// FuzzLeaf: there is one way to write a leaf.
func FuzzLeaf(f *testing.F) {
	f.Add(leaf{Seq: 7, At: time.UnixMilli(1), Type: TypeConsent}.text())
	f.Add([]byte("consentgate-audit-1 1 1 x 00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if l, err := parseLeaf(text); err == nil && !bytes.Equal(l.text(), text) {
			t.Fatalf("%q", text)
		}
	})
}
