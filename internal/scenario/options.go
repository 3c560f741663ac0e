package scenario

import (
	"fmt"
	"strconv"
	"strings"
)

// options are what stands behind a message that is said: its description and,
// behind bars, headers and a body.
type options struct {
	sdp  string
	bars []string
}

// bars parts what stands behind vertical bars.
func bars(rest string) (out []string) {
	for _, p := range strings.Split(rest, " | ") {
		if p = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(p), "|")); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func newOptions(sdp, rest string) options {
	kind := strings.TrimPrefix(strings.TrimSpace(sdp), "sdp")
	if sdp != "" && kind == "" {
		kind = "=sendrecv"
	}
	return options{strings.TrimPrefix(kind, "="), bars(rest)}
}

func (o options) has(name string) bool {
	for _, b := range o.bars {
		if strings.HasPrefix(b, name+":") {
			return true
		}
	}
	return false
}

// single are the headers of which there is one: a scenario's replaces ours.
const single = " max-forwards contact from to call-id cseq content-type "

func (o options) apply(a *actor, m *message) error {
	if o.sdp != "" {
		body, err := a.describe(o.sdp)
		if err != nil {
			return err
		}
		m.body = body
		m.add("Content-Type", typeOf(body))
	}
	for _, b := range o.bars {
		if body, ok := strings.CutPrefix(b, "body "); ok {
			m.body = strings.ReplaceAll(body, `\n`, "\r\n")
			continue
		}
		name, value, ok := strings.Cut(strings.ReplaceAll(b, "{tag}", param(a.local, "tag")), ":")
		if !ok {
			return fmt.Errorf("%q is no header", b)
		}
		if value = strings.TrimSpace(value); strings.Contains(single, " "+strings.ToLower(name)+" ") {
			m.set(name, value)
		} else {
			m.add(name, value)
		}
	}
	return nil
}

// variants are the kinds of descriptions beside the plain directions, as
// replacements in a plain one.
var variants = map[string][]string{
	"g729":       {"RTP/AVP 0 8 101", "RTP/AVP 18 101", "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000", "a=rtpmap:18 G729/8000"},
	"pcma":       {"RTP/AVP 0 8 101", "RTP/AVP 8 101", "a=rtpmap:0 PCMU/8000\r\n", ""},
	"wide":       {"RTP/AVP 0 8 101", "RTP/AVP 9 18 0 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:9 G722/8000\r\na=rtpmap:18 G729/8000"},
	"events96":   {"RTP/AVP 0 8 101", "RTP/AVP 0 8 96", ":101 ", ":96 "},
	"noevents":   {"RTP/AVP 0 8 101", "RTP/AVP 0 8", "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n", ""},
	"zero":       {"c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0"},
	"ice":        {"a=ptime", "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\na=rtcp-mux\r\na=ptime"},
	"unrecorded": {"a=sendrecv", "a=recordpref:off\r\na=sendrecv"},
	"recordable": {"a=sendrecv", "a=recordpref:on\r\na=sendrecv"},
	"wantspause": {"a=sendrecv", "a=recordpref:pause\r\na=sendrecv"},
}

// describe makes a session description. "answer" is the direction that answers
// the latest offer (RFC 3264 section 6.1).
func (a *actor) describe(kind string) (string, error) {
	direction := kind
	switch kind {
	case "sendrecv", "sendonly", "recvonly", "inactive":
	case "answer":
		direction = map[string]string{"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}[a.offered]
		if direction == "" {
			direction = "sendrecv"
		}
	case "refused":
		port := strconv.Itoa(int(a.media.Addr().Port()))
		return strings.Replace(string(a.media.Describe("inactive")), "m=audio "+port, "m=audio 0", 1), nil
	default:
		if body := a.sections(kind); body != "" {
			return body, nil
		}
		change, ok := variants[kind]
		if !ok {
			return "", fmt.Errorf("there is no description %q", kind)
		}
		return strings.NewReplacer(change...).Replace(string(a.media.Describe("sendrecv"))), nil
	}
	return string(a.media.Describe(direction)), nil
}
