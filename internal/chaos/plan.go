package chaos

import (
	"math/rand/v2"
	"time"
)

// plan is what the two parties of one call will do.
type plan struct {
	fromCarrier bool
	number      string
	late        bool // the offer is in the answer
	early       bool // the callee describes its early media

	ringAfter, answerAfter time.Duration
	rings                  bool
	answer                 int           // final status of the callee; 0: it rings until it is told otherwise
	vanish                 time.Duration // the callee is gone from then on; 0: it stays

	giveUp     time.Duration // the caller gives up, if not answered
	giveUpBye  bool          // by BYE
	acksLost   int           // so many 2xx the caller doesn't take notice of
	neverAcks  bool
	talk       time.Duration // until somebody hangs up
	byeCaller  bool
	byeCallee  bool
	acts       []act
	media      bool
	aware      [2]bool // caller and callee know of recording (RFC 7866)
	reinviteOf int     // status that a re-INVITE gets: 200, 488 or 491
}

// act is something that a party does in mid-call.
type act struct {
	after  time.Duration // since it was connected
	caller bool
	method string
	key    string // of an INFO
}

func draw(r *rand.Rand) plan {
	ms := func(n int) time.Duration { return time.Duration(r.IntN(n)) * time.Millisecond }
	chance := func(percent int) bool { return r.IntN(100) < percent }
	p := plan{fromCarrier: chance(65), late: chance(10), early: chance(20), rings: chance(85), ringAfter: ms(60),
		answerAfter: ms(200), answer: 200, media: chance(20), reinviteOf: []int{200, 200, 200, 488, 491}[r.IntN(5)]}
	p.number = []string{"100", "100", "100", "100", "112", "200", "300", "300", "400"}[r.IntN(9)]
	switch {
	case chance(20):
		p.answer = []int{486, 503, 404, 302, 407}[r.IntN(5)]
	case chance(6):
		p.answer = 0
	case chance(3):
		p.vanish = 1 // before it has said anything
	case chance(3):
		p.vanish = 300*time.Millisecond + ms(500)
	}
	p.giveUp = 3*time.Second + ms(500)
	if chance(25) {
		p.giveUp, p.giveUpBye = ms(300), chance(20)
	}
	if chance(10) {
		p.acksLost = 1 + r.IntN(2)
	}
	p.neverAcks = chance(1)
	p.aware = [2]bool{chance(20), chance(20)}
	p.talk = ms(1500)
	switch r.IntN(4) {
	case 0:
		p.byeCallee = true
	case 1:
		p.byeCaller, p.byeCallee = true, true
	default:
		p.byeCaller = true
	}
	for range r.IntN(5) {
		p.acts = append(p.acts, drawAct(r))
	}
	if n := len(p.acts); n > 0 && chance(30) { // the other side does the same at the same moment
		other := p.acts[n-1]
		other.caller = !other.caller
		p.acts = append(p.acts, other)
	}
	return p
}

func drawAct(r *rand.Rand) act {
	a := act{after: time.Duration(r.IntN(1500)) * time.Millisecond, caller: r.IntN(2) == 0}
	a.method = []string{"INVITE", "INVITE", "UPDATE", "INFO", "INFO", "INFO", "OPTIONS", "MESSAGE", "INVITE late", "INVITE cancelled"}[r.IntN(10)]
	if a.method == "INFO" {
		a.key = []string{"1", "1", "1", "2", "5", "*"}[r.IntN(6)]
	}
	return a
}
