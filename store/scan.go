package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/internal/durable"
)

// Kinds of what a scan finds without its other half.
const (
	OrphanFile    = "file_without_entry" // a recording's file that nothing names: nobody can read it
	OrphanEntry   = "entry_without_file" // a recording that is found and can't be played
	OrphanErased  = "erased_file"        // the file of a recording that the log says was erased; it was removed
	OrphanTemp    = "temporary_file"     // half a file that a crash left; it was removed
	OrphanForeign = "foreign_file"       // no recording's name
)

var orphanKinds = []string{OrphanFile, OrphanEntry, OrphanErased, OrphanTemp, OrphanForeign}

// whatToDo is said with each finding of a kind.
var whatToDo = map[string]string{
	OrphanFile:    "if keys.db was put back from a backup, put back the one that fits the recordings; else remove the file: nobody can read it",
	OrphanEntry:   "put the file back from the backup, or erase the recording",
	OrphanErased:  "nothing: it is removed; whoever put it back should know that it was erased",
	OrphanTemp:    "nothing: it is removed",
	OrphanForeign: "move it elsewhere: only recordings belong here",

	OrphanObject: "if keys.db was put back from a backup, put back the one that fits the recordings; if another gate uses the bucket, " +
		"give each a prefix of its own; else delete it: nobody can read it",
	OrphanNoObject:      "nothing, if its file is there: it is copied again; find out who deletes in the bucket",
	OrphanErasedObject:  "nothing: it is deleted; whoever put it back should know that it was erased",
	OrphanForeignObject: "move it elsewhere: only recordings belong below the archive's prefix",
}

// Orphan is one file or entry without its other half. Name is the file's, or the
// recording's.
type Orphan struct{ Kind, Name string }

const (
	// scanAgain is how long after a scan the next begins.
	scanAgain = 24 * time.Hour
	// mentioned bounds how many findings of a scan are logged one by one.
	mentioned = 20
)

// scanEvery scans now and then, until the store closes.
func (s *Store) scanEvery(d time.Duration) {
	for {
		if _, err := s.Scan(); err != nil && !errors.Is(err, errClosed) {
			s.log.Error("comparing files and entries", "error", err)
		}
		select {
		case <-s.quit:
			return
		case <-time.After(d):
		}
	}
}

// Scan compares the files with the entries, both ways, and reports what is
// there without its other half: in what it returns, in the log and as metrics.
// It removes temporary files, and files of recordings that the audit log says
// were erased; what may be of use with a backup it never touches. Files that are
// missing it fetches back from the archive, if that has them.
func (s *Store) Scan() ([]Orphan, error) {
	s.scanning.Lock() // one scan at a time; nobody else waits for it
	defer s.scanning.Unlock()
	files, err := s.strayFiles()
	if err != nil {
		return nil, err
	}
	entries, err := s.lostEntries()
	if err != nil {
		return nil, err
	}
	found := append(files, entries...)
	s.tellOrphans(found, orphanKinds)
	s.metrics.scanned.SetToCurrentTime()
	return found, nil
}

// tellOrphans tells of what was found, of some kinds.
func (s *Store) tellOrphans(found []Orphan, kinds []string) {
	counts := map[string]int{}
	for i, o := range found {
		counts[o.Kind]++
		if i < mentioned {
			s.log.Warn("files and entries differ", "kind", o.Kind, "name", o.Name, "do", whatToDo[o.Kind])
		}
	}
	if more := len(found) - mentioned; more > 0 {
		s.log.Warn("files and entries differ", "more", more)
	}
	for _, k := range kinds {
		s.metrics.orphans.WithLabelValues(k).Set(float64(counts[k]))
	}
}

