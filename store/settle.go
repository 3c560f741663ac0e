package store

import (
	"encoding/json"
	"time"
)

// settleRows tells the rows of recordings how they ended, where the log has it
// and they don't: keys.db couldn't take it, and the gate stopped before it could.
func (s *Store) settleRows() error {
	return s.eachRow(func(id string, r row) error {
		if r.End != 0 || missing(sealedPath(s.livePath(id))) {
			return nil
		}
		entries, err := s.audit.ofGrant(r.Grant)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			var ev recordingEvent
			if entry.Type != TypeSealed || json.Unmarshal(entry.Payload, &ev) != nil || ev.Recording != id {
				continue
			}
			e := ending{length: time.Duration(ev.Seconds * float64(time.Second)), reason: ev.Reason, truncated: ev.Truncated}
			if e.bytes = ev.Bytes; ev.Size > 0 {
				e.bytes = ev.Size
			}
			if err := s.noteEnd(contextForever, id, e, entry.Seq); err != nil {
				s.log.Error("noting the end of a recording", "recording", id, "error", err) // for the next start
			}
		}
		return nil
	})
}
