// Package checkpoint reads signed statements of a log's size and root, and what
// witnesses put under them: C2SP tlog-checkpoint, signed-note, tlog-cosignature.
package checkpoint

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is what one says: origin, size and root hash, each on a line of the
// note; a blank line and signatures follow.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// Text is what is signed.
func (c Checkpoint) Text() string { return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root) }

var errText = errors.New("not a checkpoint")

// Parse checks the signature with the log's verifier key and reads the
// checkpoint. The origin must be the key's name.
func Parse(signed []byte, vkey string) (Checkpoint, error) {
	v, err := logVerifier(vkey)
	if err != nil {
		return Checkpoint{}, err
	}
	return parse(signed, v)
}

func logVerifier(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return nil, fmt.Errorf("the log's verifier key: %w", err)
	}
	return v, nil
}

func parse(signed []byte, verifier note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint's signature: %w", err)
	}
	strict := base64.StdEncoding.Strict() // one way to write it: no byte can be changed unnoticed
	for _, sig := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := strict.DecodeString(sig.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("the checkpoint's signature: %w", err)
		}
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return Checkpoint{}, errText
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, errText
	}
	raw, err := strict.DecodeString(lines[2])
	if err != nil || len(raw) != tlog.HashSize {
		return Checkpoint{}, errText
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: tlog.Hash(raw)}, nil
}

// Line is a line of a witness's file: JSON, so that one that a full disk cut off
// can be told from a whole one.
type Line struct {
	At         time.Time `json:"at"` // when it was written, by the gate's clock
	Checkpoint string    `json:"checkpoint"`
}

// ParseKept reads what somebody kept of a log: one signed checkpoint, or the
// lines of a witness's file. A line that was cut off is passed over; one whose
// signature isn't the log's is an error. signed are the notes, beside out.
func ParseKept(kept []byte, vkey string) (out []Checkpoint, signed [][]byte, err error) {
	v, err := logVerifier(vkey)
	if err != nil {
		return nil, nil, err
	}
	if !bytes.HasPrefix(bytes.TrimLeft(kept, "\n"), []byte("{")) {
		c, err := parse(kept, v)
		return []Checkpoint{c}, [][]byte{kept}, err
	}
	for n, line := range bytes.Split(kept, []byte("\n")) {
		var w Line
		if json.Unmarshal(line, &w) != nil {
			continue
		}
		c, err := parse([]byte(w.Checkpoint), v)
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		out, signed = append(out, c), append(signed, []byte(w.Checkpoint))
	}
	if len(out) == 0 {
		return nil, nil, errors.New("there is no checkpoint in it")
	}
	return out, signed, nil
}

// CheckConsistency checks the proof that a checkpoint continues another (RFC
// 6962 section 2.1.2). Whatever has its origin continues the empty log.
func CheckConsistency(older, newer Checkpoint, hashes []tlog.Hash) error {
	if older.Size == 0 && len(hashes) == 0 && older.Origin == newer.Origin {
		return nil
	}
	if older.Origin != newer.Origin || older.Size < 1 || older.Size > newer.Size ||
		tlog.CheckTree(hashes, newer.Size, newer.Root, older.Size, older.Root) != nil {
		return fmt.Errorf("the checkpoint of %d entries doesn't continue the one of %d, or the proof is another's", newer.Size, older.Size)
	}
	return nil
}
