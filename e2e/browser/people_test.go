package browser

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestEachRoleSeesItsOwn: the menu, the numbers, and what may be done; and the door
// of what isn't theirs stays shut.
func TestEachRoleSeesItsOwn(t *testing.T) {
	t.Parallel()
	browser := chrome(t)
	g := start(t, "")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	kept := g.agree(ctx, g.dial(ctx, "+442079460018"))
	kept.talk(ctx, time.Second)
	must(t, kept.caller.Hangup())
	running := g.agree(ctx, g.dial(ctx, "+493090182000"))
	defer func() { must(t, running.caller.Hangup()) }()
	for _, who := range []struct {
		name, menu, shut string
		numbers          bool
		offers, hides    []string // on a recording's page
	}{
		{"omar", "calls system", "/recordings", false, nil, nil},
		{"lea", "calls recordings system", "/requests", true, []string{"Open the player"}, []string{"Put a legal hold on it", "Take it out", "Erase …"}},
		{"ada", "recordings audit system", "/calls", false, []string{"Auditors see what was recorded"}, []string{"Open the player", "Put a legal hold on it", "Take it out", "Erase …"}},
		{"dana", "calls recordings requests audit system", "", true, []string{"Open the player", "Put a legal hold on it", "Take it out", "Erase …"}, nil},
	} {
		b := newTab(t, browser, g.url)
		b.login(who.name)
		if got := eval[string](b, `[...document.querySelectorAll("nav a")].map(a => a.pathname.slice(1)).join(" ")`); got != who.menu {
			t.Errorf("%s has the menu %q", who.name, got)
		}
		if who.shut != "" {
			b.open(who.shut)
			b.text("You may not see or do this")
		}
		if strings.Contains(who.menu, "calls") {
			b.open("/calls")
			b.text("Consented")
			if b.says("3090182000") != who.numbers || !b.says("000") {
				t.Errorf("%s sees a live call's number, or nothing of it", who.name)
			}
			if withdraws := b.says("Withdraw"); withdraws != (who.name == "dana") {
				t.Errorf("%s may withdraw: %t", who.name, withdraws)
			}
		}
		if who.offers == nil {
			continue
		}
		b.open("/recordings")
		if b.says("2079460018") != who.numbers {
			t.Errorf("%s sees numbers: %t", who.name, !who.numbers)
		}
		b.press("tr:last-child a.row-link")
		for _, text := range who.offers {
			b.text(text)
		}
		for _, text := range who.hides {
			if b.says(text) {
				t.Errorf("%s is offered %q", who.name, text)
			}
		}
	}
}

