package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var errSeek = errors.New("there is nothing at that place of the file")

// Sound is a recording as a WAV file that can be read from any place: it
// decodes from shortly before there on. It is for one goroutine.
type Sound struct {
	ctx   context.Context
	store *Store
	id    string
	plan  plan
	head  []byte
	size  int64
	at    int64 // of the next byte read

	reel     *reel
	renderer *renderer
	waits    *content // read, and to be taken when what is before it is written
	fresh    bool     // the reel stands at its beginning
	last     bool     // and so at its end
	ended    bool     // all is rendered
}

// buffer holds bytes between writer and reader.
type buffer struct {
	b    []byte
	read int
}

func (b *buffer) Read(p []byte) int {
	n := copy(p, b.b[b.read:])
	if b.read += n; b.read == len(b.b) {
		b.b, b.read = b.b[:0], 0
	}
	return n
}

// OpenWAV opens a recording as a WAV file, to be read in part or whole (HTTP
// ranges, an io.ReadSeeker). It is the caller's to close. ErrRestricted: as WAV.
func (s *Store) OpenWAV(ctx context.Context, id string, o WAVOptions) (*Sound, error) {
	if err := s.mayUse(id); err != nil {
		return nil, err
	}
	return s.openWAV(ctx, id, o)
}

// openWAV is OpenWAV of what may be used.
func (s *Store) openWAV(ctx context.Context, id string, o WAVOptions) (_ *Sound, err error) {
	out := &Sound{ctx: ctx, store: s, id: id, fresh: true}
	if out.reel, err = s.openReel(ctx, id); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.reel.close())
		}
	}()
	need, length := scout{rate: narrow}, time.Duration(0)
	if sealed := out.reel.sealed; sealed != nil && sealed.plain != nil {
		need.spoken, length = sealed.last.Spoken, micros(sealed.last.Length)
	} else {
		first, err := s.read(ctx, id, need.take)
		if err != nil {
			return nil, err
		}
		length = first.Length
	}
	if out.plan, err = newPlan(need.spoken, length, o); err != nil {
		return nil, fmt.Errorf("recording %s: %w", id, err)
	}
	out.head = out.plan.head()
	out.size = int64(len(out.head)) + out.plan.samples()*out.plan.width()
	out.renderer = newRenderer(out.plan)
	return out, nil
}

// Size is the file's, in bytes.
func (s *Sound) Size() int64 { return s.size }

// Head is the length of what comes before the first sound, in bytes.
func (s *Sound) Head() int64 { return int64(len(s.head)) }

// At is the moment of the recording that a byte of the file is of; 0 before the
// first sound.
func (s *Sound) At(offset int64) time.Duration {
	sample := max(offset-s.Head(), 0) / s.plan.width()
	return time.Duration(sample) * time.Second / time.Duration(s.plan.rate)
}

// Close ends the reading.
func (s *Sound) Close() error { return s.reel.close() }

// Seek is io.Seeker's.
func (s *Sound) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return s.at, errSeek
	}
	if offset == s.at {
		return s.at, nil
	}
	s.at = offset
	s.renderer, s.waits = nil, nil // to be found anew
	return offset, nil
}

// Read is io.Reader's.
func (s *Sound) Read(p []byte) (int, error) {
	if s.at >= s.size && (s.ended || s.renderer == nil) {
		return 0, io.EOF
	}
	if s.at < int64(len(s.head)) {
		n := copy(p, s.head[s.at:])
		s.at += int64(n)
		return n, nil
	}
	if s.renderer == nil {
		if err := s.find(); err != nil {
			return 0, err
		}
	}
	for len(s.renderer.out.b) == 0 && !s.ended {
		if err := s.more(); err != nil {
			return 0, err
		}
	}
	n := s.renderer.out.Read(p)
	if s.at += int64(n); n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// more renders on, by one record or some seconds.
func (s *Sound) more() error {
	if err := s.ctx.Err(); err != nil || s.renderer.write() {
		return err
	}
	if s.waits != nil {
		s.renderer.take(*s.waits)
		s.waits = nil
		return nil
	}
	if s.ended = s.last; s.ended {
		return nil
	}
	c, err := s.reel.next()
	s.fresh = false
	if errors.Is(err, io.EOF) {
		s.last = true
		s.renderer.end()
		return nil
	}
	if err != nil {
		return err
	}
	s.renderer.before(c)
	s.waits = &c
	return nil
}

// find has reading go on at the byte that is wanted.
func (s *Sound) find() error {
	sample := (s.at - int64(len(s.head))) / s.plan.width()
	s.renderer, s.last, s.ended = newRenderer(s.plan), false, false
	at := time.Duration(sample)*time.Second/time.Duration(s.plan.rate) - runUp
	if stage, ok := s.reel.seek(at); ok {
		s.renderer.stage = stage
	} else if err := s.rewind(); err != nil {
		return err
	}
	s.fresh = false
	s.renderer.done = sample
	for over := (s.at - int64(len(s.head))) % s.plan.width(); over > 0; over-- {
		for len(s.renderer.out.b) == 0 && !s.ended {
			if err := s.more(); err != nil {
				return err
			}
		}
		s.renderer.out.Read(make([]byte, 1))
	}
	return nil
}

// rewind opens the file anew.
func (s *Sound) rewind() (err error) {
	if s.fresh {
		return nil
	}
	old := s.reel
	if s.reel, err = s.store.openReel(s.ctx, s.id); err != nil {
		s.reel = old
		return err
	}
	return old.close()
}
