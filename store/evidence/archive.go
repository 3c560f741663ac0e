package evidence

import (
	"archive/zip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
)

// manifestName is of the list that sha256sum -c checks.
const manifestName = "MANIFEST.sha256"

// archive is a zip file that is written once, from front to back.
type archive struct {
	zip  *zip.Writer
	made time.Time
	sums []string // "hash  name"
}

func newArchive(w io.Writer, made time.Time) *archive {
	return &archive{zip: zip.NewWriter(w), made: made}
}

// file writes a file of the archive by f. One at a time.
func (a *archive) file(name string, f func(io.Writer) error) error {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.made.UTC()})
	if err != nil {
		return err
	}
	sum := sha256.New()
	if err := f(io.MultiWriter(w, sum)); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	a.sums = append(a.sums, fmt.Sprintf("%x  %s\n", sum.Sum(nil), name))
	return nil
}

func (a *archive) bytes(name string, b []byte) error {
	return a.file(name, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// close adds the manifest, which is all but itself, and the zip's directory.
func (a *archive) close() error {
	if err := a.bytes(manifestName, []byte(strings.Join(a.sums, ""))); err != nil {
		return err
	}
	return a.zip.Close()
}

var errTwoSeals = errors.New("evidence: a bundle is sealed to a recipient or by a passphrase, not both")

// open is a bundle that isn't sealed.
type open struct{ io.Writer }

func (open) Close() error { return nil }

// seal makes what is written to it readable only to who has the key (age 1).
// Close ends it; a file that was not closed doesn't open.
func seal(w io.Writer, recipient, passphrase string) (io.WriteCloser, error) {
	var to []age.Recipient
	var err error
	switch {
	case recipient == "" && passphrase == "":
		return open{w}, nil
	case recipient != "" && passphrase != "":
		return nil, errTwoSeals
	case recipient != "":
		to, err = age.ParseRecipients(strings.NewReader(recipient))
	default:
		var r *age.ScryptRecipient
		r, err = age.NewScryptRecipient(passphrase)
		to = []age.Recipient{r}
	}
	if err != nil {
		return nil, fmt.Errorf("evidence: sealing a bundle (a recipient begins with age1): %w", err)
	}
	return age.Encrypt(w, to...)
}
