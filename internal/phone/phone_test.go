package phone_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"consentgate/internal/phone"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

func start(t *testing.T, c phone.Config) *phone.Phone {
	t.Helper()
	c.Listen = loopback
	p, err := phone.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// pair is a call between two phones: the caller's and the called one's end.
func pair(t *testing.T) (a, b *phone.Call) {
	t.Helper()
	ctx := soon(t)
	got := make(chan *phone.Call, 1)
	called := start(t, phone.Config{Name: "bob", Incoming: func(c *phone.Call) {
		c.Ring()
		c.Media.Tone(440)
		if err := c.Answer(ctx); err != nil {
			t.Error(err)
		}
		got <- c
	}})
	caller := start(t, phone.Config{Name: "alice"})
	a, err := caller.Dial(ctx, called.Addr(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	a.Media.Tone(880)
	select {
	case b = <-got:
	case <-ctx.Done():
		t.Fatal("the called phone got no ACK")
	}
	return a, b
}

func over(t *testing.T, c *phone.Call) {
	t.Helper()
	select {
	case <-c.Ended():
	case <-soon(t).Done():
		t.Error("the call isn't over")
	}
}

func TestTwoPhonesTalkAsOneStreamEach(t *testing.T) {
	a, b := pair(t)
	ctx := soon(t)
	if err := errors.Join(a.Media.WaitTone(ctx, 440), b.Media.WaitTone(ctx, 880)); err != nil {
		t.Fatal(err)
	}
	for _, key := range "1*#D" {
		if err := a.Press(byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	n := len(b.Media.Received())
	if err := b.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > n+10 }); err != nil {
		t.Fatal(err)
	}
	got := b.Media.Received()
	if ssrc, seq, ts := phone.Jumps(got); ssrc+seq+ts > 0 {
		t.Errorf("%d changes of SSRC, %d of sequence, %d of time", ssrc, seq, ts)
	}
	if keys := phone.Keys(got); keys != "1*#D" {
		t.Errorf("keys heard: %q", keys)
	}
	if phone.Hears(got, 440) || !phone.Hears(got, 880) {
		t.Error("the tones are mixed up")
	}
	if err := a.Hangup(); err != nil {
		t.Error(err)
	}
	over(t, b)
	if said := timeline(a); said != "calls bob, hears it ring, is answered, presses 1, presses *, presses #, presses D, hangs up, the call is over: hung up" {
		t.Error(said)
	}
}

func timeline(c *phone.Call) string {
	var out []string
	for _, e := range c.Events() {
		out = append(out, e.What)
	}
	return strings.Join(out, ", ")
}

func TestWhoIsHeldSendsNothing(t *testing.T) {
	a, b := pair(t)
	ctx := soon(t)
	if err := a.Media.WaitTone(ctx, 440); err != nil {
		t.Fatal(err)
	}
	if err := a.Hold(); err != nil {
		t.Fatal(err)
	}
	n, heard := len(b.Media.Received()), len(a.Media.Received())
	if err := b.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > n+20 }); err != nil {
		t.Errorf("who holds may send: %v", err)
	}
	if more := len(a.Media.Received()) - heard; more > 2 { // what was under way
		t.Errorf("%d packets came from the phone on hold", more)
	}
	if err := a.Resume(); err != nil {
		t.Fatal(err)
	}
	heard = len(a.Media.Received())
	if err := a.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > heard+5 }); err != nil {
		t.Error(err)
	}
	if err := b.Hangup(); err != nil { // with the far end's sequence numbers apart from ours
		t.Error(err)
	}
	over(t, a)
}

func TestInfoAndOptionsAreAnswered(t *testing.T) {
	a, b := pair(t)
	if status, err := a.Info("application/dtmf-relay", "Signal=1\r\n"); status != 200 || err != nil {
		t.Error(status, err)
	}
	if !strings.Contains(timeline(b), "gets INFO") {
		t.Error(timeline(b))
	}
	p, q := start(t, phone.Config{Name: "p"}), start(t, phone.Config{Name: "q"})
	if status, err := p.Options(q.Addr(), ""); status != 200 || err != nil {
		t.Error(status, err)
	}
}

func TestARefusalIsAnError(t *testing.T) {
	ctx := soon(t)
	told := make(chan struct{})
	busy := start(t, phone.Config{Name: "busy", Incoming: func(c *phone.Call) {
		defer close(told)
		if err := c.Reject(ctx, 486, "Busy Here"); err != nil {
			t.Errorf("no ACK: %v", err)
		}
		if err := c.Answer(ctx); err == nil {
			t.Error("a call has two final responses")
		}
	}})
	nobody := start(t, phone.Config{Name: "nobody"})
	caller := start(t, phone.Config{Name: "alice"})
	for want, p := range map[int]*phone.Phone{486: busy, 480: nobody} {
		_, err := caller.Dial(ctx, p.Addr(), "x")
		var refused *phone.Refused
		if !errors.As(err, &refused) || refused.Status != want {
			t.Errorf("%v, want %d", err, want)
		}
	}
	<-told
}

