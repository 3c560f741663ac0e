package page

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryPhraseIsInBothLanguages: none is empty, and both take the same things
// in.
func TestEveryPhraseIsInBothLanguages(t *testing.T) {
	verbs := regexp.MustCompile(`%[sd]`)
	for key, p := range words {
		if p.en == "" || p.de == "" {
			t.Errorf("%s lacks a language", key)
		}
		if en, de := verbs.FindAllString(p.en, -1), verbs.FindAllString(p.de, -1); strings.Join(en, "") != strings.Join(de, "") {
			t.Errorf("%s takes %v in English and %v in German", key, en, de)
		}
	}
}

// dynamic are beginnings of keys that are put together while the program runs.
var dynamic = regexp.MustCompile(`^(act|alarm|apstate|approval|trouble|cause|cause\.role|consent|direction|ended|erasure|error|form|ground|kept|kind|level|nav|part|party|pausedby|recstate|reqstate|role|search|type|via|calls|calls\.done)\.[^.]*(\.[^.]*)?$`)

// TestEveryPhraseIsUsedAndEveryUsedOneIsThere compares the catalogue with what
// templates and handlers ask it for.
func TestEveryPhraseIsUsedAndEveryUsedOneIsThere(t *testing.T) {
	used := map[string]bool{}
	inTemplate := regexp.MustCompile(`\((?:t|n) "([^"]+)"|\{\{(?:with )?(?:t|n) "([^"]+)"|(?:tag "[a-z]*" "[a-z]+") "([^"]+)"`)
	counted := regexp.MustCompile(`[{(]n "([^"]+)"`)
	for name, body := range templates(t) {
		plural := map[string]bool{}
		for _, m := range counted.FindAllStringSubmatch(body, -1) {
			plural[m[1]] = true
			for _, form := range []string{".one", ".many"} {
				used[m[1]+form] = true
				if _, ok := words[m[1]+form]; !ok {
					t.Errorf("%s says %q, which isn't in the catalogue", name, m[1]+form)
				}
			}
		}
		for _, m := range inTemplate.FindAllStringSubmatch(body, -1) {
			key := m[1] + m[2] + m[3]
			used[key] = true
			if _, ok := words[key]; !ok && !plural[key] {
				t.Errorf("%s says %q, which isn't in the catalogue", name, key)
			}
		}
	}
	inCode := regexp.MustCompile(`"([a-z]+(?:[.-][a-z0-9_-]+)+)"`)
	for _, name := range sources(t) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inCode.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	for key := range words {
		if one, ok := strings.CutSuffix(key, ".one"); ok && used[one] {
			continue
		}
		if many, ok := strings.CutSuffix(key, ".many"); ok && used[many] {
			continue
		}
		if !used[key] && !dynamic.MatchString(key) {
			t.Errorf("nothing says %q", key)
		}
	}
}

// TestEveryTypeOfEntryHasAWord compares the catalogue with the store's constants: one
// without a word couldn't be filtered by.
func TestEveryTypeOfEntryHasAWord(t *testing.T) {
	names, err := filepath.Glob("../../store/*.go")
	if err != nil {
		t.Fatal(err)
	}
	constant := regexp.MustCompile(`(?m)^\s*(?:Type\w+|Play|Export)\s+(?:Use )?\s*= "([a-z.]+)"`)
	found := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range constant.FindAllStringSubmatch(string(b), -1) {
			if found++; words["type."+m[1]].en == "" {
				t.Errorf("entries of type %s have no word", m[1])
			}
		}
	}
	if found < 30 {
		t.Errorf("found %d types only", found)
	}
}

// TestNoTemplateHasWordsOfItsOwn: every word is in the catalogue, so that none is
// in one language only. The product's name isn't a word.
func TestNoTemplateHasWordsOfItsOwn(t *testing.T) {
	action := regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	spoken := regexp.MustCompile(`\s(?:aria-label|title|alt|placeholder|data-label)="([^"]*)"`)
	tag := regexp.MustCompile(`(?s)<[^>]*>`)
	letters := regexp.MustCompile(`\pL{2,}`)
	for name, body := range templates(t) {
		body = action.ReplaceAllString(body, "")
		for _, m := range spoken.FindAllStringSubmatch(body, -1) {
			if letters.MatchString(m[1]) {
				t.Errorf("%s has an attribute that is read out: %q", name, m[1])
			}
		}
		text := strings.ReplaceAll(tag.ReplaceAllString(body, " "), "consentgate", "")
		if w := letters.FindString(text); w != "" {
			t.Errorf("%s has the word %q", name, w)
		}
	}
}

func templates(t *testing.T) map[string]string {
	t.Helper()
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil || len(names) == 0 {
		t.Fatal("no templates", err)
	}
	all := map[string]string{}
	for _, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(b)
	}
	return all
}

// sources are the package's files but for the catalogue and the tests.
func sources(t *testing.T) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n := e.Name()
		if strings.HasSuffix(n, ".go") && !strings.HasSuffix(n, "_test.go") && (!strings.HasPrefix(n, "words_") || n == "words.go") {
			out = append(out, n)
		}
	}
	return out
}
