package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed templates static
var files embed.FS

// shared are the templates that every screen may use.
const shared = "layout.html parts.html"

// screens are the pages by name and language. html/template escapes by context
// what goes into them; nothing of a call ever is template.HTML.
var screens = parseScreens()

func parseScreens() map[string]*template.Template {
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		panic(err) // the pattern is ours
	}
	all := map[string]*template.Template{}
	for _, l := range Languages {
		base := template.New("").Funcs(functions(l))
		for _, name := range strings.Fields(shared) {
			base = template.Must(base.ParseFS(files, "templates/"+name))
		}
		for _, name := range names {
			if strings.Contains(shared, path.Base(name)) {
				continue
			}
			screen := strings.TrimSuffix(path.Base(name), ".html")
			all[screen+"."+l] = template.Must(template.Must(base.Clone()).ParseFS(files, name))
		}
	}
	return all
}

// functions are what templates call, in one language.
func functions(language string) template.FuncMap {
	return template.FuncMap{
		"t":      func(key string, args ...any) string { return text(language, key, args...) },
		"n":      func(key string, n int) string { return count(language, key, n) },
		"word":   func(kind string, v any) string { return word(language, kind, v) },
		"chip":   func(kind string, v any) template.HTML { return chip(language, kind, v) },
		"tag":    func(tone, icon, key string) template.HTML { return chipOf(mark{tone, icon}, text(language, key)) },
		"icon":   icon,
		"length": length,
		"bytes":  bytesText,
		"asset":  asset,
		"dict":   dict,
	}
}

// dict gives a part of a page what it needs beside the view: pairs of names and
// values.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("name %d of a part is no string", i)
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

func asText(v any) string { return fmt.Sprint(v) }

// render makes a screen, whole or not at all.
func render(w http.ResponseWriter, status int, screen, part string, v *view) error {
	var b bytes.Buffer
	t, ok := screens[screen+"."+v.Language]
	if !ok {
		return fmt.Errorf("there is no screen %q", screen)
	}
	if err := t.ExecuteTemplate(&b, part, v); err != nil {
		return fmt.Errorf("rendering %s: %w", screen, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Language)
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // who asked is gone then
	return nil
}
