package alarm

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"consentgate/internal/durable"
)

// cursor is the number of an entry, kept in a file. One goroutine has it.
type cursor struct {
	path  string
	next  int64
	kept  int64 // what the file has
	saved time.Time
}

// load reads it; -1 where there is no file, or no number in it.
func (c *cursor) load() error {
	text, err := os.ReadFile(c.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading how far the alarms came: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n < 0 {
		n = -1
	}
	c.next, c.kept, c.saved = n, n, time.Now()
	return nil
}

func (c *cursor) save() error {
	if c.saved = time.Now(); c.next == c.kept {
		return nil
	}
	if err := durable.WriteFile(c.path, fmt.Appendf(nil, "%d\n", c.next), 0o600); err != nil {
		return err
	}
	c.kept = c.next
	return nil
}
