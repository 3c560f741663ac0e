package scenario_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"consentgate/internal/scenario"
)

// call is a whole call, and most of what a scenario can say.
const call = `# a call
carrier> INVITE 100 sdp | X-A: 1 | X-A: 2
pbx< INVITE | X-A: 2 | Max-Forwards: 69 | no X-B | sdp m=audio | start INVITE sip:100@
pbx> 180 INVITE
carrier< 180 INVITE
pbx> 200 INVITE "Fine" sdp
carrier< 200 INVITE | start Fine
carrier> ACK
pbx< ACK
carrier says 880
pbx says 440
carrier hears 440
pbx hears 880
carrier presses 1* for 60ms
pbx heard keys 1* as 101
carrier plays keys 5 for 60ms
pbx heard tones of keys
carrier heard no keys
carrier heard no tones of keys
carrier never heard 880
pbx heard no break
pbx says 0
carrier hears silence
pbx> INVITE sdp=sendonly
carrier< INVITE | sdp a=sendonly
carrier> 200 INVITE sdp=answer
pbx< 200 INVITE | sdp a=recvonly
pbx> ACK
carrier< ACK
carrier> INFO | Content-Type: text/plain | body a\nb
pbx< INFO | body a\nb | no body c
pbx> 200 INFO
carrier< 200 INFO
metric three 3
carrier> INVITE sdp=video
pbx< INVITE
pbx> 200 INVITE sdp=video
carrier< 200 INVITE
carrier> ACK
pbx< ACK
pbx gets data frame from carrier
carrier never got data frame
stranger sends data alien to pbx
carrier gets data alien
carrier> INVITE sdp=multipart
pbx< INVITE | body ISUP
pbx> 200 INVITE sdp=novideo
carrier< 200 INVITE
carrier> BYE
pbx< BYE
pbx> 200 BYE
carrier< 200 BYE
pbx> again 200 BYE
carrier got 200 BYE again
carrier gets nothing more
`

// anAudioPort is one of five digits, whose room a scenario's test fills again.
var anAudioPort = regexp.MustCompile(`m=audio \d{5} RTP/AVP (\d+)`)

