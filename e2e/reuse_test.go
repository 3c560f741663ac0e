package e2e

import (
	"bytes"
	"context"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"

	"consentgate/internal/phone"
	"consentgate/store"
)

// lateTone keeps sending an old call's packets: from its address, to the gate's
// port that it had, in a tone that nobody else uses.
func lateTone(t *testing.T, from, to *net.UDPAddr, hz float64, quit <-chan struct{}) {
	c, err := net.DialUDP("udp", from, to)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-quit:
			return
		case <-tick.C:
		}
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(n * 160), SSRC: 1200}, Payload: make([]byte, 160)}
		for i := range p.Payload {
			p.Payload[i] = g711.EncodeUlawFrame(int16(8000 * math.Sin(2*math.Pi*hz*float64(n*160+i)/8000)))
		}
		if raw, err := p.Marshal(); err == nil {
			_, _ = c.Write(raw) // refused while nobody listens on the port
		}
	}
}

// TestInvariant12_LatePacketsOnAReusedPortReachNobody: after its quarantine a
// port serves another call, and the old call's device still sends to it. Neither
// the parties nor the recordings have a sound of it.
func TestInvariant12_LatePacketsOnAReusedPortReachNobody(t *testing.T) {
	t.Parallel()
	const late = 1200
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	l := newLine(t, setup{ports: 8})
	old, err := l.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-l.calls
	from, to := net.UDPAddrFromAddrPort(old.Media.Addr()), net.UDPAddrFromAddrPort(old.Media.To())
	if err := old.Hangup(); err != nil {
		t.Fatal(err)
	}
	quit := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() { lateTone(t, from, to, late, quit) })
	defer sending.Wait()
	defer close(quit)
	// While the ports rest a call's media goes directly; from then on the gate's
	// own ports are in its description. Two calls take them all.
	var both []*phone.Call
	for len(both) < 2 {
		c, err := l.dial(ctx, "100")
		if err != nil {
			t.Fatal(err)
		}
		agent := <-l.calls
		if port := c.Media.To().Port(); port < fewPortsBase || port > fewPortsBase+7 {
			if err := c.Hangup(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		c.Media.Tone(880)
		if err := c.Media.WaitTone(ctx, promptHz); err != nil {
			t.Fatal(err)
		}
		if err := c.Media.WaitQuiet(ctx, 250*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		c.Press('1')
		if err := agent.Media.WaitTone(ctx, 880); err != nil {
			t.Fatal(err)
		}
		both = append(both, c, agent)
		if len(both) == 2 && c.Media.To().Port() != uint16(to.Port) && agent.Media.To().Port() != uint16(to.Port) {
			if err := c.Hangup(); err != nil { // the next call gets the others
				t.Fatal(err)
			}
			both = nil
		}
	}
	l.until("the late packets came", func() bool { return l.metric(`rtp_dropped_total{reason="stranger"}`) > 50 })
	for _, end := range both {
		if share := phone.Share(end.Media.Received(), late); share > 0.05 {
			t.Errorf("a party heard the old call: %.2f of what it heard", share)
		}
	}
	if err := both[0].Hangup(); err != nil {
		t.Error(err)
	}
	l.stop()
	s := l.open("")
	defer s.Close()
	found, _, err := s.Search(store.Query{})
	if err != nil || len(found) < 2 {
		t.Fatalf("%d recordings, %v", len(found), err)
	}
	for _, f := range found {
		var wav bytes.Buffer
		if _, err := s.WAV(ctx, f.ID, &wav); err != nil {
			t.Fatal(err)
		}
		if in := shares(wav.Bytes(), late); in[0] > 0.05 || in[1] > 0.05 {
			t.Errorf("the old call is in a recording: %v", in)
		}
	}
}
