package page

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// Languages are those that the page speaks; the first where nobody asks for one
// of them.
var Languages = []string{"en", "de"}

// phrase is a text in both languages. %s, %d stand for what is put in.
type phrase struct{ en, de string }

func (p phrase) in(language string) string {
	if language == "de" {
		return p.de
	}
	return p.en
}

// words is every text of the page, by its key.
var words = func() map[string]phrase {
	all := map[string]phrase{}
	for _, part := range []map[string]phrase{commonWords, stateWords, callsWords, recordingsWords, recordingWords, actWords, requestWords, auditWords, systemWords} {
		maps.Copy(all, part)
	}
	return all
}()

// text is the phrase of a key. A key that isn't there is our own contradiction;
// it shows as itself, and a test finds it.
func text(language, key string, args ...any) string {
	p, ok := words[key]
	if !ok {
		return key
	}
	if len(args) == 0 {
		return p.in(language)
	}
	return fmt.Sprintf(p.in(language), args...)
}

// count is the phrase of key.one or key.many.
func count(language, key string, n int) string {
	if n == 1 {
		return text(language, key+".one")
	}
	return text(language, key+".many", n)
}

// word says a value of a kind, such as a state; what has no word is said as it
// is.
func word(language, kind string, value any) string {
	v := fmt.Sprint(value)
	if p, ok := words[kind+"."+v]; ok {
		return p.in(language)
	}
	return v
}

const languageCookie = "consentgate_language"

// languageOf is the language that somebody chose, or that their browser asks for
// (RFC 9110 section 12.5.4).
func languageOf(r *http.Request) string {
	if c, err := r.Cookie(languageCookie); err == nil {
		for _, l := range Languages {
			if c.Value == l {
				return l
			}
		}
	}
	best, quality := Languages[0], 0.0
	for _, want := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		tag, weight, _ := strings.Cut(strings.TrimSpace(want), ";")
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		q := 1.0
		if w, ok := strings.CutPrefix(strings.TrimSpace(weight), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(w, 64); err != nil {
				continue
			}
		}
		for _, l := range Languages {
			if primary == l && q > quality {
				best, quality = l, q
			}
		}
	}
	return best
}
