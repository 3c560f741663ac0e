package proxy

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/proxy/sdp"
)

// talking is a call with a relay on loopback, and nothing else.
func talking(t *testing.T, ports uint16) *call {
	t.Helper()
	reg := prometheus.NewRegistry()
	pool, err := media.NewPool(media.PoolConfig{Min: 12800, Max: 12799 + ports})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	c := &call{gate: &Gate{metrics: newMetrics(reg)}, log: log, law: callLaw{}}
	for p, l := range map[consent.Party]**leg{consent.Remote: &c.a, consent.Local: &c.b} {
		*l = &leg{call: c, party: p, side: &side{conf: &Side{}}}
	}
	ip := netip.MustParseAddr("127.0.0.1")
	engine, err := media.NewEngine(media.Config{Pool: pool, Metrics: media.NewMetrics(reg, pool), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() }) // a leak at most, at a test's end
	c.media.relay, err = engine.NewRelay("c", media.Sides{Trunk: "main", Remote: ip, Local: ip}, func(media.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.media.relay.Close)
	return c
}

func session(t *testing.T, sections ...string) *sdp.Session {
	t.Helper()
	s, err := sdp.Parse([]byte("v=0\r\nc=IN IP4 198.51.100.1\r\n" + strings.Join(sections, "\r\n") + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func refused(at []netip.AddrPort) (n int) {
	for _, a := range at {
		if !a.IsValid() {
			n++
		}
	}
	return n
}

func tally(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestEachSectionGetsPortsOnceAndAtMostSoMany(t *testing.T) {
	c := talking(t, 100)
	lines := []string{"m=audio 4000 RTP/AVP 0"}
	for i := range 2 * maxOpaque {
		lines = append(lines, fmt.Sprintf("m=video %d RTP/AVP 31", 4002+2*i))
	}
	s := session(t, lines...)
	at := c.anchorsFor(c.b, s, true)
	if n := refused(at); n != maxOpaque {
		t.Errorf("%d of %d sections are refused, not %d", n, len(lines), maxOpaque)
	}
	if again := c.anchorsFor(c.b, s, true); !slices.Equal(again, at) {
		t.Errorf("another offer gets %v, not %v", again, at)
	}
	if far := c.anchorsFor(c.a, s, false); refused(far) != maxOpaque || far[1] == at[1] {
		t.Errorf("the answer gets %v", far)
	}
	distinct := map[netip.AddrPort]bool{}
	for _, a := range at[:maxOpaque+1] {
		distinct[a] = true
	}
	if len(distinct) != maxOpaque+1 {
		t.Errorf("sections share an address: %v", at)
	}
}

func TestAnAnswerTakesNoPorts(t *testing.T) {
	c := talking(t, 100)
	if at := c.anchorsFor(c.a, session(t, "m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 31"), false); at[1].IsValid() || len(c.media.relay.Opaques()) != 0 {
		t.Errorf("what was never offered is answered with %v", at)
	}
}

func TestASectionThatCannotHavePortsOrBeCarriedIsRefused(t *testing.T) {
	c := talking(t, 8)
	s := session(t, "m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 31", "m=message 9 TCP/MSRP *", "m=text 0 RTP/AVP 98", "m=image 4004 udptl t38")
	at := c.anchorsFor(c.b, s, true)
	for i, want := range []bool{true, true, false, false, false} {
		if at[i].IsValid() != want {
			t.Errorf("section %d: %v", i, at[i])
		}
	}
	if n := tally(t, c.gate.metrics.sectionsRefused); n != 1 {
		t.Errorf("%v sections are counted as refused for want of ports", n)
	}
}

// agreed puts two descriptions into force, as an offer of a and its answer.
func agreed(t *testing.T, c *call, offer, answer []string) {
	t.Helper()
	c.a.sdp, c.b.sdp = session(t, offer...), session(t, answer...)
	c.b.sdp.Follow(c.a.sdp)
}

func TestAPartySendsByTheNumbersOfTheOthersDescription(t *testing.T) {
	c := talking(t, 100)
	agreed(t, c, []string{"m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000"},
		[]string{"m=audio 4000 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"})
	p := c.a.peer()
	if len(p.Codecs) != 2 || p.Codecs[1].PayloadType != 96 || !slices.Equal(p.Events, []uint8{101}) || p.Renumber != nil {
		t.Errorf("the offerer: %+v", p)
	}
	if p = c.b.peer(); len(p.Codecs) != 2 || p.Codecs[1].PayloadType != 101 || !slices.Equal(p.Events, []uint8{96}) || p.Renumber != nil {
		t.Errorf("the answerer: %+v", p)
	}
}

// TestANumberThatMeansSpeechToTheOtherIsNoKey: 101 is the keys' in one
// description and speech's in the other.
func TestANumberThatMeansSpeechToTheOtherIsNoKey(t *testing.T) {
	c := talking(t, 100)
	agreed(t, c, []string{"m=audio 4000 RTP/AVP 96 101", "a=rtpmap:96 iLBC/8000", "a=rtpmap:101 telephone-event/8000"},
		[]string{"m=audio 4000 RTP/AVP 101 96", "a=rtpmap:101 iLBC/8000", "a=rtpmap:96 telephone-event/8000"})
	if p := c.a.peer(); len(p.Events) != 0 || p.Codecs[0].Name != "ILBC" || p.Codecs[0].PayloadType != 101 {
		t.Errorf("%+v", p)
	}
}

func TestACallerAnsweredByUsSendsByItsOwnNumbersUntilAnOfferGoesThrough(t *testing.T) {
	c := talking(t, 100)
	c.ring = &ringFirst{ours: true}
	agreed(t, c, []string{"m=audio 4000 RTP/AVP 97 101", "a=rtpmap:97 PCMU/8000", "a=rtpmap:101 telephone-event/8000"},
		[]string{"m=audio 4000 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"})
	if p := c.a.peer(); !maps.Equal(p.Renumber, map[uint8]uint8{97: 0, 101: 96}) || p.Codecs[1].PayloadType != 101 {
		t.Errorf("the caller: %+v", p)
	}
	if p := c.b.peer(); p.Renumber != nil || p.Codecs[1].PayloadType != 101 {
		t.Errorf("the called: %+v", p)
	}
	c.endToEnd()
	if p := c.a.peer(); p.Renumber != nil || p.Codecs[1].PayloadType != 96 {
		t.Errorf("the caller, end to end: %+v", p)
	}
}

func TestADescriptionWithoutAudioIsNobodyToPlayTo(t *testing.T) {
	c := talking(t, 100)
	fax := []string{"m=image 4000 udptl t38"}
	both := []string{"m=audio 0 RTP/AVP 0", "m=image 4000 udptl t38"}
	audio := []string{"m=audio 4000 RTP/AVP 0"}
	for name, d := range map[string]struct {
		offer, answer []string
		silent        bool
	}{
		"a fax":                    {fax, fax, true},
		"a fax beside":             {both, both, true},
		"audio refused by one":     {audio, []string{"m=audio 0 RTP/AVP 0"}, true},
		"no sections in an answer": {audio, nil, true},
		"audio":                    {audio, audio, false},
	} {
		agreed(t, c, d.offer, d.answer)
		if c.silent() != d.silent || c.gaps()["no-audio"] != d.silent {
			t.Errorf("%s: silent %v", name, c.silent())
		}
		for _, l := range []*leg{c.a, c.b} {
			if d.silent && l.hears() && l.audio() == nil {
				t.Errorf("%s: a side without audio hears", name)
			}
			if l.peer().Mute != d.silent {
				t.Errorf("%s: that no audio comes is expected: %v", name, !d.silent)
			}
			l.promptCodec()
		}
		if c.held() {
			t.Errorf("%s: it's no hold", name)
		}
		c.applyMedia()
	}
}

// TestOnlyWhatBothDescriptionsHaveIsOpen: a section that an answer refuses isn't.
func TestOnlyWhatBothDescriptionsHaveIsOpen(t *testing.T) {
	c := talking(t, 100)
	offer := []string{"m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 31", "m=image 4004 udptl t38"}
	agreed(t, c, offer, []string{"m=audio 5000 RTP/AVP 0", "m=video 0 RTP/AVP 31", "m=image 5004 udptl t38"})
	for i, want := range []bool{false, false, true} {
		if got := c.a.section(i) != nil && c.b.section(i) != nil; got != want {
			t.Errorf("section %d: %v", i, got)
		}
	}
	if c.a.section(3) != nil {
		t.Error("there is no fourth")
	}
}

func TestPlayableOffersKeepKeysAndComfortNoise(t *testing.T) {
	s := session(t, "m=audio 4000 RTP/AVP 18 9 8 13 0 3 101 102", "a=rtpmap:101 telephone-event/8000", "a=rtpmap:102 telephone-event/48000")
	out := string(s.Rewrite(sdp.Change{Own: netip.MustParseAddr("192.0.2.9"), Keep: keepPlayable}))
	if !strings.Contains(out, "RTP/AVP 9 8 13 0 101\r\na=rtpmap:101 telephone-event/8000\r\n") || strings.Contains(out, ":102") {
		t.Error(out)
	}
}
