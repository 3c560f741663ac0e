// Package vaultcell keeps root keys under keys of the transit engine of a
// HashiCorp Vault or an OpenBao server.
package vaultcell

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/wrapcell"
)

// Config says which server.
type Config struct {
	Address   string // https://vault.example.com:8200
	CAFile    string // PEM of who signs the server's certificate; "": the system's
	Namespace string // "": none
	Mount     string // where the transit engine is mounted, for instance transit
	TokenFile string // read at each request, so that an agent may renew it
	Path      string // the encrypted roots lie here, with ".N" behind it
	Name      string // begins the names of the keys; wrapcell.CheckName
}

// patience is how long the server may take for one request.
const patience = 15 * time.Second

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 1 << 20

// Open makes the cell. It doesn't ask the server.
func Open(c Config) (*wrapcell.Cell, error) {
	if err := CheckAddress(c.Address); err != nil {
		return nil, fmt.Errorf("the address %q: %w", c.Address, err)
	}
	if err := CheckMount(c.Mount); err != nil {
		return nil, fmt.Errorf("the mount %q: %w", c.Mount, err)
	}
	if err := wrapcell.CheckName(c.Name); err != nil {
		return nil, fmt.Errorf("the name %q of root keys: %w", c.Name, err)
	}
	t := &http.Transport{Proxy: nil, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
		ResponseHeaderTimeout: patience}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the server's CA: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the file %s holds no certificate in PEM", c.CAFile)
		}
	}
	d := &device{c: c, http: &http.Client{Transport: t, Timeout: patience, CheckRedirect: redirected}}
	return wrapcell.New(d, c.Path, c.Name, rootcell.Description{
		Driver: "vault", Holder: fmt.Sprintf("transit engine %s/v1/%s, keys %s-*", strings.TrimRight(c.Address, "/"), c.Mount, c.Name),
		Resists: "who has every disk and backup of this machine, the encrypted root key too: the key that opened it never " +
			"left the server, and the server has deleted it",
		Doesnt: "who has a snapshot or backup of the server's storage from before, and its unseal keys; let them expire",
	}), nil
}

// CheckAddress says whether an address may be a server's: without TLS only on
// this machine, for the root key crosses that connection.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return errors.New("a server's URL, for instance https://vault.example.com:8200")
	}
	switch host := u.Hostname(); {
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (host == "127.0.0.1" || host == "::1" || host == "localhost"):
		return nil
	}
	return errors.New("https:// is needed: the root key crosses this connection. http:// may be used on this machine only")
}