// strayFiles finds the files that nothing names.
func (s *Store) strayFiles() (out []Orphan, err error) {
	dir, err := os.Open(filepath.Join(s.dir, recordingsDir))
	if err != nil {
		return nil, fmt.Errorf("looking for stray files: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	unnamed := map[string]string{} // recording id to file name
	for {
		names, err := dir.Readdirnames(batchSize)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("looking for stray files: %w", err)
		}
		if s.closing() {
			return nil, errClosed
		}
		for _, name := range names {
			id, ok := recordingOf(name)
			if !ok {
				out = append(out, Orphan{OrphanForeign, name})
			} else if named, err := s.named(id); err != nil {
				return nil, err
			} else if !named {
				unnamed[id] = name
			}
		}
	}
	erased, err := s.erasedAmong(unnamed)
	if err != nil {
		return nil, err
	}
	for id, name := range unnamed {
		kind := OrphanFile
		if ev, ok := erased[id]; ok {
			kind = OrphanErased
			if err := s.eraseAgain(filepath.Join(s.dir, recordingsDir, name), ev); err != nil {
				return nil, err
			}
		}
		out = append(out, Orphan{kind, name})
	}
	return append(out, s.removeTemporary()...), nil
}

// recordingOf takes the id out of a file's name.
func recordingOf(name string) (id string, ok bool) {
	for _, end := range []string{".rec", ".live", ".rec.tmp"} {
		if id, ok := strings.CutSuffix(name, end); ok {
			raw, err := idText.DecodeString(id)
			return id, err == nil && len(raw) == idSize
		}
	}
	return "", false
}

// named reports whether a row names a recording, or an erasure under way. One
// that is being written may lack its row for a moment after a failure.
func (s *Store) named(id string) (yes bool, err error) {
	s.mu.Lock()
	_, yes = s.live[id]
	s.mu.Unlock()
	if yes {
		return true, nil
	}
	err = s.keys.read(func(tx *bolt.Tx) error {
		yes = tx.Bucket(bRecording).Get([]byte(id)) != nil || tx.Bucket(bErasing).Get([]byte(id)) != nil
		return nil
	})
	return yes, err
}

// erasedAmong asks the log which of some recordings were erased. The log is read
// only where there is something to ask.
func (s *Store) erasedAmong(unnamed map[string]string) (map[string]recordingEvent, error) {
	out := map[string]recordingEvent{}
	if len(unnamed) == 0 {
		return out, nil
	}
	err := s.Entries(0, func(e Entry) bool {
		var ev recordingEvent
		if e.Type == TypeErased && json.Unmarshal(e.Payload, &ev) == nil && unnamed[ev.Recording] != "" {
			out[ev.Recording] = ev
		}
		return !s.closing()
	})
	if s.closing() {
		return nil, errClosed
	}
	return out, err
}

// eraseAgain removes a file that came back, and logs it.
func (s *Store) eraseAgain(path string, ev recordingEvent) error {
	if err := durable.Remove(path); err != nil {
		return fmt.Errorf("removing the file of an erased recording: %w", err)
	}
	ev.Reason = "its file had come back"
	ctx, cancel := context.WithTimeout(contextForever, patience)
	defer cancel()
	return s.audit.appendErased(ctx, ev)
}

// leftover is how old a temporary file must be for nobody to be writing it.
const leftover = time.Hour

// removeTemporary removes what package durable left in the data directory when
// the process was killed: copies without a name, so nothing is lost with them.
func (s *Store) removeTemporary() (out []Orphan) {
	paths, err := filepath.Glob(filepath.Join(s.dir, ".*.*")) // an error is of the pattern only
	for _, path := range paths {
		info, statErr := os.Lstat(path)
		if statErr != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < leftover || !durable.Temporary(path) {
			continue
		}
		if err = durable.Remove(path); err != nil {
			s.log.Error("removing a temporary file", "error", err)
			continue
		}
		out = append(out, Orphan{OrphanTemp, filepath.Base(path)})
	}
	return out
}

// lostEntries finds the recordings that ended and whose file isn't there.
func (s *Store) lostEntries() (out []Orphan, err error) {
	err = s.eachRow(func(id string, r row) error {
		live := s.livePath(id)
		if r.End == 0 || !missing(sealedPath(live)) || !missing(live) {
			return nil
		}
		if named, err := s.named(id); err != nil || !named { // it was erased between the two looks
			return err
		}
		if s.archiver != nil && s.ensure(s.archiver.ctx, id, r) == nil && !missing(sealedPath(live)) {
			return nil
		}
		out = append(out, Orphan{OrphanEntry, id})
		return nil
	})
	return out, err
}
