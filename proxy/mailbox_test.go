package proxy

import (
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// TestAFloodCostsACallNothingThatItWaitsFor: final responses, that none came, its
// timers and its end are there, behind as much of the flood as is taken.
func TestAFloodCostsACallNothingThatItWaitsFor(t *testing.T) {
	c := &call{mail: newMailbox(), timers: map[*time.Timer]struct{}{}}
	flood := func() {
		for range 2 * mailboxSize {
			c.mail.post(event{kind: evRequest})
			c.inviteReply(1, sip.NewResponse(180, "Ringing"))
		}
	}
	flood()
	c.inviteReply(1, sip.NewResponse(200, "OK"))
	c.inviteReply(1, nil)
	ran := make(chan struct{})
	c.after(0, func() { close(ran) })
	c.post(event{kind: evEnd})
	got := map[eventKind]int{}
	for deadline := time.After(10 * time.Second); got[evTimer] == 0; {
		taken := make(chan []event, 1)
		go func() { taken <- c.mail.take() }()
		select {
		case events := <-taken:
			for _, ev := range events {
				if got[ev.kind]++; ev.kind == evTimer {
					ev.run()
				}
			}
		case <-deadline:
			t.Fatalf("the timer never came; %v", got)
		}
	}
	<-ran
	if got[evAnswer] != 1 || got[evRefusal] != 1 || got[evEnd] != 1 || got[evRequest]+got[evProvisional] != mailboxSize {
		t.Errorf("of each kind there are %v", got)
	}
}
