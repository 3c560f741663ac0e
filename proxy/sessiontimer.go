package proxy

import (
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// sessionGrace is how long after its expiry a session is given up: the peers,
// who keep the timer themselves, come first (RFC 4028 section 10).
const sessionGrace = 2 * time.Second

// timeSession follows the session timer that the peers agree on in a 2xx to an
// INVITE or UPDATE (RFC 4028 section 7.2). Refreshing is theirs; if nobody does,
// both are hung up on: one of them may be gone without a word. from sent the
// request.
func (c *call) timeSession(from *leg, res *sip.Response) {
	if !res.IsSuccess() {
		return
	}
	c.refresher = from
	if _, params, _ := strings.Cut(header(res, "session-expires"), ";"); strings.EqualFold(param(params, "refresher"), "uas") {
		c.refresher = from.other()
	}
	c.restartExpiry(sessionInterval(res))
}

// restartExpiry begins the session's time anew; 0 is for ever (RFC 4028 section
// 7.2).
func (c *call) restartExpiry(interval time.Duration) {
	if c.expiry != nil {
		c.expiry.Stop()
		c.expiry = nil
	}
	if c.interval = interval; interval == 0 {
		return
	}
	c.expiry = c.after(interval+sessionGrace, func() {
		if c.state == ending || c.state == ended {
			return
		}
		c.log.Warn("the session expired")
		c.outcome = "expired"
		c.endBoth("SIP;cause=408;text=\"Session expired\"")
	})
}

// sessionInterval is a message's Session-Expires; 0 if it has none.
func sessionInterval(m message) time.Duration {
	text, _, _ := strings.Cut(header(m, "session-expires"), ";")
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
