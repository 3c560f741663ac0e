package proxy

import (
	"strings"

	"github.com/emiago/sipgo/sip"
)

// The tripwire compares what is sent with what it was made of, and counts what
// differs beyond the contract (docs/sip-behaviour.md). It changes nothing.

// liberty is why a message may differ more than others do.
type liberty int

const (
	ownDialog       liberty = 1 << iota // the gate is itself an end of the caller's dialog
	ownNumbers                          // the receiver has had requests of our own
	ownBody                             // the gate made the description
	toldOfRecording                     // the receiver knows of recording
	mapsContacts                        // Contacts are mapped
	retargeted                          // it goes to who registered through us
	ownKeys                             // the receiver gets keys of ours for SRTP, or none
)

// may is what may become of a header: gone, added, or changed so that same
// finds it unchanged all the same. with names the liberty that this needs; 0:
// none.
type may struct {
	gone, added bool
	same        func(was, is string) bool // of their lines; nil: changed never; gone and added, perhaps
	with        liberty
}

// mayDiffer is the contract's table of headers. What it doesn't name passes.
var mayDiffer = map[string]may{
	"via":            {gone: true, added: true, same: anything},
	"route":          {gone: true, added: true, same: anything},
	"record-route":   {gone: true, added: true, same: anything},
	"path":           {gone: true, added: true, same: anything, with: mapsContacts},
	"max-forwards":   {added: true, same: anything},
	"content-length": {added: true, same: anything},
	"contact":        {same: butAddress},

	// Where the gate answered the caller, or asked something of its own.
	"from":            {same: butTag, with: ownDialog},
	"to":              {same: butTag, with: ownDialog},
	"cseq":            {same: butNumber, with: ownNumbers},
	"rack":            {same: anything, with: ownNumbers},
	"replaces":        {same: anything, with: ownDialog},
	"refer-to":        {same: anything, with: ownDialog},
	"target-dialog":   {same: anything, with: ownDialog},
	"supported":       {gone: true, same: anything, with: ownDialog},
	"require":         {gone: true, same: anything, with: ownDialog},
	"session-expires": {gone: true, with: ownDialog},
	"min-se":          {gone: true, with: ownDialog},
}

// sdpMayDiffer are the lines of a session description that may.
var sdpMayDiffer = []struct {
	prefix string
	with   liberty
}{
	{"c=", 0}, {"m=", 0}, {"a=rtcp", 0}, {"a=ice-", 0}, {"a=candidate:", 0}, {"a=remote-candidates:", 0},
	{"a=end-of-candidates", 0}, {"a=altc:", 0}, {"a=group:BUNDLE", 0}, {"a=bundle-only", 0}, {"a=rtpmap:", 0}, {"a=fmtp:", 0}, {"a=record:", toldOfRecording}, {"o=", ownDialog},
	{"a=crypto:", ownKeys}, {"a=fingerprint:", ownKeys}, {"a=setup:", ownKeys}, {"a=tls-id:", ownKeys},
}

// ancestor is what a message was made of. It travels with the message's headers
// into those made of it, and is never sent.
type ancestor struct {
	sip.Header
	head, body string
	free       liberty
}

// ancestorName is no token, so no header of a peer's can have it.
const ancestorName = "(ancestor)"

var ancestorHeader = sip.NewHeader(ancestorName, "")

func ancestorOf(m sip.Message) *ancestor {
	var all []sip.Header
	switch m := m.(type) {
	case *sip.Request:
		all = m.Headers()
	case *sip.Response:
		all = m.Headers()
	}
	for _, h := range all {
		if o, ok := h.(*ancestor); ok {
			return o
		}
	}
	return nil
}

// takes notes that a message differs from its origin by more than others may.
// What it was made of is left as it was.
func takes(m message, l liberty) {
	if o := ancestorOf(m); o != nil && o.free&l != l {
		free := *o
		free.free |= l
		m.ReplaceHeader(&free)
	}
}

// watch counts what was changed on its way and shouldn't have been.
func (e *endpoint) watch(msg sip.Message, sent []byte) {
	o := ancestorOf(msg)
	if o == nil || e.mutated == nil {
		return
	}
	defer e.survive() // it is sent all the same (law 2)
	if differ := o.differences(string(sent)); len(differ) > 0 {
		e.mutated.Add(float64(len(differ)))
		e.log.Error("a message was changed on its way, which is a fault of ours", "parts", strings.Join(differ, " ")) // names alone
	}
}

// differences names what differs and shouldn't: headers, "start line", "body".
func (o *ancestor) differences(sent string) (out []string) {
	was, is := startLine(o.head), startLine(sent)
	if was != is && !o.sameStart(was, is) {
		out = append(out, "start line")
	}
	a, b := after(o.head, was), after(sent, is)
	for a != "" || b != "" {
		x, restA, _ := cutField(a)
		y, restB, _ := cutField(b)
		pastX, pastY, name := true, true, ""
		if x != y {
			pastX, pastY, name = o.differs(x, y, restB)
		} else if x == "" {
			b = restB
			break
		}
		if name != "" {
			out = append(out, name)
		}
		if pastX {
			a = restA
		}
		if pastY {
			b = restB
		}
	}
	if o.body != b && !o.sameBody(b) {
		out = append(out, "body")
	}
	return out
}

