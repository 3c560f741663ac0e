package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// allFrames is the most that count where it isn't known how many do.
const allFrames = math.MaxUint64

// liveFile is a live file that is being sealed: its good frames, in order.
type liveFile struct {
	e      *ended
	file   *reader
	frames *frames
	scout  scout
	gaps   gapMap
	noted  []Gap
	length time.Duration
	reason string
}

func (s *Store) openLive(e *ended) (*liveFile, error) {
	k, err := s.keys.fileKey(e.id, e.row)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(s.livePath(e.id))
	if err != nil {
		return nil, err
	}
	in := &liveFile{e: e, file: &reader{File: f}, scout: scout{rate: narrow}}
	if in.frames, err = openFrames(in.file, k); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return in, nil
}

func (in *liveFile) close() error { return in.file.Close() }

// copy gives the records of the good frames that count. put has the gap map take
// them.
func (in *liveFile) copy(put func(content) error) error {
	for in.frames.count < in.e.most {
		plain, err := in.frames.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errFrame) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading recording %s: %w", in.e.id, err)
		}
		d := decoder{b: plain}
		for c, ok := d.next(); ok; c, ok = d.next() {
			in.length = max(in.length, c.at, c.to)
			switch c.kind {
			case recGap:
				in.noted = append(in.noted, Gap{c.party, c.text, c.at, c.to})
			case recEnd:
				in.reason = c.text
			}
			if err := errors.Join(in.scout.take(c), put(c)); err != nil {
				return err
			}
		}
		if err := d.err(); err != nil {
			return fmt.Errorf("recording %s, frame %d: %w", in.e.id, in.frames.count-1, err)
		}
	}
	return nil
}

// capture writes the recording in its standard form; digest is of its records.
func (in *liveFile) capture(w io.Writer) (digest [sha256.Size]byte, err error) {
	out := newStandardWriter(w)
	index := indexer{}
	err = in.copy(func(c content) error {
		index.take(c, out.off)
		return out.put(c)
	})
	in.gaps = index.gaps
	if err != nil || in.frames.count == 0 {
		return digest, err
	}
	err = out.close(sealNote{ID: in.e.id, Frames: in.frames.count, Hash: in.frames.hash, Length: in.length.Microseconds(),
		Spoken: in.scout.spoken, Index: index.done()})
	return [sha256.Size]byte(out.digest.Sum(nil)), err
}

// ending is how the recording ended, when its frames have been read. It is to be
// called once.
func (in *liveFile) ending() ending {
	e := ending{progress: progress{frames: in.frames.count, hash: in.frames.hash, bytes: in.frames.offset}, length: in.length, reason: in.reason,
		truncated: recorderFailed(in.reason), gaps: tellGaps(in.gaps.gaps(in.noted, in.length))}
	switch {
	case in.frames.count < in.e.least:
		e.truncated = true
		e.reason = fmt.Sprintf("truncated: %d frames are there, "+fewerThanLogged+" %d", in.frames.count, in.e.least)
		if !in.e.crash {
			e.reason = fmt.Sprintf("truncated: %d frames are there, %d were written", in.frames.count, in.e.least)
		}
	case in.e.fault != "":
		e.reason, e.truncated = in.e.fault, true
	case !in.frames.final:
		e.reason, e.truncated = "truncated: "+whileRecording, true
	}
	return e
}
