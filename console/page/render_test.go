package page

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestEveryScreenRendersInBothLanguages, whatever there is to show, and what
// comes from calls stays text in it.
func TestEveryScreenRendersInBothLanguages(t *testing.T) {
	for screen, bodies := range fixtures() {
		for i, body := range bodies {
			for _, l := range Languages {
				w := httptest.NewRecorder()
				if err := render(w, 200, screen, "layout", viewOf(l, screen, body)); err != nil {
					t.Errorf("%s %d in %s: %v", screen, i, l, err)
					continue
				}
				html := w.Body.String()
				if strings.Contains(html, "<script>alert") {
					t.Errorf("%s %d in %s: a caller's name is a script", screen, i, l)
				}
				for _, bad := range []string{"%!", "ZgotmplZ", "<no value>", " style=", "onclick", "javascript:"} {
					if strings.Contains(html, bad) {
						t.Errorf("%s %d in %s has %q", screen, i, l, bad)
					}
				}
			}
		}
	}
}

// TestTheMachinesZoneHasItsName where a browser doesn't tell its own.
func TestTheMachinesZoneHasItsName(t *testing.T) {
	for zone, want := range map[*time.Location]string{time.Local: time.Now().Format("MST"), time.UTC: "UTC"} {
		if got := (&view{Zone: zone}).ZoneName(); got != want || got == "Local" {
			t.Errorf("%v is called %q, want %q", zone, got, want)
		}
	}
}
