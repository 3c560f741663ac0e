package media_test

import (
	"testing"

	"github.com/pion/rtcp"

	"consentgate/consent"
	"consentgate/media"
)

// prompted is a call whose PBX side has heard a prompt of two packets, and the
// last of them.
func prompted(t testing.TB) (c *call, ssrc uint32, seq uint16, ts uint32) {
	t.Helper()
	c = newCall(t)
	play(t, c.relay.Leg(consent.Local), speech(320))
	c.pbx.raw(c.pbx.rtp)
	last := c.pbx.recv()
	c.relay.Bridge()
	return c, last.SSRC, last.SequenceNumber, last.Timestamp
}

func TestSpeechAfterAPromptIsMovedByConstants(t *testing.T) {
	c, ssrc, seq, ts := prompted(t)
	var first uint32
	for i, offset := range []uint32{0, 160, 320, 800} { // with a pause in the speech
		c.remote.send(spoken(77, 65534+uint16(i), 5000+offset, byte(i)))
		p := c.pbx.recv()
		if i == 0 {
			first = p.Timestamp
			if gone := p.Timestamp - ts; gone < 160 || gone > 8000*10 {
				t.Errorf("the time between prompt and speech is %d samples", gone)
			}
		}
		if p.SSRC != ssrc || p.SequenceNumber != seq+1+uint16(i) || p.Timestamp != first+offset || p.Marker != (i == 0) || p.Payload[0] != byte(i) {
			t.Errorf("packet %d came as %v", i, p.Header)
		}
	}
	c.pbx.send(spoken(5, 5, 5, 5))
	if p := c.remote.recv(); p.SSRC != 5 || p.SequenceNumber != 5 || p.Timestamp != 5 {
		t.Errorf("the direction that nothing was played in is changed: %v", p.Header)
	}
}

func TestLossAndDisorderStayAsTheyWere(t *testing.T) {
	c, _, seq, _ := prompted(t)
	for i, n := range []uint16{10, 13, 12, 14, 16} {
		c.remote.send(spoken(77, n, uint32(n)*160, 0))
		if p := c.pbx.recv(); p.SequenceNumber != seq+1+n-10 {
			t.Errorf("packet %d: %d came as %d after %d", i, n, p.SequenceNumber, seq)
		}
	}
	c.remote.send(spoken(77, 9, 9*160, 0)) // from before the prompt's end: its number is taken
	c.dropped(t, "late", 1)
	c.pbx.heardNothing()
}

func TestAnotherSourceStaysInTheStream(t *testing.T) {
	c, ssrc, seq, _ := prompted(t)
	c.remote.send(spoken(77, 100, 100, 0))
	last := c.pbx.recv()
	c.remote.send(spoken(78, 60000, 1<<31, 0))
	p := c.pbx.recv()
	if p.SSRC != ssrc || p.SequenceNumber != seq+2 || !p.Marker || int32(p.Timestamp-last.Timestamp) <= 0 || p.Timestamp-last.Timestamp > 80000 {
		t.Errorf("%v follows %v", p.Header, last.Header)
	}
}

func TestAPromptContinuesTheSpeechBeforeIt(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	for _, n := range []uint16{7, 9, 8} { // out of order: the prompt must not repeat 9
		c.remote.send(spoken(77, n, uint32(n)*160, 0))
		c.pbx.raw(c.pbx.rtp)
	}
	c.relay.Gate()
	play(t, c.relay.Leg(consent.Local), speech(160))
	p := c.pbx.recv()
	if gone := p.Timestamp - 9*160; p.SSRC != 77 || p.SequenceNumber != 10 || gone < 160 || gone > 80000 {
		t.Errorf("the prompt begins with %v", p.Header)
	}
}

func TestAKeyInTheSpeechDoesNotTurnTimeBack(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	c.remote.send(spoken(77, 1, 100000, 0))
	c.pbx.raw(c.pbx.rtp)
	c.remote.send(packet(2, 60000, 77, 101, []byte{1, 0x8a, 0, 0})) // all its packets bear its start
	c.pbx.raw(c.pbx.rtp)
	play(t, c.relay.Leg(consent.Local), speech(160))
	if p := c.pbx.recv(); int32(p.Timestamp-100000) < 160 {
		t.Errorf("the prompt begins at %d, the speech was at 100000", p.Timestamp)
	}
}

