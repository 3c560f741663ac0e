// Command render makes the WAV files that come with the program from the texts,
// for the example configuration's controller, purpose and keys.
//
//	go run ./media/prompt/render media/prompt/wav
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"consentgate/consent"
	"consentgate/media/prompt"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: render DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	lib := &prompt.Library{TTS: "espeak-ng -v {language} -s 150 -w {out} {text}"}
	var manifest []prompt.Made
	for _, language := range prompt.Languages() {
		texts, err := prompt.BuiltInTexts(language)
		if err != nil {
			return err
		}
		for _, kind := range []string{"consent", "notice", "stopped"} {
			pcm, err := lib.Render(context.Background(), language, texts[kind])
			if err != nil {
				return fmt.Errorf("%s, %s: %w", language, kind, err)
			}
			m := prompt.Made{Language: language, Kind: kind, Text: texts[kind], File: language + "-" + kind + ".wav"}
			a := prompt.NewAudio("", language, m.Text, pcm)
			m.SHA256 = consent.Hash(a.SHA256)
			if err := os.WriteFile(filepath.Join(dir, m.File), prompt.WriteWAV(pcm), 0o644); err != nil {
				return err
			}
			fmt.Printf("%s %-8s %5.1f s  %s\n", language, kind, a.Duration().Seconds(), m.Text)
			manifest = append(manifest, m)
		}
	}
	out, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "manifest.json"), append(out, '\n'), 0o644)
}
