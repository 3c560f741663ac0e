package store

import (
	"context"
	"crypto/sha256"
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
	Gaps    []Gap    // where there is no audio of a party: noted ones, and those found; by their beginnings
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

// Check reads a recording to its end and compares it with the log: that every
// packet is there as it was written, in order; that its file is, byte for byte,
// the one that was logged when it was sealed, made of as many live frames with
// the same hash and the same gaps; that it was made under the consent its key is
// bound to.
// ErrDamaged: it isn't so. A recording that is still being written is read as
// far as it has come.
// A damaged file that the archive has a copy of is checked with that in its place.
func (s *Store) Check(ctx context.Context, id string) (Reading, error) {
	got, err := s.check(ctx, id)
	if errors.Is(err, ErrDamaged) && s.unsound(id) {
		return s.check(ctx, id)
	}
	return got, err
}

func (s *Store) check(ctx context.Context, id string) (Reading, error) {
	r, ok, err := s.row(id)
	if err != nil {
		return Reading{}, err
	}
	if !ok {
		return Reading{}, ErrNotFound
	}
	live := s.isLive(id) || s.endingOf(id) != nil
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
	if why := logged.Gaps.differ(got.Gaps); why != "" {
		return got, fmt.Errorf("%w: %s", ErrDamaged, why)
	}
	if r.File == nil || logged.File == "" { // the frames are the file; or it was sealed after an end of an earlier version
		return got, nil
	}
	sum, size, err := sumOf(sealedPath(s.livePath(id)))
	if err != nil {
		return got, fmt.Errorf("reading recording %s: %w", id, err)
	}
	if hash := hex.EncodeToString(sum[:]); size != logged.Size || hash != logged.File {
		return got, fmt.Errorf("%w: its file has %d bytes with SHA-256 %s, the log says %d with %s", ErrDamaged,
			size, hash, logged.Size, logged.File)
	}
	return got, nil
}

// sumOf is a file's SHA-256 and size.
func sumOf(path string) (sum [sha256.Size]byte, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, 0, err
	}
	h := sha256.New()
	size, err = io.Copy(h, f)
	h.Sum(sum[:0])
	return sum, size, errors.Join(err, f.Close())
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
