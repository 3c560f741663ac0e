package sdp_test

import (
	"strings"
	"testing"

	"consentgate/proxy/sdp"
)

// TestRecordIsSaidOfTheAudioAlone: RFC 7866 section 9.1.2, a media attribute.
func TestRecordIsSaidOfTheAudioAlone(t *testing.T) {
	got := string(sdp.WithRecord([]byte(offer), sdp.RecordOn))
	want := strings.Replace(offer, "a=sendrecv\r\n", "a=sendrecv\r\na=record:on\r\n", 1)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if again := string(sdp.WithRecord([]byte(want), sdp.RecordOn)); again != want {
		t.Errorf("said twice:\n%s", again)
	}
}

// TestWhoRecordsItselfIsNotContradicted: the far end's own a=record stays where
// it says more than ours.
func TestWhoRecordsItselfIsNotContradicted(t *testing.T) {
	for _, c := range []struct{ theirs, ours, want string }{
		{"on", "off", "on"}, {"on", "paused", "on"}, {"paused", "off", "paused"}, {"paused", "on", "on"},
		{"off", "on", "on"}, {"off", "off", "off"}, {"rubbish", "off", "off"},
	} {
		atMedia := strings.Replace(offer, "a=sendrecv\r\n", "a=record:"+c.theirs+"\r\na=sendrecv\r\n", 1)
		atSession := strings.Replace(offer, "t=0 0\r\n", "t=0 0\r\na=record:"+c.theirs+"\r\n", 1)
		for _, body := range []string{atMedia, atSession} {
			got := parse(t, string(sdp.WithRecord([]byte(body), c.ours)))
			out := string(got.Rewrite(everywhere(got)))
			audio := out[strings.Index(out, "m=audio"):strings.Index(out, "m=video")]
			if !strings.Contains(audio, "a=record:"+c.want+"\r\n") || strings.Count(audio, "a=record:") != 1 {
				t.Errorf("theirs %s, ours %s: got\n%s", c.theirs, c.ours, audio)
			}
		}
	}
}

func TestPreferenceIsReadAtBothLevels(t *testing.T) {
	for body, want := range map[string]string{
		offer: "",
		strings.Replace(offer, "a=sendrecv", "a=recordpref:OFF", 1):               sdp.PreferOff,
		strings.Replace(offer, "t=0 0\r\n", "t=0 0\r\na=recordpref:pause\r\n", 1): sdp.PreferPause,
	} {
		if got := parse(t, body).Audio().RecordPref(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
