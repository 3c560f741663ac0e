package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// wanted is which bytes of a file of some size a request is for: from one on to
// before another. One range is served; several, and what can't be read, are ignored
// and all is sent, as RFC 9110 section 14.2 lets us: many small ranges would be many
// places to decode from.
func (c *call) wanted(size int64) (from, to int64, err error) {
	h := c.r.Header
	first, last, ok := strings.Cut(strings.TrimPrefix(h.Get("Range"), "bytes="), "-")
	if len(h.Values("Range")) != 1 || !strings.HasPrefix(h.Get("Range"), "bytes=") || !ok || h.Get("If-Range") != "" || !isNumber(first) || !isNumber(last) || first+last == "" {
		h.Del("Range")
		return 0, size, nil
	}
	switch {
	case first == "":
		n := number(last)
		from, to = max(size-n, 0), size
	case last == "":
		from, to = number(first), size
	default:
		if from, to = number(first), number(last)+1; from >= to {
			h.Del("Range")
			return 0, size, nil
		}
	}
	if from >= size || from >= to {
		c.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return 0, 0, refused(http.StatusRequestedRangeNotSatisfiable, fmt.Sprintf("the file has %d bytes", size))
	}
	return from, min(to, size), nil
}

// isNumber reports whether it is one that fits, or nothing.
func isNumber(s string) bool { return len(s) <= 18 && strings.Trim(s, "0123456789") == "" }

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // isNumber saw to it
	return n
}
