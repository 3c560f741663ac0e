package proxy

import (
	"math"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"
	"golang.org/x/time/rate"
)

// limits bound what a trunk takes of new calls (RFC 7339 section 1: what can't
// be served is better refused at once). Guarded by the gate's mutex.
type limits struct {
	live int // calls there are
	most int // 0: any number
	rate *rate.Limiter
}

func newLimits(t *Trunk) *limits {
	l := &limits{most: t.MaxCalls, rate: rate.NewLimiter(rate.Inf, 0)}
	if t.MaxCallRate > 0 {
		l.rate = rate.NewLimiter(rate.Limit(t.MaxCallRate), max(1, int(math.Ceil(t.MaxCallRate))))
	}
	return l
}

// refusal is why a call isn't taken, as a metric's label, and when to try again.
type refusal struct {
	reason string
	after  time.Duration
}

// callBackLater is told where it can't be known when there will be room.
const callBackLater = 10 * time.Second

// take counts a call in, or says why not. free calls are never refused.
func (l *limits) take(free bool) *refusal {
	switch {
	case free:
	case l.most > 0 && l.live >= l.most:
		return &refusal{"too_many_calls", callBackLater}
	case !l.rate.Allow():
		return &refusal{"call_rate", time.Duration(float64(time.Second) / float64(l.rate.Limit()))}
	}
	l.live++
	return nil
}

// retry is the header of that name (RFC 3261 section 20.33), in whole seconds.
func (r *refusal) retry() sip.Header {
	return sip.NewHeader("Retry-After", strconv.Itoa(max(1, int(math.Ceil(r.after.Seconds())))))
}