// TestAChallengeIsAnsweredOnce: the same call with credentials, then whatever is
// said is the answer.
func TestAChallengeIsAnsweredOnce(t *testing.T) {
	server, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			req := string(buf[:n])
			seen = append(seen, req)
			if strings.HasPrefix(req, "ACK") {
				continue
			}
			head, _, _ := strings.Cut(req, "Max-Forwards")
			_, head, _ = strings.Cut(head, "\r\n")
			rest, _, _ := strings.Cut(req[strings.Index(req, "From:"):], "Contact")
			_, _ = server.WriteToUDPAddrPort([]byte("SIP/2.0 407 Who?\r\n"+head+rest+
				"Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n"), from)
		}
	}()
	p := start(t, phone.Config{Name: "alice", Password: "secret"})
	_, err = p.Dial(soon(t), server.LocalAddr().(*net.UDPAddr).AddrPort(), "bob")
	var refused *phone.Refused
	if !errors.As(err, &refused) || refused.Status != 407 {
		t.Errorf("%v", err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-done
	var invites []string
	for _, s := range seen {
		if strings.HasPrefix(s, "INVITE") {
			invites = append(invites, s)
		}
	}
	if len(invites) != 2 || strings.Contains(invites[0], "Authorization") || !strings.Contains(invites[1], "CSeq: 2 INVITE") ||
		!strings.Contains(invites[1], `Proxy-Authorization: Digest username="alice", realm="r", nonce="n", uri="sip:bob@`) {
		t.Errorf("it said\n%s", strings.Join(seen, "\n"))
	}
}

func TestACallGivenUpIsCancelled(t *testing.T) {
	ended := make(chan string, 1)
	rings := make(chan struct{})
	called := start(t, phone.Config{Name: "bob", Incoming: func(c *phone.Call) {
		c.Ring()
		close(rings)
		<-c.Ended()
		ended <- timeline(c)
	}})
	ctx, giveUp := context.WithCancel(soon(t))
	go func() { <-rings; giveUp() }()
	caller := start(t, phone.Config{Name: "alice"})
	if _, err := caller.Dial(ctx, called.Addr(), "bob"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	select {
	case said := <-ended:
		if !strings.HasSuffix(said, "the call is over: the caller gave up") {
			t.Error(said)
		}
	case <-soon(t).Done():
		t.Error("it rings on")
	}
}

// TestAnAnswerThatCrossesACancelIsHungUp: the caller's context ends when the
// answer is on its way.
func TestAnAnswerThatCrossesACancelIsHungUp(t *testing.T) {
	ctx, giveUp := context.WithCancel(soon(t))
	over := make(chan struct{})
	called := start(t, phone.Config{Name: "bob", Incoming: func(c *phone.Call) {
		giveUp()
		_ = c.Answer(context.WithoutCancel(ctx)) // answered, or cancelled before: either may be
		<-c.Ended()
		close(over)
	}})
	caller := start(t, phone.Config{Name: "alice"})
	if _, err := caller.Dial(ctx, called.Addr(), "bob"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	select {
	case <-over:
	case <-soon(t).Done():
		t.Error("the called phone is still in the call")
	}
}

// TestARepeatedInviteIsOneCall: and its answer is byte for byte the same.
func TestARepeatedInviteIsOneCall(t *testing.T) {
	var mu sync.Mutex
	calls := 0
	called := start(t, phone.Config{Name: "bob", Incoming: func(c *phone.Call) {
		mu.Lock()
		calls++
		mu.Unlock()
		_ = c.Answer(soon(t)) // no ACK comes: the peer is a socket
	}})
	s := dialRaw(t, called.Addr())
	invite := "INVITE sip:bob@x SIP/2.0\r\nVia: SIP/2.0/UDP " + s.local() + ";branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:bob@x>\r\n" +
		"Call-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@" + s.local() + ">\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
	s.say(invite)
	first := s.final()
	s.say(invite)
	if second := s.final(); second != first {
		t.Errorf("the first answer was\n%s\nthe second\n%s", first, second)
	}
	mu.Lock()
	defer mu.Unlock()
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// TestRubbishEndsNothing: a datagram that isn't SIP, or lacks what each message
// has, is passed over.
func TestRubbishEndsNothing(t *testing.T) {
	p := start(t, phone.Config{Name: "p"})
	s := dialRaw(t, p.Addr())
	for _, text := range []string{"", "hello", "OPTIONS sip:p@x SIP/2.0\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"} {
		s.say(text)
	}
	q := start(t, phone.Config{Name: "q"})
	if status, err := q.Options(p.Addr(), "p"); status != 200 || err != nil {
		t.Error(status, err)
	}
}

func TestAPhoneMayLeaveItsMediaToSomebodyElse(t *testing.T) {
	ctx := soon(t)
	elsewhere := [2]netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:4000"), netip.MustParseAddrPort("127.0.0.3:5000")}
	got := make(chan *phone.Call, 1)
	called := start(t, phone.Config{Name: "bob", Media: func() *phone.Media { return phone.MediaElsewhere(elsewhere[1]) },
		Incoming: func(c *phone.Call) {
			if err := c.Answer(ctx); err != nil {
				t.Error(err)
			}
			got <- c
		}})
	caller := start(t, phone.Config{Name: "alice", Media: func() *phone.Media { return phone.MediaElsewhere(elsewhere[0]) }})
	a, err := caller.Dial(ctx, called.Addr(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	if b := <-got; a.Media.To() != elsewhere[1] || b.Media.To() != elsewhere[0] {
		t.Errorf("they send to %v and %v", a.Media.To(), b.Media.To())
	}
	if err := a.Press('1'); err == nil {
		t.Error("a phone without a socket pressed a key in its RTP")
	}
	if err := a.Hangup(); err != nil {
		t.Error(err)
	}
}