// CheckMount says whether an engine may be mounted there.
func CheckMount(mount string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`).MatchString(mount) {
		return errors.New("the path where the transit engine is mounted, without /v1, for instance transit")
	}
	return nil
}

// redirected follows a standby's hint to the active node, but not out of TLS.
func redirected(r *http.Request, via []*http.Request) error {
	if len(via) > 2 || r.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// device is the server as wrapcell knows it.
type device struct {
	c    Config
	http *http.Client
}

// refusal is an answer that isn't a success.
type refusal struct {
	status int
	errs   []string
}

func (r *refusal) Error() string {
	said := strings.Join(r.errs, "; ")
	if said == "" {
		said = http.StatusText(r.status)
	}
	hint := ""
	switch r.status {
	case http.StatusForbidden:
		hint = ": is the token in the token file still good, and does its policy allow this?"
	case http.StatusServiceUnavailable:
		hint = ": unseal the server"
	case http.StatusNotFound:
		hint = ": is the transit engine mounted there?"
	}
	return fmt.Sprintf("the server answers %d (%s)%s", r.status, said, hint)
}

// answer is what is read of the server's JSON.
type answer struct {
	Errors []string `json:"errors"`
	Data   struct {
		Keys       json.RawMessage `json:"keys"`
		Ciphertext string          `json:"ciphertext"`
		Plaintext  string          `json:"plaintext"`
		Exportable bool            `json:"exportable"`
		Backup     bool            `json:"allow_plaintext_backup"`
		Type       string          `json:"type"`
	} `json:"data"`
	ClusterID string `json:"cluster_id"`
}

// ask does a request. path is behind /v1/.
func (d *device) ask(ctx context.Context, method, path string, body any) (a answer, err error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return a, err
		}
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(d.c.Address, "/")+"/v1/"+path, in)
	if err != nil {
		return a, err
	}
	token, err := os.ReadFile(d.c.TokenFile)
	if err != nil {
		return a, fmt.Errorf("reading the server's token: %w", err)
	}
	r.Header.Set("X-Vault-Token", strings.TrimSpace(string(token)))
	r.Header.Set("X-Vault-Request", "true") // agents and proxies may insist on it
	if d.c.Namespace != "" && !strings.HasPrefix(path, "sys/") {
		r.Header.Set("X-Vault-Namespace", d.c.Namespace)
	}
	got, err := d.http.Do(r)
	if err != nil {
		return a, fmt.Errorf("asking the server: %w", err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, maxAnswer))
	if err != nil {
		return a, fmt.Errorf("reading the server's answer: %w", err)
	}
	jsonErr := json.Unmarshal(text, &a)
	if got.StatusCode/100 != 2 {
		return answer{Errors: a.Errors}, &refusal{got.StatusCode, a.Errors}
	}
	if len(text) > 0 && jsonErr != nil {
		return answer{}, errors.New("the server's answer isn't Vault's: is something else at that address?")
	}
	return a, nil
}

// nothingThere reports whether the engine answered that there is nothing: a 404
// that says why is the server's, which has no engine there.
func nothingThere(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusNotFound && len(r.errs) == 0
}

// ID is the cluster's. Health is told without a token.
func (d *device) ID(ctx context.Context) (string, error) {
	a, err := d.ask(ctx, http.MethodGet, "sys/health?standbyok=true&perfstandbyok=true", nil)
	if err != nil {
		return "", err
	}
	if a.ClusterID == "" {
		return "", errors.New("the server doesn't say which cluster it is of")
	}
	return a.ClusterID, nil
}

func (d *device) Keys(ctx context.Context, prefix string) ([]string, error) {
	a, err := d.ask(ctx, "LIST", d.c.Mount+"/keys", nil)
	if nothingThere(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names, out []string
	if err := json.Unmarshal(a.Data.Keys, &names); err != nil {
		return nil, errors.New("the server's list of keys can't be read")
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	return out, nil
}

func (d *device) keyPath(name string) string { return d.c.Mount + "/keys/" + name }

// NewKey makes a key, and asks whether it is as it must be: one that could be
// exported or backed up would have copies.
func (d *device) NewKey(ctx context.Context, name string) error {
	if _, err := d.ask(ctx, http.MethodPost, d.keyPath(name), map[string]any{"type": "aes256-gcm96", "exportable": false,
		"allow_plaintext_backup": false}); err != nil {
		return err
	}
	a, err := d.ask(ctx, http.MethodGet, d.keyPath(name), nil)
	if err != nil {
		return err
	}
	if a.Data.Exportable || a.Data.Backup || a.Data.Type != "aes256-gcm96" {
		return fmt.Errorf("the server made the key %s as one that can be taken out of it", name)
	}
	return nil
}

func (d *device) Wrap(ctx context.Context, name string, root rootcell.Key) ([]byte, error) {
	// Whether the key is there is asked first: encrypting would make one.
	if _, err := d.ask(ctx, http.MethodGet, d.keyPath(name), nil); err != nil {
		return nil, d.noKey(err, name)
	}
	a, err := d.ask(ctx, http.MethodPost, d.c.Mount+"/encrypt/"+name, map[string]any{
		"plaintext": base64.StdEncoding.EncodeToString(root[:]), "associated_data": base64.StdEncoding.EncodeToString([]byte(name))})
	if err != nil {
		return nil, err
	}
	if a.Data.Ciphertext == "" {
		return nil, errors.New("the server encrypted nothing")
	}
	return []byte(a.Data.Ciphertext), nil
}

func (d *device) Unwrap(ctx context.Context, name string, box []byte) (k rootcell.Key, err error) {
	a, err := d.ask(ctx, http.MethodPost, d.c.Mount+"/decrypt/"+name, map[string]any{"ciphertext": string(box),
		"associated_data": base64.StdEncoding.EncodeToString([]byte(name))})
	if err != nil {
		// "Not found" and "doesn't open" are both 400 here: the key is asked for.
		if _, keyErr := d.ask(ctx, http.MethodGet, d.keyPath(name), nil); nothingThere(keyErr) {
			return k, d.noKey(keyErr, name)
		}
		return k, err
	}
	plain, err := base64.StdEncoding.DecodeString(a.Data.Plaintext)
	if err != nil || len(plain) != len(k) {
		return k, errors.New("the server gave no root key")
	}
	return rootcell.Key(plain), nil
}

func (d *device) Delete(ctx context.Context, name string) error {
	if _, err := d.ask(ctx, http.MethodGet, d.keyPath(name), nil); err != nil {
		return d.noKey(err, name)
	}
	if _, err := d.ask(ctx, http.MethodPost, d.keyPath(name)+"/config", map[string]any{"deletion_allowed": true}); err != nil {
		return err
	}
	_, err := d.ask(ctx, http.MethodDelete, d.keyPath(name), nil)
	return err
}

func (d *device) noKey(err error, name string) error {
	if nothingThere(err) {
		return fmt.Errorf("key %s: %w", name, wrapcell.ErrNoKey)
	}
	return err
}

func (d *device) Close() error {
	d.http.CloseIdleConnections()
	return nil
}
