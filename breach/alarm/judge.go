package alarm

import (
	"context"
	"time"

	"consentgate/breach"
)

// judge is the goroutine that holds the rules to the log.
type judge struct {
	*Watch
	log    Log
	rules  *breach.Detector
	cursor cursor // the next entry to be judged
}

const (
	typeStart = "node.start"
	typeAlarm = "alarm.raised"
)

// run looks at what came, again and again.
func (j *judge) run() {
	tick := time.NewTicker(j.o.Every)
	defer tick.Stop()
	for {
		j.look()
		select {
		case <-j.ctx.Done():
			j.look() // without waiting for what the disk can't take
			j.save()
			return
		case t := <-j.touched:
			j.insist("logging that honey was found", func(ctx context.Context) error { return j.log.Found(ctx, t.recording, t.by) })
		case <-tick.C:
		}
	}
}

// resume finds where to go on, and counts anew what was judged before. It may be
// called again after an error.
func (j *judge) resume(told *cursor) error {
	size := j.log.Size()
	for _, c := range []*cursor{&j.cursor, told} {
		if err := c.load(); err != nil {
			return err
		}
		if c.next >= 0 {
			continue
		}
		// A new watch begins with the gate's present start.
		c.next = 0
		_, err := j.log.Read(0, map[string]bool{typeStart: true}, func(e breach.Entry) bool { c.next = e.Seq; return e.Seq < size })
		if err == nil {
			err = c.save() // what comes may not be told before the next start
		}
		if err != nil {
			return err
		}
	}
	if seen := j.cursor.next; seen > size {
		if err := j.log.Shortened(context.Background(), seen); err != nil {
			return err
		}
		j.cursor.next, told.next = size, min(told.next, size)
	}
	j.rules = breach.NewDetector(j.o.Rules)
	waiting := 0
	_, err := j.log.Read(0, breach.Types(), func(e breach.Entry) bool {
		if e.Type == typeAlarm {
			if rule, ok := ruleOf(e); ok {
				j.metrics.last(rule, e.At)
			}
			if e.Seq >= told.next {
				waiting++
			}
		}
		if e.Seq < j.cursor.next {
			j.rules.Take(e)
		}
		return e.Seq < size
	})
	if err == nil && j.o.Hook.URL != "" {
		j.metrics.waiting.Set(float64(waiting))
	}
	return err
}

// look judges what came since.
func (j *judge) look() {
	if j.log.Size() == j.cursor.next {
		return
	}
	stopped := false
	next, err := j.log.Read(j.cursor.next, breach.Types(), func(e breach.Entry) bool {
		if stopped = !j.judge(e); stopped {
			return false
		}
		j.cursor.next = e.Seq + 1
		return true
	})
	if err != nil {
		j.o.Log.Error("the audit log can't be watched; it is tried again", "error", err)
		return
	}
	if !stopped {
		j.cursor.next = next
	}
	j.metrics.judged.Set(float64(j.cursor.next))
	if time.Since(j.cursor.saved) > saveEvery {
		j.save()
	}
}

// judge raises what the rules find in one entry. It is false where that couldn't
// be logged before the watch was closed: then the entry is judged again.
func (j *judge) judge(e breach.Entry) bool {
	found := j.rules.Take(e)
	for _, a := range found {
		j.say(a)
		if !j.insist("logging an alarm", func(ctx context.Context) error { return j.log.Raise(ctx, a) }) {
			return false
		}
		if j.o.Hook.URL == "" {
			continue
		}
		j.metrics.waiting.Inc()
		select {
		case j.raised <- struct{}{}:
		default: // it knows
		}
	}
	if len(found) > 0 {
		j.cursor.next = e.Seq + 1
		j.save()
	}
	return true
}

func (j *judge) save() {
	if err := j.cursor.save(); err != nil {
		j.o.Log.Error("how far the alarms' rules came can't be kept: after a restart they judge more again", "error", err)
	}
}
