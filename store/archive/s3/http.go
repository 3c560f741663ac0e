package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"consentgate/store/archive"
)

const (
	// headPatience is how long the server may take to begin with an answer. After
	// an upload it has to have stored what it got.
	headPatience = 60 * time.Second
	// pagePatience is how long a page of a list may take.
	pagePatience = 60 * time.Second
	// mostAnswer bounds an answer that isn't an object, in bytes.
	mostAnswer = 8 << 20
)

func newClient(caFile string) (*http.Client, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: headPatience,
		MaxIdleConns: 4, IdleConnTimeout: time.Minute, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("reading the server's CA: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the file %s holds no certificate in PEM", caFile)
		}
	}
	// A request is signed for one host: nobody is followed to another.
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// bounded reads no more of an answer than one can be.
type bounded struct{ web *http.Client }

func (b bounded) Do(r *http.Request) (*http.Response, error) {
	out, err := b.web.Do(r)
	if err != nil {
		return nil, err
	}
	most := int64(mostAnswer)
	if r.Method == http.MethodGet && out.StatusCode == http.StatusOK && !asks(r) {
		most = archive.MostBytes
	}
	out.Body = &limited{out.Body, most}
	return out, nil
}

// asks reports whether a request is for what the bucket says, not for an object.
func asks(r *http.Request) bool {
	for _, what := range []string{"versions", "versioning", "object-lock", "policyStatus"} {
		if r.URL.Query().Has(what) {
			return true
		}
	}
	return false
}

var errLong = errors.New("the answer is longer than it can be")

type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errLong
	}
	return n, err
}

func byName(page []archive.Version) {
	slices.SortStableFunc(page, func(a, b archive.Version) int { return strings.Compare(a.Object, b.Object) })
}
