package prompt

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"consentgate/consent"
)

//go:embed texts/*.txt
var textFiles embed.FS

// phrases are one language's texts, by name.
type phrases map[string]string

// languages holds the built-in texts.
var languages = readTexts()

func readTexts() map[string]phrases {
	out := map[string]phrases{}
	files, err := textFiles.ReadDir("texts")
	if err != nil { // embedded: always there
		panic("prompt: internal error: " + err.Error())
	}
	for _, f := range files {
		raw, err := textFiles.ReadFile("texts/" + f.Name())
		if err != nil {
			panic("prompt: internal error: " + err.Error())
		}
		p := phrases{}
		for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
			name, text, _ := strings.Cut(line, ": ")
			p[name] = text
		}
		out[strings.TrimSuffix(f.Name(), ".txt")] = p
	}
	return out
}

// Languages lists those with built-in prompts.
func Languages() []string {
	var out []string
	for l := range languages {
		out = append(out, l)
	}
	slices.Sort(out)
	return out
}

// keyOrder is the order of the words under keys.
const keyOrder = "0123456789*#ABCD"

// say speaks keys in a language: "*9" is "star nine".
func (p phrases) say(keys string) string {
	words := strings.Fields(p["keys"])
	var out []string
	for _, k := range keys {
		if i := strings.IndexRune(keyOrder, k); i >= 0 {
			out = append(out, words[i])
		}
	}
	return strings.Join(out, " ")
}

// said is what a text template may name.
type said struct{ Controller, Purpose, Accept, Decline, Withdraw, Contact string }

// Text is what the consent prompt of a policy says: the built-in text of its
// language, or its own.
func Text(pol *consent.Policy, who consent.Controller) (string, error) {
	p := languages[pol.Language]
	text := pol.Prompt
	if text == "" {
		if p == nil {
			return "", fmt.Errorf("there is no built-in prompt in %q; there are: %s", pol.Language, strings.Join(Languages(), ", "))
		}
		text = p["consent"] + " " + p["contact"]
		if pol.Withdraw != "" {
			text = p["consent"] + " " + p["withdraw"]
		}
	}
	if p == nil {
		p = languages["en"]
	}
	t, err := template.New("prompt").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("the prompt's text: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, said{Controller: who.Name, Purpose: pol.Purpose.Text[pol.Language], Contact: who.Contact,
		Accept: p.say(string(rune(pol.Accept))), Decline: p.say(string(rune(pol.Decline))), Withdraw: p.say(pol.Withdraw)}); err != nil {
		return "", fmt.Errorf("the prompt's text: %w; known: .Controller .Purpose .Accept .Decline .Withdraw .Contact", err)
	}
	return b.String(), nil
}
