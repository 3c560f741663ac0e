package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// source gives a recording's records in the order of its file. They are valid
// until the next call.
type source interface{ next() (content, error) }

// reel is a recording's file that is being read, whichever form it has.
type reel struct {
	id     string
	file   *reader
	src    source
	frames *frames     // of a live file, or one that an earlier version sealed
	sealed *sealedFile // of a sealed one
	key    []byte      // of that
	fault  string      // what is wrong with the file although it can be read
	out    Reading
	gaps   gapMap
}

// openReel opens a recording's file. A recording may be sealed meanwhile: then
// row and file are looked for again.
func (s *Store) openReel(ctx context.Context, id string) (*reel, error) {
	for try := 0; ; try++ {
		r, ok, err := s.row(id)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, ErrNotFound
		}
		away := s.ensure(ctx, id, r)
		reel, err := s.tryReel(id, r)
		if err != nil && away != nil {
			return nil, errors.Join(err, away)
		}
		if err == nil || try == 2 || !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errSealedNow) {
			return reel, err
		}
	}
}

// errSealedNow means that a recording was sealed after its row was read.
var errSealedNow = errors.New("the recording was sealed meanwhile")

func (s *Store) tryReel(id string, r row) (_ *reel, err error) {
	live := s.livePath(id)
	paths := []string{live, sealedPath(live)}
	if r.File != nil {
		paths = paths[1:]
	}
	var f *os.File
	for _, path := range paths {
		if f, err = os.Open(path); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening a recording: %w", err)
	}
	out := &reel{id: id, file: &reader{File: f}}
	if r.File != nil {
		err = s.openSealedReel(out, r)
	} else {
		err = s.openFrameReel(out, r)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return out, nil
}

func (s *Store) openFrameReel(out *reel, r row) error {
	if sealed, err := isSealed(out.file.File); err != nil || sealed {
		return errors.Join(err, errSealedNow)
	}
	k, err := s.keys.fileKey(out.id, r)
	if err != nil {
		return err
	}
	if out.frames, err = openFrames(out.file, k); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	out.src = &frameSource{frames: out.frames}
	return nil
}

func (s *Store) openSealedReel(out *reel, r row) error {
	err := s.keys.view(func(t keysTx) (err error) {
		out.key, err = t.sealedKey(out.id, r)
		return err
	})
	if err != nil {
		return err
	}
	if out.sealed, err = openSealed(out.file, out.id, out.key); err != nil && out.file.failed == nil {
		out.fault = err.Error() // as far as it is good it can be read
		out.sealed, err = streamSealed(out.file, out.id, out.key)
	}
	if out.file.failed != nil {
		return fmt.Errorf("reading recording %s: %w", out.id, out.file.failed)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	out.src = out.sealed
	return nil
}

// frameSource takes records out of frames.
type frameSource struct {
	frames  *frames
	content decoder
}

func (f *frameSource) next() (content, error) {
	for {
		if c, ok := f.content.next(); ok {
			return c, nil
		}
		if err := f.content.err(); err != nil {
			return content{}, fmt.Errorf("frame %d: %w", f.frames.count-1, err)
		}
		plain, err := f.frames.next()
		if err != nil {
			return content{}, err
		}
		f.content = decoder{b: plain}
	}
}

// next returns the next record; io.EOF at the end, or where the file is good no
// further, which the reading tells.
func (r *reel) next() (content, error) {
	c, err := r.src.next()
	switch {
	case err == nil:
		r.gaps.take(c)
		if err := r.out.record(c); err != nil {
			return c, fmt.Errorf("recording %s: %w", r.id, err)
		}
		return c, nil
	case errors.Is(err, io.EOF):
		r.out.Damaged = r.fault
	case errors.Is(err, errFrame):
		r.out.Damaged = fmt.Sprintf("frame %d: %v", r.frames.count, err)
	case r.file.failed == nil && r.sealed != nil:
		r.out.Damaged = err.Error()
	default:
		return c, fmt.Errorf("reading recording %s: %w", r.id, err)
	}
	r.end()
	return content{}, io.EOF
}

// end puts together what the reading tells at its end.
func (r *reel) end() {
	if r.frames != nil {
		r.out.Final, r.out.Frames, r.out.Hash = r.frames.final, r.frames.count, r.frames.hash
	} else if last := r.sealed.standardReader.sealed; last != nil {
		r.out.Frames, r.out.Hash = last.Frames, last.Hash
	}
	r.out.Gaps = r.gaps.gaps(r.out.Gaps, r.out.Length)
}

func (r *reel) close() error { return r.file.Close() }

// read goes through a recording's file up to where it is good; f gets every
// packet and format.
func (s *Store) read(ctx context.Context, id string, f func(content) error) (out Reading, err error) {
	r, err := s.openReel(ctx, id)
	if err != nil {
		return out, err
	}
	defer func() {
		if err = errors.Join(err, r.close()); (out.Damaged != "" || errors.Is(err, ErrDamaged)) && !s.isLive(id) && s.endingOf(id) == nil {
			s.keys.refused.add("recording")
		}
	}()
	for ctx.Err() == nil {
		c, err := r.next()
		if errors.Is(err, io.EOF) {
			return r.out, nil
		}
		if err != nil {
			return r.out, err
		}
		if c.kind == recRTP || c.kind == recFormat {
			if err := f(c); err != nil {
				return r.out, err
			}
		}
	}
	return r.out, ctx.Err()
}

// record takes what a record says of the recording.
func (out *Reading) record(c content) error {
	out.Length = max(out.Length, c.at, c.to)
	switch c.kind {
	case recMeta:
		var m meta
		if err := json.Unmarshal(c.data, &m); err != nil {
			return fmt.Errorf("its first record: %w", err)
		}
		out.Record, out.Started = m.Record, m.Started
	case recGap:
		out.Gaps = append(out.Gaps, Gap{c.party, c.text, c.at, c.to})
	case recEnd:
		out.Reason, out.Final = c.text, true
	}
	return nil
}

// seek has the next records be those from a time on, or some from before it. ok
// is false where that can't be.
func (r *reel) seek(at time.Duration) (s stage, ok bool) {
	if r.sealed == nil || r.sealed.plain == nil {
		return s, false
	}
	index := r.sealed.last.Index
	p, ok := index.before(at)
	if !ok || p.Offset >= r.sealed.size {
		return s, false
	}
	started, err := r.started()
	if err != nil {
		return s, false
	}
	on := io.NewSectionReader(r.sealed.plain, p.Offset, r.sealed.size-p.Offset)
	r.sealed.standardReader = readOn(on, p.Offset, started)
	return index.stage(p), true
}

// started reads when the recording began.
func (r *reel) started() (time.Time, error) {
	if r.out.Started.IsZero() {
		if _, err := r.next(); err != nil {
			return time.Time{}, err
		}
	}
	return r.out.Started, nil
}
