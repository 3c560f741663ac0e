package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"consentgate/internal/phone"
	"consentgate/store"
)

// writePair makes a certificate that nobody vouches for, and its key.
func writePair(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &pair.PublicKey, pair)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// harass asks over HTTP/2 until ctx ends, and comes back when it is thrown out. What it
// asks for it takes back at once, or it never reads the answers. It returns how many
// requests it made.
func harass(ctx context.Context, console string, takesBack bool) (asked int64) {
	var header bytes.Buffer
	e := hpack.NewEncoder(&header)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "/login"}} {
		_ = e.WriteField(f) // a buffer takes it
	}
	once := func() {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
		c, err := d.DialContext(ctx, "tcp", console)
		if err != nil {
			return
		}
		defer c.Close()
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		defer stop()
		f := http2.NewFramer(c, nil)
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil || f.WriteSettings() != nil {
			return
		}
		if takesBack {
			go io.Copy(io.Discard, c) //nolint:errcheck // until it is closed
		}
		for stream := uint32(1); stream < 1<<30; stream += 2 {
			if f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: header.Bytes(), EndStream: true, EndHeaders: true}) != nil {
				return
			}
			asked++
			if takesBack && f.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
				return
			}
		}
	}
	for ctx.Err() == nil {
		once()
		time.Sleep(10 * time.Millisecond) // who is thrown out takes a breath
	}
	return asked
}

// TestACallDoesNotNoticeAnAttackOnTheConsole over HTTP/2: not a packet of the call is
// missing, its recording is whole, and the officer is served meanwhile.
func TestACallDoesNotNoticeAnAttackOnTheConsole(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	console := freePort(t)
	cert, key := writePair(t, t.TempDir())
	l := newLine(t, setup{extra: fmt.Sprintf("console: {listen: %q, tls: {cert: %q, key: %q}, users: [{name: dana, role: officer, token_sha256: \"%x\"}]}\n",
		console, cert, key, sha256.Sum256([]byte("dana")))})
	c, err := l.yes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.until("recording", func() bool { return l.metric("recordings_active") == 1 })
	first := len(c.Media.Received())
	attack, stop := context.WithCancel(ctx)
	defer stop()
	var asked atomic.Int64
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() { asked.Add(harass(attack, console, i%2 == 0)) })
	}
	officer := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer officer.CloseIdleConnections()
	for range 100 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+console+"/api/v1/calls", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer dana")
		res, err := officer.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK || res.ProtoMajor != 2 {
			t.Fatalf("the officer: %s %s %v", res.Proto, res.Status, err)
		}
	}
	now := len(c.Media.Received())
	if err := c.Media.WaitFor(ctx, func(ps []phone.Packet) bool { return len(ps) > now+100 }); err != nil {
		t.Errorf("the call is silent: %v", err)
	}
	stop()
	all.Wait()
	if asked.Load() < 1000 {
		t.Errorf("an attack of %d requests is none", asked.Load())
	}
	heard := c.Media.Received()[first:]
	for i := 1; i < len(heard); i++ {
		if heard[i].SequenceNumber != heard[i-1].SequenceNumber+1 {
			t.Errorf("after packet %d came %d", heard[i-1].SequenceNumber, heard[i].SequenceNumber)
		}
	}
	if n := l.metric("tap_dropped_total"); n != 0 {
		t.Errorf("the recording lacks %v packets", n)
	}
	if err := c.Hangup(); err != nil {
		t.Error(err)
	}
	l.stop()
	if ev := l.evidence(); ev.kinds() != "granted" || ev.count(store.TypeSealed) != 1 {
		t.Errorf("%q, %d sealed", ev.kinds(), ev.count(store.TypeSealed))
	}
}
