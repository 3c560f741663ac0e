package prompt_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media"
	"consentgate/media/prompt"
)

var example = consent.Controller{Name: prompt.ExampleController, Contact: "privacy@example.com"}

func policy(language string) *consent.Policy {
	return &consent.Policy{Language: language, Accept: '1', Decline: '2', Withdraw: "*9",
		Purpose: consent.Purpose{Name: "training", Text: prompt.ExamplePurpose}}
}

// TestTheWAVsSayWhatTheTextsSay: the manifest's texts are those of today, and
// its hashes those of the files.
func TestTheWAVsSayWhatTheTextsSay(t *testing.T) {
	made, err := prompt.Manifest()
	if err != nil || len(made) != 3*len(prompt.Languages()) || len(prompt.Languages()) != 8 {
		t.Fatalf("%d files, %v", len(made), err)
	}
	for _, m := range made {
		texts, err := prompt.BuiltInTexts(m.Language)
		if err != nil || texts[m.Kind] != m.Text {
			t.Errorf("%s %s: the text has changed since it was rendered; run make prompts", m.Language, m.Kind)
		}
		raw, err := os.ReadFile(filepath.Join("wav", m.File))
		if err != nil {
			t.Fatal(err)
		}
		pcm, err := prompt.ReadWAV(raw)
		if err != nil || prompt.NewAudio("", "", "", pcm).SHA256 != m.SHA256 {
			t.Errorf("%s isn't the file of the manifest: %v", m.File, err)
		}
	}
}

// TestEveryConsentPromptSaysWhatTheLawWants: who, for what, both keys and how to
// withdraw, in every language.
func TestEveryConsentPromptSaysWhatTheLawWants(t *testing.T) {
	words := map[string][]string{"en": {"one", "two", "star nine"}, "de": {"eins", "zwei", "Stern neun"}, "fr": {"un", "deux", "étoile neuf"},
		"es": {"uno", "dos", "asterisco nueve"}, "it": {"uno", "due", "asterisco nove"}, "nl": {"één", "twee", "sterretje negen"},
		"pl": {"jeden", "dwa", "gwiazdka dziewięć"}, "pt": {"um", "dois", "asterisco nove"}}
	for _, language := range prompt.Languages() {
		text, err := prompt.Text(policy(language), example)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(words[language], prompt.ExampleController, prompt.ExamplePurpose[language]) {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q isn't in %q", language, w, text)
			}
		}
		none := policy(language)
		none.Withdraw = ""
		if other, err := prompt.Text(none, example); err != nil || other == text || strings.Contains(other, words[language][2]) {
			t.Errorf("%s without keys to withdraw: %q %v", language, other, err)
		}
	}
}

// TestPromptsAreAudible: neither clipped nor silent, and no longer than people
// listen.
func TestPromptsAreAudible(t *testing.T) {
	lib := &prompt.Library{}
	for _, language := range prompt.Languages() {
		consentPrompt, err := lib.Load(context.Background(), policy(language), example)
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range map[string]*media.Audio{"consent": consentPrompt, "notice": lib.Notice(language), "stopped": lib.Stopped(language)} {
			if a == nil {
				t.Fatalf("%s has no %s", language, name)
			}
			loudest, sum := 0.0, 0.0
			for _, s := range a.PCM {
				loudest = max(loudest, math.Abs(float64(s)))
				sum += float64(s) * float64(s)
			}
			level := math.Sqrt(sum / float64(len(a.PCM)))
			if loudest < 16000 || loudest > 32000 || level < 1000 {
				t.Errorf("%s %s: peak %.0f, level %.0f", language, name, loudest, level)
			}
			if d := a.Duration(); d > 26*time.Second || d < time.Second {
				t.Errorf("%s %s takes %s", language, name, d)
			}
		}
	}
}

// TestAPromptThatSaysSomethingElseIsNotPlayed: another controller, purpose or
// key than what was recorded needs a program to render it.
func TestAPromptThatSaysSomethingElseIsNotPlayed(t *testing.T) {
	lib := &prompt.Library{TTS: "no-such-program {text}"}
	if err := lib.Check(policy("en"), example); err != nil {
		t.Errorf("as recorded: %v", err)
	}
	key, purpose := policy("en"), policy("en")
	key.Accept = '5'
	purpose.Purpose.Text = map[string]string{"en": "selling your data"}
	for name, c := range map[string]struct {
		p   *consent.Policy
		who consent.Controller
	}{"key": {key, example}, "purpose": {purpose, example}, "controller": {policy("en"), consent.Controller{Name: "Acme"}}} {
		if err := lib.Check(c.p, c.who); !errors.Is(err, prompt.ErrCannotSpeak) || !strings.Contains(err.Error(), "recital 42") {
			t.Errorf("another %s: %v", name, err)
		}
		if a, err := lib.Load(context.Background(), c.p, c.who); a != nil || err == nil {
			t.Errorf("another %s was loaded", name)
		}
	}
}

func TestAnotherLanguageIsNamedAsMissing(t *testing.T) {
	if err := new(prompt.Library).Check(policy("sv"), example); err == nil || !strings.Contains(err.Error(), "de, en, es, fr, it, nl, pl, pt") {
		t.Errorf("%v", err)
	}
}

