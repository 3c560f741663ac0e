package media

import (
	"errors"
	"sync"
	"time"

	"consentgate/media/sockets"
)

// Played tells how a prompt ended. Heard counts what was sent to the party;
// Complete means all of it.
type Played struct {
	Heard    time.Duration
	Complete bool
	Err      error // why nothing could be played
}

// ErrCannotPlay: the party has no address now, or no codec that prompts have, or
// the prompt is empty, or the call is over.
var ErrCannotPlay = errors.New("the party can't be played a prompt now")

// tooLate is how far behind a player may be and still catch up by sending faster.
const tooLate = 200 * time.Millisecond

// player sends audio of ours to one leg's peer, a packet each Ptime by absolute
// time, so that it doesn't drift. It ends when the audio does or when stopped.
type player struct {
	leg    *Leg
	audio  *Audio
	notice bool // silence after the audio, until stopped

	quit   chan struct{}
	once   sync.Once
	silent chan struct{} // closed when no packet of it will follow
}

// Play plays a prompt to the leg's peer in place of what plays, and of the other
// party. done is called exactly once, perhaps before Play returns. It may start
// the next prompt, but not close the relay.
func (l *Leg) Play(a *Audio, done func(Played)) {
	p := l.place.Load()
	if a == nil || len(a.PCM) == 0 || p == nil || !p.RTP.IsValid() || p.plays == nil || !l.start(a, false, done) {
		l.Stop()
		done(Played{Err: ErrCannotPlay})
	}
}

// Notice plays audio once, then silence until something else is to be heard: the
// stream goes on, so that no telephone takes the line for dead. Nil is silence.
// A party that can't be played to now is when a re-INVITE makes it possible.
func (l *Leg) Notice(a *Audio) {
	if a == nil {
		a = quiet
	}
	l.start(a, true, func(Played) {})
}

// Stop ends what plays; when it returns no packet of it will follow.
func (l *Leg) Stop() {
	l.mu.Lock()
	p := l.player
	l.mu.Unlock()
	if p != nil {
		p.stop()
		<-p.silent
	}
}

func (p *player) stop() { p.once.Do(func() { close(p.quit) }) }

// start hands the leg over to a new player; false when the call is over.
func (l *Leg) start(a *Audio, notice bool, done func(Played)) bool {
	p := &player{leg: l, audio: a, notice: notice, quit: make(chan struct{}), silent: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	before := l.player
	l.player = p
	l.players.Add(1)
	l.mu.Unlock()
	if before != nil {
		before.stop()
	}
	go func() {
		defer l.players.Done()
		if before != nil {
			<-before.silent
		}
		played := p.run()
		close(p.silent)
		done(played)
	}()
	return true
}

// run is the player's goroutine.
func (p *player) run() Played {
	defer p.leg.out.yield()
	packet := make([]byte, 0, maxPacket)
	heard, at, all := 0, 0, len(p.audio.PCM)
	if to := p.leg.place.Load(); to != nil && to.plays != nil {
		p.audio.in(to.plays) // takes its time when it is the first of all calls
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	next, spurt := time.Now(), true
	for p.due(timer) {
		if at >= all && !p.notice {
			return Played{Heard: samples(heard), Complete: heard == all}
		}
		to := p.leg.place.Load()
		n := to.samples()
		sent := to != nil && p.leg.sendFrame(to, packet, p.audio, at, n, spurt)
		if sent {
			heard += min(n, all-min(at, all))
		} else {
			p.leg.out.yield()
		}
		at = min(at+n, all+tail)
		next, spurt = next.Add(samples(n)), !sent
		if now := time.Now(); now.Sub(next) > tooLate { // the machine slept: no burst, time went on instead
			next, spurt = now, true
		}
		timer.Reset(time.Until(next))
	}
	return Played{Heard: samples(heard)}
}

// due waits for the next packet's time; false when the player has been stopped.
func (p *player) due(timer *time.Timer) bool {
	select {
	case <-p.quit:
		return false
	case <-timer.C:
	}
	select {
	case <-p.quit:
		return false
	default:
		return true
	}
}

func samples(n int) time.Duration { return time.Duration(n) * time.Second / sampleRate }

// sendFrame sends one packet of n samples of the audio, in the codec of the
// moment, for a re-INVITE may change it.
func (l *Leg) sendFrame(to *place, packet []byte, a *Audio, from, n int, spurt bool) bool {
	c := to.plays
	if c == nil || !to.RTP.IsValid() {
		return false
	}
	packet = append(packet[:0], 0x80, to.Codec.PayloadType, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	l.out.next(uint32(n*c.Clock/sampleRate), c.Clock, spurt, time.Now()).put(packet)
	if spurt {
		setMarker(packet)
	}
	return l.send(append(packet, a.frame(c, from, n)...), to.Out, to.rtp.target(), (*sockets.Socket).Send)
}
