package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media/codec"
	"consentgate/store"
)

// long makes a recording of some seconds without waiting for them: the remote
// party in one codec, the local in another, a fiftieth lost.
func long(t testing.TB, s *store.Store, seconds int, remote, local string) *store.Recording {
	t.Helper()
	r := talk(t, s, seconds, remote, local)
	must(t, r.Seal(r.End(seconds), "hang-up"))
	return r
}

// talk is long, but for the end.
func talk(t testing.TB, s *store.Store, seconds int, remote, local string) *store.Recording {
	t.Helper()
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "long"))
	must(t, err)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.FlushNow()
			}
		}
	}()
	start := time.Now()
	voices := []*voice{newVoice(t, r, consent.Remote, remote, 8000, 96, 440), newVoice(t, r, consent.Local, local, 8000, 97, 880)}
	lost := rand.New(rand.NewPCG(1, 2))
	for i := range seconds * 50 {
		for _, v := range voices {
			if raw := v.next(); lost.IntN(50) > 0 {
				must(t, r.WriteRTP(v.party, start.Add(time.Duration(i)*20*time.Millisecond), raw))
			}
		}
	}
	return r
}

// TestEveryPartOfTheWAVIsAsInTheWhole: what is read from any place is, byte for
// byte, what stands there in the whole file.
func TestEveryPartOfTheWAVIsAsInTheWhole(t *testing.T) {
	t.Parallel()
	random := 20
	if raceDetector { // which has decoders take ten times as long
		random = 4
	}
	s, _ := kit(t)
	for _, c := range [][2]string{{"PCMU", "PCMA"}, {"G722", "PCMU"}} {
		r := long(t, s, 90, c[0], c[1])
		whole, _ := render(t, s, r)
		sound, err := s.OpenWAV(context.Background(), r.ID(), store.WAVOptions{})
		must(t, err)
		if sound.Size() != int64(len(whole)) {
			t.Fatalf("%v: %d bytes, want %d", c, sound.Size(), len(whole))
		}
		places := []int{0, 7, 44, 45, len(whole) - 1, len(whole) / 2, len(whole)/3 + 1, 100_000}
		for range random {
			places = append(places, rand.IntN(len(whole)))
		}
		for _, at := range places {
			got := make([]byte, min(70_000, len(whole)-at))
			if pos, err := sound.Seek(int64(at), io.SeekStart); err != nil || pos != int64(at) {
				t.Fatalf("%v: seek: %d %v", c, pos, err)
			}
			_, err := io.ReadFull(sound, got)
			if err != nil || !bytes.Equal(got, whole[at:at+len(got)]) {
				n := 0
				for n < len(got) && got[n] == whole[at+n] {
					n++
				}
				t.Errorf("%v: from byte %d the first %d of %d are the same, %v", c, at, n, len(got), err)
			}
		}
		if _, err := sound.Seek(0, io.SeekEnd); err != nil {
			t.Error(err)
		}
		if n, err := sound.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("behind the end: %d %v", n, err)
		}
		must(t, sound.Close())
	}
}

// TestALatePartIsReadWithoutWhatIsBeforeIt: the file's first chunks can't even be
// decrypted.
func TestALatePartIsReadWithoutWhatIsBeforeIt(t *testing.T) {
	s, dir := kit(t)
	r := long(t, s, 90, "PCMU", "PCMA")
	whole, _ := render(t, s, r)
	path := filepath.Join(dir, "recordings", r.ID()+".rec")
	raw, err := os.ReadFile(path)
	must(t, err)
	sound, err := s.OpenWAV(context.Background(), r.ID(), store.WAVOptions{})
	must(t, err)
	for at := 70_000; at < len(raw)/2; at += 64 << 10 {
		raw[at] ^= 1
	}
	must(t, os.WriteFile(path, raw, 0o600))
	at := len(whole) * 4 / 5
	_, err = sound.Seek(int64(at), io.SeekStart)
	must(t, err)
	got, err := io.ReadAll(sound)
	if err != nil || !bytes.Equal(got, whole[at:]) {
		t.Errorf("%d bytes of %d, %v", len(got), len(whole)-at, err)
	}
	must(t, sound.Close())
}

