package consent

import (
	"slices"
	"strings"
	"testing"
)

// TestARecordingEndsForAReasonThatIsListed, in every state and by every event: it is
// found by that.
func TestARecordingEndsForAReasonThatIsListed(t *testing.T) {
	listed := []string{EndHangUp, EndWithdrawn, EndChanged, EndUnbegun}
	ended := map[string]bool{}
	for s, way := range reach {
		for _, line := range []string{"opened", "broken", "remote withdraw", "changed", "local objects", "hangup"} {
			m := walk(t, testPolicy(), way)
			ev := parseEvent(t, m, line)
			ev.Reason = "a fault"
			_, acts, _ := m.Step(ev)
			for _, a := range acts {
				if a.Do != CloseTap && a.Do != Discard {
					continue
				}
				reason, _, _ := strings.Cut(a.Reason, ":")
				if ended[reason] = true; !slices.Contains(listed, a.Reason) && a.Reason != EndFailed+": a fault" {
					t.Errorf("%s, %s: %q", s, line, a.Reason)
				}
			}
		}
	}
	if len(ended) != len(listed)+1 {
		t.Errorf("recordings ended by %v", ended)
	}
}
