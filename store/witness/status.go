package witness

import "time"

// Status is how a witness stands.
type Status struct {
	Name     string
	Size     int64     // entries of the log that it knows of
	Current  time.Time // when it last had the log's newest checkpoint; the start, where it hasn't had it since
	Conflict bool      // it keeps another history than the log's
}

// Status tells how each witness stands, in the order of the configuration.
func (w *Witnesses) Status() (out []Status) {
	for _, k := range w.all {
		k.mu.Lock()
		out = append(out, Status{k.name, k.held, k.current, k.conflict})
		k.mu.Unlock()
	}
	return out
}
