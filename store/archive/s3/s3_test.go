package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store/archive"
	"consentgate/store/archive/archivetest"
	"consentgate/store/archive/s3"
)

// keys writes the files of a pair of keys.
func keys(t *testing.T, access, secret string) (accessFile, secretFile string) {
	t.Helper()
	dir := t.TempDir()
	accessFile, secretFile = filepath.Join(dir, "access"), filepath.Join(dir, "secret")
	for file, text := range map[string]string{accessFile: access, secretFile: secret} {
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return accessFile, secretFile
}

func place(t *testing.T, s *archivetest.Server) *s3.Place {
	t.Helper()
	access, secret := keys(t, archivetest.AccessKey, "secret")
	return open(t, s3.Config{Endpoint: s.URL, Bucket: archivetest.Bucket, Region: "us-east-1", Prefix: "gate-1/", PathStyle: true,
		AccessKeyFile: access, SecretKeyFile: secret})
}

func open(t *testing.T, c s3.Config) *s3.Place {
	t.Helper()
	p, err := s3.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func server(t *testing.T) *archivetest.Server {
	t.Helper()
	s := archivetest.New()
	t.Cleanup(s.Close)
	return s
}

func put(p archive.Place, object, text string) error {
	return p.Put(context.Background(), object, strings.NewReader(text), int64(len(text)), sha256.Sum256([]byte(text)))
}

func get(p archive.Place, object string) (string, error) {
	in, err := p.Get(context.Background(), object)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(in)
	return string(b), errors.Join(err, in.Close())
}

func list(t *testing.T, p archive.Place, begins string) (out []archive.Version) {
	t.Helper()
	if err := p.List(context.Background(), begins, func(page []archive.Version) error { out = append(out, page...); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// Behaves is what every place must do.
func behaves(t *testing.T, p archive.Place, forget func(object string)) {
	t.Helper()
	for _, text := range []string{"one", "two"} {
		if err := put(p, "a.rec", text); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(p, "b.rec", ""); err != nil {
		t.Fatal(err)
	}
	if got, err := get(p, "a.rec"); got != "two" || err != nil {
		t.Errorf("the newest version is %q, %v", got, err)
	}
	if _, err := get(p, "c.rec"); !errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrAway) {
		t.Errorf("one that isn't there: %v", err)
	}
	wrong := p.Put(context.Background(), "a.rec", strings.NewReader("three"), 5, sha256.Sum256([]byte("thrice")))
	if wrong == nil {
		t.Error("the store takes bytes that aren't those of the SHA-256")
	}
	forget("a.rec")
	if _, err := get(p, "a.rec"); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("one with a delete marker: %v", err)
	}
	all := list(t, p, "a.rec")
	if len(all) != 3 || !(all[0].Marker || all[1].Marker || all[2].Marker) {
		t.Fatalf("two versions and a marker are %+v", all)
	}
	if n := len(list(t, p, "")); n != 4 {
		t.Errorf("all are %d", n)
	}
	for range 2 { // the second time there is nothing any more
		for _, v := range all {
			if err := p.Delete(context.Background(), v); err != nil {
				t.Error(err)
			}
		}
	}
	if rest := list(t, p, ""); len(rest) != 1 || rest[0].Object != "b.rec" {
		t.Errorf("what is left: %+v", rest)
	}
}

func TestAPlaceKeepsVersionsAndDeletesEach(t *testing.T) {
	t.Parallel()
	for _, page := range []int{1, 2, 1000} {
		s := server(t)
		s.Page(page)
		behaves(t, place(t, s), func(object string) { s.Add("gate-1/"+object, nil) })
		for _, v := range s.Versions() {
			if !strings.HasPrefix(v.Key, "gate-1/") {
				t.Errorf("%s is outside of the prefix", v.Key)
			}
		}
	}
}

func TestAServersCertificateIsChecked(t *testing.T) {
	t.Parallel()
	s := archivetest.NewTLS()
	t.Cleanup(s.Close)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	access, secret := keys(t, archivetest.AccessKey, "secret")
	c := s3.Config{Endpoint: s.URL, Bucket: archivetest.Bucket, Region: "us-east-1", PathStyle: true, AccessKeyFile: access, SecretKeyFile: secret}
	if err := put(open(t, c), "a.rec", "one"); !errors.Is(err, archive.ErrAway) {
		t.Errorf("a certificate that nobody known signed: %v", err)
	}
	c.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(c.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := put(open(t, c), "a.rec", "one"); err != nil {
		t.Error(err)
	}
}

// TestKeysAreReadAtEachRequest, so that they may be renewed.
func TestKeysAreReadAtEachRequest(t *testing.T) {
	t.Parallel()
	s := server(t)
	access, secret := keys(t, "another", "secret")
	p := open(t, s3.Config{Endpoint: s.URL, Bucket: archivetest.Bucket, Region: "us-east-1", PathStyle: true, AccessKeyFile: access, SecretKeyFile: secret})
	err := put(p, "a.rec", "one")
	if err == nil || errors.Is(err, archive.ErrAway) || !strings.Contains(err.Error(), "InvalidAccessKeyId") {
		t.Errorf("with another key: %v", err)
	}
	if err := os.WriteFile(access, []byte(archivetest.AccessKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := put(p, "a.rec", "one"); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	if err := put(p, "a.rec", "one"); err == nil || !strings.Contains(err.Error(), secret) {
		t.Errorf("without its file: %v", err)
	}
}

// TestAStoreThatAnswersGarbageIsAway: nothing of it is taken for an answer, and
// reading it ends.
func TestAStoreThatAnswersGarbageIsAway(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"nothing": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(200); return true },
		"no xml":  func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "hello"); return true },
		"half a tag": func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "<ListVersionsResult><Ver")
			return true
		},
		"500": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
			return true
		},
		"another's names": func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "<ListVersionsResult><Name>recordings</Name><Version><Key>other/a.rec</Key><VersionId>1</VersionId></Version></ListVersionsResult>")
			return true
		},
		"round in circles": func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "<ListVersionsResult><Name>recordings</Name><IsTruncated>true</IsTruncated><NextKeyMarker>gate-1/a</NextKeyMarker></ListVersionsResult>")
			return true
		},
		"without an end": func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "<ListVersionsResult>")
			for {
				if _, err := fmt.Fprint(w, strings.Repeat("<Name>x</Name>", 1000)); err != nil {
					return true
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t)
			s.Before(answer)
			err := place(t, s).List(context.Background(), "", func([]archive.Version) error { return nil })
			if !errors.Is(err, archive.ErrAway) {
				t.Errorf("%v", err)
			}
			if len(fmt.Sprint(err)) > 1000 {
				t.Error("the error says all of it")
			}
		})
	}
}

