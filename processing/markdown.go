package processing

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Markdown writes the record for people.
func (r Record) Markdown(w io.Writer, lang string) error {
	p := &page{lang: lang}
	p.heading("# ", "title")
	p.line("**%s.** %s", p.text("activity"), p.text("intro", escape(r.Node), escape(r.Version), r.Made.Format("2006-01-02 15:04 MST"), r.Config))
	p.controller(r.Controller)
	p.heading("## ", "purposes")
	for _, a := range r.Activities {
		p.activity(a)
	}
	p.heading("## ", "periods")
	for _, period := range r.Periods {
		p.item("%s", p.text(period.What, span(lang, time.Duration(period.Seconds)*time.Second)))
	}
	p.heading("## ", "categories")
	p.category("persons", r.Subjects)
	p.category("data", r.Data)
	p.heading("## ", "recipients")
	for _, to := range r.Recipients {
		p.item("%s", p.text(to.Kind, escape(to.Name)))
	}
	p.heading("## ", "transfers")
	for _, t := range r.Transfers {
		p.item("%s", p.text("transfer", escape(t.To), escape(t.Safeguard)))
	}
	if len(r.Transfers) == 0 {
		p.line("%s", p.text("no_transfers"))
	}
	p.heading("## ", "measures")
	p.measures(r.Taken())
	if missing := slices.DeleteFunc(slices.Clone(r.Measures), func(m Measure) bool { return !m.Missing }); len(missing) > 0 {
		p.heading("### ", "not_taken")
		p.measures(missing)
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// page is Markdown being written.
type page struct {
	lang string
	b    strings.Builder
}

func (p *page) text(key string, details ...any) string { return Text(p.lang, key, details...) }

func (p *page) heading(level, key string) {
	if p.b.Len() > 0 {
		p.b.WriteString("\n")
	}
	p.b.WriteString(level + p.text(key) + "\n\n")
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *page) item(format string, args ...any) { fmt.Fprintf(&p.b, "- "+format+"\n", args...) }

// fact is a named value; one that nobody told is a gap where it must be there.
func (p *page) fact(key, value string, needed bool) {
	switch {
	case value != "":
		value = escape(value)
	case needed:
		value = p.text("gap")
	default:
		return
	}
	p.item("%s: %s", p.text(key), value)
}

func (p *page) controller(c Controller) {
	p.heading("## ", "controller")
	p.fact("name", c.Name, true)
	p.fact("contact", c.Contact, true)
	p.fact("joint", c.Joint, false)
	p.fact("representative", c.Representative, false)
	p.fact("dpo", c.DPO, true)
}

func (p *page) activity(a Activity) {
	p.b.WriteString("### " + p.text("purpose") + ": " + escape(a.Purpose) + "\n\n")
	langs := make([]string, 0, len(a.Texts))
	for l := range a.Texts {
		langs = append(langs, l)
	}
	slices.Sort(langs)
	for _, l := range langs {
		p.item("%s: %s", p.text("told", l), escape(a.Texts[l]))
	}
	p.item("%s: %s", p.text("basis"), p.text("basis_consent"))
	p.item("%s: %s", p.text("limit"), p.text("limit_after", span(p.lang, time.Duration(a.Retention)*time.Second)))
	for _, pol := range a.Policies {
		var asked []string
		for _, who := range pol.Asked {
			asked = append(asked, p.text(who))
		}
		how := "no_keys"
		if pol.Withdraw {
			how = "by_keys"
		}
		if pol.Withdraw && pol.Erases {
			how = "by_keys_erases"
		}
		p.item("%s: %s", p.text("calls"), p.text("policy", escape(pol.Name), p.text(pol.Direction), strings.Join(asked, ", "), p.text(how)))
	}
	if len(a.Policies) == 0 {
		p.item("%s: %s", p.text("calls"), p.text("no_calls"))
	}
	p.b.WriteString("\n")
}

func (p *page) category(key string, all []Category) {
	p.line("%s:\n", p.text(key))
	for _, c := range all {
		p.item("%s", p.text(string(c)))
	}
	p.b.WriteString("\n")
}

func (p *page) measures(all []Measure) {
	for _, m := range all {
		m.Detail = escape(m.Detail)
		p.item("%s", m.Sentence(p.lang))
	}
}

// Sentence is the measure, in a language of Languages; plain text.
func (m Measure) Sentence(lang string) string {
	if m.Detail == "" {
		return Text(lang, m.Key, Text(lang, "none"))
	}
	return Text(lang, m.Key, m.Detail)
}

// escape keeps what somebody configured from being Markdown, or a line of its own.
func escape(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "`", "\\`", "<", "&lt;", "[", `\[`, "|", `\|`, "#", `\#`).Replace(s)
}
