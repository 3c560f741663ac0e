package office

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"consentgate/console/access"
	"consentgate/store"
)

// playSession is how long after the last of them ranges of a recording belong to
// one listening.
const playSession = 10 * time.Minute

// Sound is a recording as a WAV file to listen to. Nothing of it is heard before
// the log has who hears it, when, what for, and which seconds: Ask says which bytes
// are wanted next; what is read without having been asked for is asked for to the
// file's end. It is for one goroutine, and to be closed.
//
// One listening is one entry, however many ranges a player makes of it: seconds
// that an entry has aren't logged again for the same user, recording and purpose
// until ten minutes after the last range. Other seconds are another entry.
type Sound struct {
	o       *Office
	ctx     context.Context
	s       *store.Store
	sound   *store.Sound
	key     playKey
	at      int64 // of the next byte read
	allowed span  // bytes that may be read
}

// Audio opens a recording for listening. ErrNoPurpose, ErrForbiddenPurpose,
// store.ErrRestricted: not so, and the log has that it was tried.
func (o *Office) Audio(ctx context.Context, p access.Principal, id, purpose string) (*Sound, error) {
	s, sum, err := o.recording(id)
	if err != nil {
		return nil, err
	}
	if err := o.mayUse(ctx, s, p, sum, purpose, store.Play); err != nil {
		return nil, err
	}
	sound, err := s.OpenWAV(ctx, id, store.WAVOptions{})
	if err != nil {
		return nil, err
	}
	return &Sound{o: o, ctx: ctx, s: s, sound: sound, key: playKey{p.Name, id, purpose}}, nil
}

// mayUse is the purpose at the door. Who is refused is logged; they are refused
// whether or not that can be.
func (o *Office) mayUse(ctx context.Context, s *store.Store, p access.Principal, sum store.Summary, purpose string, u store.Use) error {
	var err error
	switch {
	case purpose == "":
		return ErrNoPurpose
	case purpose != sum.Purpose:
		err = fmt.Errorf("%w: it was recorded for %q", ErrForbiddenPurpose, sum.Purpose)
	case sum.Restricted:
		err = fmt.Errorf("%w: it is kept, and may be used for legal claims or for its subject only", store.ErrRestricted)
	default:
		return nil
	}
	return errors.Join(err, s.UseRefused(ctx, sum.ID, p.Name, purpose, u))
}

// Size is the file's, in bytes.
func (s *Sound) Size() int64 { return s.sound.Size() }

// Close ends the reading.
func (s *Sound) Close() error { return s.sound.Close() }

// Seek is io.Seeker's.
func (s *Sound) Seek(offset int64, whence int) (at int64, err error) {
	s.at, err = s.sound.Seek(offset, whence)
	return s.at, err
}

// Ask says that bytes from one on to before another are wanted, and returns once the
// log has it.
func (s *Sound) Ask(from, to int64) error {
	wanted := span{max(from, s.sound.Head()), min(to, s.Size())}
	if wanted.from >= wanted.to {
		return nil // no sound
	}
	heard := span{int64(s.sound.At(wanted.from) / time.Second), int64((s.sound.At(wanted.to) + time.Second - 1) / time.Second)}
	if !s.o.plays.covers(s.key, heard) {
		from, until := time.Duration(heard.from)*time.Second, time.Duration(heard.to)*time.Second
		if from == 0 && wanted.to == s.Size() {
			until = 0 // all of it
		}
		if err := s.s.Played(s.ctx, s.key.recording, s.key.by, s.key.purpose, from, until); err != nil {
			return err
		}
		s.o.plays.add(s.key, heard)
	}
	s.allowed = wanted
	return nil
}

// Read is io.Reader's.
func (s *Sound) Read(p []byte) (int, error) {
	if s.at >= s.sound.Head() && s.at < s.Size() {
		if s.at < s.allowed.from || s.at >= s.allowed.to {
			if err := s.Ask(s.at, s.Size()); err != nil {
				return 0, err
			}
		}
		p = p[:min(int64(len(p)), s.allowed.to-s.at)]
	}
	if err := s.o.turns.take(s.ctx); err != nil {
		return 0, err
	}
	defer s.o.turns.give()
	n, err := s.sound.Read(p)
	s.at += int64(n)
	return n, err
}

// span is from one place to before another.
type span struct{ from, to int64 }

type playKey struct{ by, recording, purpose string }

// plays remembers what was logged of those who listen now.
type plays struct {
	now func() time.Time

	mu   sync.Mutex
	open map[playKey]*listening
}

type listening struct {
	heard []span // seconds
	last  time.Time
}

// playsMost bounds what is remembered; what isn't is logged again.
const playsMost = 4096

// covers reports whether the log has all of a span, and keeps the session open.
func (p *plays) covers(k playKey, s span) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.open[k]
	if l == nil || p.now().Sub(l.last) > playSession {
		delete(p.open, k)
		return false
	}
	for _, h := range l.heard {
		if h.from <= s.from && s.to <= h.to {
			l.last = p.now()
			return true
		}
	}
	return false
}

// add notes a span that the log has, and makes one of those that meet.
func (p *plays) add(k playKey, s span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for other, l := range p.open {
		if len(p.open) >= playsMost || now.Sub(l.last) > playSession {
			delete(p.open, other)
		}
	}
	if p.open == nil {
		p.open = map[playKey]*listening{}
	}
	l := p.open[k]
	if l == nil {
		l = &listening{}
		p.open[k] = l
	}
	l.last = now
	rest := l.heard[:0]
	for _, h := range l.heard {
		if h.to < s.from || s.to < h.from {
			rest = append(rest, h)
		} else {
			s = span{min(s.from, h.from), max(s.to, h.to)}
		}
	}
	l.heard = append(rest, s)
}
