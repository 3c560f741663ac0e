package proxy

import (
	"context"
	"sync"
	"time"

	"consentgate/consent"
	"consentgate/media"
)

// scribe does a call's waiting for disks, in order, off the call's goroutine:
// a full or dead disk must not hold up the next BYE.
type scribe struct {
	call  *call
	jobs  chan func()
	done  sync.WaitGroup
	grant consent.Grant // set by create, on the call's goroutine
}

// ledgerPatience bounds what one write of the log may take before its record counts
// as not durable.
const ledgerPatience = 5 * time.Second

// scribeQueue bounds what may wait for a disk: far more than a call has.
const scribeQueue = 256

func newScribe(c *call) *scribe {
	s := &scribe{call: c, jobs: make(chan func(), scribeQueue)}
	s.done.Go(func() {
		for job := range s.jobs {
			job()
		}
	})
	return s
}

// close ends the scribe when all jobs are done, and waits for it. Every job is
// bounded in time.
func (s *scribe) close() {
	close(s.jobs)
	s.done.Wait()
}

// put queues a job; false if the disk is so far behind that it is dropped.
func (s *scribe) put(job func()) bool {
	select {
	case s.jobs <- job:
		return true
	default:
		s.call.gate.metrics.evidenceLost.Inc()
		s.call.log.Error("evidence dropped: the disk is too far behind")
		return false
	}
}

// commit makes a record durable and tells the call.
func (s *scribe) commit(r *consent.Record) {
	c := s.call
	ok := s.put(func() {
		ctx, cancel := patience()
		defer cancel()
		c.post(event{kind: evConsent, consent: c.law.session.Commit(ctx, r)})
	})
	if !ok {
		c.post(event{kind: evConsent, consent: consent.Event{Kind: consent.CommitFailed, Record: r.Hash(), Reason: "the disk is too far behind"}})
	}
}

// append writes evidence that nothing waits for.
func (s *scribe) append(r *consent.Record) {
	c := s.call
	s.put(func() {
		if c.gate.cfg.Ledger == nil {
			return
		}
		ctx, cancel := patience()
		defer cancel()
		if _, err := c.gate.cfg.Ledger.Append(ctx, *r); err != nil {
			c.gate.metrics.evidenceLost.Inc()
			c.log.Error("writing evidence", "kind", string(r.Kind), "error", err)
		}
	})
}

// create makes a recorder for a grant and tells the call.
func (s *scribe) create(g consent.Grant) {
	s.grant = g
	c := s.call
	reply := func(sink media.Sink, err error) {
		ev := consent.Event{Kind: consent.Opened}
		if err != nil {
			ev = consent.Event{Kind: consent.OpenFailed, Reason: "the recorder could not be made ready: " + err.Error()}
			c.log.Error("making a recorder ready", "error", err)
		}
		c.post(event{kind: evRecorder, consent: ev, opened: opened{sink}})
	}
	if !s.put(func() {
		ctx, cancel := patience()
		defer cancel()
		reply(c.gate.cfg.Recorder.Create(ctx, g))
	}) {
		reply(nil, context.DeadlineExceeded)
	}
}

// granted is the call's grant; the zero Grant before there is one.
func (s *scribe) granted() consent.Grant { return s.grant }

// discard closes a recorder that no packet reached.
func (s *scribe) discard(sink media.Sink, reason string) {
	s.put(func() {
		if err := sink.Seal(time.Now(), reason); err != nil {
			s.call.log.Error("closing an unused recorder", "error", err)
		}
	})
}

// erase removes what was recorded, when its last packet has been written.
func (s *scribe) erase(grant consent.Hash, tap *media.Tap, reason string) {
	if grant == (consent.Hash{}) {
		return // nothing was recorded
	}
	s.put(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 4*ledgerPatience)
		defer cancel()
		if tap != nil {
			select {
			case <-tap.Done():
			case <-ctx.Done():
			}
		}
		if err := s.call.gate.cfg.Recorder.Erase(ctx, grant, reason); err != nil {
			s.call.gate.metrics.evidenceLost.Inc()
			s.call.log.Error("erasing a withdrawn recording", "error", err)
		}
	})
}

// patience is the context for one write.
func patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), ledgerPatience)
}
