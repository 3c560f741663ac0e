package page

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// assets are the style and the script by the name under which they are asked
// for: it changes with their content, so browsers may keep them for good.
var assets, assetNames = hashAssets()

type served struct {
	kind string
	body []byte
}

func hashAssets() (byName map[string]served, names map[string]string) {
	byName, names = map[string]served{}, map[string]string{}
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		b, err := files.ReadFile("static/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		sum := sha256.Sum256(b)
		stem, ext, _ := strings.Cut(name, ".")
		names[name] = stem + "-" + hex.EncodeToString(sum[:6]) + "." + ext
		byName[names[name]] = served{kind, b}
	}
	return byName, names
}

// asset is the address of a static file.
func asset(name string) string { return "/static/" + assetNames[name] }

// static serves them to anybody: they say nothing of anyone.
func static(w http.ResponseWriter, r *http.Request) {
	a, ok := assets[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.body)
}
