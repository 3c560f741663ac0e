package evidence_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"consentgate/consent"
	"consentgate/store/evidence"
)

// pageOf is a bundle's page, parsed as a browser does.
func pageOf(t *testing.T, b evidence.Bundle, items ...evidence.Item) (string, *html.Node) {
	t.Helper()
	text := string(zipped(t, b, items...)["index.html"])
	doc, err := html.Parse(strings.NewReader(text))
	must(t, err)
	return text, doc
}

func elements(n *html.Node, f func(*html.Node)) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode {
			f(d)
		}
	}
}

const (
	script = `<script>alert(1)</script>"><img src=x onerror=alert(2)>`
	turned = "\u202egpj.exe\u2066"
)

// TestNothingThatSomebodyCallsThemselvesChangesThePage: no element or attribute
// comes of a name, and no writing direction.
func TestNothingThatSomebodyCallsThemselvesChangesThePage(t *testing.T) {
	count := func(doc *html.Node) map[string]int {
		out := map[string]int{}
		elements(doc, func(n *html.Node) {
			out[n.Data]++
			for _, a := range n.Attr {
				out[n.Data+" "+a.Key]++
			}
		})
		return out
	}
	full := func(s string) (evidence.Bundle, evidence.Item) {
		c := caseOf("rfc4733", remote)
		later(&c, consent.Paused, &local, time.Second, s)
		g := &c.Records[0]
		g.Call.Local, g.Call.Remote, g.Purpose.Name, g.Purpose.Text = s, s, s, map[string]string{"en": s}
		g.Answers[0].Heard.Prompt, g.Answers[0].Heard.Language, g.Call.Controller = s, s, consent.Controller{Name: s, Contact: s}
		c.Reason, c.Damaged, c.Unheard, c.Gaps = s, s, []string{s}, []evidence.Gap{{Party: remote, Cause: s}}
		c.Accesses = []evidence.Access{{By: s, To: s, Purpose: s, Exported: true}}
		b := bundle()
		b.Subject, b.Request, b.Controller, b.Numbers, b.Staff = s, s, consent.Controller{Name: s, Contact: s}, true, true
		b.Setting = evidence.Setting{Address: s, Authority: s, Recipients: []string{s}, Transfers: s}
		return b, itemOf(c)
	}
	b, it := full("harmless")
	_, plain := pageOf(t, b, it)
	want := count(plain)
	for _, hostile := range []string{script, turned, "\x00\x1b[2J\u0085", "\xff\xfe", "株式会社", "ألِيس", "'&<!--", strings.Repeat("a", 1<<16)} {
		b, it := full(hostile)
		text, doc := pageOf(t, b, it)
		if got := count(doc); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%.20q changes the page's elements: %v, want %v", hostile, got, want)
		}
		for _, r := range "\u202e\u2066\x00\x1b\u0085" {
			if strings.ContainsRune(text, r) {
				t.Errorf("%.20q: the page has %U", hostile, r)
			}
		}
	}
	b, it = full(turned)
	if text, _ := pageOf(t, b, it); strings.Count(text, "[U&#43;202E]gpj.exe[U&#43;2066]") < 20 {
		t.Errorf("what turns the writing is shown %d times", strings.Count(text, "[U&#43;202E]gpj.exe[U&#43;2066]"))
	}
}

// TestThePageStandsAlone: no script, nothing fetched but its own audio; and can
// be read by whoever can't see it.
func TestThePageStandsAlone(t *testing.T) {
	for _, lang := range evidence.Languages() {
		b := bundle()
		b.Language = lang
		_, doc := pageOf(t, b, itemOf(cases()["two"]), itemOf(cases()["withdrawn"]))
		level, titles := 0, 0
		elements(doc, func(n *html.Node) {
			attr := map[string]string{}
			for _, a := range n.Attr {
				attr[a.Key] = a.Val
				if strings.HasPrefix(a.Key, "on") || strings.Contains(a.Val, "//") {
					t.Errorf("%s: <%s %s=%q>", lang, n.Data, a.Key, a.Val)
				}
			}
			switch n.Data {
			case "script", "iframe", "link", "img", "form", "object":
				t.Errorf("%s: there is a %s", lang, n.Data)
			case "html":
				if attr["lang"] != lang {
					t.Errorf("the page says it is in %q", attr["lang"])
				}
			case "title":
				titles++
			case "h1", "h2", "h3":
				if l := int(n.Data[1] - '0'); l > level+1 {
					t.Errorf("%s: a heading is skipped before %s", lang, n.Data)
				} else {
					level = l
				}
			case "th":
				if attr["scope"] == "" {
					t.Errorf("%s: a heading of a table says nothing of its scope", lang)
				}
			case "audio":
				if attr["controls"] != "" || attr["aria-label"] == "" || !strings.HasPrefix(attr["src"], "recordings/") {
					t.Errorf("%s: audio: %v", lang, attr)
				}
			}
		})
		if titles != 1 {
			t.Errorf("%s: %d titles", lang, titles)
		}
	}
}

