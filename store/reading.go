package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
)

// Reading is what a recording's file told while it was read.
type Reading struct {
	Record  consent.Record // the consent it was made under
	Started time.Time
	Length  time.Duration
	Gaps    []Gap
	Reason  string   // why it ended
	Final   bool     // it was ended in order
	Damaged string   // what stopped the reading before the file's end; "" if nothing
	Unheard []string // encodings that can't be rendered
	Frames  uint64
	Hash    [32]byte
}

// Gap is a span in which a party wasn't recorded, and why.
type Gap struct {
	Party    consent.Party
	Cause    string
	From, To time.Duration // since Started
}

// ErrDamaged means that a recording isn't what the log says it was.
var ErrDamaged = errors.New("the recording is damaged")

// read goes through a recording's file up to its last good frame; f gets every
// packet and format.
func (s *Store) read(ctx context.Context, id string, f func(content) error) (out Reading, err error) {
	r, ok, err := s.row(id)
	if err != nil {
		return out, err
	}
	if !ok {
		return out, ErrNotFound
	}
	k, err := s.keys.fileKey(id, r)
	if err != nil {
		return out, err
	}
	file, err := s.openFile(id)
	if err != nil {
		return out, fmt.Errorf("opening a recording: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	fr, err := openFrames(file, k)
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for ctx.Err() == nil {
		plain, err := fr.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errFrame) {
			out.Damaged = fmt.Sprintf("frame %d: %v", fr.count, err)
			break
		}
		if err != nil {
			return out, fmt.Errorf("reading recording %s: %w", id, err)
		}
		if err := out.take(plain, f); err != nil {
			return out, fmt.Errorf("recording %s, frame %d: %w", id, fr.count-1, err)
		}
	}
	out.Final, out.Frames, out.Hash = fr.final, fr.count, fr.hash
	return out, ctx.Err()
}

// openFile opens a recording's file, whichever of its names it has: it may be
// renamed between the two tries, so there is a third.
func (s *Store) openFile(id string) (file *os.File, err error) {
	live := s.livePath(id)
	for _, path := range []string{sealedPath(live), live, sealedPath(live)} {
		if file, err = os.Open(path); !errors.Is(err, os.ErrNotExist) {
			return file, err
		}
	}
	return nil, err
}

// take reads a frame's content.
func (out *Reading) take(plain []byte, f func(content) error) error {
	d := decoder{b: plain}
	for c, ok := d.next(); ok; c, ok = d.next() {
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
			out.Reason = c.text
		default:
			if err := f(c); err != nil {
				return err
			}
		}
	}
	return d.err()
}

// Check reads a recording to its end and compares it with the log: that every
// frame opens, in order; that they are as many as were logged when it was
// sealed, and the same; that it was made under the consent its key is bound to.
// ErrDamaged: it isn't so. A recording that is still being written is read as
// far as it has come.
func (s *Store) Check(ctx context.Context, id string) (Reading, error) {
	r, ok, err := s.row(id)
	if err != nil {
		return Reading{}, err
	}
	if !ok {
		return Reading{}, ErrNotFound
	}
	s.mu.Lock()
	_, live := s.live[id]
	s.mu.Unlock()
	got, err := s.read(ctx, id, func(content) error { return nil })
	if err != nil || live {
		return got, err
	}
	if got.Damaged != "" {
		return got, fmt.Errorf("%w: %s", ErrDamaged, got.Damaged)
	}
	if got.Record.Hash() != r.Grant {
		return got, fmt.Errorf("%w: it was made under another consent", ErrDamaged)
	}
	logged, err := s.loggedEnd(id, r)
	if err != nil {
		return got, err
	}
	if hash := hex.EncodeToString(got.Hash[:]); got.Frames != logged.Frames || hash != logged.Hash {
		return got, fmt.Errorf("%w: it has %d frames with hash %s, the log says %d with %s", ErrDamaged,
			got.Frames, hash, logged.Frames, logged.Hash)
	}
	return got, nil
}

// loggedEnd finds what the log says of a recording's end.
func (s *Store) loggedEnd(id string, r row) (out recordingEvent, err error) {
	err = fmt.Errorf("%w: its end isn't in the log", ErrDamaged)
	scanErr := s.Entries(r.End, func(e Entry) bool {
		var ev recordingEvent
		if e.Type == TypeSealed && json.Unmarshal(e.Payload, &ev) == nil && ev.Recording == id {
			out, err = ev, nil
			return false
		}
		return r.End == 0 // it is known where to look, or it must be searched
	})
	if scanErr != nil {
		return out, scanErr
	}
	return out, err
}

func (s *Store) row(id string) (r row, ok bool, err error) {
	err = s.keys.read(func(tx *bolt.Tx) (err error) {
		r, ok, err = getRow(tx, id)
		return err
	})
	return r, ok, err
}

func (s *Store) byGrant(g consent.Hash) (id string, r row, ok bool, err error) {
	err = s.keys.read(func(tx *bolt.Tx) (err error) {
		if b := tx.Bucket(bGrant).Get(g[:]); b != nil {
			id = string(b)
			r, ok, err = getRow(tx, id)
		}
		return err
	})
	return id, r, ok, err
}
