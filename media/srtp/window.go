package srtp

import "github.com/pion/transport/v5/replaydetector"

// replayWindow is how far a packet may be behind the latest of its source, in
// packets; RFC 3711 section 3.3.2 wants 64 at least.
const replayWindow = 128

// sources are SSRCs that a key was used with.
type sources map[uint32]struct{}

func (s sources) has(ssrc uint32) bool { _, ok := s[ssrc]; return ok }
func (s sources) add(ssrc uint32)      { s[ssrc] = struct{}{} }

// window makes the replay lists of a context's sources and knows whether one of
// them has refused the latest packet: the context's error doesn't say.
type window struct{ refused bool }

type list struct {
	replaydetector.ReplayDetector
	replaydetector.CheckAccepter
	window *window
}

func (w *window) make() replaydetector.ReplayDetector {
	d := replaydetector.New(replayWindow, 1<<48-1)
	return &list{d, d.(replaydetector.CheckAccepter), w}
}

// CheckSeq is replaydetector.CheckAccepter.
func (l *list) CheckSeq(seq uint64) replaydetector.Token {
	t := l.CheckAccepter.CheckSeq(seq)
	l.window.refused = !t.Passed()
	return t
}

// verdict says what a context's error means.
func (w *window) verdict(err error) error {
	switch {
	case err == nil:
		return nil
	case w.refused:
		return ErrReplay
	}
	return ErrAuth
}
