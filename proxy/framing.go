package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// maxBody bounds a body that comes by a stream.
const maxBody = 64 << 10

var (
	errPing    = errors.New("keep-alive")
	errHeaders = errors.New("the headers are too long")
	errLength  = errors.New("the Content-Length is no length, or too long")
)

// readMessage reads one message off a stream, which ends where its
// Content-Length says (RFC 3261 section 18.3; none is taken for 0). errPing
// stands for the double CRLF by which a peer asks whether we are there (RFC 5626
// section 4.4.1). After any other error the stream can't be read on.
func readMessage(r *bufio.Reader) ([]byte, error) {
	var msg []byte
	length, blank := 0, 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		text := string(bytes.TrimRight(line, "\r\n"))
		if len(msg) == 0 && text == "" { // empty lines before a message
			if blank++; blank == 2 {
				return nil, errPing
			}
			continue
		}
		if msg = append(msg, line...); len(msg) > maxHeaders || err != nil {
			return nil, errHeaders
		}
		if text == "" {
			break
		}
		if n, is, err := contentLength(text); err != nil {
			return nil, err
		} else if is {
			length = n
		}
	}
	start := len(msg)
	msg = append(msg, make([]byte, length)...)
	if _, err := io.ReadFull(r, msg[start:]); err != nil {
		return nil, err
	}
	return msg, nil
}

// contentLength reads a header line, if it is that one.
func contentLength(line string) (n int, is bool, err error) {
	name, value, _ := strings.Cut(line, ":")
	if canonical(strings.TrimRight(name, " \t")) != "content-length" {
		return 0, false, nil
	}
	n, err = strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < 0 || n > maxBody {
		return 0, true, errLength
	}
	return n, true, nil
}
