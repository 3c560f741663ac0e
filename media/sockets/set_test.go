package sockets_test

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"consentgate/media/sockets"
)

// numbered notes whether packets come in order, and on how many goroutines at once.
type numbered struct {
	t   testing.TB
	out atomic.Pointer[sockets.Socket] // of the set: passes all on to there
	to  netip.AddrPort

	inside int // without a lock: the set's is enough, as the race detector sees
	next   uint32
	done   chan struct{}
	last   uint32
}

func (n *numbered) Take(data []byte, _ netip.AddrPort, _ time.Time, err error) {
	n.inside++
	defer func() { n.inside-- }()
	if err != nil || n.inside != 1 {
		n.t.Errorf("%d at once (%v)", n.inside, err)
		return
	}
	if got := binary.BigEndian.Uint32(data); got != n.next {
		n.t.Errorf("packet %d came, %d was next", got, n.next)
	}
	n.next++
	if err := n.out.Load().Pass(data, n.to); err != nil {
		n.t.Errorf("passing packet %d on: %v", n.next, err)
	}
	if n.next == n.last {
		close(n.done)
	}
}

func TestPacketsStayInOrderWhileTheirCallMovesBetweenThreads(t *testing.T) {
	const packets = 5000
	g := group(t, 3)
	far, atFar := open(t, g, "127.0.0.1")
	set := g.Set()
	n := &numbered{t: t, to: far.Local(), done: make(chan struct{}), last: packets}
	var in *sockets.Socket
	for range 4 {
		s, err := bound(set, netip.MustParseAddrPort("127.0.0.1:0"), 64<<10, n)
		if err != nil {
			t.Fatal(err)
		}
		in = n.out.Swap(s)
		defer s.Close()
	}
	stop := make(chan struct{})
	var mover sync.WaitGroup
	mover.Go(func() {
		for to := 0; ; to++ {
			select {
			case <-stop:
				return
			default:
				g.Move(set, to%3)
			}
		}
	})
	for i := range uint32(packets) {
		if err := far.Send(binary.BigEndian.AppendUint32(nil, i), in.Local()); err != nil {
			t.Fatal(err)
		}
		if p := next(t, atFar); binary.BigEndian.Uint32(p.data) != i {
			t.Fatalf("packet %d came back, %d was sent", binary.BigEndian.Uint32(p.data), i)
		}
	}
	<-n.done
	close(stop)
	mover.Wait()
}

// still makes a group whose threads don't run.
func still(t testing.TB, threads int) *sockets.Group {
	t.Helper()
	g, err := sockets.Still(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func TestABusyThreadGivesCallsAwayAndIdleThreadsGatherThem(t *testing.T) {
	g := still(t, 3)
	var sets []*sockets.Set
	for range 8 {
		set := g.Set()
		s, err := bound(set, netip.MustParseAddrPort("127.0.0.1:0"), 64<<10, takes(func([]byte, netip.AddrPort, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sets = append(sets, set)
	}
	count := func() (n [3]int) {
		for _, s := range sets {
			n[g.Index(s.Thread())]++
		}
		return n
	}
	for _, step := range []struct {
		does  string
		loads [3]int64
		by    int
		want  [3]int
	}{
		{"a thread that isn't busy keeps its calls", [3]int64{350, 0, 0}, 0, [3]int{8, 0, 0}},
		{"a busy thread gives half away", [3]int64{900, 0, 0}, 0, [3]int{4, 4, 0}},
		{"not to those that are busy themselves", [3]int64{900, 600, 800}, 0, [3]int{4, 4, 0}},
		{"the third takes some, too", [3]int64{300, 900, 100}, 1, [3]int{4, 2, 2}},
		{"threads with enough to do keep their calls", [3]int64{100, 100, 100}, 2, [3]int{4, 2, 2}},
		{"two with little gather on one", [3]int64{300, 50, 100}, 2, [3]int{4, 4, 0}},
		{"the first gives none back", [3]int64{50, 50, 0}, 0, [3]int{4, 4, 0}},
		{"all on the first", [3]int64{50, 50, 0}, 1, [3]int{8, 0, 0}},
	} {
		for i, load := range step.loads {
			g.Load(i, load)
		}
		g.Balance(step.by)
		if got := count(); got != step.want {
			t.Errorf("%s: %v calls by thread, want %v", step.does, got, step.want)
		}
	}
}

func TestNewCallsGoToAThreadWithRoom(t *testing.T) {
	g := still(t, 2)
	for _, c := range []struct {
		loads [2]int64
		want  int
	}{{[2]int64{0, 0}, 0}, {[2]int64{249, 0}, 0}, {[2]int64{300, 100}, 1}, {[2]int64{900, 700}, 1}, {[2]int64{700, 900}, 0}} {
		g.Load(0, c.loads[0])
		g.Load(1, c.loads[1])
		set := g.Set()
		s, err := bound(set, netip.MustParseAddrPort("127.0.0.1:0"), 64<<10, takes(func([]byte, netip.AddrPort, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Index(set.Thread()); got != c.want {
			t.Errorf("loads %v: a call goes to thread %d, want %d", c.loads, got, c.want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
