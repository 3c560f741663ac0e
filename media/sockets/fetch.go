package sockets

import (
	"cmp"
	"slices"
	"unsafe"
)

// Of a thousand calls' memory what one packet needs lies in main memory, and to wait
// for it piece by piece costs a tenth of what the packet does. A thread knows early
// whose packet comes next, so it has the pieces fetched while the kernel works for it.

// Memory is a piece of what a Taker needs for a packet. To say too much or too little of
// it costs time and does no harm.
type Memory struct {
	at   unsafe.Pointer
	size uintptr
}

// Of is what a pointer points to.
func Of[T any](p *T) Memory { return Memory{unsafe.Pointer(p), unsafe.Sizeof(*p)} }

// Hot is what of another socket is needed to pass a packet by it.
func Hot(s *Socket) Memory { return Memory{unsafe.Pointer(s), unsafe.Offsetof(s.at)} }

// line is what a processor fetches at a time, in bytes.
const line = 64

// needs are pieces of memory, in lines; those without lines are none.
type needs struct {
	at    [5]unsafe.Pointer
	lines [5]uint8
}

// gather makes few pieces of many, where they adjoin. What finds no room is left out.
func gather(pieces []Memory) (n needs) {
	pieces = slices.Clone(pieces)
	slices.SortFunc(pieces, func(a, b Memory) int { return cmp.Compare(uintptr(a.at), uintptr(b.at)) })
	last := -1
	for _, m := range pieces {
		first, end := uintptr(m.at)/line, (uintptr(m.at)+m.size-1)/line
		if last >= 0 {
			begun := uintptr(n.at[last]) / line
			if first <= begun+uintptr(n.lines[last]) {
				n.lines[last] = uint8(max(uintptr(n.lines[last]), end-begun+1))
				continue
			}
		}
		if last++; last == len(n.at) {
			break
		}
		n.at[last], n.lines[last] = m.at, uint8(end-first+1)
	}
	return n
}

// ahead has fetched what a packet of the socket needs.
func (s *Socket) ahead() {
	if s == nil {
		return
	}
	fetch(unsafe.Pointer(s.set), 1)
	for i, lines := range s.needs.lines {
		if lines == 0 {
			return
		}
		fetch(s.needs.at[i], int(lines))
	}
}

// soon has fetched what ahead will need.
func (s *Socket) soon() { fetch(unsafe.Pointer(s), int(unsafe.Offsetof(s.sending)/line+1)) }
