package page

import "html/template"

// icons are drawn on a grid of 16 with lines of 1.5. They never stand alone: what
// they mean is written beside them.
var icons = map[string]string{
	"check":    `<path d="M3 8.5 6.5 12 13 4.5"/>`,
	"cross":    `<path d="m4 4 8 8m0-8-8 8"/>`,
	"dot":      `<circle cx="8" cy="8" r="4.5" fill="currentColor"/>`,
	"ring":     `<circle cx="8" cy="8" r="5"/>`,
	"pause":    `<path d="M5.5 3.5v9m5-9v9"/>`,
	"play":     `<path d="M5 3.5v9l7-4.5z" fill="currentColor"/>`,
	"lock":     `<path d="M4 7.5h8V13H4zm2 0V5a2 2 0 0 1 4 0v2.5"/>`,
	"shield":   `<path d="M8 2.5 13 4v4c0 3-2.2 4.8-5 5.8C5.2 12.8 3 11 3 8V4z"/>`,
	"clock":    `<circle cx="8" cy="8" r="5.5"/><path d="M8 5v3.2L10.2 9.5"/>`,
	"alert":    `<path d="M8 2.5 14 13H2zM8 6.5v3m0 1.6v.4"/>`,
	"in":       `<path d="M12.5 3.5 4 12m0-6v6h6"/>`,
	"out":      `<path d="M3.5 12.5 12 4M6 4h6v6"/>`,
	"ask":      `<path d="M5.5 6a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.8-1.1 1.6m0 2.2v.4"/>`,
	"ear":      `<path d="M2.5 6.5v3H5l3.5 3v-9L5 6.5zM11 6a3 3 0 0 1 0 4m1.5-6a5.5 5.5 0 0 1 0 8"/>`,
	"download": `<path d="M8 2.5v7m-3-3 3 3 3-3M3 13h10"/>`,
	"trash":    `<path d="M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5 5 13h6l.5-8.5"/>`,
	"file":     `<path d="M4 2.5h5l3 3V13.5H4zM9 2.5v3h3"/>`,
	"search":   `<circle cx="7" cy="7" r="4"/><path d="m10 10 3.5 3.5"/>`,
	"none":     `<circle cx="8" cy="8" r="5.5"/><path d="m4.2 4.2 7.6 7.6"/>`,
	"person":   `<circle cx="8" cy="5.5" r="2.5"/><path d="M3 13.5c.5-3 2.5-4 5-4s4.5 1 5 4"/>`,
	"empty":    `<path d="M2.5 9.5 4.5 3.5h7l2 6V13h-11zm0 0H6L7 11h2l1-1.5h3.5"/>`,
}

func icon(name string) template.HTML {
	return template.HTML(`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">` + icons[name] + `</svg>`)
}

// mark is how a state looks: its tone, and an icon so that nothing hangs on the
// colour.
type mark struct{ Tone, Icon string }

// marks are looked up by kind and value.
var marks = map[string]mark{
	"consent.granted": {"ok", "check"}, "consent.declined": {"", "cross"}, "consent.silent": {"", "none"}, "consent.wrong_key": {"", "cross"},
	"consent.hung_up": {"", "none"}, "consent.failed": {"warn", "alert"}, "consent.bypassed": {"", "none"}, "consent.withdrawn": {"warn", "cross"},
	"consent.asking": {"info", "ask"}, "consent.": {"", "ring"}, "consent.none": {"", "ring"},
	"recstate.recording": {"rec", "dot"}, "recstate.paused": {"warn", "pause"}, "recstate.off": {"", "none"}, "recstate.": {"", "none"}, "recstate.starting": {"info", "clock"},
	"kept.recording": {"rec", "dot"}, "kept.sealed": {"ok", "check"}, "kept.truncated": {"warn", "alert"},
	"direction.inbound": {"bare", "in"}, "direction.outbound": {"bare", "out"},
	"reqstate.received": {"info", "file"}, "reqstate.identity_pending": {"info", "ask"}, "reqstate.identified": {"info", "person"}, "reqstate.in_progress": {"info", "clock"},
	"reqstate.held": {"warn", "lock"}, "reqstate.done": {"ok", "check"}, "reqstate.refused": {"", "cross"},
	"apstate.pending": {"info", "clock"}, "apstate.approved": {"ok", "check"}, "apstate.yours": {"ok", "check"}, "apstate.done": {"ok", "check"}, "apstate.rejected": {"", "cross"},
	"erasure.requested": {"warn", "clock"}, "erasure.logical": {"info", "clock"}, "erasure.pending": {"info", "clock"}, "erasure.shredded": {"ok", "check"},
	"level.ok": {"ok", "check"}, "level.warn": {"warn", "alert"}, "level.bad": {"bad", "alert"}, "level.off": {"", "none"},
}

// chip is a state in words, with its mark.
func chip(language, kind string, value any) template.HTML {
	said := word(language, kind, value)
	m := marks[kind+"."+asText(value)]
	if m.Icon == "" {
		m.Icon = "ring"
	}
	return chipOf(m, said)
}

func chipOf(m mark, said string) template.HTML {
	return template.HTML(`<span class="chip `+m.Tone+`">`) + icon(m.Icon) + template.HTML(template.HTMLEscapeString(said)+`</span>`)
}