func play(t *testing.T, text string, ev scenario.Evidence, spoil func(to, text string) string) error {
	t.Helper()
	s, err := scenario.Parse("call.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	return s.Play(startWire(t, ev, wrongs{spoil: spoil}))
}

func sine(hz float64) (pcm []int16) {
	for i := range 8000 {
		pcm = append(pcm, int16(8000*math.Sin(2*math.Pi*hz*float64(i)/8000)))
	}
	return pcm
}

// heard is what a gate says that recorded one call.
func heard() scenario.Evidence {
	return scenario.Evidence{Records: []string{"granted", "withdrawn"}, Ways: []string{"rfc4733"}, Seals: []string{"hang-up"},
		Recordings: []scenario.Recording{{Left: sine(880), Right: sine(440)}}}
}

const proofs = `log: granted withdrawn
recorded: 1 of 900 ms and more
sealed: hang
recording has 880 on the left
recording has 440 on the right
recording has no 700
recording has no tones of keys
answered by rfc4733
`

func TestAGoodCallPasses(t *testing.T) {
	if err := play(t, call+proofs, heard(), nil); err != nil {
		t.Fatal(err)
	}
}

// TestEveryWrongIsFound: a gate that does one thing wrong fails the scenario, at
// the line where it shows.
func TestEveryWrongIsFound(t *testing.T) {
	replace := func(old, new string) func(to, text string) string {
		return func(_, text string) string { return strings.Replace(text, old, new, 1) }
	}
	for _, c := range []struct {
		name, says string
		spoil      func(to, text string) string
	}{
		{"a header is dropped", "call.txt:3", replace("X-A: 1\r\n", "")},
		{"headers change their order", "its headers are", replace("X-A: 1\r\nX-A: 2", "X-A: 2\r\nX-A: 1")},
		{"a header is added", "its headers are", replace("Max-Forwards", "X-New: 1\r\nMax-Forwards")},
		{"a tag is changed", "its headers are", replace(";tag=", ";tag=z")},
		{"the Call-ID is changed", "nobody sent this INVITE", replace("Call-ID: ", "Call-ID: z")},
		{"the CSeq is changed", "nobody sent this INVITE", replace("CSeq: 1 ", "CSeq: 7 ")},
		{"Max-Forwards isn't counted down", "Max-Forwards is", replace("Max-Forwards: 69", "Max-Forwards: 70")},
		{"two Vias", "the Via of", replace("Max-Forwards", "Via: SIP/2.0/UDP 1.2.3.4;branch=z9hG4bKx\r\nMax-Forwards")},
		{"a reason phrase is changed", "call.txt:7", replace("200 Fine", "200 OK")},
		{"the Request-URI is changed", "it starts with", replace("sip:100@", "sip:101@")},
		{"a description is changed", "its description has", replace("a=ptime:20", "a=ptime:30")},
		{"a section is refused", "its section 0 is refused", func(_, text string) string { return anAudioPort.ReplaceAllString(text, "m=audio 0     RTP/AVP $1") }},
		{"a section is left out", "has 1 sections instead of 2", replace("m=video", "a=video")},
		{"a section is of another kind", "its section 1 is", replace("m=video", "m=image")},
		{"a refused section is offered", "its section 1 was refused and isn't", replace("m=video 0", "m=video 9")},
		{"a codec is added", "its section 1 has", replace("RTP/AVP 99\r\na=rtpmap:99 H264", "RTP/AVP 99 9\r\na=rtpmap:99 H2")},
		{"a video codec is taken out", "its section 1 has", replace("RTP/AVP 99", "RTP/AVP 98")},
		{"codecs change their order", "its section 0 has", replace("RTP/AVP 0 8", "RTP/AVP 8 0")},
		{"a codec's line is changed", "its description has", replace("a=rtpmap:8 PCMA/8000", "a=rtpmap:8 PCMX/8000")},
		{"another part is changed", "its description has", replace("itu-t92", "itu-t93")},
		{"a body is cut", "isn't sound", replace("a\r\nb", "a")},
		{"a body is changed", "its body is", replace("a\r\nb", "a\r\nc")},
		{"a message is lost", "call.txt:50: pbx< BYE: nothing came", func(to, text string) string {
			if strings.HasPrefix(text, "BYE") {
				return ""
			}
			return text
		}},
		{"another status", "486 INVITE came instead", replace("SIP/2.0 180 Ringing", "SIP/2.0 486 Busy")},
		{"no header's end", "isn't sound", replace("\r\n\r\n", "\r\n")},
		{"a header twice", "2 headers CSeq", replace("CSeq:", "CSeq: 1 INVITE\r\nCSeq:")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wants(t, play(t, call+proofs, heard(), c.spoil), c.says)
		})
	}
}

func wants(t *testing.T, err error, text string) {
	t.Helper()
	var f *scenario.Failure
	switch {
	case !errors.As(err, &f):
		t.Errorf("nothing was found (%v)", err)
	case !strings.Contains(f.Error(), text):
		t.Errorf("it says %s: %s: %v, nothing of %q", f.Where, f.Line, f.Err, text)
	case !strings.Contains(f.Trace, "carrier > INVITE"):
		t.Error("the messages aren't in the trace")
	}
}

// TestMediaThatGoRoundTheGateAreFound: a description that keeps the sender's port.
func TestMediaThatGoRoundTheGateAreFound(t *testing.T) {
	const text = "carrier> INVITE 100 sdp\npbx< INVITE\nlog:\n"
	for setting, want := range map[string]bool{"": true, "media may go directly\n": false} {
		s, err := scenario.Parse("direct.txt", setting+text)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Play(startWire(t, scenario.Evidence{}, wrongs{direct: true}))
		if want {
			wants(t, err, "its media go round the gate")
		} else if err != nil {
			t.Error(err)
		}
	}
}