// differs judges two headers that aren't the same, "" at a message's end, and
// says past which of them to go on. name is that of a header which shouldn't
// differ. more is what follows y.
func (o *ancestor) differs(x, y, more string) (pastX, pastY bool, name string) {
	nx, ny := nameOf(x), nameOf(y)
	mx, my := o.mayOf(nx), o.mayOf(ny)
	switch {
	case nx == ny && mx.same != nil && mx.same(x, y):
		return true, true, ""
	case x != "" && mx.gone && nx != ny:
		return true, false, ""
	case y != "" && my.added && nx != ny:
		return false, true, ""
	case y == "":
		return true, false, nx
	case x == "" || strings.Contains(more, x+"\r\n"):
		return false, true, ny
	}
	return true, nx == ny, nx
}

func (o *ancestor) mayOf(name string) may {
	m := mayDiffer[name]
	if m.with&^o.free != 0 {
		return may{}
	}
	if name == "contact" && o.free&mapsContacts != 0 {
		m.same = anything
	}
	return m
}

func startLine(text string) string {
	line, _, _ := strings.Cut(text, "\r\n")
	return line
}

func after(text, line string) string { return strings.TrimPrefix(text[len(line):], "\r\n") }

func nameOf(raw string) string {
	name, _, _ := strings.Cut(raw, ":")
	return canonical(strings.TrimRight(name, " \t"))
}

func valueOf(raw string) string {
	if f := parseField(raw); f != nil {
		return f.Value()
	}
	return raw
}

// sameStart: the version is written in capitals, a status without a phrase
// with a space; a Request-URI within a dialog is the receiver's own.
func (o *ancestor) sameStart(was, is string) bool {
	if isVersion(first(was)) {
		return strings.EqualFold(first(was), first(is)) && strings.TrimRight(was[len("SIP/2.0"):], " ") == strings.TrimRight(is[len("SIP/2.0"):], " ")
	}
	w, i := strings.Split(was, " "), strings.Split(is, " ")
	return len(w) == 3 && len(i) == 3 && w[0] == i[0] && (w[1] == i[1] || o.free&retargeted != 0 || o.withinDialog())
}

func first(line string) string {
	word, _, _ := strings.Cut(line, " ")
	return word
}

func (o *ancestor) withinDialog() bool {
	for rest := after(o.head, startLine(o.head)); rest != ""; {
		raw, more, _ := cutField(rest)
		if nameOf(raw) == "to" {
			return tagOf(valueOf(raw)) != ""
		}
		rest = more
	}
	return false
}

// sameBody compares descriptions by their lines; what stands round one in a
// multipart body must be the same.
func (o *ancestor) sameBody(is string) bool {
	if o.free&ownBody != 0 {
		return true
	}
	kind := o.contentType()
	x, found := descriptionIn(kind, []byte(o.body), maxNesting)
	y, still := descriptionIn(kind, []byte(is), maxNesting)
	if !found || !still {
		kind, _, _ = strings.Cut(kind, ";")
		return strings.EqualFold(strings.TrimSpace(kind), "application/reginfo+xml") // the registrants' own URIs
	}
	if string(withLength([]byte(o.body[:x.start]), y.end-y.start)) != is[:y.start] || o.body[x.end:] != is[y.end:] {
		return false
	}
	for a, b := o.body[x.start:x.end], is[y.start:y.end]; ; {
		var x, y string
		var isX, isY bool
		x, a, isX = o.nextLine(a)
		y, b, isY = o.nextLine(b)
		if x != y || isX != isY {
			return false
		}
		if !isX {
			return true
		}
	}
}

// nextLine is the next line of a description that must be the same.
func (o *ancestor) nextLine(body string) (line, rest string, ok bool) {
	for body != "" {
		line, body, _ = strings.Cut(body, "\n")
		line = strings.TrimSuffix(line, "\r")
		if !o.mayLine(line) {
			if o.free&toldOfRecording != 0 {
				line = butVersion(line)
			}
			return line, body, true
		}
	}
	return "", "", false
}

func (o *ancestor) mayLine(line string) bool {
	for _, m := range sdpMayDiffer {
		if strings.HasPrefix(line, m.prefix) && m.with&^o.free == 0 {
			return true
		}
	}
	return false
}

// butVersion is a line without the version that an o= line has: whoever is told
// of recording gets more of them than the far end makes.
func butVersion(line string) string {
	if !strings.HasPrefix(line, "o=") {
		return line
	}
	f := strings.Split(line, " ")
	if len(f) > 2 {
		f[2] = ""
	}
	return strings.Join(f, " ")
}

// contentType is the body's, with its parameters.
func (o *ancestor) contentType() string {
	for rest := after(o.head, startLine(o.head)); rest != ""; {
		raw, more, _ := cutField(rest)
		if nameOf(raw) == "content-type" {
			return valueOf(raw)
		}
		rest = more
	}
	return ""
}

func anything(string, string) bool { return true }

// butAddress: a Contact's address is ours.
func butAddress(was, is string) bool {
	return ourContact(valueOf(was), "-") == ourContact(valueOf(is), "-")
}

func butTag(was, is string) bool { return untagged(was) == untagged(is) }

func untagged(raw string) string {
	na := parseNameAddr(valueOf(raw))
	out := na.display + "<" + na.uri + ">"
	for _, p := range splitParams(na.params) {
		if k, _, _ := strings.Cut(p, "="); !strings.EqualFold(strings.TrimSpace(k), "tag") {
			out += ";" + p
		}
	}
	return out
}

func butNumber(was, is string) bool {
	a, b := strings.Fields(valueOf(was)), strings.Fields(valueOf(is))
	return len(a) == 2 && len(b) == 2 && a[1] == b[1]
}
