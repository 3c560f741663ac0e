package certificate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/console/certificate"
)

// write puts a new certificate for a name into two files.
func write(t *testing.T, name, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen opens a socket that shows the files' certificate.
func listen(cert, key string, log *slog.Logger) (net.Listener, error) {
	conf, err := certificate.Serve(cert, key, log)
	if err != nil {
		return nil, err
	}
	return tls.Listen("tcp", "127.0.0.1:0", conf)
}

// shown connects and gives the name in the certificate; the error is the handshake's.
func shown(t *testing.T, l net.Listener, conf *tls.Config) (string, error) {
	t.Helper()
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = errors.Join(c.(*tls.Conn).Handshake(), c.Close())
		}
		accepted <- err
	}()
	conf.InsecureSkipVerify = true
	c, err := tls.Dial("tcp", l.Addr().String(), conf)
	if err := <-accepted; err != nil {
		return "", err
	}
	must(t, err)
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, c.Close()
}

func TestChangedFilesAreShownAtTheNextHandshake(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	write(t, "first", cert, key)
	var log bytes.Buffer
	l, err := listen(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	defer func() { must(t, l.Close()) }()
	expect := func(want string, lines int) {
		t.Helper()
		got, err := shown(t, l, &tls.Config{})
		must(t, err)
		if n := strings.Count(log.String(), "can't be read"); got != want || n != lines {
			t.Errorf("%s is shown, want %s; %d lines, want %d", got, want, n, lines)
		}
	}
	expect("first", 0)
	write(t, "second", filepath.Join(dir, "c2.pem"), filepath.Join(dir, "k2.pem"))
	must(t, os.Rename(filepath.Join(dir, "c2.pem"), cert)) // and the key a moment later, as such programs do
	expect("first", 1)
	expect("first", 1)
	must(t, os.Rename(filepath.Join(dir, "k2.pem"), key))
	expect("second", 1)
	must(t, os.WriteFile(cert, []byte("rubbish"), 0o600))
	expect("second", 2)
	must(t, os.Remove(key))
	expect("second", 3)
	write(t, "third", cert, key)
	expect("third", 3)
}

func TestOldVersionsOfTLSAreNotSpoken(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	write(t, "first", cert, key)
	l, err := listen(cert, key, slog.New(slog.DiscardHandler))
	must(t, err)
	defer func() { must(t, l.Close()) }()
	if _, err := shown(t, l, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if _, err := shown(t, l, &tls.Config{MaxVersion: tls.VersionTLS12}); err != nil {
		t.Error(err)
	}
}

func TestFilesThatCanNotBeReadAreAnErrorAtTheStart(t *testing.T) {
	for _, c := range [][2]string{{"none.pem", "none.pem"}, {"none.pem", ""}, {"", "none.pem"}} {
		if _, err := listen(c[0], c[1], slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q is served", c)
		}
	}
}
