package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"

	"consentgate/internal/durable"
	"consentgate/store/rights"
)

// A recording is sealed when its call has ended: its live file is written anew as
// a sealed one, which is then read back, gets its name, its key, and its entry in
// the log, in this order; then the live file goes. Until the entry is in the log
// the live file is the recording, and sealing begins anew with another key: so
// no nonce is used twice, and nothing is lost with what is half done.

// sealAgain is how often recordings are tried again that couldn't be sealed.
const sealAgain = 5 * time.Second

// sealAtOnce is how many recordings are sealed at the same time: calls are
// relayed meanwhile, and what waits is safe.
func sealAtOnce() int { return max(1, runtime.GOMAXPROCS(0)/4) }

// ended is a recording that has ended and isn't sealed yet.
type ended struct {
	id    string
	row   row
	most  uint64 // live frames that count
	least uint64 // live frames that were written or anchored: fewer, and some are missing
	fault string // why it is incomplete; "" where it isn't known to be
	crash bool   // it was found at a start
	trunk string // whose quota it counts for, with so many bytes, until it is sealed
	bytes int64

	mu   sync.Mutex // held by who seals it
	made *made      // once its file has its name
	over bool       // it is sealed, or erased
}

// made is a sealed file.
type made struct {
	ending
	key []byte
}

// seal seals one, when it is its turn. What fails is tried again by the sealer,
// and by the next start.
func (s *Store) seal(e *ended) {
	s.reached("ended")
	s.turns <- struct{}{}
	defer func() { <-s.turns }()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return
	}
	if err := s.sealOne(e); err != nil {
		s.log.Error("a recording can't be sealed yet", "recording", e.id, "error", err)
		if errors.Is(err, syscall.EIO) {
			s.tryDisk()
		}
		return
	}
	e.over = true
	s.usage.add(e.trunk, -e.bytes)
	s.mu.Lock()
	delete(s.ending, e.id)
	s.mu.Unlock()
	if len(s.desk.file(e.id).Asks) > 0 {
		s.settleSoon(e.id)
	}
}

// sealer is the goroutine that seals what couldn't be sealed at first.
func (s *Store) sealer() {
	tick := time.NewTicker(sealAgain)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		s.sealAll()
	}
}

func (s *Store) sealAll() {
	for _, e := range s.unsealed() {
		select {
		case <-s.quit:
			return
		default:
			s.seal(e)
		}
	}
}

// tryDisk finds out whether it is one file that the disk doesn't read or write, or
// all: then keys.db fails, too, and nobody is asked for a recording any more.
func (s *Store) tryDisk() {
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	if err := s.keys.commit(ctx, setVersion); err != nil { // to what it is
		s.log.Error("the disk takes nothing", "error", err)
	}
}

// sealRest tries for the last time, for some seconds: what is left then the next
// start seals.
func (s *Store) sealRest() {
	until := time.Now().Add(startSealing)
	for _, e := range s.unsealed() {
		if time.Now().Before(until) {
			s.seal(e)
		}
	}
}

func (s *Store) unsealed() []*ended {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*ended, 0, len(s.ending))
	for _, e := range s.ending {
		out = append(out, e)
	}
	return out
}

// sealOne does what is left to do. After an error it may be called again: what
// may have become durable is then written again as it was.
func (s *Store) sealOne(e *ended) error {
	if e.made == nil {
		m, err := s.makeSealed(e, s.goes(e.id))
		if err != nil {
			return err
		}
		s.reached("named")
		e.made = m
		if m.frames == 0 { // it never began: settleGrants says so
			return durable.Remove(s.livePath(e.id))
		}
		s.metrics.recordings.WithLabelValues(m.state()).Inc()
	}
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	if e.made.key != nil {
		if err := s.keepKey(ctx, e); err != nil {
			return err
		}
		s.reached("kept")
	}
	if err := s.logEnd(ctx, e.id, e.row, e.made.ending); err != nil {
		return err
	}
	s.reached("logged")
	if e.made.key == nil { // it will be erased: the live file is its only one
		return nil
	}
	return durable.Remove(s.livePath(e.id))
}

// keepKey puts the sealed file's key into the recording's row.
func (s *Store) keepKey(ctx context.Context, e *ended) error {
	err := s.keys.update(ctx, func(t keysTx) error {
		rk, _, err := t.grantKey(e.row.Grant)
		if err != nil {
			return err
		}
		return t.setFile(e.id, &sealedRow{Key: seal(derive(rk, forSealedFile, nil), asFileKey, e.id, e.made.key)})
	})
	if err != nil {
		return fmt.Errorf("keeping a sealed file's key: %w", err)
	}
	return nil
}

