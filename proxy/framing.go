package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
)

// maxBody bounds a body.
const maxBody = 64 << 10

var (
	errPing    = errors.New("keep-alive")
	errHeaders = errors.New("the headers are too long")
	errLength  = errors.New("the Content-Length is no length, or too long")
)

// awaitMessage waits until a message begins. errPing stands for the double CRLF
// by which a peer asks whether we are there (RFC 5626 section 4.4.1).
func awaitMessage(r *bufio.Reader) error {
	for blank := 0; blank < 2; {
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return err
		case c == '\n':
			blank++
		case c != '\r':
			return r.UnreadByte()
		}
	}
	return errPing
}

// readMessage reads one message off a stream, which ends where its
// Content-Length says (RFC 3261 section 18.3; none is taken for 0). With
// errLength it returns the headers, for an answer. After an error the stream
// can't be read on.
func readMessage(r *bufio.Reader) ([]byte, error) {
	var msg []byte
	for !bytes.HasSuffix(msg, []byte("\r\n\r\n")) {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if msg = append(msg, line...); len(msg) > maxHeaders || err != nil {
			return nil, errHeaders
		}
	}
	length, err := contentLength(string(msg))
	if err != nil {
		return msg, err
	}
	start := len(msg)
	msg = append(msg, make([]byte, length)...)
	if _, err := io.ReadFull(r, msg[start:]); err != nil {
		return nil, err
	}
	return msg, nil
}

// contentLength reads it from a message's headers.
func contentLength(head string) (n int, err error) {
	seen := false
	for raw, rest, _ := cutField(head); raw != ""; raw, rest, _ = cutField(rest) {
		f := parseField(raw)
		if f == nil || f.full != "content-length" {
			continue
		}
		n, err = strconv.Atoi(f.Value())
		if err != nil || n < 0 || n > maxBody || seen {
			return 0, errLength
		}
		seen = true
	}
	return n, nil
}
