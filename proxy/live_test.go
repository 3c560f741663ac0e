package proxy_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/internal/phone"
	"consentgate/media"
	"consentgate/proxy"
)

// clerk is a recorder that notes when the packets came that reach it.
type clerk struct {
	recorder
	mu sync.Mutex
	at []time.Time
}

func (r *clerk) Create(ctx context.Context, g consent.Grant) (media.Sink, error) {
	_, err := r.recorder.Create(ctx, g)
	return r, err
}

func (r *clerk) ID() string { return "rec1" }

func (r *clerk) WriteRTP(_ consent.Party, at time.Time, _ []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = append(r.at, at)
	return nil
}

// after counts the packets that came later than t.
func (r *clerk) after(t time.Time) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.at {
		if at.After(t) {
			n++
		}
	}
	return n
}

// steered is a world with a call that is recorded, and what the gate shows of it.
type steered struct {
	*world
	ctx   context.Context
	clerk *clerk
	call  *phone.Call
	id    string
}

func newSteered(t *testing.T, policies consent.Policies) *steered {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	t.Cleanup(cancel)
	s := &steered{ctx: ctx, clerk: &clerk{}}
	s.world = newWorld(t, policies, func(c *proxy.Config) { c.Recorder = s.clerk })
	t.Cleanup(s.close)
	var err error
	if s.call, err = s.yes(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.call.Hangup() }) // where the test came to no end: the gate would wait for it
	eventually(t, "it is recorded", func() bool { return s.clerk.after(time.Time{}) > 0 && s.shown().Recording == "recording" })
	s.id = s.shown().ID
	return s
}

// shown is the one call there is; the zero LiveCall if there is none.
func (w *world) shown() (one proxy.LiveCall) {
	for _, c := range w.gate.Calls() {
		one = c
	}
	return one
}

// latest are the last n records of the log.
func (w *world) latest(n int) []consent.Record {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	return append([]consent.Record(nil), w.ledger.records[max(0, len(w.ledger.records)-n):]...)
}

