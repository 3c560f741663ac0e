package store_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"consentgate/store"
	"consentgate/store/archive/archivetest"
)

// looked is what a look through the archive finds, as "kind name".
func looked(t *testing.T, s *store.Store) (out []string) {
	t.Helper()
	found, err := s.LookThroughArchive()
	must(t, err)
	for _, o := range found {
		out = append(out, o.Kind+" "+o.Name)
	}
	slices.Sort(out)
	return out
}

// quiet opens it, and waits until its own look through the archive is over: the
// next is the test's.
func (a *archived) quiet(t *testing.T) *store.Store {
	t.Helper()
	s := a.open(t)
	idle(t, s)
	soon(t, "the archive was looked through", func() bool {
		return series(t, a.reg, "consentgate_archive_last_scan_timestamp_seconds") != "0"
	})
	idle(t, s)
	return s
}

// TestTheArchiveIsComparedBothWays: what isn't a recording's, or of nobody who is
// known, is told of and stays; what the log says was erased goes; what is missing is
// copied again.
func TestTheArchiveIsComparedBothWays(t *testing.T) {
	t.Parallel()
	for _, page := range []int{1, 3, 1000} {
		t.Run(fmt.Sprint(page, " a page"), func(t *testing.T) {
			t.Parallel()
			a := newArchived(t)
			a.server.Page(page)
			s := a.quiet(t)
			var ids []string
			for range 5 {
				ids = append(ids, record(t, s, "c", 5))
			}
			idle(t, s)
			if got := looked(t, s); len(got) > 0 {
				t.Fatalf("all is in order: %q", got)
			}
			erased, missing, hidden := ids[0], ids[1], ids[2]
			old := a.versions(erased)[0].Body
			must(t, eraseID(s, erased))
			idle(t, s)
			a.server.Add(object(erased), old) // somebody puts it back
			a.server.Remove(object(missing))
			a.server.Add(object(hidden), nil) // deleted in the way that leaves a marker
			a.server.Add(object("aaaaaaaaaaaaaaaaaaaaaaaaaa"), []byte("another gate's"))
			a.server.Add("gate-1/notes.txt", []byte("somebody's"))
			a.server.Add("gate-10/x.rec", []byte("beside the prefix"))
			want := []string{
				"entry_without_object " + missing, "entry_without_object " + hidden, "erased_object " + erased + ".rec",
				"foreign_object notes.txt", "object_without_entry aaaaaaaaaaaaaaaaaaaaaaaaaa.rec"}
			slices.Sort(want)
			if got := looked(t, s); !slices.Equal(got, want) {
				t.Errorf("found\n%q, want\n%q", got, want)
			}
			soon(t, "they are copied again", func() bool {
				return len(a.versions(missing)) == 1 && len(a.versions(hidden)) == 3 && !a.versions(hidden)[0].Marker
			})
			idle(t, s)
			if len(a.versions(erased)) > 0 {
				t.Error("the erased one is still there")
			}
			if got := looked(t, s); len(got) != 2 || len(a.server.Versions()) != 5+1+3 {
				t.Errorf("then found %q, of %d versions", got, len(a.server.Versions()))
			}
			a.close(t, s)
		})
	}
}