// TestEveryFalseProofIsFound: each proof and each check of sound fails where it
// isn't so.
func TestEveryFalseProofIsFound(t *testing.T) {
	for _, c := range []struct{ line, says string }{
		{"log: granted", `it says "granted withdrawn"`},
		{"recorded: 2", "there are 1"},
		{"recorded: 1 of 1100 ms and more", "it has 1000 ms"},
		{"sealed: withdrawn", "the seals say"},
		{"recording has 440 on the left", "no recording has it there"},
		{"recording has 700 on the right", "no recording has it there"},
		{"recording has no 880", "it has"},
		{"recording has no tones of keys", "it has"},
		{"answered by info", `they came by "rfc4733"`},
		{"pbx never heard 880", "it did"},
		{"pbx heard no tones of keys", "it is true that it heard tones"},
		{"carrier heard tones of keys", "it is false that it heard tones"},
		{"carrier plays keys x", "no telephone has a key"},
		{"pbx heard keys 2", `it heard "1*"`},
		{"pbx heard keys 1* as 96", "it heard keys as 101"},
		{"pbx heard no keys", `it heard "1*"`},
		{"carrier presses x", "no telephone has a key"},
		{"carrier> again 404 INVITE", "hasn't sent"},
		{"carrier> INVITE 1 sdp=sideways", "there is no description"},
		{"pbx never got data frame", "it did"},
		{"pbx gets data other", "it never came"},
		{"nobody> BYE", `there is no "nobody"`},
		{"disk full", "a wire has no disk"},
		{"disk hangs", "a wire has no disk"},
		{"disk dies", "a wire has no disk"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			text := call + c.line + "\nlog: granted withdrawn"
			if strings.HasPrefix(c.line, "log") || strings.HasPrefix(c.line, "answered") || strings.HasPrefix(c.line, "recor") || strings.HasPrefix(c.line, "sealed") {
				text = call + c.line
			}
			ev := heard()
			if strings.HasSuffix(c.line, "tones of keys") {
				row := sine(770)
				for i, v := range sine(1209) {
					ev.Recordings[0].Left[i] = row[i]/2 + v/2
				}
			}
			wants(t, play(t, text, ev, nil), c.says)
		})
	}
}

// TestWhatIsNeverAllowedIsFound: a number in the log, a number or speech in the
// data directory.
func TestWhatIsNeverAllowedIsFound(t *testing.T) {
	dir := func(content string) string {
		d := t.TempDir()
		if err := os.WriteFile(filepath.Join(d, "file"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return d
	}
	ev := heard()
	ev.Log = "msg=call from=+442079460123"
	wants(t, play(t, call+proofs, ev, nil), "a number is in the program's log")
	ev = heard()
	ev.DataDir = dir("xx+442079460123xx")
	wants(t, play(t, call+proofs, ev, nil), "holds in the clear: a number")
	ev.DataDir = dir("xx")
	if err := play(t, call+proofs, ev, nil); err != nil {
		t.Error(err)
	}
}

// TestMetricsThatSayTroubleAreFound: a gate that counts a fault of its own fails
// the scenario.
func TestMetricsThatSayTroubleAreFound(t *testing.T) {
	for _, series := range []string{"preconsent_packets_recorded_total", "recordings_unaccounted", "sip_unexpected_total",
		"sip_unexpected_mutations_total"} {
		s, err := scenario.Parse("call.txt", call+proofs)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, s.Play(startWire(t, heard(), wrongs{counts: series})), series+" is 1")
	}
}

// TestOnlyKnownWordsInTheirPlaceAreRead.
func TestOnlyKnownWordsInTheirPlaceAreRead(t *testing.T) {
	for text, says := range map[string]string{
		"carrier> INVITE 100\nhope for the best\nlog:":   `f:2: "hope for the best" is nothing`,
		"carrier> INVITE 100\npolicy: attempts: 2\nlog:": "f:2: \"policy: attempts: 2\" is a setting, and stands behind a step",
		"carrier> INVITE 100\nlog:\ncarrier> BYE":        "is a step, and stands behind a proof",
		"carrier> INVITE 100\n":                          "it proves nothing",
		"":                                               "it proves nothing",
	} {
		if _, err := scenario.Parse("f", text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
