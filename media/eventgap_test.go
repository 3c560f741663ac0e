package media_test

import (
	"slices"
	"testing"
	"time"

	"consentgate/consent"
)

// spans is a Sink that notes where gaps are, in ms from a time on.
type spans struct {
	discard
	from time.Time
	told []int
}

func (s *spans) Gap(_ consent.Party, cause string, from, to time.Time) error {
	if cause == "dtmf" {
		s.told = append(s.told, int(from.Sub(s.from).Milliseconds()), int(to.Sub(s.from).Milliseconds()))
	}
	return nil
}

// TestAKeysEventIsAGap: while a telephone sends events it mostly sends no audio. What
// is missing then is a key, and neither lost nor never sent; and no longer than that.
func TestAKeysEventIsAGap(t *testing.T) {
	const audio, key = 'a', 'k'
	for name, c := range map[string]struct {
		stream string // of packets of 20 ms
		both   bool   // audio goes on beside the events
		want   []int
	}{
		"between audio":            {"aaaaakkkkkaaaaa", false, []int{100, 200}},
		"two":                      {"aakkkaakkkaa", false, []int{40, 100, 140, 200}},
		"beside audio":             {"aaaaakkkkkaaaaa", true, nil},
		"and silence that is none": {"aaaaakkkkk                    aa", false, []int{100, 280}},
	} {
		k := newTalker(t, false)
		k.relay.Bridge()
		s := &spans{from: time.Now().Add(time.Second)}
		tap := k.open(t, s)
		begun, from := uint32(0), at(k.remote.rtp)
		for n, what := range c.stream {
			when := s.from.Add(time.Duration(n) * 20 * time.Millisecond)
			give := func(raw []byte) {
				k.seq++
				k.leg.Receive(raw, from, when)
			}
			if what == audio || what == key && c.both {
				give(packet(k.seq, uint32(n*160), 7, 0, make([]byte, 160)))
			}
			if what == key {
				if begun == 0 {
					begun = uint32(n * 160)
				}
				give(event(k.seq, begun, 5, false, uint16(n*160+160-int(begun))))
			} else {
				begun = 0
			}
		}
		tap.Close("end")
		sealed(t, tap)
		if !slices.Equal(s.told, c.want) {
			t.Errorf("%s: gaps at %v, want %v", name, s.told, c.want)
		}
	}
}
