package media

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// Played tells how a prompt ended. Heard counts what was sent to the party;
// Complete means all of it.
type Played struct {
	Heard    time.Duration
	Complete bool
	Err      error // why nothing could be played
}

// ErrCannotPlay: the party has no address now, or no codec that prompts have.
var ErrCannotPlay = errors.New("the party can't be played a prompt now")

// player sends audio of ours to one leg's peer, a packet each Ptime by absolute
// time, so that it doesn't drift. It ends when the audio does or when stopped.
type player struct {
	leg   *Leg
	audio []int16
	then  bool // silence after the audio, until stopped
	quit  chan struct{}
	ended sync.WaitGroup
}

// Play plays a prompt to the leg's peer. What played before is stopped first.
// done is called once, perhaps before Play returns, and must not call the leg.
func (l *Leg) Play(a *Audio, done func(Played)) {
	l.playing.Lock()
	defer l.playing.Unlock()
	l.stop()
	if p := l.place.Load(); p == nil || !p.RTP.IsValid() || p.Codec.encoder() == nil {
		done(Played{Err: ErrCannotPlay})
		return
	}
	l.start(a.PCM, false, done)
}

// Notice plays audio once, then silence until something else is to be heard: the
// stream goes on, so that no telephone takes the line for dead. Nil is silence.
func (l *Leg) Notice(a *Audio) {
	l.playing.Lock()
	defer l.playing.Unlock()
	l.stop()
	var pcm []int16
	if a != nil {
		pcm = a.PCM
	}
	l.start(pcm, true, func(Played) {})
}

// Stop ends what plays; when it returns no packet of it will follow.
func (l *Leg) Stop() {
	l.playing.Lock()
	defer l.playing.Unlock()
	l.stop()
}

func (l *Leg) stop() {
	if l.player != nil {
		close(l.player.quit)
		l.player.ended.Wait()
		l.player = nil
	}
}

func (l *Leg) start(pcm []int16, then bool, done func(Played)) {
	p := &player{leg: l, audio: pcm, then: then, quit: make(chan struct{})}
	l.player = p
	l.speaking.Store(true)
	p.ended.Go(func() {
		played := p.run()
		l.speaking.Store(false)
		done(played)
	})
}

func (p *player) run() Played {
	var played Played
	total := (&Audio{PCM: p.audio}).Duration()
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	packet := make([]byte, 12, 12+sampleRate/10)
	spurt, next := true, start
	for {
		select {
		case <-p.quit:
			return played
		case <-timer.C:
		}
		if len(p.audio) == 0 && !p.then {
			played.Complete = played.Heard >= total
			return played
		}
		to := p.leg.place.Load()
		if to == nil { // no description yet: time passes, nothing is sent
			to = &place{Peer: Peer{Ptime: 20 * time.Millisecond}}
		}
		n := int(to.Ptime * sampleRate / time.Second)
		frame := p.audio[:min(n, len(p.audio))]
		p.audio = p.audio[len(frame):]
		if p.leg.sendFrame(to, packet, frame, n, spurt) {
			played.Heard += time.Duration(len(frame)) * time.Second / sampleRate
			spurt = false
		} else {
			spurt = true
		}
		next = next.Add(to.Ptime)
		timer.Reset(time.Until(next))
	}
}

// sendFrame sends one packet of n samples: the frame and silence behind it, in
// the codec of the moment, for a re-INVITE may change it.
func (l *Leg) sendFrame(to *place, packet []byte, frame []int16, n int, spurt bool) bool {
	encode := to.Codec.encoder()
	if encode == nil || !to.RTP.IsValid() {
		return false
	}
	seq, ts, ssrc := l.out.next(uint32(n), spurt, time.Now())
	packet = packet[:12]
	packet[0], packet[1] = 0x80, to.Codec.PayloadType
	if spurt {
		packet[1] |= 0x80
	}
	binary.BigEndian.PutUint16(packet[2:], seq)
	binary.BigEndian.PutUint32(packet[4:], ts)
	binary.BigEndian.PutUint32(packet[8:], ssrc)
	for _, s := range frame {
		packet = append(packet, encode(s))
	}
	for range n - len(frame) {
		packet = append(packet, encode(0))
	}
	l.send(packet, to)
	return true
}
