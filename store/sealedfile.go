package store

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"

	"consentgate/store/pcapng"
)

// A sealed recording's file is an age file (age-encryption.org/v1) whose header
// names the recording and holds no key: a copy of it is worth nothing once the
// key in the row is gone.

// ageMagic is what an age file begins with.
const ageMagic = "age-encryption.org/v1\n"

// stanzaType is that of the one stanza in a sealed file's header.
const stanzaType = "consentgate-recording"

// fileKeySize is age's.
const fileKeySize = 16

// keyless is an age.Recipient that gives nobody the file key, but keeps it here.
type keyless struct {
	id  string
	key []byte
}

func (k *keyless) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	k.key = bytes.Clone(fileKey)
	return []*age.Stanza{{Type: stanzaType, Args: []string{k.id}}}, nil
}

// keyed is the age.Identity of the reader who has the file key from the row. It
// refuses another recording's file.
type keyed struct {
	id  string
	key []byte
}

func (k keyed) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != stanzaType || len(stanzas[0].Args) != 1 || stanzas[0].Args[0] != k.id || len(stanzas[0].Body) != 0 {
		return nil, errors.New("the file's header doesn't name this recording")
	}
	return k.key, nil
}

// ageHeader makes an age header that gives a file key to recipients (C2SP age,
// "Header"): with it in the place of its own, a sealed file is theirs.
func ageHeader(fileKey []byte, to []age.Recipient) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(ageMagic)
	alone := false
	for _, r := range to {
		_, passphrase := r.(*age.ScryptRecipient)
		alone = alone || passphrase
		stanzas, err := r.Wrap(fileKey)
		if err != nil {
			return nil, fmt.Errorf("wrapping the file's key: %w", err)
		}
		for _, s := range stanzas {
			writeStanza(&b, s)
		}
	}
	if len(to) == 0 || alone && len(to) > 1 {
		return nil, errors.New("a recording is for one passphrase, or for keys: not for nobody, nor for both")
	}
	b.WriteString("---")
	macKey, err := hkdf.Key(sha256.New, fileKey, nil, "header", sha256.Size)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, macKey)
	mac.Write(b.Bytes())
	fmt.Fprintf(&b, " %s\n", base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
	return b.Bytes(), nil
}

func writeStanza(b *bytes.Buffer, s *age.Stanza) {
	fmt.Fprintf(b, "-> %s\n", strings.Join(append([]string{s.Type}, s.Args...), " "))
	body := base64.RawStdEncoding.EncodeToString(s.Body)
	for ; len(body) >= 64; body = body[64:] { // the last line is always shorter
		b.WriteString(body[:64] + "\n")
	}
	b.WriteString(body + "\n")
}

// sealedRow is what a recording's row holds of its sealed file.
type sealedRow struct {
	Key []byte `json:"key"` // age's file key, sealed
}

// sealedKey opens the key of a recording's sealed file.
func (t keysTx) sealedKey(id string, r row) ([]byte, error) {
	rk, _, err := t.grantKey(r.Grant)
	if err != nil {
		return nil, fmt.Errorf("recording %s: %w", id, err)
	}
	k, err := open(derive(rk, forSealedFile, nil), asFileKey, id, r.File.Key)
	if err != nil || len(k) != fileKeySize {
		return nil, fmt.Errorf("the key of the sealed file of recording %s: %w", id, errSealed)
	}
	return k, nil
}

// reader is the file as its source, and remembers what the disk said.
type reader struct {
	*os.File
	failed error
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.File.Read(b)
	r.note(err)
	return n, err
}

func (r *reader) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.File.ReadAt(b, off)
	r.note(err)
	return n, err
}

func (r *reader) note(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = err
	}
}

// sealedFile reads a sealed file.
type sealedFile struct {
	file  *reader
	plain io.ReaderAt
	size  int64 // of plain
	last  sealNote
	*standardReader
}

// openSealed opens a sealed file and reads its last note. One that was cut off
// or changed at its end can't be opened so; streamSealed reads it as far as it is
// good.
func openSealed(file *reader, id string, key []byte) (*sealedFile, error) {
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	f := &sealedFile{file: file}
	if f.plain, f.size, err = age.DecryptReaderAt(file, st.Size(), keyed{id, key}); err != nil {
		return nil, err
	}
	if f.last, err = lastNote(f.plain, f.size); err != nil {
		return nil, err
	}
	if f.last.ID != id {
		return nil, fmt.Errorf("%w: it is of recording %s", pcapng.ErrFormat, f.last.ID)
	}
	f.standardReader = newStandardReader(io.NewSectionReader(f.plain, 0, f.size))
	return f, nil
}

// lastNote reads a capture's last note, from its end.
func lastNote(r io.ReaderAt, size int64) (last sealNote, err error) {
	var end [4]byte
	if _, err := r.ReadAt(end[:], max(size-4, 0)); err != nil && !errors.Is(err, io.EOF) {
		return last, err
	}
	n, err := pcapng.LastBlock(end)
	if err == nil && n > size {
		err = fmt.Errorf("%w: its last block is longer than it", pcapng.ErrFormat)
	}
	if err != nil {
		return last, err
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, size-n); err != nil && !errors.Is(err, io.EOF) {
		return last, err
	}
	p, err := pcapng.Parse(b)
	if err != nil {
		return last, err
	}
	s := standardReader{begun: true, same: standardWriter{started: p.At}} // it says when, and nobody asks
	if _, err := s.content(p); err != nil {
		return last, err
	}
	if s.sealed == nil {
		return last, fmt.Errorf("%w: its last note is missing", pcapng.ErrFormat)
	}
	return *s.sealed, nil
}

// streamSealed reads a sealed file from its beginning.
func streamSealed(file *reader, id string, key []byte) (*sealedFile, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(file, keyed{id, key})
	if err != nil {
		return nil, err
	}
	return &sealedFile{file: file, standardReader: newStandardReader(plain)}, nil
}

// isSealed tells by its beginning whether a file is a sealed one.
func isSealed(file *os.File) (bool, error) {
	var start [len(ageMagic)]byte
	n, err := file.ReadAt(start[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(start[:n]) == ageMagic, nil
}
