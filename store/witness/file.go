package witness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"consentgate/store/checkpoint"
)

// file is a file of lines that only grows: made so by its owner (chattr +a), or
// on another host's share. The gate opens it to append, and to read its end.
type file struct {
	path string
	vkey string
	last []byte // the checkpoint in the last line
}

// tailSize is more than two lines have.
const tailSize = 16 << 10

// held reads the last whole line. A line that isn't the log's is a conflict:
// nobody else has business in this file.
func (f *file) held(context.Context) (c checkpoint.Checkpoint, ok bool, err error) {
	f.last = nil
	tail, _, err := f.tail()
	if errors.Is(err, os.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	lines := bytes.Split(tail, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		var l checkpoint.Line
		if json.Unmarshal(lines[i], &l) != nil {
			continue // cut off, or the middle of a line
		}
		if c, err = checkpoint.Parse([]byte(l.Checkpoint), f.vkey); err != nil {
			return c, false, fmt.Errorf("%w: the last line of %s: %w", ErrConflict, f.path, err)
		}
		f.last = []byte(l.Checkpoint)
		return c, true, nil
	}
	if len(bytes.TrimSpace(tail)) > 0 {
		return c, false, fmt.Errorf("%s isn't a file of checkpoints: give the gate one of its own", f.path)
	}
	return c, false, nil
}

// tail reads the file's end, and whether that is the end of a line.
func (f *file) tail() (tail []byte, whole bool, err error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, false, fmt.Errorf("reading the witness's file: %w", err)
	}
	if !info.Mode().IsRegular() { // reading a pipe would wait
		return nil, false, fmt.Errorf("%s isn't a regular file", f.path)
	}
	in, err := os.Open(f.path)
	if err != nil {
		return nil, false, fmt.Errorf("reading the witness's file: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	size, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, false, err
	}
	tail = make([]byte, min(size, tailSize))
	if _, err = in.ReadAt(tail, size-int64(len(tail))); err != nil {
		return nil, false, fmt.Errorf("reading the witness's file: %w", err)
	}
	return tail, size == 0 || tail[len(tail)-1] == '\n', nil
}

// keep appends a line, in one write, and syncs it. The same checkpoint twice is
// one line.
func (f *file) keep(_ context.Context, signed []byte, _ checkpoint.Checkpoint) (err error) {
	if bytes.Equal(signed, f.last) {
		return nil
	}
	line, err := json.Marshal(checkpoint.Line{At: time.Now().UTC().Truncate(time.Second), Checkpoint: string(signed)})
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if _, whole, err := f.tail(); err == nil && !whole {
		line = append([]byte("\n"), line...) // what a full disk cut off stays a line of its own
	}
	out, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("appending to the witness's file: %w", err)
	}
	_, err = out.Write(line)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("appending to the witness's file: %w", err)
	}
	return nil
}
