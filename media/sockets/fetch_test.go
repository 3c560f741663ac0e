package sockets

import (
	"testing"
	"unsafe"
)

// parts are pieces of one object, some of which adjoin.
type parts struct {
	a    [40]byte
	b    [40]byte
	gap  [1000]byte
	c    [8]byte
	rest [200]byte
}

// covered are the lines that needs have fetched.
func covered(n needs) map[uintptr]bool {
	all := map[uintptr]bool{}
	for i, lines := range n.lines {
		for k := range uintptr(lines) {
			all[uintptr(n.at[i])/line+k] = true
		}
	}
	return all
}

func TestEveryByteThatAPacketNeedsIsFetchedAndNoLineBeside(t *testing.T) {
	p := new(parts)
	pieces := []Memory{Of(&p.c), Of(&p.b), Of(&p.a)}
	n := gather(pieces)
	want := map[uintptr]bool{}
	for _, m := range pieces {
		for at := uintptr(m.at); at < uintptr(m.at)+m.size; at++ {
			want[at/line] = true
		}
	}
	got := covered(n)
	for l := range want {
		if !got[l] {
			t.Errorf("line %#x isn't fetched", l*line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines are fetched, %d are needed", len(got), len(want))
	}
	if n.lines[1] == 0 || n.lines[2] != 0 {
		t.Errorf("%v lines: what adjoins should be one piece", n.lines)
	}
}

func TestPiecesWithoutRoomAreLeftOut(t *testing.T) {
	var pieces []Memory
	for range 2 * len(needs{}.at) {
		pieces = append(pieces, Of(new(parts)))
	}
	n := gather(pieces)
	for i, lines := range n.lines {
		if n.at[i] == nil || int(lines) < int(unsafe.Sizeof(parts{}))/line {
			t.Errorf("piece %d has %d lines", i, lines)
		}
	}
}

func TestFetchingWhatIsntThereDoesNoHarm(t *testing.T) {
	fetch(nil, 1)
	fetch(unsafe.Pointer(new(parts)), 1<<12) // far beyond its end
	(*Socket)(nil).ahead()
	(&Socket{}).ahead()
}
