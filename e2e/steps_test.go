package e2e

import (
	"bytes"
	"consentgate/internal/phone"
	"consentgate/store"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/emiago/sipgo/sip"
)

func (s *scene) actor(name string) (*actor, error) {
	if name == "stranger" && s.actors[name] == nil {
		a, err := newActor(name, s.note)
		if err != nil {
			return nil, err
		}
		_ = a.conn.Close() // its own address instead of the peers'
		a.done.Wait()
		if a.conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)}); err != nil {
			return nil, err
		}
		a.done.Go(a.read)
		a.gate = s.actors["carrier"].gate
		s.actors[name] = a
	}
	if a := s.actors[name]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("there is no %q here", name)
}

func bar(rest string) []string {
	var out []string
	for _, p := range strings.Split(rest, " | ") {
		if p = strings.TrimSpace(strings.TrimPrefix(p, "|")); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func sdpOf(word string) string {
	word = strings.TrimSpace(word)
	if kind, ok := strings.CutPrefix(word, "sdp="); ok {
		return kind
	}
	return word
}

func (s *scene) sayRequest(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	number, sdp := strings.TrimPrefix(strings.TrimSpace(m[3]), "to "), sdpOf(m[4])
	if number == "sdp" {
		number, sdp = "", "sdp"
	}
	return a.request(m[2], number, sdp, bar(m[5]))
}

func (s *scene) sayResponse(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	status, err := strconv.Atoi(m[2])
	if err != nil {
		return err
	}
	return a.respond(status, strings.Trim(strings.TrimSpace(m[4]), `"`), m[3], sdpOf(m[5]), bar(m[6]))
}

// expect waits for the next message and checks what stands behind the bars:
// "Header: text" must be in it, "no Header" must not, "start text" is the start
// line's end, "sdp text" must be in the body.
func (s *scene) expect(m []string) error { return s.expectWithin(m, deadline) }

// expectLate is for what the protocol's own timers bring: 64*T1 and more.
func (s *scene) expectLate(m []string) error { return s.expectWithin(m, 45*time.Second) }

func (s *scene) expectWithin(m []string, d time.Duration) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	msg, err := a.next(ctx)
	if err != nil {
		return fmt.Errorf("nothing came: %w", err)
	}
	if got := what(msg); got != m[2] {
		return fmt.Errorf("%s came instead", got)
	}
	for _, want := range bar(m[3]) {
		if err := holds(msg, want); err != nil {
			return err
		}
	}
	return nil
}

func holds(msg sip.Message, want string) error {
	start, _, _ := strings.Cut(msg.String(), "\r\n")
	switch {
	case strings.HasPrefix(want, "no "):
		if len(msg.GetHeaders(want[3:])) > 0 {
			return fmt.Errorf("%s is there", want[3:])
		}
		return nil
	case strings.HasPrefix(want, "start "):
		if !strings.HasSuffix(start, want[6:]) && !strings.HasPrefix(start, want[6:]) {
			return fmt.Errorf("it starts %q", start)
		}
		return nil
	case strings.HasPrefix(want, "sdp "):
		if !strings.Contains(string(msg.Body()), want[4:]) {
			return fmt.Errorf("its body is\n%s", msg.Body())
		}
		return nil
	}
	name, text, ok := strings.Cut(want, ": ")
	if !ok {
		return fmt.Errorf("%q isn't a check", want)
	}
	for _, h := range msg.GetHeaders(name) {
		if strings.Contains(h.Value(), text) {
			return nil
		}
	}
	return fmt.Errorf("no %s with %q in\n%s", name, text, msg)
}

func (s *scene) hears(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	switch m[2] {
	case "prompt":
		return a.media.WaitTone(ctx, promptHz)
	case "notice":
		return a.media.WaitSound(ctx)
	case "silence":
		return a.media.WaitQuiet(ctx, 250*time.Millisecond)
	}
	hz, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return err
	}
	return a.media.WaitTone(ctx, hz)
}

func (s *scene) says(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	hz, err := strconv.ParseFloat(m[2], 64)
	a.media.Tone(hz)
	return err
}

func (s *scene) presses(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	for _, k := range []byte(m[2]) {
		if err := a.media.Press(k, 80*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// noBreak: all that an actor heard was one stream.
func (s *scene) noBreak(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	got := a.media.Received()
	if ssrc, seq, ts := phone.Jumps(got); ssrc+seq+ts > 0 || len(got) == 0 {
		return fmt.Errorf("in %d packets: %d changes of SSRC, %d of sequence, %d of time", len(got), ssrc, seq, ts)
	}
	return nil
}

// again: a message came once more at least.
func (s *scene) again(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for a.repeats[m[2]] == 0 {
		next, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		msg, err := a.next(next)
		cancel()
		if err == nil {
			return fmt.Errorf("%s came instead", what(msg))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (s *scene) nothingMore(m []string) error {
	a, err := s.actor(m[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if msg, err := a.next(ctx); err == nil {
		return fmt.Errorf("%s came", what(msg))
	}
	return nil
}

func (s *scene) metric(m []string) error {
	want, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return err
	}
	end := time.Now().Add(deadline)
	for {
		got := s.gate.metric(m[1])
		if got == want {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("it is %v", got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// evidence stops the gate, once, and reads what it proves.
func (s *scene) evidence() *evidence {
	if s.ev == nil {
		s.gate.stop()
		ev := s.gate.evidence()
		s.ev = &ev
	}
	return s.ev
}

func (s *scene) log(m []string) error {
	if got := s.evidence().kinds(); got != m[1] {
		return fmt.Errorf("it says %q", got)
	}
	return nil
}

func (s *scene) recorded(m []string) error {
	s.evidence()
	st := s.gate.open(s.setup.dataDir)
	defer st.Close()
	found, _, err := st.Search(store.Query{Party: "+44 20 7946 0123"})
	if err != nil {
		return err
	}
	if strconv.Itoa(len(found)) != m[1] {
		return fmt.Errorf("%d recordings", len(found))
	}
	var least int
	if _, err := fmt.Sscanf(m[2], " of %d ms", &least); err == nil {
		for _, f := range found {
			var wav bytes.Buffer
			if _, err := st.WAV(context.Background(), f.ID, &wav); err != nil {
				return err
			}
			if f.Seconds*1000 < float64(least) || wav.Len() < 44+least*8*4 {
				return fmt.Errorf("%.3f s, %d bytes of WAV", f.Seconds, wav.Len())
			}
		}
	}
	return nil
}

func (s *scene) sealed(m []string) error {
	for _, e := range s.evidence().entries {
		if e.Type == store.TypeSealed && strings.Contains(string(e.Payload), `"reason":"`+m[1]) {
			return nil
		}
	}
	return fmt.Errorf("no recording was sealed so")
}

func (s *scene) smallDisk(_ []string) error {
	s.disk = s.t.TempDir()
	if err := syscall.Mount("tmpfs", s.disk, "tmpfs", 0, "size=12m"); err != nil {
		s.t.Skipf("NOT TESTED: a real full disk needs the right to mount (%v)", err)
	}
	s.t.Cleanup(func() { _ = syscall.Unmount(s.disk, syscall.MNT_DETACH) })
	s.setup.dataDir = filepath.Join(s.disk, "data")
	return nil
}

func (s *scene) fillDisk(m []string) error {
	path := filepath.Join(s.disk, "ballast")
	if m[1] == "free" {
		return os.Remove(path)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, n := range []int{1 << 16, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
	}
	return f.Close()
}