// TestThePageIsInItsLanguage, with its dates and the purpose's own words.
func TestThePageIsInItsLanguage(t *testing.T) {
	b := bundle()
	b.Language = "de"
	zone, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	b.Zone = zone
	text, _ := pageOf(t, b, itemOf(cases()["two"]))
	for _, s := range []string{"die Schulung unserer Mitarbeiter", "14.03.2026, 10:26:53 CET", "12.06.2026, 11:27:55 CEST", "der Anruf wurde gehalten", "Beschäftigte Person 1", "Ende des Anrufs"} {
		if !strings.Contains(text, s) {
			t.Errorf("it doesn't say %q", s)
		}
	}
	for _, s := range []string{"Employee", "the call", "Recording "} {
		if strings.Contains(text, s) {
			t.Errorf("it says %q", s)
		}
	}
}

// TestWhatIsOddIsSaid: no recordings, none asked, no audio, zero seconds, fifty of
// them, gaps and encodings without words.
func TestWhatIsOddIsSaid(t *testing.T) {
	if text, _ := pageOf(t, bundle()); !strings.Contains(text, "We keep no recording") || strings.Contains(text, "<audio") {
		t.Error("a bundle without recordings doesn't say so")
	}
	c := caseOf("", local) // the agent alone was asked
	c.Rendered, c.Damaged = evidence.Rendered{Unheard: []string{"opus"}, Gaps: []evidence.Gap{{Party: remote, Cause: "cosmic rays"}}}, "frame 3: it doesn't open"
	files := zipped(t, bundle(), evidence.Item{Case: c, Party: remote})
	text := string(files["index.html"])
	for _, s := range []string{"You were not asked yourself", "There is no audio", "opus", "another cause: cosmic rays", "frame 3", "0:00:00", "Nobody has listened"} {
		if !strings.Contains(text, s) {
			t.Errorf("the page doesn't say %q", s)
		}
	}
	for name := range files {
		if strings.HasSuffix(name, "receipt.jsonld") || strings.HasSuffix(name, ".wav") {
			t.Errorf("there is a %s", name)
		}
	}
	erased := cases()["withdrawn"]
	if text, _ := pageOf(t, bundle(), evidence.Item{Case: erased, Party: remote}); !strings.Contains(text, "It was erased on 14 Mar 2026") {
		t.Error("the erasure isn't there")
	}
	var many []evidence.Item
	for range 50 {
		it := itemOf(caseOf("inband", remote))
		it.Audio = func(w io.Writer) (evidence.Rendered, error) { return evidence.Rendered{}, nil }
		many = append(many, it)
	}
	if files := zipped(t, bundle(), many...); len(files) != 153 || files["recordings/050-20260314-092653/vcon.json"] == nil {
		t.Errorf("%d files of fifty recordings", len(files))
	}
}

// TestThePageIsAsItWas: a change to what a person reads is a decision.
func TestThePageIsAsItWas(t *testing.T) {
	for _, lang := range evidence.Languages() {
		b := bundle()
		b.Language, b.Setting = lang, evidence.Setting{Address: "1 Example Street, London", Authority: "ICO, Wilmslow", Recipients: []string{"Dialler Cloud plc (processor)"}}
		text, _ := pageOf(t, b, itemOf(cases()["two"]), itemOf(cases()["withdrawn"]))
		golden(t, "page."+lang+".html", []byte(text))
	}
}

// TestANumberThatWasWithheldIsNotShownAfterwards: to the other party, whatever is
// said; to its owner and to an officer it is.
func TestANumberThatWasWithheldIsNotShownAfterwards(t *testing.T) {
	c := cases()["two"]
	c.Records[0].Call.Withheld = true
	tail := publicNumber[len(publicNumber)-2:]
	it := itemOf(c)
	it.Party = local
	b := bundle()
	b.Subject, b.Numbers = agentNumber, true
	for name, text := range zipped(t, b, it) {
		if strings.Contains(string(text), publicNumber) || strings.Contains(string(text), "•••"+tail) {
			t.Errorf("%s shows it", name)
		}
	}
	for name, r := range map[string]evidence.Reader{"an officer": officer, "its owner": {Party: &remote}} {
		if !strings.Contains(string(vconOf(t, c, r, evidence.Audio{})), publicNumber) {
			t.Errorf("%s isn't shown it", name)
		}
	}
}
