package browser

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// officers are two people in front of a gate where nothing goes out or away unless both
// want it.
type officers struct{ dana, erik *tab }

// TestTwoOfficersTakeOutAndErase: what the first asks for waits until the second agrees,
// and comes to nothing where they don't. The files are really there, and open with
// what people have.
func TestTwoOfficersTakeOutAndErase(t *testing.T) {
	t.Parallel()
	browser := chrome(t)
	g := start(t, "  four_eyes: true\n")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	for _, number := range []string{"+442079460018", "+33199004321"} {
		c := g.agree(ctx, g.dial(ctx, number))
		c.talk(ctx, 2*time.Second)
		must(t, c.caller.Hangup())
	}
	two := officers{newTab(t, browser, g.url), newTab(t, browser, g.url)}
	two.dana.login("dana")
	two.erik.login("erik")
	two.dana.sealed("/recordings", 2)
	files := two.dana.downloads()
	kept := two.dana.find("+442079460018")
	two.export(files, kept)
	two.bundle(t, browser, files, "+442079460018")
	two.erik.refuses(two.dana, kept)
	two.erase("+33199004321")

	two.erik.open("/audit?type=approval")
	// Four were asked for, and four decided about.
	if rows := eval[int](two.erik, `document.querySelectorAll("main tbody tr").length`); rows != 8 {
		t.Errorf("the log has %d entries of approvals, want 8", rows)
	}
}

// find searches for a number that has one recording, and opens that.
func (b *tab) find(number string) (path string) {
	b.t.Helper()
	b.open("/recordings")
	b.run(keys("#party", number))
	b.press(`form[role=search] button`)
	b.press("a.row-link")
	return eval[string](b, `location.pathname`)
}

// agree has erik agree to the one thing that waits, which dana can't do.
func (o officers) agree(what string) {
	o.dana.t.Helper()
	o.dana.text("Yours: another officer must")
	if eval[bool](o.dana, `document.querySelector("form[action$='/approve']") !== null`) {
		o.dana.t.Error("who asks may agree by themselves")
	}
	o.erik.open("/approvals")
	if row := eval[string](o.erik, `document.querySelector("form[action$='/approve']").closest("tr").innerText`); !strings.Contains(row, what) || !strings.Contains(row, "dana") {
		o.erik.t.Errorf("what waits reads %q, want %q by dana", row, what)
	}
	o.erik.press(`form[action$="/approve"] button`)
	o.erik.text("Approved.")
}

// export asks for a recording as WAV, and gets it once the other agreed.
func (o officers) export(files *downloads, recording string) {
	b := o.dana
	b.t.Helper()
	ask := func() {
		b.open(recording)
		b.run(click("#export ~ details summary"), chromedp.SetValue(chromedp.CSS("#form"), "wav"),
			chromedp.SetValue(chromedp.CSS("#export-purpose"), "training"), keys("#to", "the court"))
	}
	ask()
	b.press(`form[action$="/export"] button`)
	b.text("A second officer must approve")
	o.agree("the court")
	if files.count() != 0 {
		b.t.Error("a file went out before the second officer agreed")
	}
	b.open("/approvals")
	b.text("Approved: do it within the hour")
	b.look("approvals-approved")
	ask()
	file := files.press(`form[action$="/export"] button`)
	if want := "recording-" + filepath.Base(recording) + ".wav"; filepath.Base(file) != want {
		b.t.Errorf("the file is %s, want %s", filepath.Base(file), want)
	}
	wav, err := os.ReadFile(file)
	must(b.t, err)
	s := b.decodeOf(`Promise.resolve(Uint8Array.from(atob("` + base64.StdEncoding.EncodeToString(wav) + `"), c => c.charCodeAt(0)).buffer)`)
	if len(s.Levels) != 2 || s.Levels[0] < 0.01 || s.Levels[1] < 0.01 || s.Seconds < 1.5 {
		b.t.Errorf("the file decodes to %+v", s)
	}
	b.open(recording)
	b.text("Taken out to the court") // the log has it
}

// request takes in what a data subject asks for, and has it carried out.
func (o officers) request(kind, number string) (path string) {
	b := o.dana
	b.t.Helper()
	b.open("/requests")
	b.run(chromedp.SetValue(chromedp.CSS("#kind"), kind), keys("#party", number), keys("#note", "by letter"))
	b.press(`form[action="/requests"] button`)
	b.text("The request is taken in")
	path = eval[string](b, `location.pathname`)
	for _, act := range []string{"identify", "carry_out"} {
		b.run(keys("#reason-"+act, "seen in person"))
		b.press(`details[open] form[action$="/steps"] button`)
	}
	return path
}

// bundle answers a request for access: the file opens with stock age and unzip, and its
// page in the browser.
func (o officers) bundle(t *testing.T, browser context.Context, files *downloads, number string) {
	t.Helper()
	b, passphrase := o.dana, "four score and seven"
	path := o.request("access", number)
	ask := func() {
		b.open(path)
		b.run(keys("#passphrase", passphrase))
	}
	ask()
	b.press(`form[action$="/bundle"] button`)
	b.text("A second officer must approve")
	o.agree("Bundle for a person")
	ask()
	dir := unzipped(t, opened(t, files.press(`form[action$="/bundle"] button`), passphrase))
	subject := newTab(t, browser, "file://"+dir)
	subject.open("/index.html")
	subject.text("staff training")
	subject.look("bundle")
	b.open(path)
	b.run(keys("#reason-deliver", "by post"))
	b.press(`details[open] form[action$="/steps"] button`)
	b.text("Done. The request stands as shown.")
}

// refuses turns down an erasure that the other asks for.
func (b *tab) refuses(first *tab, recording string) {
	b.t.Helper()
	first.erase(filepath.Base(recording))
	first.text("A second officer must approve")
	b.open("/approvals")
	b.press(`form[action$="/reject"] button`)
	b.text("Refused.")
	first.open(recording)
	first.text("Take it out")
}

// erase carries out a request for erasure, which is done when the other agrees.
func (o officers) erase(number string) {
	o.dana.t.Helper()
	recording := o.dana.find(number)
	path := o.request("erasure", number)
	o.dana.open(recording)
	o.dana.text("Take it out") // nothing happened yet
	o.dana.open("/approvals")
	o.agree("Carry out a request")
	until(o.dana.t, "the certificate is there", func() bool {
		o.dana.open("/erasures/" + filepath.Base(recording))
		return o.dana.says("Certificate of erasure")
	})
	o.dana.open(recording)
	o.dana.text("There is nothing here")
	o.dana.open(path)
	o.dana.text("Done")
}
