package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"consentgate/proxy/sdp"
)

// described makes a description's session; "" is none.
func described(t *testing.T, formats, maps string) *sdp.Session {
	t.Helper()
	if formats == "" {
		return nil
	}
	body := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP " + formats + "\r\n"
	for _, m := range strings.Fields(maps) {
		pt, enc, _ := strings.Cut(m, "=")
		body += "a=rtpmap:" + pt + " " + enc + "\r\n"
	}
	s, err := sdp.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestHowAPartysKeysComeIsInBothDescriptions: it sends events by the numbers of
// the other's; by its own where they mean nothing else there. Tones are keys where
// either doesn't know of events.
func TestHowAPartysKeysComeIsInBothDescriptions(t *testing.T) {
	const events, wide, red = "telephone-event/8000", "telephone-event/48000", "red/8000"
	for _, c := range []struct {
		name                       string
		own, ownMaps, far, farMaps string
		codecs                     string
		inBand                     bool
	}{
		{"the same numbers", "0 101", "101=" + events, "0 101", "101=" + events, "PCMU/0/8000 TELEPHONE-EVENT/101/8000", false},
		{"neither knows events", "0", "", "0", "", "PCMU/0/8000", true},
		{"it doesn't", "0", "", "0 101", "101=" + events, "PCMU/0/8000 TELEPHONE-EVENT/101/8000", true},
		{"the other doesn't", "0 101", "101=" + events, "0", "", "PCMU/0/8000", true},
		{"alone with the gate", "0 101", "101=" + events, "", "", "", false},
		{"alone, and it knows none", "0", "", "", "", "", true},
		{"other numbers and rates", "0 96 97", "96=" + wide + " 97=" + red, "0 101", "101=" + wide,
			"PCMU/0/8000 TELEPHONE-EVENT/101/48000 TELEPHONE-EVENT/96/48000 RED/97/8000", false},
		{"a number that means something else to the other", "0 96", "96=" + wide, "0 96 101", "96=opus/48000 101=" + wide,
			"PCMU/0/8000 OPUS/96/48000 TELEPHONE-EVENT/101/48000", false},
	} {
		own, far := &leg{side: &side{conf: &Side{}}}, &leg{side: &side{conf: &Side{}}}
		call := &call{a: own, b: far}
		own.call, far.call = call, call
		own.sdp, far.sdp = described(t, c.own, c.ownMaps), described(t, c.far, c.farMaps)
		p := own.peer()
		var codecs []string
		for _, k := range p.Codecs {
			codecs = append(codecs, fmt.Sprintf("%s/%d/%d", k.Name, k.PayloadType, k.ClockRate))
		}
		if got := strings.Join(codecs, " "); got != c.codecs || p.InBand != c.inBand {
			t.Errorf("%s: %s, in band %t", c.name, got, p.InBand)
		}
	}
}

// TestKeysInINFO as PBXs write them.
func TestKeysInINFO(t *testing.T) {
	for _, c := range []struct {
		kind, body, key string
		lasts           time.Duration
	}{
		{"application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5", 160 * time.Millisecond},
		{"application/dtmf-relay", "Signal= *\nDuration= 80", "*", 80 * time.Millisecond},
		{"application/dtmf-relay", "signal=a", "A", 0},
		{"application/dtmf-relay", "Signal=1\r\nDuration=60000", "1", 10 * time.Second},
		{"application/dtmf-relay", "Signal=1\r\nDuration=-1", "1", 0},
		{"Application/DTMF", "#\r\n", "#", 0},
		{"application/dtmf-relay", "Duration=160", "", 0},
		{"application/dtmf", "12", "", 0},
		{"text/plain", "1", "", 0},
	} {
		req := sip.NewRequest(sip.INFO, sip.Uri{Host: "x"})
		req.AppendHeader(sip.NewHeader("Content-Type", c.kind))
		req.SetBody([]byte(c.body))
		press, ok := infoKey(req)
		switch {
		case ok != (c.key != ""):
			t.Errorf("%s %q: %t", c.kind, c.body, ok)
		case ok && (string(rune(press.Key)) != c.key || press.Duration != c.lasts || press.Via != "info" || press.At.IsZero()):
			t.Errorf("%s %q: %+v", c.kind, c.body, press)
		}
	}
}
