package access

import (
	"html"
	"io"
	"net/http"
)

// Onward leads the browser on to a path of this console by a page of our own: with
// a redirect, browsers would count the request as the provider's, and leave out
// cookies that are SameSite=Strict.
func Onward(w http.ResponseWriter, path string) error {
	path = html.EscapeString(LocalPath(path))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, err := io.WriteString(w, `<!doctype html><html lang="en"><meta charset="utf-8"><title>consentgate</title>`+
		`<meta http-equiv="refresh" content="0; url=`+path+`"><a href="`+path+`">consentgate</a></html>`)
	return err
}
