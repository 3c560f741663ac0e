package store

import (
	"encoding/json"
	"time"
)

// settleRows tells the rows of recordings how they ended, where the log has it
// and they don't: keys.db couldn't take it, and the gate stopped before it could.
func (s *Store) settleRows() error {
	untold := map[string]row{}
	err := s.eachRow(func(id string, r row) error {
		if r.End == 0 && !missing(sealedPath(s.livePath(id))) {
			untold[id] = r
		}
		return nil
	})
	if err != nil || len(untold) == 0 {
		return err
	}
	type end struct {
		recordingEvent
		seq int64
	}
	ends := map[string]end{}
	if err := s.Entries(0, func(e Entry) bool {
		var ev recordingEvent
		if e.Type == TypeSealed && json.Unmarshal(e.Payload, &ev) == nil {
			if _, wanted := untold[ev.Recording]; wanted {
				ends[ev.Recording] = end{ev, e.Seq}
			}
		}
		return true
	}); err != nil {
		return err
	}
	for id, ev := range ends {
		e, outcome := ending{length: time.Duration(ev.Seconds * float64(time.Second)), reason: ev.Reason, truncated: ev.Truncated}, StateSealed
		if ev.Truncated {
			outcome = StateTruncated
		}
		e.bytes = ev.Bytes
		if err := s.noteEnd(contextForever, id, e, outcome, ev.seq); err != nil {
			s.log.Error("noting the end of a recording", "recording", id, "error", err) // for the next start
		}
	}
	return nil
}
