package proxy

import (
	"github.com/emiago/sipgo/sip"

	"consentgate/consent"
)

// callState is where a call stands.
type callState uint8

const (
	setup    callState = iota // INVITE sent on, nothing heard
	ringing                   // a provisional response was passed back
	alone                     // we answered the caller ourselves, to ask before the called party is rung
	calling                   // and the called party is being rung
	answered                  // 2xx passed back, its ACK not seen
	gated                     // a party is being asked; the parties don't hear each other
	bridged                   // they do
	ending                    // CANCEL or BYE under way
	ended
	callStates
)

func (s callState) String() string {
	return [...]string{"setup", "ringing", "alone", "calling", "answered", "gate", "bridged", "ending", "ended"}[s]
}

// eventKind is what happened to a call.
type eventKind uint8

const (
	evProvisional eventKind = iota // 1xx to the call's INVITE
	evAnswer                       // 2xx to it
	evRefusal                      // 3xx to 6xx to it, or no answer at all
	evCancel                       // CANCEL of an INVITE of this call
	evAck                          // ACK of a 2xx
	evBye
	evOffer    // re-INVITE
	evRequest  // any other request within the dialog
	evStray2xx // a 2xx whose transaction is over
	evEnd      // the gate wants the call to end
	evReply    // a response to a request passed on within the dialog
	evTimer    // a timer of the call ran out
	evConsent  // something for the consent session
	evRecorder // a recorder is ready, or not
	evSteer    // somebody at the console wants something
	eventKinds
)

func (k eventKind) String() string {
	return [...]string{"provisional", "answer", "refusal", "cancel", "ack", "bye", "offer", "request",
		"stray_2xx", "end", "reply", "timer", "consent", "recorder", "steer"}[k]
}

// event is one thing that happened; which fields are set depends on its kind.
type event struct {
	kind    eventKind
	leg     *leg          // whose peer sent it
	tx      *serverTx     // requests
	req     *sip.Request  // ACK, CANCEL
	res     *sip.Response // responses; nil where none came
	run     func()        // evReply, evTimer
	consent consent.Event // evConsent, evRecorder, evSteer
	done    chan<- error  // evSteer: takes one answer without waiting
	opened  opened        // evRecorder
	asked   int           // evConsent: which asking it answers; 0 is any
	attempt int           // responses to the call's INVITE: which attempt they answer
}

type transition func(*call, event)

// ignored marks what a state expects and has no use for.
func ignored(*call, event) {}

// always holds what is handled alike in every state.
var always = map[eventKind]transition{
	evReply:    (*call).runEvent,
	evTimer:    (*call).runEvent,
	evConsent:  (*call).onConsent,
	evRecorder: (*call).onRecorder,
	evSteer:    (*call).onSteer,
	evStray2xx: (*call).onStray2xx,
}

// established is what may happen while both dialogs stand, whether the parties
// are being asked or talk.
var established = map[eventKind]transition{
	evProvisional: ignored, // of another fork
	evAnswer:      (*call).onFurtherAnswer,
	evRefusal:     ignored,
	evCancel:      (*call).onLaterCancel,
	evAck:         (*call).onAck,
	evBye:         (*call).onBye,
	evOffer:       (*call).onOffer,
	evRequest:     (*call).onRequest,
	evEnd:         (*call).onEnd,
}

// transitions is the life of a call. What stands neither here nor in always is
// unexpected: it is answered if it is a request, counted and logged.
var transitions = [callStates]map[eventKind]transition{
	setup: {
		evProvisional: (*call).onProvisional,
		evAnswer:      (*call).onAnswer,
		evRefusal:     (*call).onRefusal,
		evCancel:      (*call).onCancel,
		evEnd:         (*call).onEndEarly,
	},
	ringing: {
		evProvisional: (*call).onProvisional,
		evAnswer:      (*call).onAnswer,
		evRefusal:     (*call).onRefusal,
		evCancel:      (*call).onCancel,
		evBye:         (*call).onEarlyBye,
		evRequest:     (*call).onRequest, // PRACK, UPDATE, INFO in an early dialog
		evEnd:         (*call).onEndEarly,
	},
	alone: {
		evCancel:  ignored, // it crossed the 200
		evAck:     (*call).onAck,
		evBye:     (*call).onByeAlone,
		evOffer:   (*call).onOfferAlone,
		evRequest: (*call).onRequestAlone,
		evEnd:     (*call).onEndAlone,
	},
	calling: {
		evProvisional: (*call).onRinging,
		evAnswer:      (*call).onConnect,
		evRefusal:     (*call).onUnanswered,
		evCancel:      ignored,
		evAck:         (*call).onAck,
		evBye:         (*call).onByeAlone,
		evOffer:       (*call).onOfferAlone,
		evRequest:     (*call).onRequestAlone,
		evEnd:         (*call).onEndAlone,
	},
	answered: established,
	gated:    established,
	bridged:  established,
	ending: {
		evProvisional: (*call).onProvisionalEnding,
		evAnswer:      (*call).onAnswerEnding,
		evRefusal:     (*call).onRefusalEnding,
		evCancel:      ignored,
		evAck:         (*call).onAck,
		evBye:         (*call).onBye,
		evOffer:       (*call).onGone,
		evRequest:     (*call).onRequest,
		evEnd:         (*call).onEndEnding,
	},
	ended: {
		evProvisional: ignored, evAnswer: ignored, evRefusal: ignored, evCancel: ignored, evAck: ignored,
		evBye: (*call).onGone, evOffer: (*call).onGone, evRequest: (*call).onGone, evEnd: ignored,
	},
}

// kindOf tells what an in-dialog request is to its call.
func kindOf(req *sip.Request) eventKind {
	switch req.Method {
	case sip.BYE:
		return evBye
	case sip.INVITE:
		return evOffer
	}
	return evRequest
}

func (c *call) step(ev event) {
	if ev.attempt != 0 && ev.attempt != c.inv.attempt {
		c.lateReply(ev.attempt, ev.res)
		return
	}
	if ev.tx != nil && ev.leg != nil {
		c.ask(ev.leg, ev.tx)
		if c.lostFork(ev.leg, ev.tx.req) {
			c.refuse(ev, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
			return
		}
		c.focus(c.farTag(ev.leg, ev.tx.req))
	}
	if c.refusesInsecure(ev) || c.dropsInsecure(ev) {
		return
	}
	f := transitions[c.state][ev.kind]
	if f == nil {
		f = always[ev.kind]
	}
	if f != nil {
		f(c, ev)
		c.indicate()
		return
	}
	c.gate.metrics.unexpected.WithLabelValues(c.state.String(), ev.kind.String()).Inc()
	c.log.Warn("unexpected event", "state", c.state.String(), "event", ev.kind.String())
	if ev.tx == nil {
		return
	}
	if ev.kind == evOffer { // RFC 3261 section 14.2
		c.refuse(ev, sip.StatusRequestPending, "Request Pending")
		return
	}
	c.refuse(ev, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
}

// refuse answers a request of this call ourselves.
func (c *call) refuse(ev event, status int, reason string, extra ...sip.Header) {
	ev.leg.socket.answer(ev.tx, status, reason, extra...)
}

func (c *call) runEvent(ev event) { ev.run() }
