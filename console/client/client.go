package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// patience is how long a gate may say nothing.
const patience = time.Minute

// mostAnswer bounds a short answer, in bytes.
const mostAnswer = 64 << 20

// Config says where the gate is, and who asks.
type Config struct {
	Server    string // https://HOST[:PORT]; http:// on loopback only
	TokenFile string // a user's token; "-" is standard input
	CA        string // PEM file of who signed the gate's certificate; "": those that this machine trusts
}

// Client asks a gate. It is for one command.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New makes a client; nothing is asked yet.
func New(c Config) (*Client, error) {
	base, err := server(c.Server)
	if err != nil {
		return nil, err
	}
	token, err := readToken(c.TokenFile)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 5 * patience // a log is verified in there
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("reading --ca: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: there is no certificate in %s: it has to be PEM", c.CA)
		}
	}
	return &Client{base: base, token: token, http: &http.Client{Transport: t,
		// The token is for the gate alone, and the gate redirects nobody.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// server reads an address. A token goes over a network under TLS only.
func server(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, wrong("--server: %q isn't an address such as https://gate.example.com:8080", s)
	}
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, wrong("--server: %q has more than a host and a port", u.Redacted())
	}
	at, err := netip.ParseAddr(u.Hostname())
	if loopback := u.Hostname() == "localhost" || err == nil && at.IsLoopback(); u.Scheme == "http" && !loopback {
		return nil, wrong("--server: over http your token would go to %s in the clear: use https", u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// readToken reads a token: one line. It is never an argument, for those can be seen
// by everybody on the machine.
func readToken(path string) (string, error) {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(io.LimitReader(os.Stdin, 4096))
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("reading the token: %s has to hold one token and nothing else", path)
	}
	return token, nil
}

// answer is what a gate said.
type answer struct {
	status int
	body   []byte
}

// decode reads what it said.
func (a answer) decode(v any) error {
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("reading what the gate said: %w", err)
	}
	return nil
}

// ask asks for something short. in is sent as JSON, nil: nothing is. What isn't a
// success is an error.
func (c *Client) ask(ctx context.Context, method, path string, q url.Values, in any) (answer, error) {
	res, err := c.open(ctx, method, path, q, in)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close() // it was read from only
	body, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("reading what %s said: %w", c.base.Host, err)
	}
	return answer{res.StatusCode, body}, nil
}

// open asks for something that may be long; its body is the caller's to close.
func (c *Client) open(ctx context.Context, method, path string, q url.Values, in any) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("writing the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path+query(q), body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost { // net/http sends it again where a kept connection broke; the gate does it once
		req.Header.Set("Idempotency-Key", strings.ToLower(rand.Text()))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(err)
	}
	if res.StatusCode/100 != 2 {
		defer res.Body.Close() // it was read from only
		return nil, problemOf(res)
	}
	return res, nil
}

func query(q url.Values) string {
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// unreached says what to do where a gate didn't answer.
func (c *Client) unreached(err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // the address says the query as well, which may hold a number
	}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &authority):
		return fmt.Errorf("%s has a certificate that nobody signed whom this machine trusts: give the file of who did with --ca (%w)", c.base.Host, err)
	case errors.As(err, &name):
		return fmt.Errorf("%s has a certificate for another name: use the one that is in it with --server (%w)", c.base.Host, err)
	case errors.As(err, &invalid):
		return fmt.Errorf("%s has a certificate that isn't good: renew it at the gate (%w)", c.base.Host, err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%s doesn't speak TLS: use http:// on its own machine, or set console.tls there", c.base.Host)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("%s can't be reached: is the gate running, and is that its console.listen? (%w)", c.base.Host, err)
	}
	return fmt.Errorf("asking %s: %w", c.base.Host, err)
}
