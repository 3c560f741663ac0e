package page

import (
	"fmt"
	"html/template"
	"time"

	"consentgate/console/access"
)

// view is what every screen has; Body is the screen's own.
type view struct {
	Language string
	Title    string
	Screen   string // of the navigation that it belongs to
	Nav      []string
	Who      access.Principal
	LoggedIn bool
	CSRF     string // goes with every form that changes something
	Here     string // where a change of language comes back to
	Notice   string // key of what was done by the form before
	Version  string
	Zone     *time.Location
	Body     any
}

// ZoneName is what people call the zone of the times: Go calls the machine's "Local",
// whatever it is.
func (v *view) ZoneName() string {
	if v.Zone == time.Local {
		return time.Now().Format("MST")
	}
	return v.Zone.String()
}

// At writes a time for people and machines, in the zone of who reads it.
func (v *view) At(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	layout := "2 Jan 2006, 15:04:05"
	if v.Language == "de" {
		layout = "02.01.2006, 15:04:05"
	}
	return timeElement(t, t.In(v.Zone).Format(layout))
}

// Short is At without the seconds, for lists.
func (v *view) Short(t time.Time) template.HTML { return timeElement(t, v.Plain(t)) }

// Day writes the day of a time.
func (v *view) Day(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	layout := "2 Jan 2006"
	if v.Language == "de" {
		layout = "02.01.2006"
	}
	return timeElement(t, t.In(v.Zone).Format(layout))
}

// Date writes a day of the controller's calendar.
func (v *view) Date(d fmt.Stringer) template.HTML {
	return template.HTML(`<time datetime="` + template.HTMLEscapeString(d.String()) + `">` + template.HTMLEscapeString(v.PlainDate(d)) + `</time>`)
}

// PlainDate is Date without markup.
func (v *view) PlainDate(d fmt.Stringer) string {
	t, err := time.Parse(time.DateOnly, d.String())
	if err != nil {
		return d.String()
	}
	if v.Language == "de" {
		return t.Format("02.01.2006")
	}
	return t.Format("2 Jan 2006")
}

// Clock writes the time of day; it says a call apart from others.
func (v *view) Clock(t time.Time) string { return t.In(v.Zone).Format("15:04:05") }

// Plain is At without markup, for titles.
func (v *view) Plain(t time.Time) string {
	if v.Language == "de" {
		return t.In(v.Zone).Format("02.01.2006, 15:04")
	}
	return t.In(v.Zone).Format("2 Jan 2006, 15:04")
}

func timeElement(t time.Time, shown string) template.HTML {
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + template.HTMLEscapeString(shown) + `</time>`)
}

// length writes a duration as h:mm:ss, with a minus where it is before.
func length(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "−", -d
	}
	s := int64(d.Round(time.Second) / time.Second)
	if s == 0 {
		sign = ""
	}
	if s >= 3600 {
		return fmt.Sprintf("%s%d:%02d:%02d", sign, s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%s%d:%02d", sign, s/60, s%60)
}

// bytesText writes an amount of room.
func bytesText(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}
