package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"consentgate/consent"
	"consentgate/store"
)

// program is a stock program that a test needs.
func program(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skipf("NOT TESTED: %v", err)
		}
	}
}

func afterHeader(t *testing.T, file []byte) []byte {
	t.Helper()
	_, rest, ok := bytes.Cut(file, []byte("\n---"))
	if !ok {
		t.Fatal("not an age file")
	}
	return rest[bytes.IndexByte(rest, '\n')+1:]
}

// TestARecordingIsHandedOverUnderANewHeaderAlone: the payload stays as it is, and
// whoever has the key opens it with the age program of the system.
func TestARecordingIsHandedOverUnderANewHeaderAlone(t *testing.T) {
	s, dir := kit(t)
	id := record(t, s, "c", 300)
	key, err := age.GenerateX25519Identity()
	must(t, err)
	second, err := age.GenerateX25519Identity()
	must(t, err)
	phrase, err := age.NewScryptRecipient("correct horse")
	must(t, err)
	phrase.SetWorkFactor(10)
	opener, err := age.NewScryptIdentity("correct horse")
	must(t, err)
	own, err := os.ReadFile(filepath.Join(dir, "recordings", id+".rec"))
	must(t, err)
	for name, c := range map[string]struct {
		to  []age.Recipient
		ids []age.Identity
	}{
		"a key":        {[]age.Recipient{key.Recipient()}, []age.Identity{key}},
		"two keys":     {[]age.Recipient{key.Recipient(), second.Recipient()}, []age.Identity{second}},
		"a passphrase": {[]age.Recipient{phrase}, []age.Identity{opener}},
	} {
		var out bytes.Buffer
		must(t, s.Sealed(context.Background(), id, &out, c.to...))
		if !bytes.Equal(afterHeader(t, out.Bytes()), afterHeader(t, own)) {
			t.Errorf("%s: the payload was written anew", name)
		}
		plain, err := age.Decrypt(bytes.NewReader(out.Bytes()), c.ids...)
		must(t, err)
		if capture, err := io.ReadAll(plain); err != nil || !bytes.Contains(capture, []byte(callerNumber)) {
			t.Errorf("%s: %d bytes, %v", name, len(capture), err)
		}
		stranger, err := age.GenerateX25519Identity()
		must(t, err)
		if _, err := age.Decrypt(bytes.NewReader(out.Bytes()), stranger); err == nil {
			t.Errorf("%s: a stranger opens it", name)
		}
	}
	for name, to := range map[string][]age.Recipient{"nobody": nil, "both": {phrase, key.Recipient()}} {
		if err := s.Sealed(context.Background(), id, io.Discard, to...); err == nil {
			t.Errorf("%s: handed over", name)
		}
	}
	program(t, "age")
	work := t.TempDir()
	var out bytes.Buffer
	must(t, s.Sealed(context.Background(), id, &out, key.Recipient()),
		os.WriteFile(filepath.Join(work, "key"), []byte(key.String()+"\n"), 0o600))
	cmd := exec.Command("age", "-d", "-i", filepath.Join(work, "key"))
	cmd.Stdin = &out
	capture, err := cmd.Output()
	if err != nil || !bytes.Contains(capture, []byte(`"note":"sealed"`)) {
		t.Errorf("age: %d bytes, %v", len(capture), err)
	}
}

// TestARecordingThatIsNotSealedYetIsHandedOverToo.
func TestARecordingThatIsNotSealedYetIsHandedOverToo(t *testing.T) {
	s, _ := kit(t)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	speak(t, r, time.Now(), 20)
	s.AnchorNow()
	key, err := age.GenerateX25519Identity()
	must(t, err)
	var out bytes.Buffer
	must(t, s.Sealed(context.Background(), r.ID(), &out, key.Recipient()))
	plain, err := age.Decrypt(&out, key)
	must(t, err)
	capture, err := io.ReadAll(plain)
	must(t, err)
	if n := bytes.Count(capture, bytes.Repeat([]byte{0x22}, 160)); n != 20 {
		t.Errorf("%d packets of the local party", n)
	}
	must(t, r.Seal(time.Now(), "hang-up"))
}

// TestADamagedRecordingIsNotHandedOver as if it were whole.
func TestADamagedRecordingIsNotHandedOver(t *testing.T) {
	s, dir := kit(t)
	id := record(t, s, "c", 50)
	path := filepath.Join(dir, "recordings", id+".rec")
	raw, err := os.ReadFile(path)
	must(t, err, os.WriteFile(path, flipped(raw, len(raw)-5), 0o600))
	key, err := age.GenerateX25519Identity()
	must(t, err)
	if err := s.Sealed(context.Background(), id, io.Discard, key.Recipient()); !errors.Is(err, store.ErrDamaged) {
		t.Error(err)
	}
}

// TestOpusIsMadeByWhicheverProgramIsThere: each of the two gives both tones, each on
// its side, for as long as the recording; without them it is said what to install.
func TestOpusIsMadeByWhicheverProgramIsThere(t *testing.T) {
	s, _ := kit(t)
	r := long(t, s, 5, "PCMU", "PCMA")
	_, reading := render(t, s, r)
	path := os.Getenv("PATH")
	t.Run("neither", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := s.Opus(context.Background(), r.ID(), io.Discard, store.WAVOptions{}); !errors.Is(err, store.ErrNoEncoder) ||
			!strings.Contains(err.Error(), "opus-tools") {
			t.Error(err)
		}
	})
	for _, name := range []string{"opusenc", "ffmpeg"} {
		t.Run(name, func(t *testing.T) {
			program(t, name, "ffmpeg")
			bin := t.TempDir()
			at, err := exec.LookPath(name)
			must(t, err, os.Symlink(at, filepath.Join(bin, name)))
			t.Setenv("PATH", bin)
			var ogg bytes.Buffer
			_, err = s.Opus(context.Background(), r.ID(), &ogg, store.WAVOptions{})
			must(t, err)
			t.Setenv("PATH", path)
			cmd := exec.Command("ffmpeg", "-loglevel", "error", "-f", "ogg", "-i", "pipe:0", "-ar", "8000", "-f", "s16le", "pipe:1")
			cmd.Stdin = &ogg
			raw, err := cmd.Output()
			must(t, err)
			for p, hz := range map[consent.Party]float64{consent.Remote: 440, consent.Local: 880} {
				var pcm []int16
				for i := 2 * int(p); i+1 < len(raw); i += 4 {
					pcm = append(pcm, int16(raw[i])|int16(raw[i+1])<<8)
				}
				if want := int(reading.Length.Milliseconds()) * 8; len(pcm) < want-800 || len(pcm) > want+800 {
					t.Fatalf("%d samples, want %d", len(pcm), want)
				}
				if got := share(pcm[8000:16000], hz, 8000); got < 0.8 {
					t.Errorf("%s: %.2f of it is at %v Hz", p, got, hz)
				}
			}
		})
	}
	t.Run("one that fails", func(t *testing.T) {
		bin := t.TempDir()
		must(t, os.WriteFile(filepath.Join(bin, "opusenc"), []byte("#!/bin/sh\necho no room >&2\nexit 3\n"), 0o755))
		t.Setenv("PATH", bin)
		if _, err := s.Opus(context.Background(), r.ID(), io.Discard, store.WAVOptions{}); err == nil || !strings.Contains(err.Error(), "no room") {
			t.Error(err)
		}
	})
}
