package wrapcell

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"consentgate/internal/durable"
)

// file is an encrypted root. It is one line:
//
//	consentgate wrapped root EPOCH DEVICE KEY BOX
//
// with the device's name as a quoted string, and the encrypted root in base64,
// or a hyphen while it is being made.
type file struct {
	epoch  uint64
	device string
	key    string
	box    []byte // nil: being made
}

const magic = "consentgate wrapped root "

func (c *Cell) write(f file) error {
	box := "-"
	if f.box != nil {
		box = base64.StdEncoding.EncodeToString(f.box)
	}
	line := fmt.Appendf(nil, "%s%d %s %s %s\n", magic, f.epoch, strconv.Quote(f.device), f.key, box)
	if err := durable.WriteFile(c.file(f.epoch), line, 0o600); err != nil {
		return fmt.Errorf("writing an encrypted root key: %w", err)
	}
	return nil
}

// read gives os.ErrNotExist only where the file's folder is there.
func (c *Cell) read(epoch uint64) (f file, err error) {
	path := c.file(epoch)
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		if _, dirErr := os.Stat(filepath.Dir(path)); dirErr != nil {
			return f, fmt.Errorf("the folder of the encrypted root key isn't there: is its disk mounted? %v", dirErr)
		}
	}
	if err != nil {
		return f, fmt.Errorf("reading the encrypted root key: %w", err)
	}
	line, found := strings.CutPrefix(strings.TrimSpace(string(text)), magic)
	number, rest, _ := strings.Cut(line, " ")
	quoted, quoteErr := strconv.QuotedPrefix(rest)
	words := strings.Fields(strings.TrimPrefix(rest, quoted))
	if !found || quoteErr != nil || number != strconv.FormatUint(epoch, 10) || len(words) != 2 {
		return f, fmt.Errorf("the file %s isn't an encrypted root key of epoch %d: put it back from its backup", path, epoch)
	}
	f = file{epoch: epoch, key: words[0]}
	f.device, err = strconv.Unquote(quoted)
	if err == nil && words[1] != "-" {
		f.box, err = base64.StdEncoding.DecodeString(words[1])
	}
	if err != nil {
		return f, fmt.Errorf("the file %s is damaged: put it back from its backup: %w", path, err)
	}
	return f, nil
}