// TestTextIsRenderedOnceAndWithoutAShell, by a program that copies a file: what
// the text says can't run anything.
func TestTextIsRenderedOnceAndWithoutAShell(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source.wav")
	pcm := make([]int16, prompt.Rate)
	for i := range pcm {
		pcm[i] = int16(1000 * math.Sin(float64(i)/3))
	}
	if err := os.WriteFile(source, prompt.WriteWAV(pcm), 0o600); err != nil {
		t.Fatal(err)
	}
	cp, err := exec.LookPath("cp")
	if err != nil {
		t.Fatal(err)
	}
	p := policy("en")
	p.Prompt = "Hello; touch " + filepath.Join(dir, "pwned") + " $(touch " + filepath.Join(dir, "pwned") + ") press {{.Accept}}"
	lib := &prompt.Library{TTS: cp + " " + source + " {out}", CacheDir: filepath.Join(dir, "cache")}
	a, err := lib.Load(context.Background(), p, example)
	if err != nil || a.Text != strings.Replace(p.Prompt, "{{.Accept}}", "one", 1) || len(a.PCM) < prompt.Rate/2 {
		t.Fatalf("%+v %v", a, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
		t.Error("the text was run")
	}
	if err := os.Remove(source); err != nil {
		t.Fatal(err)
	}
	again, err := lib.Load(context.Background(), p, example)
	if err != nil || again.SHA256 != a.SHA256 {
		t.Errorf("rendered again: %v", err)
	}
	other := *p
	other.Decline = '3'
	other.Prompt += " {{.Decline}}"
	if _, err := lib.Load(context.Background(), &other, example); err == nil {
		t.Error("a text that was never rendered came from the cache")
	}
}

// TestAnotherControllerIsSpoken by the program that is configured by default.
func TestAnotherControllerIsSpoken(t *testing.T) {
	if _, err := exec.LookPath("espeak-ng"); err != nil {
		t.Skip("NOT TESTED: espeak-ng is missing")
	}
	lib := &prompt.Library{TTS: "espeak-ng -v {language} -s 150 -w {out} {text}", CacheDir: t.TempDir()}
	for _, language := range prompt.Languages() {
		a, err := lib.Load(context.Background(), policy(language), consent.Controller{Name: "Acme Telecom"})
		if err != nil || a.Duration() < 8*time.Second || !strings.Contains(a.Text, "Acme Telecom") {
			t.Errorf("%s: %v", language, err)
		}
	}
}

// TestOperatorsFilesAreTaken in the forms that people have.
func TestOperatorsFilesAreTaken(t *testing.T) {
	needs := func(p string) bool { _, err := exec.LookPath(p); return err == nil }
	if !needs("sox") {
		t.Skip("NOT TESTED: sox is missing")
	}
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"44k1 stereo": {"-r", "44100", "-c", "2", "-b", "16"}, "48k mono": {"-r", "48000", "-c", "1", "-b", "16"},
		"16k": {"-r", "16000", "-c", "1", "-b", "16"}, "8k": {"-r", "8000", "-c", "1", "-b", "16"},
		"a-law": {"-r", "8000", "-c", "1", "-e", "a-law"}, "u-law": {"-r", "8000", "-c", "1", "-e", "u-law"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".wav")
		out, err := exec.Command("sox", append(append([]string{"-n"}, args...), path, "synth", "1", "sine", "1000", "gain", "-6")...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		p := policy("en")
		p.Prompt = path
		a, err := new(prompt.Library).Load(context.Background(), p, example)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := a.Duration() - time.Second; d < -10*time.Millisecond || d > 10*time.Millisecond || share(a.PCM, 1000) < 0.95 {
			t.Errorf("%s: %s, %.2f of it at 1000 Hz", name, a.Duration(), share(a.PCM, 1000))
		}
	}
}

func share(pcm []int16, hz float64) float64 {
	var re, im, energy float64
	for i, s := range pcm {
		v := float64(s)
		re += v * math.Cos(2*math.Pi*hz*float64(i)/prompt.Rate)
		im += v * math.Sin(2*math.Pi*hz*float64(i)/prompt.Rate)
		energy += v * v
	}
	return 2 * (re*re + im*im) / (energy * float64(len(pcm)))
}

// TestResamplingLetsNoAliasThrough: what 8 kHz can't hold isn't heard.
func TestResamplingLetsNoAliasThrough(t *testing.T) {
	pcm := make([]int16, 48000)
	for i := range pcm {
		pcm[i] = int16(16000 * math.Sin(2*math.Pi*7000*float64(i)/48000))
	}
	wav := prompt.WriteWAV(pcm)
	wav[24], wav[25] = 0x80, 0xbb // 48000
	out, err := prompt.ReadWAV(wav)
	if err != nil || len(out) != prompt.Rate {
		t.Fatalf("%d samples, %v", len(out), err)
	}
	for i, s := range out[100 : len(out)-100] {
		if s > 400 || s < -400 {
			t.Fatalf("sample %d is %d", i, s)
		}
	}
}

// FuzzReadWAV: no file makes the reader panic, or give more than a minute.
func FuzzReadWAV(f *testing.F) {
	f.Add(prompt.WriteWAV([]int16{1, 2, 3}))
	f.Add([]byte("RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff"))
	f.Add(bytes.Repeat([]byte{0}, 64))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if pcm, err := prompt.ReadWAV(raw); err == nil && len(pcm) > prompt.MaxSeconds*prompt.Rate {
			t.Fatalf("%d samples", len(pcm))
		}
	})
}