// TestALookThatFailsChangesNothing: half a list isn't one in which things are
// missing, nor is one without an order.
func TestALookThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.quiet(t)
	for range 3 {
		record(t, s, "c", 5)
	}
	idle(t, s)
	a.server.Page(1)
	lists := 0
	a.server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("versions") {
			lists++
		}
		if lists < 2 {
			return false
		}
		archivetest.Refuse(w, http.StatusServiceUnavailable, "SlowDown", "Later.")
		return true
	})
	if found, err := s.LookThroughArchive(); err == nil || len(found) > 0 {
		t.Errorf("half a list: %v %v", found, err)
	}
	a.server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.WriteString(w, "<ListVersionsResult><Name>recordings</Name><Version><Key>gate-1/b</Key><VersionId>1</VersionId></Version>"+
			"<IsTruncated>true</IsTruncated><NextKeyMarker>gate-1/b</NextKeyMarker><NextVersionIdMarker>"+fmt.Sprint(time.Now().UnixNano())+"</NextVersionIdMarker></ListVersionsResult>")
		a.server.Before(func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.WriteString(w, "<ListVersionsResult><Name>recordings</Name><Version><Key>gate-1/a</Key><VersionId>1</VersionId></Version></ListVersionsResult>")
			return true
		})
		return true
	})
	if found, err := s.LookThroughArchive(); err == nil || len(found) > 0 {
		t.Errorf("no order: %v %v", found, err)
	}
	a.server.Before(nil)
	if got := looked(t, s); len(got) > 0 || len(a.server.Versions()) != 3 {
		t.Errorf("found %q, %d versions", got, len(a.server.Versions()))
	}
	a.close(t, s)
}

// file is where a recording lies on the disk.
func (a *archived) file(id string) string { return filepath.Join(a.dir, "recordings", id+".rec") }

func (a *archived) damage(t *testing.T, id string) {
	t.Helper()
	b, err := os.ReadFile(a.file(id))
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(a.file(id), b, 0o600))
}

// TestAFileThatIsLostOrDamagedIsReadFromTheArchive, as what the log tells of, and
// lies on the disk again.
func TestAFileThatIsLostOrDamagedIsReadFromTheArchive(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, a *archived, id string){
		"lost":    func(t *testing.T, a *archived, id string) { must(t, os.Remove(a.file(id))) },
		"damaged": func(t *testing.T, a *archived, id string) { a.damage(t, id) },
		"cut":     func(t *testing.T, a *archived, id string) { must(t, os.Truncate(a.file(id), 100)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArchived(t)
			s := a.quiet(t)
			id := record(t, s, "c", 50)
			idle(t, s)
			var before, after bytes.Buffer
			_, err := s.WAV(ctx, id, &before)
			must(t, err)
			harm(t, a, id)
			if _, err := s.WAV(ctx, id, &after); err != nil || !bytes.Equal(before.Bytes(), after.Bytes()) {
				t.Errorf("it sounds otherwise, or not: %v", err)
			}
			if _, err := s.Check(ctx, id); err != nil {
				t.Error(err)
			}
			if types(t, s)[store.TypeRestored] != 1 {
				t.Error("the log doesn't say so")
			}
			was, err := os.Stat(a.file(id))
			must(t, err)
			harm(t, a, id) // once more, and where its bytes are others its time doesn't tell
			if name == "damaged" {
				must(t, os.Chtimes(a.file(id), was.ModTime(), was.ModTime()))
			}
			if _, err := s.Check(ctx, id); err != nil {
				t.Errorf("the second time: %v", err)
			}
			if name == "lost" {
				must(t, os.Remove(a.file(id)))
				if found, err := s.Scan(); err != nil || len(found) > 0 {
					t.Errorf("the scan finds %v, %v", found, err)
				}
				if _, err := os.Stat(a.file(id)); err != nil {
					t.Errorf("after the scan: %v", err)
				}
			}
			a.close(t, s)
		})
	}
}

// TestWhatTheArchiveGivesIsCheckedToo: another file isn't the recording, nor does it
// take the place of the one that is there.
func TestWhatTheArchiveGivesIsCheckedToo(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	s := a.quiet(t)
	id := record(t, s, "c", 5)
	idle(t, s)
	a.server.Change(func(v archivetest.Version) []byte { return bytes.ToUpper(v.Body) })
	must(t, os.Remove(a.file(id)))
	if _, err := s.Check(ctx, id); err == nil || !strings.Contains(err.Error(), "isn't the recording's file") {
		t.Errorf("another file: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(a.dir, "recordings"))
	if err != nil || len(left) > 0 {
		t.Errorf("left there: %v, %v", left, err)
	}
	a.server.Before(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	if _, err := s.Check(ctx, id); err == nil {
		t.Error("it is read although nobody has it")
	}
	a.close(t, s)
}
