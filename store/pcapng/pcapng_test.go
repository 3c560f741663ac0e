package pcapng

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func capture(packets ...Packet) (b, head []byte) {
	head = AppendHead(nil, "test", Interface{"one", "the first"}, Interface{"two", ""})
	b = bytes.Clone(head)
	for _, p := range packets {
		b = AppendPacket(b, p)
	}
	return b, head
}

func TestPacketsComeBackAsTheyWere(t *testing.T) {
	var want []Packet
	for n := range 9 {
		want = append(want, Packet{uint32(n % 2), 1<<40 + int64(n), bytes.Repeat([]byte{byte(n + 1)}, n)})
	}
	b, head := capture(want...)
	r := NewReader(bytes.NewReader(b), head)
	for i, w := range want {
		at := r.Offset()
		got, err := r.Next()
		if err != nil || got.Interface != w.Interface || got.At != w.At || !bytes.Equal(got.Data, w.Data) {
			t.Fatalf("%d: %+v %v", i, got, err)
		}
		if i == 0 {
			continue
		}
		again, err := NewReaderAt(bytes.NewReader(b[at:]), at).Next()
		if err != nil || again.At != w.At {
			t.Errorf("%d, from its offset: %+v %v", i, again, err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last: %v", err)
	}
	n, err := LastBlock([4]byte(b[len(b)-4:]))
	if err != nil {
		t.Fatal(err)
	}
	if last, err := Parse(b[int64(len(b))-n:]); err != nil || last.At != want[8].At {
		t.Errorf("the last: %+v %v", last, err)
	}
}

// TestEveryChangedByteButThoseOfContentIsRefused: a flip in a packet's interface,
// time or data is for others to find; all else the reader finds.
func TestEveryChangedByteButThoseOfContentIsRefused(t *testing.T) {
	b, head := capture(Packet{1, 7, []byte("hello")}, Packet{0, 8, []byte("world!")})
	content := map[int]bool{}
	for _, p := range []struct{ from, n int }{{len(head), 5}, {len(head) + 40, 6}} {
		for i := 8; i < 20; i++ {
			content[p.from+i] = true
		}
		for i := range p.n {
			content[p.from+packetHead+i] = true
		}
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if err := readAll(c, head); (err == nil) != content[i] {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for n := range b {
		if err := readAll(b[:n], head); err == nil && n != len(head) && n != len(head)+40 {
			t.Errorf("cut to %d bytes, and nothing is said", n)
		}
	}
}

func readAll(b, head []byte) error {
	r := NewReader(bytes.NewReader(b), head)
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// FuzzReader: what is read is what writing it again gives.
func FuzzReader(f *testing.F) {
	b, head := capture(Packet{1, 7, []byte("hello")}, Packet{0, 8, nil})
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data), head)
		again := bytes.Clone(head)
		for {
			p, err := r.Next()
			if errors.Is(err, io.EOF) && !bytes.Equal(again, data) {
				t.Fatal("something was read that isn't there")
			}
			if err != nil {
				return
			}
			again = AppendPacket(again, p)
			if !bytes.HasPrefix(data, again) || r.Offset() != int64(len(again)) {
				t.Fatal("a packet isn't what stands there")
			}
		}
	})
}
