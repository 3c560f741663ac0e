package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"consentgate/consent"
	"consentgate/internal/datagram"
)

const (
	// fullBuffer is how much may wait for the disk: four seconds of a call.
	// Then the writer waits, and its tap's queue fills and drops.
	fullBuffer = 64 << 10
	// frameContent is how much of it one frame takes at most.
	frameContent = 32 << 10
)

// Recording is one being written. It is made for a grant by Store.Create and
// used by one goroutine, until Seal.
type Recording struct {
	store *Store
	id    string
	trunk string
	row   row
	start time.Time
	file  *os.File
	path  string

	mu     sync.Mutex // guards buf and failed; never held for I/O
	room   *sync.Cond // there is room in buf again
	buf    []byte
	failed error
	good   progress // what the file holds
	synced progress // what of it is on stable storage

	// disk serialises the use of file and frames: the one thing it guards is
	// I/O, so that the store's flusher and Seal don't write at once.
	disk   sync.Mutex
	frames *sealer
	dirty  bool
	ended  bool
	spare  []byte
	last   time.Duration
}

// progress is how far a file has come.
type progress struct {
	frames uint64
	hash   [sha256.Size]byte
	bytes  int64
}

// ID is the recording's name. It says nothing about the call.
func (r *Recording) ID() string { return r.id }

// since is a time within the recording.
func (r *Recording) since(t time.Time) time.Duration { return max(t.Sub(r.start), 0) }

var (
	errTooLarge = errors.New("a record is larger than its file takes")
	errEnded    = errors.New("the recording has ended")
)

// Format notes what a payload type of a party means.
func (r *Recording) Format(p consent.Party, pt uint8, encoding string, clockRate int) error {
	return r.add(content{kind: recFormat, party: p, pt: pt, clockRate: clockRate, text: encoding})
}

// WriteRTP keeps a packet. It reaches the disk within half a second.
func (r *Recording) WriteRTP(p consent.Party, at time.Time, packet []byte) error {
	if len(packet) > datagram.Most {
		return errTooLarge
	}
	return r.add(content{kind: recRTP, party: p, at: r.since(at), data: packet})
}

// Gap notes a span without packets, and why.
func (r *Recording) Gap(p consent.Party, cause string, from, to time.Time) error {
	return r.add(content{kind: recGap, party: p, text: cause, at: r.since(from), to: r.since(to)})
}

func (r *Recording) add(c content) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.buf) >= fullBuffer && r.failed == nil {
		r.room.Wait()
	}
	if r.failed != nil {
		return r.failed
	}
	r.buf = appendRecord(r.buf, c)
	r.last = max(r.last, c.at, c.to)
	return nil
}

// flush writes what has been added since, as frames.
func (r *Recording) flush() error {
	r.disk.Lock()
	defer r.disk.Unlock()
	if r.ended {
		return nil
	}
	return r.flushLocked()
}

func (r *Recording) flushLocked() error {
	r.mu.Lock()
	r.buf, r.spare = r.spare[:0], r.buf
	err := r.failed
	r.room.Broadcast()
	r.mu.Unlock()
	plain := r.spare
	for len(plain) > 0 && err == nil {
		n := cutAt(plain, frameContent)
		err = r.writeFrame(plain[:n], flagData)
		plain = plain[n:]
	}
	return r.note(err)
}

// cutAt finds how many bytes of whole records fit into limit; at least one does.
func cutAt(b []byte, limit int) int {
	if len(b) <= limit {
		return len(b)
	}
	d := decoder{b: b}
	n := 0
	for {
		if _, ok := d.next(); !ok {
			return len(b)
		}
		used := len(b) - len(d.b)
		if used > limit && n > 0 {
			return n
		}
		n = used
	}
}

func (r *Recording) writeFrame(plain []byte, flag byte) error {
	if len(plain) > maxFrame-r.frames.aead.Overhead() {
		return errTooLarge
	}
	frame := r.frames.frame(plain, flag)
	if _, err := r.file.Write(frame); err != nil {
		return fmt.Errorf("writing a recording: %w", err)
	}
	r.dirty = true
	r.mu.Lock()
	r.good = progress{frames: r.frames.count, hash: r.frames.hash, bytes: r.good.bytes + int64(len(frame))}
	r.mu.Unlock()
	return nil
}

// note keeps the first error: a recording that failed once isn't written again.
func (r *Recording) note(err error) error {
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = err
	}
	r.room.Broadcast()
	return r.failed
}

// stop lets nothing more be added, and nobody wait for room.
func (r *Recording) stop(why error) { _ = r.note(why) }

// sync makes what was flushed durable.
func (r *Recording) sync() error {
	r.disk.Lock()
	defer r.disk.Unlock()
	if r.ended || !r.dirty {
		return nil
	}
	reached := r.pending()
	if err := datasync(r.file); err != nil {
		return r.unsynced(err)
	}
	r.reached(reached)
	return nil
}

// unsynced ends a recording whose sync failed. The pages since the sync before
// may be lost, and no later sync says so: they don't count as there (ADR 59).
func (r *Recording) unsynced(err error) error {
	r.mu.Lock()
	r.good = r.synced
	r.mu.Unlock()
	return r.note(fmt.Errorf("syncing a recording: %w", err))
}

// written is how many bytes its file has.
func (r *Recording) written() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.good.bytes
}

// pending is what a sync that begins now makes durable. The caller has disk's lock.
func (r *Recording) pending() progress {
	r.dirty = false
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.good
}

// reached notes that a sync has ended well.
func (r *Recording) reached(p progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.synced = p
}

// onDisk is how much of the recording is on stable storage.
func (r *Recording) onDisk() progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.synced
}

// Seal ends the recording: final frame, sync; then its file is sealed, and its end
// logged. It waits for that, and its turn, off the media path. A recording that
// failed is sealed with what was written, which is its error then. One that can't
// be sealed now, the disk being full, stays as it is and is sealed later. It is
// called once, and no other method after it.
func (r *Recording) Seal(at time.Time, reason string) error {
	s := r.store
	err := r.finish(at, reason)
	r.stop(errEnded)
	e := &ended{id: r.id, row: r.row, most: r.good.frames, least: r.good.frames, trunk: r.trunk, bytes: r.good.bytes}
	if err != nil {
		s.log.Error("a recording ends incomplete", "recording", r.id, "error", err)
		e.fault = "incomplete: " + err.Error()
	}
	s.mu.Lock() // at once, so that there is no moment in which nobody accounts for the grant
	delete(s.live, r.id)
	s.ending[r.id] = e
	s.mu.Unlock()
	s.usage.add(e.trunk, e.bytes)
	s.seal(e)
	return err
}

func (r *Recording) finish(at time.Time, reason string) error {
	r.disk.Lock()
	defer r.disk.Unlock()
	r.ended = true
	err := r.flushLocked()
	if err == nil {
		err = r.writeFrame(appendRecord(nil, content{kind: recEnd, at: r.since(at), text: reason}), flagFinal)
	}
	if err == nil {
		if failed := r.file.Sync(); failed != nil {
			err = r.unsynced(failed)
		}
	}
	if err != nil { // half a frame would follow the last good one, or some that may not be there
		err = errors.Join(err, r.file.Truncate(r.good.bytes))
	}
	return errors.Join(err, r.file.Close())
}