func TestNothingWaitsLongerThanItsContext(t *testing.T) {
	t.Parallel()
	s := server(t)
	s.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return true
	})
	p := place(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, getErr := p.Get(ctx, "a.rec")
	for what, err := range map[string]error{"get": getErr, "delete": p.Delete(ctx, archive.Version{Object: "a.rec", ID: "1"}),
		"list": p.List(ctx, "", func([]archive.Version) error { return nil }),
		"put":  p.Put(ctx, "a.rec", bytes.NewReader(nil), 0, sha256.Sum256(nil))} {
		if !errors.Is(err, archive.ErrAway) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhereAnArchiveMayBe(t *testing.T) {
	t.Parallel()
	for endpoint, good := range map[string]bool{"https://s3.example.com": true, "https://s3.example.com:9000/": true, "http://127.0.0.1:9000": true,
		"http://[::1]:9000": true, "http://localhost:1": true, "http://s3.example.com": false, "http://10.0.0.1:9000": false, "s3.example.com": false,
		"https://user:word@s3.example.com": false, "https://s3.example.com/bucket": false, "https://s3.example.com/?a": false, "": false} {
		if err := s3.CheckEndpoint(endpoint); (err == nil) != good {
			t.Errorf("endpoint %q: %v", endpoint, err)
		}
	}
	for prefix, good := range map[string]bool{"": true, "gate-1/": true, "a/b_c/": true, "gate-1": false, "/": false, "a//": false, "ä/": false} {
		if err := s3.CheckPrefix(prefix); (err == nil) != good {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
	for bucket, good := range map[string]bool{"recordings": true, "my.bucket-1": true, "ab": false, "Bucket": false, "a/b": false,
		"arn:aws:s3:::x": false, "": false} {
		if err := s3.CheckBucket(bucket); (err == nil) != good {
			t.Errorf("bucket %q: %v", bucket, err)
		}
	}
}

// TestABucketThatWouldKeepWhatIsErasedIsFound before anything is there.
func TestABucketThatWouldKeepWhatIsErasedIsFound(t *testing.T) {
	t.Parallel()
	s := server(t)
	p := place(t, s)
	const longest = 90 * 24 * time.Hour
	if found := p.Probe(context.Background(), longest); len(found) > 0 {
		t.Errorf("a sound one: %q", found)
	}
	s.Lock(91)
	if found := p.Probe(context.Background(), longest); len(found) != 1 || !strings.Contains(found[0], "91 days") || !strings.Contains(found[0], "longer") {
		t.Errorf("a lock of 91 days: %q", found)
	}
	s.Lock(1)
	if found := p.Probe(context.Background(), longest); len(found) != 1 || !strings.Contains(found[0], "1 days") {
		t.Errorf("a lock of a day: %q", found)
	}
	s.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("versions") {
			archivetest.Refuse(w, http.StatusNotImplemented, "NotImplemented", "Not here.")
		}
		return r.URL.Query().Has("versions")
	})
	if found := p.Probe(context.Background(), longest); len(found) != 1 || !strings.Contains(found[0], "NotImplemented") {
		t.Errorf("without lists of versions: %q", found)
	}
}
