package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/archive"
)

// Types of audit entries that an archive makes.
const (
	TypeArchived       = "recording.archived" // a sealed recording was copied, and read back there
	TypeArchiveDeleted = "archive.deleted"    // no version of an erased recording's object is there any more
)

// archiveTimes are an archiver's; tests have others.
type archiveTimes struct {
	idle   time.Duration // it looks so often whether there is something to do, unless it is woken
	first  time.Duration // it waits after a failure, twice as long after each more
	most   time.Duration // but no longer
	rest   time.Duration // one thing that was refused isn't tried again before, and twice as long after each refusal more
	longer time.Duration // but no longer
	settle time.Duration // after a put that nobody answered its object may still appear
	sweep  time.Duration // it looks through the archive so often
}

var patientArchive = archiveTimes{idle: 30 * time.Second, first: time.Second, most: 5 * time.Minute, rest: 5 * time.Minute, longer: time.Hour,
	settle: 15 * time.Minute, sweep: scanAgain}

const (
	// refusalsInARow of copies are no fault of single ones: then all wait. Deletions
	// are refused one by one, by locks.
	refusalsInARow = 10
	// slowest is what a place must take or give in a second, in bytes, after a
	// minute for the rest.
	slowest = 64 << 10
	// askPatience bounds what needs no file to be carried.
	askPatience = time.Minute
)

// archiver is the goroutine that copies sealed recordings to a place, and deletes
// there what was erased: one thing after the other, so that no copy comes after its
// deletion. Nobody waits for it.
type archiver struct {
	*Store
	place archive.Place
	times archiveTimes
	woken chan struct{}
	ctx   context.Context // ends with the store
	stop  context.CancelFunc
	last  atomic.Int64 // when a recording was copied last, Unix seconds; 0: none was since the start

	rests map[string]rest // of the goroutine: of what was refused, or has to settle
	delay time.Duration   // of the goroutine: after the last failure; 0: there was none

	swept    time.Time // of the goroutine: when it last looked through the archive
	sound    soundFiles
	fetching chan struct{} // holds one token: who has it fetches a file back

	mu  sync.Mutex        // guards why
	why map[string]string // an erased recording's ID -> what the place said last
}

func newArchiver(s *Store, place archive.Place, times archiveTimes) *archiver {
	if place == nil {
		return nil
	}
	if times == (archiveTimes{}) {
		times = patientArchive
	}
	ctx, stop := context.WithCancel(contextForever)
	return &archiver{Store: s, place: place, times: times, woken: make(chan struct{}, 1), ctx: ctx, stop: stop,
		rests: map[string]rest{}, why: map[string]string{}, fetching: make(chan struct{}, 1)}
}

// startArchive has sealed recordings copied, and says what nobody will delete.
func (s *Store) startArchive() {
	if _, elsewhere, _ := s.owedObjects(); elsewhere > 0 {
		s.log.Error("objects of erased recordings are to be deleted at a place that isn't configured any more: configure it as the "+
			"archive again until they are", "objects", elsewhere)
	}
	if s.archiver != nil {
		s.workers.Go(s.archiver.run)
	}
}

// is reports whether a place is the archiver's.
func (a *archiver) is(place string) bool { return a != nil && a.place.Name() == place }

// wake says that there is something to do.
func (a *archiver) wake() {
	if a == nil {
		return
	}
	select {
	case a.woken <- struct{}{}:
	default: // it knows
	}
}

func (a *archiver) cancel() {
	if a != nil {
		a.stop()
	}
}

// reasonOf is why a deletion is owed still.
func (a *archiver) reasonOf(id, place string) string {
	switch {
	case !a.is(place):
		return "the place isn't configured any more: configure it as the archive again until what is owed there is deleted"
	default:
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.why[id]
	}
}

func (a *archiver) say(id string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if delete(a.why, id); err != nil {
		a.why[id] = err.Error()
	}
}

// run is the goroutine.
func (a *archiver) run() {
	for queued := false; ; {
		if !queued {
			err := a.queueAll(a.ctx)
			if queued = err == nil; !queued && a.ctx.Err() == nil {
				a.log.Error("finding what is to be copied to the archive", "error", err)
			}
		}
		wait := a.round()
		var woken <-chan struct{}
		if a.delay == 0 { // else it waits, whatever comes
			woken = a.woken
		}
		select {
		case <-a.ctx.Done():
			return
		case <-woken:
		case <-time.After(wait):
		}
	}
}

