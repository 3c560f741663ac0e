// Package archivetest is a small object store for tests: as much of S3 as package
// s3 uses, with versions, in memory, with faults at will. That the gate works with
// one that others made is shown elsewhere.
package archivetest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bucket and AccessKey are the only ones that a Server knows.
const (
	Bucket    = "recordings"
	AccessKey = "gate"
)

// Version is one of an object, or a delete marker.
type Version struct {
	Key, ID string
	Marker  bool
	Body    []byte
	At      time.Time
}

// Server is the store. It is safe for concurrent use.
type Server struct {
	*httptest.Server
	Unversioned bool // an object is replaced, and gone when it is deleted

	mu       sync.Mutex
	versions []Version // by their keys, each key's latest first
	before   func(http.ResponseWriter, *http.Request) bool
	page     int
	locked   int // days
	asked    map[string]int
}

// New starts a server; to be closed.
func New() *Server {
	s := &Server{page: 1000, asked: map[string]int{}}
	s.Server = httptest.NewServer(s)
	return s
}

// NewTLS starts one whose certificate only its Client trusts.
func NewTLS() *Server {
	s := &Server{page: 1000, asked: map[string]int{}}
	s.Server = httptest.NewTLSServer(s)
	return s
}

// Before has f called before each request; true: it has answered. nil: no more.
func (s *Server) Before(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Page is how many versions a list has at most; 1000 at first.
func (s *Server) Page(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = n
}

// Lock has the bucket keep each version for days by default; 0: none.
func (s *Server) Lock(days int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked = days
}

// Asked counts the requests of a method so far.
func (s *Server) Asked(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[method]
}

// Versions are all there are.
func (s *Server) Versions() []Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.versions)
}

// Add puts a version there; a marker where body is nil.
func (s *Server) Add(key string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(Version{Key: key, Body: body, Marker: body == nil})
}

// Change has the bytes of all versions be others.
func (s *Server) Change(f func(Version) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, v := range s.versions {
		s.versions[i].Body = f(v)
	}
}

// Remove takes all versions of an object away.
func (s *Server) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = slices.DeleteFunc(s.versions, func(v Version) bool { return v.Key == key })
}

func (s *Server) add(v Version) {
	id := make([]byte, 8)
	rand.Read(id)
	v.ID, v.At = hex.EncodeToString(id), time.Now()
	if s.Unversioned {
		v.ID = "null"
		s.remove(v.Key, v.ID)
	}
	at, _ := slices.BinarySearchFunc(s.versions, v.Key, func(v Version, key string) int { return strings.Compare(v.Key, key) })
	s.versions = slices.Insert(s.versions, at, v)
}

func (s *Server) remove(key, id string) {
	s.versions = slices.DeleteFunc(s.versions, func(v Version) bool { return v.Key == key && v.ID == id })
}

// ServeHTTP answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	before := s.before
	s.asked[r.Method]++
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+AccessKey+"/") {
		Refuse(w, http.StatusForbidden, "InvalidAccessKeyId", "The key isn't known.")
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	switch {
	case bucket != Bucket:
		Refuse(w, http.StatusNotFound, "NoSuchBucket", "There is no such bucket.")
	case r.Method == http.MethodPut && key != "":
		s.put(w, r, key)
	case r.Method == http.MethodGet && key != "":
		s.get(w, key)
	case r.Method == http.MethodDelete && key != "":
		s.delete(w, key, q.Get("versionId"))
	case q.Has("versions"):
		s.list(w, r)
	case q.Has("versioning"):
		status := "<Status>Enabled</Status>"
		if s.Unversioned {
			status = ""
		}
		fmt.Fprintf(w, "<VersioningConfiguration>%s</VersioningConfiguration>", status)
	case q.Has("object-lock"):
		s.lock(w)
	default:
		Refuse(w, http.StatusNotImplemented, "NotImplemented", "Not here.")
	}
}

// Refuse answers as S3 does.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, key string) {
	body, err := io.ReadAll(r.Body)
	if err != nil || int64(len(body)) != r.ContentLength {
		return // who put it has gone
	}
	sum := sha256.Sum256(body)
	signed := r.Header.Get("X-Amz-Content-Sha256")
	if signed != hex.EncodeToString(sum[:]) && (r.TLS == nil || signed != "UNSIGNED-PAYLOAD") ||
		r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
		Refuse(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The bytes aren't those that were signed.")
		return
	}
	s.Add(key, body)
}

func (s *Server) get(w http.ResponseWriter, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.versions {
		if v.Key == key && !v.Marker {
			w.Header().Set("Content-Length", fmt.Sprint(len(v.Body)))
			_, _ = w.Write(v.Body) // who asked may have gone
			return
		} else if v.Key == key {
			break
		}
	}
	Refuse(w, http.StatusNotFound, "NoSuchKey", "There is no such object.")
}

func (s *Server) delete(w http.ResponseWriter, key, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" && !s.Unversioned {
		s.add(Version{Key: key, Marker: true})
	} else {
		s.remove(key, id)
	}
	w.WriteHeader(http.StatusNoContent)
}

// listed is an answer's element.
type listed struct {
	XMLName      xml.Name
	Key          string
	VersionID    string `xml:"VersionId"`
	IsLatest     bool
	LastModified string
	Size         int
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	var out struct {
		XMLName             xml.Name `xml:"ListVersionsResult"`
		Name                string
		IsTruncated         bool
		NextKeyMarker       string `xml:",omitempty"`
		NextVersionIDMarker string `xml:"NextVersionIdMarker,omitempty"`
		All                 []listed
	}
	out.Name = Bucket
	passed := q.Get("key-marker") == ""
	was := ""
	for _, v := range s.versions {
		latest := v.Key != was
		was = v.Key
		if !passed {
			passed = v.Key == q.Get("key-marker") && v.ID == q.Get("version-id-marker") // the next is the first
			if v.Key <= q.Get("key-marker") {
				continue
			}
			passed = true // that one was deleted meanwhile
		}
		if !strings.HasPrefix(v.Key, q.Get("prefix")) {
			continue
		}
		if len(out.All) == s.page {
			last := out.All[len(out.All)-1]
			out.IsTruncated, out.NextKeyMarker, out.NextVersionIDMarker = true, last.Key, last.VersionID
			break
		}
		l := listed{xml.Name{Local: "Version"}, v.Key, v.ID, latest, v.At.UTC().Format("2006-01-02T15:04:05.000Z"), len(v.Body)}
		if v.Marker {
			l.XMLName.Local = "DeleteMarker"
		}
		out.All = append(out.All, l)
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(out) // who asked may have gone
}

func (s *Server) lock(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked == 0 {
		Refuse(w, http.StatusNotFound, "ObjectLockConfigurationNotFoundError", "There is none.")
		return
	}
	fmt.Fprintf(w, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode>"+
		"<Days>%d</Days></DefaultRetention></Rule></ObjectLockConfiguration>", s.locked)
}