// forgetKey takes the key of a sealed file away that another will replace.
func (s *Store) forgetKey(id string) error {
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	return s.keys.update(ctx, func(t keysTx) error { return t.setFile(id, nil) })
}

// setFile changes what a recording's row has of its sealed file.
func (t keysTx) setFile(id string, file *sealedRow) error {
	r, ok, err := getRow(t.Tx, id)
	if err != nil || !ok {
		return errors.Join(err, ErrNotFound)
	}
	r.File = file
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return t.Bucket(bRecording).Put([]byte(id), raw)
}

// makeSealed makes a recording's sealed file, with its name; one that will be
// erased is only read.
func (s *Store) makeSealed(e *ended, erase bool) (m *made, err error) {
	if e.row.File != nil {
		if err := s.forgetKey(e.id); err != nil {
			return nil, err
		}
	}
	live := s.livePath(e.id)
	in, err := s.openLive(e)
	if errors.Is(err, errNoHeader) {
		return &made{}, nil // cut off before it began: nothing of it is good
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	if erase {
		if err := in.copy(func(c content) error { in.gaps.take(c); return nil }); err != nil {
			return nil, err
		}
		return &made{ending: in.ending()}, nil
	}
	m, err = s.writeSealed(in, unfinishedPath(live))
	if err != nil || m.frames == 0 {
		return m, errors.Join(err, durable.Remove(unfinishedPath(live)))
	}
	s.reached("written")
	return m, durable.Rename(unfinishedPath(live), sealedPath(live))
}

// writeSealed writes a sealed file and reads it back.
func (s *Store) writeSealed(in *liveFile, path string) (m *made, err error) {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sealing a recording: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	key := &keyless{id: in.e.id}
	sum := sha256.New()
	size := &counter{}
	enc, err := age.Encrypt(io.MultiWriter(out, sum, size), key)
	if err != nil {
		return nil, fmt.Errorf("sealing a recording: %w", err)
	}
	digest, err := in.capture(enc)
	if err == nil {
		err = errors.Join(enc.Close(), out.Sync())
	}
	if err != nil {
		return nil, fmt.Errorf("sealing a recording: %w", err)
	}
	s.reached("synced")
	m = &made{ending: in.ending(), key: key.key}
	m.file = sealedSum{[sha256.Size]byte(sum.Sum(nil)), size.n}
	if m.frames == 0 {
		return &made{}, nil
	}
	return m, readBack(out, in.e.id, *m, digest)
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

// errReadBack means that a file isn't what was written into it.
var errReadBack = errors.New("the sealed file isn't what was written into it")

// readBack reads a sealed file whole and compares it with what was to be in it.
func readBack(out *os.File, id string, m made, digest [sha256.Size]byte) error {
	file, sum := &reader{File: out}, sha256.New()
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	plain, err := age.Decrypt(io.TeeReader(file, sum), keyed{id, m.key})
	if err != nil {
		return fmt.Errorf("%w: %w", errReadBack, err)
	}
	r := newStandardReader(plain)
	again := newStandardWriter(io.Discard)
	for {
		c, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errReadBack, errors.Join(err, file.failed))
		}
		again.digestOf(c)
	}
	if [sha256.Size]byte(again.digest.Sum(nil)) != digest || r.sealed.Records != r.count ||
		[sha256.Size]byte(sum.Sum(nil)) != m.file.sha256 {
		return errReadBack
	}
	return nil
}

// goes reports whether a recording is to be erased now that it has ended: then it
// needn't be sealed. With that the erasure has begun, and no hold can be put on
// that would find a recording that wasn't sealed.
func (s *Store) goes(id string) bool {
	f := s.desk.file(id)
	if len(f.Asks) == 0 || f.Decide(false).Erase == rights.None {
		return false
	}
	going := false // written by the committer; read here only after it answered
	err := within(func(ctx context.Context) error {
		return s.amend(ctx, id, func(f *rights.File) ([]untold, error) {
			going = f.Go(false) != rights.None
			return nil, nil
		})
	})
	return err == nil && going
}

// sealNow has one that waits to be sealed sealed at once, as far as it needs to
// be. It reports whether it is, before ctx ends.
func (s *Store) sealNow(ctx context.Context, e *ended) bool {
	done := make(chan bool, 1)
	s.workers.Go(func() {
		s.seal(e)
		e.mu.Lock()
		defer e.mu.Unlock()
		done <- e.over
	})
	select {
	case over := <-done:
		return over
	case <-ctx.Done():
		return false
	}
}