// round does once what there is to do, and returns when to look again.
func (a *archiver) round() time.Duration {
	deleted, copied := a.each(bOwed, "delete", a.deleteOwed), error(nil)
	if !errors.Is(deleted, archive.ErrAway) {
		copied = a.each(bUncopied, "copy", a.copyOut)
	}
	if deleted == nil && copied == nil {
		a.delay = 0
		a.look()
		return a.times.idle
	}
	a.delay = min(max(2*a.delay, a.times.first), a.times.most)
	return a.delay
}

// look looks through the archive when it is time to.
func (a *archiver) look() {
	if a.ctx.Err() != nil || time.Since(a.swept) < a.times.sweep {
		return
	}
	a.swept = time.Now()
	if _, err := a.sweepOnce(); err != nil && a.ctx.Err() == nil {
		a.metrics.archive.WithLabelValues("scan").Inc()
		a.log.Error("comparing the archive with what is noted of it", "error", err)
		a.swept = a.swept.Add(a.times.rest - a.times.sweep)
	}
}

// rest says that something isn't tried before.
type rest struct {
	until  time.Time
	length time.Duration
}

var errRefuses = errors.New("it refuses one after the other")

// each does something with each key of a bucket, and returns why there is no use in
// trying the others now. What is refused rests, and the others don't wait for it.
func (a *archiver) each(bucket []byte, act string, do func(key []byte) error) (why error) {
	refused := []string{} // one after the other
	err := a.keys.eachKey(bucket, func(k []byte) bool {
		key := act + string(k)
		was, resting := a.rests[key]
		if resting && time.Now().Before(was.until) {
			return true
		}
		err := do(k)
		switch {
		case a.ctx.Err() != nil:
			return false
		case err == nil:
			delete(a.rests, key)
			refused = refused[:0]
			return true
		case errors.Is(err, errSettles):
			return true
		}
		a.metrics.archive.WithLabelValues(act).Inc()
		id, _ := ofPlace(k)
		a.log.Error("the archive: it is tried again", "act", act, "recording", id, "place", a.place.Name(), "error", err)
		if errors.Is(err, archive.ErrAway) {
			why = err // and no fault of this one
			return false
		}
		wait := min(max(2*was.length, a.times.rest), a.times.longer)
		a.rests[key] = rest{time.Now().Add(wait), wait}
		if act == "copy" && !errors.Is(err, errLocal) {
			refused = append(refused, key)
		}
		if len(refused) < refusalsInARow {
			return true
		}
		for _, key := range refused {
			delete(a.rests, key)
		}
		why = errRefuses
		return false
	})
	if err != nil {
		a.log.Error("reading what is to be done at the archive", "error", err)
	}
	return errors.Join(why, err)
}

// sized is the time that so many bytes may take.
func (a *archiver) sized(bytes int64) (context.Context, context.CancelFunc) {
	return a.within(askPatience + time.Duration(bytes/slowest)*time.Second)
}

func (a *archiver) within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(a.ctx, d)
}

var (
	errLocal   = errors.New("it can't be copied from the disk")
	errChanged = errors.New("its file isn't the one that was logged when it was sealed")
)

