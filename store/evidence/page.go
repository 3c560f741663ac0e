package evidence

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"consentgate/consent"
)

//go:embed page.html
var pageText string

// pageTemplate escapes by itself what goes into it (html/template).
var pageTemplate = template.Must(template.New("page").Parse(pageText))

// pageData is what the page says. Its strings went through visible.
type pageData struct {
	Lang                            string
	W                               *words
	Controller, Contact, Address    string
	Subject, Request, Made          string
	Recordings                      []pageRecording
	Recipients                      []string
	Transfers, Authority, RightsHow string
}

type pageRecording struct {
	N                                                    int
	Started, Length, Call, Other, Purpose, Until, Reason string
	Audio                                                string // its path, "" if there is none
	OwnOnly, Elsewhere                                   bool
	Erased, Damaged, Unheard                             string
	Gave, Heard, Prompt, Log, Leaf                       string
	Acts                                                 []pageAct
	Gaps                                                 []pageGap
	Accesses                                             []pageAccess
}

type (
	pageAct    struct{ When, What, Who string }
	pageGap    struct{ From, To, Why string }
	pageAccess struct{ When, Who, What, To, Why, Part string }
)

// page writes index.html.
func (o *contents) page(w io.Writer) error {
	c := o.b.Controller
	data := pageData{Lang: o.b.Language, W: o.words, Controller: visible(c.Name), Contact: visible(c.Contact), Address: visible(o.b.Setting.Address),
		Subject: visible(o.b.Subject), Request: visible(o.b.Request), Made: o.time(o.b.Made), Transfers: visible(o.b.Setting.Transfers),
		Authority: visible(o.b.Setting.Authority), RightsHow: fmt.Sprintf(o.words.RightsHow, visible(c.Contact))}
	for _, r := range o.recipients() {
		data.Recipients = append(data.Recipients, visible(r))
	}
	for i := range o.told {
		data.Recordings = append(data.Recordings, o.pageRecording(i))
	}
	return pageTemplate.Execute(w, data)
}

func (o *contents) time(t time.Time) string { return t.In(o.b.Zone).Format(o.words.Time) }

func (o *contents) pageRecording(i int) pageRecording {
	t := &o.told[i]
	c, g := &t.Case, t.Case.grant()
	out := pageRecording{N: i + 1, Started: o.time(c.Started), Length: clock(c.Length), Call: o.call(t),
		Other:   c.shown(Reader{Party: &t.Party, Numbers: o.b.Numbers}, t.Party.Other()),
		Purpose: visible(said(g.Purpose, o.b.Language)), Until: o.time(c.Until()), Reason: o.cause(o.words.Ends, c.Reason), OwnOnly: !o.b.Both,
		Damaged: visible(c.Damaged), Unheard: visible(strings.Join(c.Unheard, ", "))}
	if out.Elsewhere = c.Elsewhere; out.Elsewhere {
		return out
	}
	if t.Audio != nil {
		out.Audio = t.Folder + "audio.wav"
	}
	if !c.Erased.IsZero() {
		out.Erased = o.time(c.Erased)
	}
	o.consent(&out, t)
	for _, gap := range c.gapsFor(Reader{Party: &t.Party}) {
		why := o.cause(o.words.Causes, gap.Cause)
		if gap.Times > 0 {
			why += fmt.Sprintf(o.words.Several, gap.Times, gap.Missing.Milliseconds())
		}
		out.Gaps = append(out.Gaps, pageGap{clock(gap.From), clock(gap.To), why})
	}
	for _, a := range c.Accesses {
		out.Accesses = append(out.Accesses, o.access(a, g.Purpose))
	}
	return out
}

// cause puts a cause into words, where there are any for it.
func (o *contents) cause(known map[string]string, cause string) string {
	if said, ok := known[cause]; ok || cause == "" {
		return said
	}
	return o.words.Cause + visible(cause)
}

// ways says how a key came, by one way or by more.
func (o *contents) ways(via string) string {
	var out []string
	for _, w := range strings.Split(via, "+") {
		if said, ok := o.words.Ways[w]; ok {
			out = append(out, said)
		}
	}
	if out == nil {
		return o.words.Ways[""]
	}
	return strings.Join(out, ", ")
}

// call says who called whom, as the one who asks saw it.
func (o *contents) call(t *told) string {
	n := 2 * int(t.Party)
	if t.Case.grant().Call.Direction == consent.Outbound {
		n++
	}
	return o.words.Calls[n]
}

// consent says how the one who asks consented, and what became of it.
func (o *contents) consent(out *pageRecording, t *told) {
	g := t.Case.grant()
	for i := range g.Answers {
		a := &g.Answers[i]
		if a.Party != t.Party {
			continue
		}
		end := o.words.NotToTheEnd
		if a.Heard.Complete {
			end = o.words.ToTheEnd
		}
		out.Gave = fmt.Sprintf(o.words.Gave, o.time(a.Press.At), string(rune(a.Press.Key)), o.ways(a.Press.Via))
		out.Heard = fmt.Sprintf(o.words.Heard, visible(a.Heard.Prompt), visible(a.Heard.Language), clock(a.Heard.Heard)) + " " + end
		out.Prompt = a.Heard.SHA256.String()
		if g.Leaf != "" {
			out.Log, out.Leaf = fmt.Sprintf(o.words.Log, g.Seq), g.Leaf
		}
	}
	for i := 1; i < len(t.Case.Records); i++ {
		l := &t.Case.Records[i]
		who := o.words.TheController
		if l.Party != nil && *l.Party == t.Party {
			who = o.words.You
			if l.Reason == consent.ByConsole {
				who = o.words.ForYou
			}
		} else if l.Party != nil {
			who = o.words.TheOther
		}
		if what, ok := o.words.Acts[l.Kind]; ok {
			out.Acts = append(out.Acts, pageAct{o.time(l.At), what, who})
		}
	}
}

func (o *contents) access(a Access, consented consent.Purpose) pageAccess {
	out := pageAccess{When: o.time(a.At), Who: visible(o.person(a.By)), What: o.words.Played, To: visible(a.To), Why: o.why(a.Purpose, consented), Part: o.words.Whole}
	if a.Exported {
		out.What = o.words.Exported
	}
	if a.Up > 0 {
		out.Part = clock(a.From) + "–" + clock(a.Up)
	}
	return out
}

// why says in words what a recording was used for.
func (o *contents) why(purpose string, consented consent.Purpose) string {
	switch purpose {
	case SubjectAccess:
		return o.words.YouAsked
	case LegalClaims:
		return o.words.ForClaims
	case consented.Name:
		return visible(said(consented, o.b.Language))
	}
	return visible(purpose)
}

// said is a purpose in the page's words: in its language, else in English, else
// its name.
func said(p consent.Purpose, language string) string {
	for _, lang := range []string{language, "en"} {
		if text := p.Text[lang]; text != "" {
			return text
		}
	}
	return p.Name
}

// clock writes a time within a recording as h:mm:ss.
func clock(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
