package scenario

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"

	"consentgate/internal/phone"
)

func (p *player) says(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	a.media.Mute(w[1] == "nothing")
	if w[1] == "nothing" {
		return nil
	}
	hz, err := strconv.ParseFloat(w[1], 64)
	a.media.Tone(hz)
	return err
}

func (p *player) presses(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	long, ends := 80*time.Millisecond, 3
	if d, ok := strings.CutPrefix(w[2], " for "); ok {
		if long, err = time.ParseDuration(d); err != nil {
			return err
		}
	}
	if w[3] != "" {
		ends = 0
	}
	for _, k := range []byte(w[1]) {
		if err := a.media.PressEnding(k, long, ends); err != nil {
			return err
		}
	}
	return nil
}

// plays presses keys as tones in the audio.
func (p *player) plays(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	long := 80 * time.Millisecond
	if d, ok := strings.CutPrefix(w[2], " for "); ok {
		if long, err = time.ParseDuration(d); err != nil {
			return err
		}
	}
	return a.media.PlayKeys(w[1], long)
}

// heardTones: whether tones of keys reached an actor.
func (p *player) heardTones(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	if got := phone.HearsKeys(a.media.Received()); got != (w[1] == "tones") {
		return fmt.Errorf("it is %t that it heard tones of keys", got)
	}
	return nil
}

func tone(word string) (float64, error) {
	if word == "prompt" {
		return PromptHz, nil
	}
	return strconv.ParseFloat(word, 64)
}

func (p *player) hears(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	ctx, cancel := within(stepTime)
	defer cancel()
	switch w[1] {
	case "notice":
		return a.media.WaitSound(ctx)
	case "silence":
		return a.media.WaitQuiet(ctx, 250*time.Millisecond)
	}
	hz, err := tone(w[1])
	if err != nil {
		return err
	}
	return a.media.WaitTone(ctx, hz)
}

func (p *player) neverHeard(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	hz, err := tone(w[1])
	if err != nil {
		return err
	}
	if phone.Hears(a.media.Received(), hz) {
		return errors.New("it did")
	}
	return nil
}

// heardKeys: the keys that reached an actor by RFC 4733, by that payload type if
// one is named. The last may still be under way.
func (p *player) heardKeys(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	want := strings.TrimPrefix(strings.TrimPrefix(w[1], "keys "), "no keys")
	ctx, cancel := within(stepTime)
	defer cancel()
	err = a.media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(phone.Keys(ps)) >= len(want) })
	if got := phone.Keys(a.media.Received()); got != want || err != nil {
		return fmt.Errorf("it heard %q (%v)", got, err)
	}
	if number := strings.TrimPrefix(w[2], " as "); number != "" {
		for _, pt := range phone.KeyTypes(a.media.Received()) {
			if strconv.Itoa(int(pt)) != number {
				return fmt.Errorf("it heard keys as %d", pt)
			}
		}
	}
	return nil
}

// noBreak: all that an actor heard was one stream.
func (p *player) noBreak(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	got := a.media.Received()
	if ssrc, seq, ts := phone.Jumps(got); ssrc+seq+ts > 0 || len(got) == 0 {
		return fmt.Errorf("in %d packets: %d changes of SSRC, %d of sequence, %d of time", len(got), ssrc, seq, ts)
	}
	return nil
}

// strayRTP sends half a second of strayHz to the media port that the gate has
// for somebody else.
func (p *player) strayRTP(w []string) error {
	a, err := p.actor(w[0])
	if err != nil {
		return err
	}
	to := p.actors[w[1]].media.To()
	if !to.IsValid() || to.Port() == 0 {
		return fmt.Errorf("the gate has no media port for %s yet", w[1])
	}
	return stray(a.addr().Addr(), to)
}

// strayHz is the tone of packets that belong to no call.
const strayHz = 700

func stray(from netip.Addr, to netip.AddrPort) error {
	conn, err := newSocket(from)
	if err != nil {
		return err
	}
	defer conn.Close()
	for n := range 25 {
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(n * 160), SSRC: 7}, Payload: make([]byte, 160)}
		for i := range p.Payload {
			p.Payload[i] = g711.EncodeUlawFrame(int16(8000 * math.Sin(2*math.Pi*strayHz*float64(n*160+i)/8000)))
		}
		raw, err := p.Marshal()
		if err != nil {
			return err
		}
		if _, err := conn.WriteToUDPAddrPort(raw, to); err != nil {
			return err
		}
	}
	return nil
}
