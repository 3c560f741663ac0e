package browser

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestEveryOtherScreen is looked at as a real gate fills it: a receipt, requests from
// their receipt to a bundle, the log and its verification, the system, two officers'
// approvals, and what a wrong address gets.
func TestEveryOtherScreen(t *testing.T) {
	t.Parallel()
	browser := chrome(t)
	g := start(t, "  four_eyes: true\n")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	c := g.agree(ctx, g.dial(ctx, "+442079460018"))
	c.talk(ctx, time.Second)
	must(t, c.caller.Hangup())
	b := newTab(t, browser, g.url)
	b.login("dana")
	b.open("/requests")
	b.text("No open requests")
	b.look("requests-none")
	b.run(chromedp.SetValue(chromedp.CSS("#kind"), "access"), keys("#party", "+44 20 7946 0018"), keys("#note", "by letter"))
	b.press(`form[action="/requests"] button`)
	b.text("The request is taken in")
	b.look("request")
	for _, act := range []string{"identify", "carry_out"} {
		b.run(keys("#reason-"+act, "seen in person"))
		b.press(`details[open] form[action$="/steps"] button`)
		b.text("Done. The request stands as shown.")
	}
	b.text("Make the bundle")
	b.look("request-carried-out")
	b.open("/requests")
	b.look("requests")

	b.sealed("/recordings", 1)
	b.press("a.row-link")
	b.press(`a[href$="/receipt"]`)
	b.text("Consent receipt")
	b.look("receipt")
	b.press(`p.crumb a`)
	b.press(`a[href$="/erase"]`)
	b.run(keys("#reason", "asked for"), click("input[name=confirm]"))
	b.press(`form[action$="/erase"] button`)
	b.text("A second officer must approve")
	b.look("approvals")

	b.open("/audit")
	b.press(`form[action="/audit/verify"] button`)
	b.text("The log is sound")
	b.look("audit")
	b.run(click("#verify ~ * summary, details summary"))
	b.look("audit-checkpoint")
	b.open("/system")
	b.text("In order")
	b.look("system")
	b.open("/audit?type=node.stop")
	b.text("No such entries")
	b.look("audit-none")
}
