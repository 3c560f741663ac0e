package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// ngClient speaks rtpengine's control protocol: a cookie and a bencoded
// dictionary a datagram, answered in kind.
type ngClient struct {
	conn net.Conn
	sent int
}

func dialNG(at netip.AddrPort) (*ngClient, error) {
	conn, err := net.Dial("udp", at.String())
	if err != nil {
		return nil, err
	}
	return &ngClient{conn: conn}, nil
}

// ask sends a command and returns its answer, which must be "ok" or "pong".
func (c *ngClient) ask(command map[string]any) (map[string]any, error) {
	c.sent++
	cookie := strconv.Itoa(c.sent) + " "
	if _, err := c.conn.Write(bencode([]byte(cookie), command)); err != nil {
		return nil, fmt.Errorf("asking rtpengine to %v: %w", command["command"], err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return nil, err
	}
	buf := make([]byte, 65536)
	n, err := c.conn.Read(buf)
	if err != nil {
		return nil, fmt.Errorf("rtpengine's answer to %v: %w", command["command"], err)
	}
	rest, ok := bytes.CutPrefix(buf[:n], []byte(cookie))
	if !ok {
		return nil, fmt.Errorf("rtpengine's answer to %v has another cookie: %q", command["command"], buf[:n])
	}
	value, _, err := bdecode(rest)
	answer, isMap := value.(map[string]any)
	if err != nil || !isMap {
		return nil, fmt.Errorf("rtpengine's answer to %v: %q: %v", command["command"], rest, err)
	}
	if got := answer["result"]; got != "ok" && got != "pong" {
		return nil, fmt.Errorf("rtpengine's answer to %v: %v: %v", command["command"], got, answer["error-reason"])
	}
	return answer, nil
}

// bencode appends a string, a list of strings or a dictionary; rtpengine wants
// nothing else from us.
func bencode(to []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(strconv.AppendInt(to, int64(len(v)), 10), ":"+v...)
	case []string:
		to = append(to, 'l')
		for _, x := range v {
			to = bencode(to, x)
		}
		return append(to, 'e')
	case map[string]any:
		var keys []string
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		to = append(to, 'd')
		for _, k := range keys {
			to = bencode(bencode(to, k), v[k])
		}
		return append(to, 'e')
	}
	panic(fmt.Sprintf("bencode: %T", v))
}

var errBencode = errors.New("this isn't bencode")

// bdecode reads one value, a string, int, []any or map[string]any, and returns
// what follows it.
func bdecode(in []byte) (v any, rest []byte, err error) {
	if len(in) == 0 {
		return nil, nil, errBencode
	}
	switch in[0] {
	case 'i':
		digits, rest, ok := bytes.Cut(in[1:], []byte("e"))
		n, err := strconv.Atoi(string(digits))
		if !ok || err != nil {
			return nil, nil, errBencode
		}
		return n, rest, nil
	case 'l', 'd':
		return bdecodeMany(in[0] == 'd', in[1:])
	}
	digits, rest, ok := bytes.Cut(in, []byte(":"))
	n, err := strconv.Atoi(string(digits))
	if !ok || err != nil || n < 0 || n > len(rest) {
		return nil, nil, errBencode
	}
	return string(rest[:n]), rest[n:], nil
}

func bdecodeMany(dictionary bool, in []byte) (any, []byte, error) {
	var list []any
	for len(in) > 0 && in[0] != 'e' {
		v, rest, err := bdecode(in)
		if err != nil {
			return nil, nil, err
		}
		list, in = append(list, v), rest
	}
	if len(in) == 0 || dictionary && len(list)%2 != 0 {
		return nil, nil, errBencode
	}
	if !dictionary {
		return list, in[1:], nil
	}
	out := map[string]any{}
	for i := 0; i < len(list); i += 2 {
		key, ok := list[i].(string)
		if !ok {
			return nil, nil, errBencode
		}
		out[key] = list[i+1]
	}
	return out, in[1:], nil
}
