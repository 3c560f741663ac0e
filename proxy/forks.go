package proxy

import (
	"github.com/emiago/sipgo/sip"

	"consentgate/proxy/sdp"
)

// fork is one of the dialogs that an INVITE made on the called side: a proxy
// there may have let several phones ring (RFC 3261 sections 12.1 and 16.7).
// While they ring, the called leg is a view of the one in question.
type fork struct {
	identity string // its To value, with the tag
	target   string
	routes   []string
	sdp      *sdp.Session // its answer, if that came before a 2xx
}

// meet takes what a response says of the called party: its tag, target and
// route set (RFC 3261 section 12.1.2).
func (c *call) meet(res *sip.Response) {
	c.b.notice(res)
	tag := tagOf(header(res, "to"))
	if tag == "" {
		c.b.learn(res)
		return
	}
	c.focus(tag)
	f := c.forks[tag]
	if f == nil {
		f = &fork{target: c.b.target}
		c.forks[tag] = f
		c.gate.bind(c.b, tag)
	}
	f.identity = header(res, "to")
	if v := header(res, "contact"); v != "" {
		f.target = parseNameAddr(splitList(v)[0]).uri
	}
	if recorded := list(res, "record-route"); len(recorded) > 0 {
		f.routes = reversed(recorded)
	}
	c.show(f)
}

func (c *call) show(f *fork) { c.b.identity, c.b.target, c.b.routes = f.identity, f.target, f.routes }

// focus makes the called leg a view of the dialog with that tag, and keeps what
// was learnt of the one before.
func (c *call) focus(tag string) {
	if old := c.forks[tagOf(c.b.identity)]; old != nil {
		old.target, old.routes = c.b.target, c.b.routes
	}
	if f := c.forks[tag]; f != nil {
		c.show(f)
	}
}

// farTag is the called side's tag in a message of the call's early dialogs.
func (c *call) farTag(from *leg, req *sip.Request) string {
	if from == c.b {
		return tagOf(header(req, "from"))
	}
	tag := tagOf(header(req, "to"))
	if c.ring != nil && tag == c.ring.tag {
		return tagOf(c.b.identity)
	}
	return tag
}

// keepAnswer notes that the description in force came from that early dialog:
// its 2xx may have none (RFC 3261 section 13.2.1).
func (c *call) keepAnswer(res *sip.Response) {
	if f := c.forks[tagOf(header(res, "to"))]; f != nil && hasSDP(res) && c.inv.offered {
		f.sdp = c.b.sdp
	}
}

// win ends all dialogs but the one that answered, whose own description counts.
func (c *call) win(res *sip.Response) {
	won := c.forks[tagOf(header(res, "to"))]
	if won == nil {
		return
	}
	if won.sdp != nil && won.sdp != c.b.sdp && !hasSDP(res) {
		c.b.sdp = won.sdp
		c.applyMedia()
	}
	c.forks = map[string]*fork{tagOf(won.identity): won}
}

// lost reports whether a request belongs to a dialog that didn't win.
func (c *call) lostFork(from *leg, req *sip.Request) bool {
	tag := c.farTag(from, req)
	return c.answered && tag != "" && c.forks[tag] == nil
}
