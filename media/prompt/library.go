package prompt

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"consentgate/consent"
	"consentgate/internal/durable"
	"consentgate/media"
)

//go:embed wav/*.wav wav/manifest.json
var wavFiles embed.FS

// Made is one of the WAV files that come with the program.
type Made struct {
	Language string       `json:"language"`
	Kind     string       `json:"kind"` // consent, notice or stopped
	Text     string       `json:"text"`
	File     string       `json:"file"`
	SHA256   consent.Hash `json:"sha256"` // of the samples, as in the evidence
}

// Manifest lists them.
func Manifest() ([]Made, error) {
	raw, err := wavFiles.ReadFile("wav/manifest.json")
	if err != nil {
		return nil, err
	}
	var out []Made
	return out, json.Unmarshal(raw, &out)
}

// Library finds or makes the audio of prompts.
type Library struct {
	// TTS is the command line that renders text: {language}, {text} and {out}
	// are replaced in its words. "" is none.
	TTS string
	// CacheDir keeps what was rendered, by the hash of its text and command.
	CacheDir string
}

// renderTime bounds one run of the text-to-speech program.
const renderTime = 30 * time.Second

// ErrCannotSpeak means that a prompt would have to be rendered and can't be.
var ErrCannotSpeak = errors.New("no recorded prompt says this, and there is no program to render it")

// Check reports whether Load could give a policy's prompt, without rendering it.
func (l *Library) Check(pol *consent.Policy, who consent.Controller) error {
	if isFile(pol.Prompt) {
		_, err := fromFile(pol.Prompt, pol.Language)
		return err
	}
	text, err := Text(pol, who)
	if err != nil {
		return err
	}
	if a, err := builtIn("consent", pol.Language, text); a != nil || err != nil {
		return err
	}
	return l.canRender(text)
}

func (l *Library) canRender(text string) error {
	words := strings.Fields(l.TTS)
	if len(words) > 0 {
		if _, err := exec.LookPath(words[0]); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %q. Install the program of prompts.tts (for instance the package espeak-ng), or give a WAV file as prompt: "+
		"who asks and for what must be said (GDPR recital 42)", ErrCannotSpeak, text)
}

func isFile(prompt string) bool { return strings.EqualFold(filepath.Ext(prompt), ".wav") }

// Load gives the audio of a policy's consent prompt. It may run the
// text-to-speech program: not for a call's way.
func (l *Library) Load(ctx context.Context, pol *consent.Policy, who consent.Controller) (*media.Audio, error) {
	if isFile(pol.Prompt) {
		return fromFile(pol.Prompt, pol.Language)
	}
	text, err := Text(pol, who)
	if err != nil {
		return nil, err
	}
	if a, err := builtIn("consent", pol.Language, text); a != nil || err != nil {
		return a, err
	}
	if err := l.canRender(text); err != nil {
		return nil, err
	}
	return l.cached(ctx, pol.Language, text)
}

// Notice is what the party that waits hears; nil in a language without one.
func (l *Library) Notice(language string) *media.Audio { return l.fixed("notice", language) }

// Stopped says that the recording has ended; nil in a language without one.
func (l *Library) Stopped(language string) *media.Audio { return l.fixed("stopped", language) }

func (l *Library) fixed(kind, language string) *media.Audio {
	a, err := builtIn(kind, language, languages[language][kind])
	if err != nil {
		return nil
	}
	return a
}

// builtIn finds the WAV that says exactly this; nil if none does.
func builtIn(kind, language, text string) (*media.Audio, error) {
	made, err := Manifest()
	if err != nil {
		return nil, err
	}
	for _, m := range made {
		if m.Kind != kind || m.Language != language || m.Text != text {
			continue
		}
		raw, err := wavFiles.ReadFile("wav/" + m.File)
		if err != nil {
			return nil, err
		}
		pcm, err := ReadWAV(raw)
		if err != nil {
			return nil, err
		}
		return NewAudio("built-in/"+language+"/"+kind, language, text, pcm), nil
	}
	return nil, nil
}

// NewAudio makes a prompt of samples.
func NewAudio(id, language, text string, pcm []int16) *media.Audio {
	h := sha256.New()
	var b [2]byte
	for _, s := range pcm {
		binary.LittleEndian.PutUint16(b[:], uint16(s))
		h.Write(b[:])
	}
	return &media.Audio{ID: id, Language: language, Text: text, PCM: pcm, SHA256: consent.Hash(h.Sum(nil))}
}

// maxFile bounds a WAV file: 60 s of 48 kHz stereo, and some.
const maxFile = 16 << 20

func fromFile(path, language string) (*media.Audio, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the prompt's file: %w", err)
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("the prompt %s is larger than %d bytes", path, maxFile)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the prompt's file: %w", err)
	}
	pcm, err := ReadWAV(raw)
	if err != nil {
		return nil, fmt.Errorf("the prompt %s: %w", path, err)
	}
	if len(pcm) == 0 {
		return nil, fmt.Errorf("the prompt %s is empty", path)
	}
	return NewAudio("file/"+filepath.Base(path), language, "", pcm), nil
}

// cached renders a text once.
func (l *Library) cached(ctx context.Context, language, text string) (*media.Audio, error) {
	name := sha256.Sum256([]byte(l.TTS + "\x00" + language + "\x00" + text))
	id := hex.EncodeToString(name[:8])
	path := filepath.Join(l.CacheDir, id+".wav")
	if raw, err := os.ReadFile(path); err == nil {
		if pcm, err := ReadWAV(raw); err == nil && len(pcm) > 0 {
			return NewAudio("rendered/"+id, language, text, pcm), nil
		}
	}
	pcm, err := l.Render(ctx, language, text)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("keeping a rendered prompt: %w", err)
	}
	if err := durable.WriteFile(path, WriteWAV(pcm), 0o600); err != nil {
		return nil, fmt.Errorf("keeping a rendered prompt: %w", err)
	}
	return NewAudio("rendered/"+id, language, text, pcm), nil
}

// Render runs the text-to-speech program, without a shell: the text is one
// argument, whatever is in it.
func (l *Library) Render(ctx context.Context, language, text string) (pcm []int16, err error) {
	dir, err := os.MkdirTemp("", "consentgate-prompt-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	out := filepath.Join(dir, "out.wav")
	words := strings.Fields(l.TTS)
	if len(words) == 0 {
		return nil, ErrCannotSpeak
	}
	for i, w := range words {
		words[i] = strings.NewReplacer("{language}", language, "{text}", text, "{out}", out).Replace(w)
	}
	ctx, cancel := context.WithTimeout(ctx, renderTime)
	defer cancel()
	if said, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("rendering a prompt with %s: %w: %.200s", words[0], err, said)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("rendering a prompt: the program left no file in {out}: %w", err)
	}
	if pcm, err = ReadWAV(raw); err != nil {
		return nil, fmt.Errorf("rendering a prompt: %w", err)
	}
	if pcm = Tidy(pcm); len(pcm) < Rate/2 {
		return nil, errors.New("rendering a prompt: it is shorter than half a second")
	}
	return pcm, nil
}
