package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"consentgate/internal/phone"
)

func (p *player) log(w []string) error {
	if got := strings.Join(p.evidence.Records, " "); got != w[0] {
		return fmt.Errorf("it says %q", got)
	}
	return nil
}

func (p *player) recorded(w []string) error {
	if n := len(p.evidence.Recordings); strconv.Itoa(n) != w[0] {
		return fmt.Errorf("there are %d", n)
	}
	var least int
	if _, err := fmt.Sscanf(w[1], " of %d ms", &least); err != nil {
		return nil // no length is asked for
	}
	for _, r := range p.evidence.Recordings {
		if ms := len(r.Left) / 8; ms < least {
			return fmt.Errorf("it has %d ms", ms)
		}
	}
	return nil
}

func (p *player) sealed(w []string) error {
	if !slices.ContainsFunc(p.evidence.Seals, func(s string) bool { return strings.HasPrefix(s, w[0]) }) {
		return fmt.Errorf("the seals say %q", p.evidence.Seals)
	}
	return nil
}

func (p *player) recordingHas(w []string) error {
	hz, err := strconv.ParseFloat(w[0], 64)
	if err != nil {
		return err
	}
	for _, r := range p.evidence.Recordings {
		side, other := r.Left, r.Right
		if w[1] == "right" {
			side, other = other, side
		}
		if has(side, hz) && !has(other, hz) {
			return nil
		}
	}
	return errors.New("no recording has it there, and there alone")
}

func (p *player) recordingLacks(w []string) error {
	hz, err := strconv.ParseFloat(w[0], 64)
	if err != nil {
		return err
	}
	if len(p.evidence.Recordings) == 0 {
		return errors.New("there is no recording")
	}
	for _, r := range p.evidence.Recordings {
		if has(r.Left, hz) || has(r.Right, hz) {
			return errors.New("it has")
		}
	}
	return nil
}

// recordingLacksKeys: no key can be heard on either side.
func (p *player) recordingLacksKeys([]string) error {
	if len(p.evidence.Recordings) == 0 {
		return errors.New("there is no recording")
	}
	for _, r := range p.evidence.Recordings {
		if phone.KeysSound(r.Left) || phone.KeysSound(r.Right) {
			return errors.New("it has")
		}
	}
	return nil
}

// answeredBy: the ways by which answers in the records came.
func (p *player) answeredBy(w []string) error {
	if got := strings.Join(p.evidence.Ways, " "); got != w[0] {
		return fmt.Errorf("they came by %q", got)
	}
	return nil
}

// has reports whether any 20 ms are a tone (Goertzel).
func has(pcm []int16, hz float64) bool {
	const window = 160
	k := 2 * math.Cos(2*math.Pi*hz/8000)
	for at := 0; at+window <= len(pcm); at += window / 2 {
		var a, b, energy float64
		for _, s := range pcm[at : at+window] {
			v := float64(s)
			a, b = v+k*a-b, a
			energy += v * v
		}
		if energy/window > 100*100 && 2*(a*a+b*b-k*a*b)/(energy*window) > 0.7 {
			return true
		}
	}
	return false
}

// number is in every call's From.
const number = "2079460123"

// always is what must hold after every scenario.
func (p *player) always() error {
	if strings.Contains(p.evidence.Log, number) {
		return errors.New("a number is in the program's log")
	}
	if p.evidence.DataDir == "" {
		return nil
	}
	clear := [][]byte{[]byte(number)}
	for _, a := range p.actors {
		clear = append(clear, speech(a.media.Received())...)
	}
	return filepath.WalkDir(p.evidence.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, c := range clear {
			if bytes.Contains(raw, c) {
				return fmt.Errorf("%s holds in the clear: %s", d.Name(), map[bool]string{true: "a number", false: "speech"}[i == 0])
			}
		}
		return nil
	})
}

// speech is what a party said, as bytes to look for: a few packets' payloads.
func speech(ps []phone.Packet) (out [][]byte) {
	for i := len(ps) - 1; i >= 0 && len(out) < 10; i-- {
		if len(ps[i].Payload) == 160 && phone.Level(ps[i:i+1]) > 1000 {
			out = append(out, ps[i].Payload[:48])
		}
	}
	return out
}
