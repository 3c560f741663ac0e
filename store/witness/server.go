package witness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"consentgate/internal/durable"
	"consentgate/store/checkpoint"
)

// notesDir, below the data directory, has what servers witnessed: the newest
// checkpoint of each, with its cosignature where it gives one.
const notesDir = "witnessed"

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// server is somebody else's, by HTTP: a witness that cosigns, or a collector.
type server struct {
	config   Config
	vkey     string               // the log's
	cosigner *checkpoint.Cosigner // nil: a collector
	log      Log
	client   http.Client
	note     string // the file of the newest that it has
	last     []byte // the same, in memory
}

func newServer(c Config, dir, vkey string, log Log) (*server, error) {
	s := &server{config: c, vkey: vkey, log: log}
	if c.VKey != "" {
		var err error
		if s.cosigner, err = checkpoint.NewCosigner(c.VKey); err != nil {
			return nil, err
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	s.client = http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // the token is for this server
	id := sha256.Sum256([]byte(c.Name()))
	s.note = filepath.Join(dir, notesDir, hex.EncodeToString(id[:8])+".note")
	return s, nil
}

// Notes reads the checkpoints that servers witnessed, with their cosignatures.
func Notes(dir string) (notes [][]byte, err error) {
	names, err := filepath.Glob(filepath.Join(dir, notesDir, "*.note"))
	for _, name := range names {
		b, readErr := os.ReadFile(name)
		if readErr != nil {
			return nil, fmt.Errorf("reading what was witnessed: %w", readErr)
		}
		notes = append(notes, b)
	}
	return notes, err
}

// held is what the server was given last, by the gate's own note. The server
// itself is asked when it gets the next.
func (s *server) held(context.Context) (c checkpoint.Checkpoint, ok bool, err error) {
	if s.last == nil {
		if s.last, err = os.ReadFile(s.note); errors.Is(err, os.ErrNotExist) {
			return c, false, nil
		}
		if err != nil {
			return c, false, fmt.Errorf("reading what was witnessed: %w", err)
		}
	}
	if c, err = checkpoint.Parse(s.last, s.vkey); err != nil {
		return c, false, fmt.Errorf("%w: %s: %w", ErrConflict, s.note, err)
	}
	return c, true, nil
}

func (s *server) keep(ctx context.Context, signed []byte, now checkpoint.Checkpoint) error {
	if s.cosigner != nil {
		return s.addCheckpoint(ctx, signed, now)
	}
	if bytes.Equal(signed, s.last) {
		return nil
	}
	status, _, answer, err := s.post(ctx, s.config.URL, signed)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return fmt.Errorf("the collector answers %d: %s", status, firstLine(answer))
	}
	return s.remember(signed)
}

// addCheckpoint is the call of C2SP tlog-witness. What the witness has of the
// log is asked where the gate doesn't know, or is wrong.
func (s *server) addCheckpoint(ctx context.Context, signed []byte, now checkpoint.Checkpoint) error {
	old := int64(0)
	if held, ok, err := s.held(ctx); err == nil && ok {
		old = held.Size
	}
	for range 3 {
		body, err := s.request(old, signed, now)
		if err != nil {
			return err
		}
		status, kind, answer, err := s.post(ctx, strings.TrimSuffix(s.config.URL, "/")+"/add-checkpoint", body)
		if err != nil {
			return err
		}
		switch status {
		case http.StatusOK:
			cosigned, err := s.cosigner.WithSignatures(signed, answer)
			if err != nil {
				return err
			}
			return s.remember(cosigned)
		case http.StatusConflict:
			has, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
			if err != nil || has < 0 || kind != "text/x.tlog.size" {
				return fmt.Errorf("the witness answers 409 without the size that it has: %s", firstLine(answer))
			}
			if has > now.Size || has == now.Size && old == has {
				return fmt.Errorf("%w: it cosigned %d entries, the log has %d of another root or fewer", ErrConflict, has, now.Size)
			}
			old = has
		case http.StatusUnprocessableEntity:
			return fmt.Errorf("%w: it takes no proof that %d entries continue the %d that it cosigned: %s", ErrConflict, now.Size, old, firstLine(answer))
		default:
			return fmt.Errorf("the witness answers %d: %s", status, firstLine(answer))
		}
	}
	return errors.New("the witness says another size each time")
}

// request is the body: the old size, the proof, and the checkpoint.
func (s *server) request(old int64, signed []byte, now checkpoint.Checkpoint) ([]byte, error) {
	body := fmt.Appendf(nil, "old %d\n", old)
	if old > 0 {
		hashes, err := s.log.Prove(old, now.Size)
		if err != nil {
			return nil, fmt.Errorf("proving that the log continues its first %d entries: %w", old, err)
		}
		for _, h := range hashes {
			body = fmt.Appendf(body, "%s\n", h)
		}
	}
	return append(append(body, '\n'), signed...), nil
}

func (s *server) post(ctx context.Context, url string, body []byte) (status int, kind string, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if s.config.TokenFile != "" {
		token, err := os.ReadFile(s.config.TokenFile)
		if err != nil {
			return 0, "", nil, fmt.Errorf("reading the witness's token: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, resp.Header.Get("Content-Type"), answer, errors.Join(err, resp.Body.Close())
}

// remember keeps what the server has, for verifiers and for the next start.
func (s *server) remember(signed []byte) error {
	if err := os.MkdirAll(filepath.Dir(s.note), 0o700); err != nil {
		return fmt.Errorf("keeping what was witnessed: %w", err)
	}
	if err := durable.WriteFile(s.note, signed, 0o644); err != nil {
		return fmt.Errorf("keeping what was witnessed: %w", err)
	}
	s.last = signed
	return nil
}

// firstLine is what of an answer goes into a message.
func firstLine(answer []byte) string {
	line, _, _ := strings.Cut(string(answer), "\n")
	return strconv.Quote(line[:min(len(line), 100)])
}