// TestWithoutAScriptEverythingWorks: log in, see live calls, search, read, hold.
func TestWithoutAScriptEverythingWorks(t *testing.T) {
	t.Parallel()
	browser := chrome(t)
	g := start(t, "")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	c := g.agree(ctx, g.dial(ctx, "+442079460018"))
	c.talk(ctx, time.Second)
	b := newTab(t, browser, g.url)
	b.run(command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	b.login("dana")
	b.open("/calls?refresh=10")
	b.text("+442079460018")
	if !eval[bool](b, `document.querySelector("#live-hold").hidden`) {
		t.Error("a script ran")
	}
	must(t, c.caller.Hangup())
	b.open("/recordings")
	b.run(keys("#party", "+442079460018"))
	b.press(`form[role=search] button`)
	b.sealed(eval[string](b, `location.pathname + location.search`), 1)
	b.press("a.row-link")
	b.run(chromedp.SetValue(chromedp.CSS("#purpose"), "training"))
	b.press(`form[method=get] button`)
	until(t, "the loudness is drawn", func() bool { return eval[bool](b, `document.querySelector("#wave img").naturalWidth > 0`) })
	if src := eval[string](b, `document.querySelector("audio[controls]").src`); !strings.HasSuffix(src, "/audio?purpose=training") {
		t.Errorf("the player plays %q", src)
	}
	b.run(click("#holds ~ details summary"), keys("#hold-reason", "a claim"))
	b.press(`form[action$="/hold"] button`)
	b.text("Held since")
	b.press(`form[action="/logout"] button`)
	b.text("User name")
}

// TestByKeyboardAlone: the first stop leads past the menu, the focus can be seen, and
// the form is sent by it.
func TestByKeyboardAlone(t *testing.T) {
	t.Parallel()
	browser := chrome(t)
	g := start(t, "")
	b := newTab(t, browser, g.url)
	b.open("/login")
	b.run(chromedp.KeyEvent("\t"))
	if at := eval[string](b, `document.activeElement.className + " " + (document.activeElement.getBoundingClientRect().top >= 0)`); at != "skip true" {
		t.Errorf("the first stop is %q", at)
	}
	b.run(chromedp.KeyEvent("\r"), chromedp.KeyEvent("\t"))
	if at := eval[string](b, `document.activeElement.id + " " + getComputedStyle(document.activeElement).outlineStyle`); at != "name solid" {
		t.Errorf("past the menu comes %q", at)
	}
	b.run(chromedp.KeyEvent("dana"), chromedp.KeyEvent("\t"), chromedp.KeyEvent(secret), chromedp.KeyEvent("\r"))
	b.text("No calls right now")
	small := eval[[]string](b, `[...document.querySelectorAll("a, button, input, select, summary")].filter(e => e.offsetParent && !e.classList.contains("skip")).filter(e => { const r = e.getBoundingClientRect(); return r.height < 24 || r.width < 24; }).map(e => e.outerHTML)`)
	if len(small) > 0 {
		t.Errorf("targets of less than 24 px (WCAG 2.2, 2.5.8): %v", small)
	}
}

// TestACallerNamedScriptIsText, by display name, user part and headers of SIP.
func TestACallerNamedScriptIsText(t *testing.T) {
	t.Parallel()
	browser := chrome(t)
	g := start(t, "")
	b := newTab(t, browser, g.url)
	b.login("dana")
	b.open("/calls")
	const evil = `<script>document.title='hit'</script><img src=x onerror=alert(1)>`
	const escaped = `%3Cscript%3Edocument.title='hit'%3C%2Fscript%3E%3Cimg%20src=x%20onerror=alert(1)%3E`
	carrier, err := net.Dial("udp", g.carrier.String())
	must(t, err)
	defer carrier.Close()
	at := carrier.LocalAddr().String()
	invite := strings.ReplaceAll(fmt.Sprintf(`INVITE sip:+441134960123@%[1]s SIP/2.0
Via: SIP/2.0/UDP %[2]s;branch=z9hG4bKevil;rport
Max-Forwards: 70
From: "%[3]s" <sip:%[4]s@%[2]s>;tag=evil
To: <sip:+441134960123@%[1]s>
Call-ID: %[3]s-evil
CSeq: 1 INVITE
Contact: <sip:evil@%[2]s>
P-Asserted-Identity: "%[3]s" <sip:%[4]s@%[2]s>
Subject: %[3]s
User-Agent: %[3]s
Content-Type: application/sdp
Content-Length: 111

v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 40999 RTP/AVP 0 101
a=rtpmap:101 telephone-event/8000
`, g.carrier, at, strings.ReplaceAll(evil, `"`, ``), escaped), "\n", "\r\n")
	head, sdp, _ := strings.Cut(invite, "\r\n\r\n")
	head = strings.Replace(head, "Content-Length: 111", fmt.Sprintf("Content-Length: %d", len(sdp)), 1)
	head = strings.Replace(head, "Call-ID: "+evil+"-evil", "Call-ID: evil", 1) // spaces have no place there
	_, err = carrier.Write([]byte(head + "\r\n\r\n" + sdp))
	must(t, err)
	b.text("+441134960123")
	shown := eval[string](b, `document.querySelector("#live tbody").innerText`)
	if !strings.Contains(shown, "<script>") && !strings.Contains(shown, "%3Cscript%3E") {
		t.Errorf("the caller's name isn't shown as text: %s", shown)
	}
	b.run(chromedp.Reload())
	if title := eval[string](b, `document.title`); strings.Contains(title, "hit") || eval[int](b, `document.querySelectorAll("main img").length`) > 0 {
		t.Error("a caller's name became part of the page")
	}
}