// TestALiveCallIsSeenFromOutside in every state that it goes through, and no
// longer than it lasts.
func TestALiveCallIsSeenFromOutside(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	policies := asking()
	policies[0].Purpose.Name, policies[0].Language = "training", "en"
	rec := &clerk{}
	w := newWorld(t, policies, func(c *proxy.Config) { c.Recorder = rec })
	defer w.close()
	if n := len(w.gate.Calls()); n != 0 {
		t.Fatalf("%d calls before there is one", n)
	}
	before := time.Now()
	c, err := w.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got proxy.LiveCall
	eventually(t, "the caller is being asked", func() bool {
		got = w.shown()
		return got.State == "gate"
	})
	if got.ID == "" || got.Started.Before(before) || got.Started.After(time.Now()) {
		t.Errorf("id %q, started %s", got.ID, got.Started)
	}
	got.ID, got.Started = "", time.Time{}
	want := proxy.LiveCall{Trunk: "main", Direction: consent.Inbound, State: "gate", Policy: "p", Purpose: "training", Language: "en",
		Remote:  proxy.LiveParty{Number: "+442079460123", Asked: true, Consent: proxy.Asking},
		Local:   proxy.LiveParty{Number: "100", Consent: proxy.NoConsent},
		Consent: proxy.Asking, Recording: "off"}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := errors.Join(c.Media.WaitSound(ctx), c.Media.WaitQuiet(ctx, 150*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	c.Press('1')
	want.State, want.Consent, want.Remote.Consent, want.Recording, want.RecordingID = "bridged", consent.Granted, consent.Granted, "recording", "rec1"
	eventually(t, "it is recorded", func() bool {
		got = w.shown()
		got.ID, got.Started = "", time.Time{}
		return got == want
	})
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	eventually(t, "nothing is shown of a call that is over", func() bool { return len(w.gate.Calls()) == 0 })
}

// TestARefusalIsShownUntilTheCallEnds, and an emergency call as one that nobody asks.
func TestARefusalIsShownUntilTheCallEnds(t *testing.T) {
	for name, want := range map[string]consent.Kind{"declined": consent.Declined, "silent": consent.Silent, "bypassed": consent.Bypassed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
			defer cancel()
			policies := asking()
			policies[0].Timeout = 200 * time.Millisecond
			if name == "bypassed" {
				policies = consent.Policies{{Name: "sos", Action: consent.Bypass}}
			}
			w := newWorld(t, policies, nil)
			defer w.close()
			c, err := w.dial(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if name == "declined" {
				if err := c.Media.WaitSound(ctx); err != nil {
					t.Fatal(err)
				}
				c.Press('2')
			}
			var got proxy.LiveCall
			eventually(t, "the outcome is shown", func() bool {
				got = w.shown()
				return got.State == "bridged" && got.Consent == want
			})
			if got.Recording != "off" || name != "bypassed" && got.Remote.Consent != want {
				t.Errorf("%+v", got)
			}
			if err := w.gate.Pause(ctx, got.ID, "dana"); !errors.Is(err, proxy.ErrNotRecording) {
				t.Errorf("a pause of what isn't recorded: %v", err)
			}
			if err := w.gate.Withdraw(ctx, got.ID, "dana"); !errors.Is(err, proxy.ErrNotRecording) {
				t.Errorf("a withdrawal from what isn't recorded: %v", err)
			}
			if err := c.Hangup(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInvariant3_SteeringFromOutsideIsABarrier: when a pause or a withdrawal at
// the console returns, no later packet is recorded. It doesn't return while the
// call is busy with something else, and packets still go to the recorder.
func TestInvariant3_SteeringFromOutsideIsABarrier(t *testing.T) {
	for name, stop := range map[string]func(*proxy.Gate, context.Context, string, string) error{
		"pause": (*proxy.Gate).Pause, "withdraw": (*proxy.Gate).Withdraw} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSteered(t, asking())
			goOn := make(chan struct{})
			s.gate.Stall(s.id, goOn)
			asked := time.Now()
			var free atomic.Bool
			type end struct {
				at    time.Time
				early bool
				err   error
			}
			ended := make(chan end, 1)
			go func() {
				err := stop(s.gate, s.ctx, s.id, "dana")
				ended <- end{time.Now(), !free.Load(), err}
			}()
			eventually(t, "packets are recorded while the call is busy", func() bool { return s.clerk.after(asked) > 5 })
			free.Store(true)
			close(goOn)
			got := <-ended
			if got.err != nil || got.early {
				t.Fatalf("error %v, early: %v", got.err, got.early)
			}
			if r := s.shown().Recording; r == "recording" {
				t.Error("it is shown as recorded when the act has returned")
			}
			before := len(s.call.Media.Received())
			if err := s.call.Media.WaitFor(s.ctx, func(ps []phone.Packet) bool { return len(ps) > before+25 }); err != nil {
				t.Fatal(err)
			}
			if err := s.call.Hangup(); err != nil {
				t.Error(err)
			}
			eventually(t, "the recording is sealed", func() bool { return s.clerk.sealed.Load() == 1 })
			if n := s.clerk.after(got.at); n != 0 {
				t.Errorf("%d packets came later and were recorded", n)
			}
		})
	}
}

// TestTheLogSaysWhoSteeredFromOutside: a pause and its end are the console's, a
// withdrawal is the party's that gave its consent.
func TestTheLogSaysWhoSteeredFromOutside(t *testing.T) {
	t.Parallel()
	s := newSteered(t, asking())
	if err := s.gate.Pause(s.ctx, s.id, "dana"); err != nil {
		t.Fatal(err)
	}
	if got := s.shown(); got.Recording != "paused" || got.Pauses != (consent.Pauses{Console: true}) {
		t.Errorf("paused: %+v", got)
	}
	resumed := time.Now()
	if err := s.gate.Resume(s.ctx, s.id, "omar"); err != nil {
		t.Fatal(err)
	}
	if got := s.shown(); got.Recording != "recording" || got.Pauses != (consent.Pauses{}) {
		t.Errorf("resumed: %+v", got)
	}
	eventually(t, "it is recorded again", func() bool { return s.clerk.after(resumed) > 5 })
	if err := s.gate.Withdraw(s.ctx, s.id, "dana"); err != nil {
		t.Fatal(err)
	}
	if got := s.shown(); got.Recording != "off" || got.Consent != consent.Withdrawn || got.Remote.Consent != consent.Withdrawn {
		t.Errorf("withdrawn: %+v", got)
	}
	var records []consent.Record
	eventually(t, "the log has it all", func() bool {
		records = s.latest(3)
		return len(records) == 3 && records[2].Kind == consent.Withdrawn
	})
	want := []struct {
		kind consent.Kind
		by   string
		own  bool
	}{{consent.Paused, "dana", false}, {consent.Resumed, "omar", false}, {consent.Withdrawn, "dana", true}}
	for i, w := range want {
		r := records[i]
		if r.Kind != w.kind || r.By != w.by || r.Reason != consent.ByConsole || (r.Party != nil) != w.own || r.Grant == nil {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if err := s.gate.Withdraw(s.ctx, s.id, "dana"); !errors.Is(err, proxy.ErrNotRecording) {
		t.Errorf("a second withdrawal: %v", err)
	}
	if err := s.call.Hangup(); err != nil {
		t.Error(err)
	}
}

// TestAWithdrawalWhileSomebodyIsAskedIsANo: they are connected, nothing is recorded,
// and the log says who said so. A pause has nothing to pause yet.
func TestAWithdrawalWhileSomebodyIsAskedIsANo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	policies := asking()
	policies[0].Timeout = 30 * time.Second
	w := newWorld(t, policies, nil)
	defer w.close()
	c, err := w.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Media.WaitSound(ctx); err != nil {
		t.Fatal(err)
	}
	id := w.shown().ID
	if err := w.gate.Pause(ctx, id, "dana"); !errors.Is(err, proxy.ErrNotRecording) {
		t.Errorf("a pause: %v", err)
	}
	if err := w.gate.Withdraw(ctx, id, "dana"); err != nil {
		t.Fatal(err)
	}
	if got := w.shown(); got.State != "bridged" || got.Consent != consent.Declined || got.Remote.Consent != consent.Declined {
		t.Errorf("%+v", got)
	}
	if err := c.Media.WaitTone(ctx, 440); err != nil {
		t.Fatal(err)
	}
	c.Press('1') // too late
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	eventually(t, "the log has it", func() bool { return len(w.latest(2)) > 0 })
	if got := w.latest(2); len(got) != 1 || got[0].Kind != consent.Declined || got[0].By != "dana" || got[0].Party == nil || w.rec.created.Load() != 0 {
		t.Errorf("%+v", got)
	}
}

// TestNobodyEndsAnothersPause: the console doesn't end a party's, nor a party the
// console's.
func TestNobodyEndsAnothersPause(t *testing.T) {
	t.Parallel()
	policies := asking()
	policies[0].Pause, policies[0].Resume = "*7", "*8"
	s := newSteered(t, policies)
	press := func(keys string) {
		for _, k := range []byte(keys) {
			s.call.Press(k)
		}
	}
	press("*7")
	eventually(t, "the party's pause is there", func() bool { return s.shown().Pauses == consent.Pauses{Remote: true} })
	if err := s.gate.Resume(s.ctx, s.id, "dana"); !errors.Is(err, proxy.ErrNotPaused) {
		t.Errorf("the console ended a party's pause: %v", err)
	}
	if err := s.gate.Pause(s.ctx, s.id, "dana"); err != nil {
		t.Fatal(err)
	}
	press("*8")
	eventually(t, "the party's pause is over", func() bool { return s.shown().Pauses == consent.Pauses{Console: true} })
	if got := s.shown().Recording; got != "paused" {
		t.Errorf("the party's key ended the console's pause: %s", got)
	}
	press("*7")
	eventually(t, "both want it", func() bool { return s.shown().Pauses == consent.Pauses{Console: true, Remote: true} })
	if err := s.gate.Resume(s.ctx, s.id, "dana"); err != nil {
		t.Errorf("the console's own pause isn't its to end: %v", err)
	}
	if got := s.shown(); got.Recording != "paused" || got.Pauses != (consent.Pauses{Remote: true}) {
		t.Errorf("%+v", got)
	}
	if err := s.call.Hangup(); err != nil {
		t.Error(err)
	}
}

// TestAResumptionNobodyCanProveIsRefused: recording stays paused where the log
// fails, and who resumed is told.
func TestAResumptionNobodyCanProveIsRefused(t *testing.T) {
	t.Parallel()
	s := newSteered(t, asking())
	if err := s.gate.Pause(s.ctx, s.id, "dana"); err != nil {
		t.Fatal(err)
	}
	s.ledger.fails.Store(true)
	if err := s.gate.Resume(s.ctx, s.id, "dana"); !errors.Is(err, proxy.ErrNotResumed) {
		t.Errorf("%v", err)
	}
	if got := s.shown(); got.Recording != "paused" {
		t.Errorf("%+v", got)
	}
	if err := s.call.Hangup(); err != nil {
		t.Error(err)
	}
}

// TestSteeringWaitsForNobodyForEver: a call that doesn't answer is given up, one
// that ends meanwhile or isn't there is said not to be, and looking waits for
// none.
func TestSteeringWaitsForNobodyForEver(t *testing.T) {
	t.Parallel()
	s := newSteered(t, asking())
	goOn := make(chan struct{})
	s.gate.Stall(s.id, goOn)
	if got := s.shown(); got.Recording != "recording" {
		t.Errorf("a busy call is shown as %+v", got)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if err := s.gate.Pause(ctx, s.id, "dana"); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that doesn't answer: %v", err)
	}
	close(goOn)
	eventually(t, "the pause came all the same", func() bool { return s.shown().Recording == "paused" })
	if err := s.call.Hangup(); err != nil {
		t.Error(err)
	}
	eventually(t, "the call is over", func() bool { return len(s.gate.Calls()) == 0 })
	for _, id := range []string{s.id, "", "nobody's"} {
		if err := s.gate.Pause(s.ctx, id, "dana"); !errors.Is(err, proxy.ErrNoCall) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// breaking has a fault where a withdrawal is confirmed.
type breaking struct{ prompts }

func (breaking) Stopped(string) *media.Audio { panic("a fault of ours") }

// TestAFaultOfOursWhileSteeringIsToldAtOnce: who steers isn't left waiting for a
// call that is no more.
func TestAFaultOfOursWhileSteeringIsToldAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	w := newWorld(t, asking(), func(c *proxy.Config) { c.Prompts = breaking{prompts{square(100 * time.Millisecond)}} })
	defer w.close()
	c, err := w.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is recorded", func() bool { return w.shown().Recording == "recording" })
	if err := w.gate.Withdraw(ctx, w.shown().ID, "dana"); !errors.Is(err, proxy.ErrNoCall) {
		t.Errorf("%v", err)
	}
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	eventually(t, "what there was is sealed", func() bool { return w.rec.sealed.Load() == 1 })
}