// TestG711IsGivenOutAsItCame: every byte of every packet, also those that two
// bytes mean one sound by; else silence.
func TestG711IsGivenOutAsItCame(t *testing.T) {
	s, _ := kit(t)
	for name, c := range map[string]struct {
		format  byte
		silence byte
	}{"PCMU": {7, 0xff}, "PCMA": {6, 0xd5}} {
		r, err := s.Create(context.Background(), grant(t, s.Audit(), name))
		must(t, err)
		start := time.Now()
		must(t, r.Format(consent.Remote, 0, name, 8000))
		var want []byte
		for i := range 10 {
			raw := packet(uint16(i), uint32(i*160), 1, 0)
			for j := range 160 {
				raw[12+j] = byte(i*160 + j)
			}
			if i == 5 { // lost
				want = append(want, bytes.Repeat([]byte{c.silence}, 160)...)
				continue
			}
			must(t, r.WriteRTP(consent.Remote, start.Add(time.Duration(i)*20*time.Millisecond), raw))
			want = append(want, raw[12:]...)
		}
		must(t, r.Seal(start.Add(200*time.Millisecond), "hang-up"))
		var wav bytes.Buffer
		_, err = s.WAVOf(context.Background(), r.ID(), &wav, store.WAVOptions{G711: true})
		must(t, err)
		b := wav.Bytes()
		if b[20] != c.format || b[16] != 18 || string(b[38:42]) != "fact" || string(b[50:54]) != "data" {
			t.Fatalf("%s: the header is % x", name, b[:58])
		}
		var left []byte
		for i := 58; i+1 < len(b); i += 2 {
			left = append(left, b[i])
			if b[i+1] != c.silence {
				t.Fatalf("%s: the silent side has %x", name, b[i+1])
			}
		}
		if !bytes.Contains(left, want) {
			t.Errorf("%s: the bytes aren't those that came", name)
		}
	}
	for _, mixed := range [][2]string{{"PCMU", "PCMA"}, {"PCMU", "G722"}} {
		r := long(t, s, 1, mixed[0], mixed[1])
		if _, err := s.WAVOf(context.Background(), r.ID(), io.Discard, store.WAVOptions{G711: true}); !errors.Is(err, store.ErrNotG711) {
			t.Errorf("%v: %v", mixed, err)
		}
		remote := consent.Remote
		if _, err := s.WAVOf(context.Background(), r.ID(), io.Discard, store.WAVOptions{G711: true, Only: &remote}); err != nil {
			t.Errorf("%v, the remote party alone: %v", mixed, err)
		}
	}
}

// TestOneOfTheTwoIsHeardAlone: the other's side is silence, and the length is the
// same.
func TestOneOfTheTwoIsHeardAlone(t *testing.T) {
	s, _ := kit(t)
	r := long(t, s, 2, "PCMU", "PCMA")
	whole, _ := render(t, s, r)
	for _, p := range []consent.Party{consent.Remote, consent.Local} {
		var wav bytes.Buffer
		_, err := s.WAVOf(context.Background(), r.ID(), &wav, store.WAVOptions{Only: &p})
		must(t, err)
		want, _ := track(t, whole, p)
		got, _ := track(t, wav.Bytes(), p)
		other, _ := track(t, wav.Bytes(), 1-p)
		for i := range want {
			if got[i] != want[i] || other[i] != 0 {
				t.Fatalf("%s: sample %d is %d, want %d; the other side's is %d", p, i, got[i], want[i], other[i])
			}
		}
	}
}

// TestABurstAfterAStallIsHeardWhole: what a network held back for a second came
// all at once; nothing of it is overwritten, and it is where it was said.
func TestABurstAfterAStallIsHeardWhole(t *testing.T) {
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	start := time.Now()
	must(t, r.Format(consent.Remote, 0, "PCMU", 8000))
	for i := range 150 {
		at := i * 20
		if i >= 50 && i < 100 {
			at = 2000
		}
		must(t, r.WriteRTP(consent.Remote, start.Add(time.Duration(at)*time.Millisecond), packet(uint16(i), uint32(i*160), 1, byte(i))))
	}
	must(t, r.Seal(start.Add(3*time.Second), "hang-up"))
	wav, reading := render(t, s, r)
	pcm, rate := track(t, wav, consent.Remote)
	lead := len(pcm) - 3*rate
	for i := range 150 {
		want := codec.Lookup("PCMU", 8000).NewDecoder().Decode(nil, []byte{byte(i)})[0]
		if got := pcm[lead+i*160+80]; got != want {
			t.Errorf("packet %d: %d, want %d", i, got, want)
		}
	}
	for _, g := range reading.Gaps {
		if g.Party == consent.Remote && g.From > 0 { // it began a moment before the first packet
			t.Errorf("a gap where everything came: %+v", g)
		}
	}
}

// TestALongSilenceTakesNoMemoryAndAllOfItsTime: one packet, and another an hour
// later.
func TestALongSilenceTakesNoMemoryAndAllOfItsTime(t *testing.T) {
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	start := time.Now()
	must(t, r.Format(consent.Remote, 0, "PCMU", 8000),
		r.WriteRTP(consent.Remote, start, packet(1, 160, 1, 0x11)),
		r.WriteRTP(consent.Remote, start.Add(time.Hour), packet(2, 320, 1, 0x11)),
		r.Seal(start.Add(time.Hour+time.Second), "hang-up"))
	sound, err := s.OpenWAV(context.Background(), r.ID(), store.WAVOptions{})
	must(t, err)
	n, heard, buf := 0, 0, make([]byte, 4096)
	for {
		m, err := sound.Read(buf)
		n += m
		for _, b := range buf[:m] {
			if n > 44 && b != 0 {
				heard++
			}
		}
		if most := sound.Buffered(); most > 2<<20 {
			t.Fatalf("%d bytes are held", most)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
	}
	if int64(n) != sound.Size() || n < 3601*8000*4 || heard < 2*160*2 {
		t.Errorf("%d bytes, %d of them sound", n, heard)
	}
	must(t, sound.Close())
}