func TestWhoIsPlayedAPromptHearsNobodyElse(t *testing.T) {
	c := newCall(t)
	c.relay.Bridge()
	done := make(chan media.Played, 1)
	c.relay.Leg(consent.Local).Play(speech(8000*60), func(p media.Played) { done <- p })
	c.pbx.raw(c.pbx.rtp)
	c.remote.send(spoken(77, 1, 1, 42))
	c.dropped(t, "prompt", 1)
	c.relay.Leg(consent.Local).Stop()
	ended(t, done)
	c.remote.send(spoken(77, 2, 2, 43))
	for {
		p := c.pbx.recv()
		if len(p.Payload) == 1 {
			if p.Payload[0] != 43 || !p.Marker {
				t.Errorf("after the prompt came %v", p)
			}
			return
		}
	}
}

func TestReportsSpeakOfTheStreamThatIsHeard(t *testing.T) {
	c, ssrc, seq, _ := prompted(t)
	c.remote.send(spoken(77, 65535, 5000, 0))
	moved := c.pbx.recv().Timestamp - 5000
	c.remote.sendRTCP(reportOf(t, &rtcp.SenderReport{SSRC: 77, NTPTime: 1, RTPTime: 5160, Reports: []rtcp.ReceptionReport{{SSRC: 5, LastSequenceNumber: 9}}},
		rtcp.NewCNAMESourceDescription(77, "a@b"), &rtcp.ExtendedReport{SenderSSRC: 77}, &rtcp.Goodbye{Sources: []uint32{77, 3}}))
	got := reports(t, c.pbx.raw(c.pbx.rtcp))
	if len(got) != 3 {
		t.Fatalf("came %v", got)
	}
	sr := got[0].(*rtcp.SenderReport)
	if sr.SSRC != ssrc || sr.RTPTime != 5160+moved || sr.NTPTime != 1 || sr.Reports[0].SSRC != 5 || sr.Reports[0].LastSequenceNumber != 9 {
		t.Errorf("the sender report came as %v", sr)
	}
	if s := got[1].(*rtcp.SourceDescription).Chunks[0]; s.Source != ssrc || s.Items[0].Text != "a@b" {
		t.Errorf("the description came as %v", s)
	}
	if g := got[2].(*rtcp.Goodbye).Sources; g[0] != ssrc || g[1] != 3 {
		t.Errorf("the goodbye came as %v", g)
	}

	// The source's number wraps right after the join: its report says so.
	c.remote.send(spoken(77, 0, 5160, 0))
	c.pbx.raw(c.pbx.rtp)
	c.pbx.sendRTCP(reportOf(t, &rtcp.ReceiverReport{SSRC: 5, Reports: []rtcp.ReceptionReport{
		{SSRC: ssrc, LastSequenceNumber: uint32(seq) + 2, Jitter: 8}, {SSRC: ssrc, LastSequenceNumber: uint32(seq)}, {SSRC: 1234}}}))
	rr := reports(t, c.remote.raw(c.remote.rtcp))[0].(*rtcp.ReceiverReport)
	if len(rr.Reports) != 1 || rr.SSRC != 5 || rr.Reports[0].SSRC != 77 || rr.Reports[0].LastSequenceNumber != 1<<16 || rr.Reports[0].Jitter != 8 {
		t.Errorf("the receiver report came as %v", rr)
	}
}

func TestAReportOnAStreamNotHeardKeepsOnlyWhatIsTrue(t *testing.T) {
	c, ssrc, _, _ := prompted(t)
	c.remote.sendRTCP(reportOf(t, &rtcp.SenderReport{SSRC: 77, RTPTime: 5160, Reports: []rtcp.ReceptionReport{{SSRC: 5}}}))
	rr, ok := reports(t, c.pbx.raw(c.pbx.rtcp))[0].(*rtcp.ReceiverReport)
	if !ok || rr.SSRC != ssrc || len(rr.Reports) != 1 {
		t.Errorf("came %v", rr)
	}
	c.remote.sendRTCP(reportOf(t, &rtcp.ExtendedReport{SenderSSRC: 77}))
	c.dropped(t, "prompt", 1)
	c.remote.sendRTCP([]byte{0x81, 200, 0, 1, 0, 0, 0, 0}) // says it reports on one, and doesn't
	c.dropped(t, "malformed", 1)
	c.pbx.heardNothing()
}