// copyOut copies a recording's file, reads it back, logs that, and notes it.
func (a *archiver) copyOut(k []byte) error {
	id := string(k)
	r, ok, err := a.row(id)
	if err == nil && (!ok || r.File == nil || r.End == 0) { // it was erased meanwhile
		return a.unqueue(id)
	}
	var sum [sha256.Size]byte
	var size int64
	if err == nil {
		sum, size, err = a.soundFile(id, r)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	before, err := a.beginCopy(id)
	if err != nil {
		return err
	}
	a.reached("archive.begun")
	ctx, cancel := a.sized(3 * size)
	defer cancel()
	if before.Tried.IsZero() || a.compare(ctx, id, size, sum) != nil { // else an earlier try came through
		if err := a.put(ctx, id, size, sum); err != nil {
			return err
		}
		a.reached("archive.put")
		if err := a.compare(ctx, id, size, sum); err != nil {
			return fmt.Errorf("reading back what was put: %w", err)
		}
	}
	a.reached("archive.read")
	ev := archivedEvent{Recording: id, Grant: r.Grant.String(), Place: a.place.Name(), Bytes: size, File: hex.EncodeToString(sum[:])}
	if err := a.audit.appendOf(ctx, TypeArchived, ev, r.Grant); err != nil {
		return err
	}
	a.reached("archive.logged")
	if err := a.endCopy(id, before); err != nil {
		return err
	}
	a.last.Store(time.Now().Unix())
	a.reached("archive.noted")
	return nil
}

// soundFile reads a recording's file, which must be the one that the log tells of: a
// damaged one isn't worth a copy.
func (a *archiver) soundFile(id string, r row) (sum [sha256.Size]byte, size int64, err error) {
	logged, err := a.loggedEnd(id, r)
	if err != nil {
		return sum, 0, err
	}
	if sum, size, err = sumOf(sealedPath(a.livePath(id))); err != nil {
		return sum, 0, err
	}
	if size != logged.Size || hex.EncodeToString(sum[:]) != logged.File {
		return sum, 0, errChanged
	}
	return sum, size, nil
}

// beginCopy notes that there may be an object from now on, and gives the note that
// was there before.
func (a *archiver) beginCopy(id string) (copyNote, error) {
	var before copyNote // written by the committer; read here only after it answered
	err := a.keys.commit(a.ctx, func(tx *bolt.Tx) (err error) {
		if _, ok, err := getRow(tx, id); err != nil || !ok {
			return errors.Join(err, ErrNotFound)
		}
		if before, _, err = getNote[copyNote](tx, bCopied, atPlace(id, a.place.Name())); err != nil {
			return err
		}
		return putNote(tx, bCopied, atPlace(id, a.place.Name()), copyNote{Tried: time.Now().UTC()})
	})
	if err != nil {
		return copyNote{}, fmt.Errorf("noting that a copy begins: %w", err)
	}
	return before, nil
}

// endCopy notes that the copy is there. Where it was the first try no other can
// appear; else that of before may.
func (a *archiver) endCopy(id string, before copyNote) error {
	k := atPlace(id, a.place.Name())
	return a.keys.commit(a.ctx, func(tx *bolt.Tx) error {
		if tx.Bucket(bCopied).Get(k) == nil { // it was erased meanwhile, and the object is owed
			return tx.Bucket(bUncopied).Delete([]byte(id))
		}
		return errors.Join(putNote(tx, bCopied, k, copyNote{Tried: before.Tried, Copied: time.Now().UTC()}),
			tx.Bucket(bUncopied).Delete([]byte(id)))
	})
}

func (a *archiver) unqueue(id string) error {
	return a.keys.commit(a.ctx, func(tx *bolt.Tx) error { return tx.Bucket(bUncopied).Delete([]byte(id)) })
}

func (a *archiver) put(ctx context.Context, id string, size int64, sum [sha256.Size]byte) (err error) {
	f, err := os.Open(sealedPath(a.livePath(id)))
	if err != nil {
		return fmt.Errorf("opening the recording: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return a.place.Put(ctx, archive.ObjectOf(id), f, size, sum)
}

var errOther = errors.New("the object isn't the recording's file")

// compare reads an object whole.
func (a *archiver) compare(ctx context.Context, id string, size int64, sum [sha256.Size]byte) error {
	return a.fetch(ctx, id, io.Discard, size, sum)
}

// fetch writes an object to w. Nothing written counts unless it returns nil.
func (a *archiver) fetch(ctx context.Context, id string, w io.Writer, size int64, sum [sha256.Size]byte) (err error) {
	in, err := a.place.Get(ctx, archive.ObjectOf(id))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(in, size+1))
	if err != nil {
		return err
	}
	if n != size || [sha256.Size]byte(h.Sum(nil)) != sum {
		return errOther
	}
	return nil
}

// archivedEvent is the payload of recording.archived. It goes with its grant.
type archivedEvent struct {
	Recording string `json:"recording"`
	Grant     string `json:"grant"`
	Place     string `json:"place"`
	Bytes     int64  `json:"bytes"`
	File      string `json:"file"` // SHA-256 of the object, which is the file's
}
