package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ours are the lines of a session description that the gate may change, or take
// out; m= lines, and what belongs to a codec that is taken out, are looked at by
// themselves.
var ours = regexp.MustCompile(`^(c=|m=|a=record:|a=rtcp|a=ice|a=candidate|a=end-of-candidates|a=group:BUNDLE|a=bundle-only)`)

// sameBody: a session description but for the lines that are ours, and without
// the sender's ports; any other body as it is, and any other part of one.
func (p *player) sameBody(to *actor, in, out *message) error {
	if t := in.get("Content-Type"); t != "application/sdp" && !strings.HasPrefix(t, "multipart/") {
		if in.body != out.body {
			return fmt.Errorf("its body is %q instead of %q", out.body, in.body)
		}
		return nil
	}
	gone, err := p.sameSections(in.body, out.body)
	if err != nil {
		return fmt.Errorf("%w:\n%s", err, out.body)
	}
	kept := func(body string, gone *regexp.Regexp) string {
		lines := strings.Split(body, "\r\n")
		return strings.Join(slices.DeleteFunc(lines, func(line string) bool {
			return ours.MatchString(line) || gone.MatchString(line) || (p.answers || p.tells[to.name]) && strings.HasPrefix(line, "o=")
		}), "\n")
	}
	if was, is := kept(in.body, gone), kept(out.body, noLine); was != is {
		return fmt.Errorf("its description has\n%s\ninstead of\n%s", is, was)
	}
	return nil
}

var noLine = regexp.MustCompile(`^\b$`)

// sameSections: each with another port, none with none, and at most narrowed to
// some of its codecs. gone are the lines that belong to the others.
func (p *player) sameSections(in, out string) (gone *regexp.Regexp, err error) {
	was, is := mLines(in), mLines(out)
	if len(was) != len(is) {
		return nil, fmt.Errorf("its description has %d sections instead of %d", len(is), len(was))
	}
	var codecs []string
	for i, w := range was {
		o := is[i]
		if w[0] != o[0] || w[2] != o[2] {
			return nil, fmt.Errorf("its section %d is %q instead of %q", i, o, w)
		}
		switch {
		case w[1] == "0" && o[1] != "0":
			return nil, fmt.Errorf("its section %d was refused and isn't", i)
		case w[1] != "0" && o[1] == "0" && !p.refuses && !p.answers:
			return nil, fmt.Errorf("its section %d is refused", i)
		case w[1] == o[1] && o[1] != "0" && !p.direct:
			return nil, fmt.Errorf("its media go round the gate")
		}
		left := slices.DeleteFunc(slices.Clone(w[3:]), func(f string) bool { return !slices.Contains(o[3:], f) })
		if !slices.Equal(left, o[3:]) || w[0] != "m=audio" && len(left) != len(w)-3 {
			return nil, fmt.Errorf("its section %d has %q instead of %q", i, o[3:], w[3:])
		}
		codecs = append(codecs, slices.DeleteFunc(w[3:], func(f string) bool { return slices.Contains(o[3:], f) })...)
	}
	if len(codecs) == 0 {
		return noLine, nil
	}
	return regexp.MustCompile(`^a=(rtpmap|fmtp):(` + strings.Join(codecs, "|") + `) `), nil
}

// mLines are the fields of a description's m= lines.
func mLines(body string) (out [][]string) {
	for _, l := range strings.Split(body, "\r\n") {
		if f := strings.Fields(l); strings.HasPrefix(l, "m=") && len(f) > 3 {
			out = append(out, f)
		}
	}
	return out
}
