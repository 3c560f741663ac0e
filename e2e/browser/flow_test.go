package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestAnOfficersDay: log in, watch a call come while it runs, pause it, find it, hear
// it, hold it, try to erase it, release it, see it gone for good. Every screen on the
// way is looked at.
func TestAnOfficersDay(t *testing.T) {
	t.Parallel()
	browser := chrome(t)
	g := start(t, "")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	b := newTab(t, browser, g.url)

	b.open("/recordings")
	b.look("login")
	b.run(keys("#name", "dana"), keys("#password", "wrong"))
	b.press(`form[action="/login"] button`)
	b.text("That didn't work")
	b.login("dana")
	b.open("/calls")
	b.text("No calls right now")
	b.look("calls-none")

	others := []call{g.agree(ctx, g.dial(ctx, "+33199004321")), g.agree(ctx, g.dial(ctx, "+12025550143"))}
	unwilling := g.dial(ctx, "+441632960961")
	must(t, unwilling.Press('2'))
	waiting := g.dial(ctx, "+493090182000")
	first := g.agree(ctx, g.dial(ctx, "+442079460018"))
	b.text("+442079460018") // the page comes to it by itself
	b.text("Being asked")
	b.text("Consented")
	first.talk(ctx, 2*time.Second)
	b.look("calls")
	for _, c := range others {
		must(t, c.caller.Hangup())
	}
	until(t, "the others' calls are over", func() bool { return !b.says("+33199004321") && !b.says("+12025550143") })
	b.press(`form[action$="/pause"] button`)
	b.text("The recording is paused.")
	b.press(`form[action$="/resume"] button`)
	b.text("The recording goes on.")
	b.press(`a[href$="/withdraw"]`)
	b.text("The recording ends for good")
	b.look("withdraw")
	b.press("p.crumb a")
	first.talk(ctx, 4*time.Second)
	must(t, waiting.Hangup(), unwilling.Hangup(), first.caller.Hangup())
	b.open("/calls")
	b.text("No calls right now")

	b.sealed("/recordings", 3)
	b.look("recordings")
	b.run(keys("#party", "+44 (0)20 7946 0018"))
	b.press(`form[role=search] button`)
	if at := eval[string](b, `location.href`); strings.Contains(at, "7946") || !strings.Contains(at, "?q=") {
		t.Errorf("the search is at %s", at)
	}
	if b.says("+33199004321") {
		t.Error("the search found another number's")
	}
	b.press("a.row-link")
	b.text("State the purpose first")
	id := eval[string](b, `location.pathname.split("/").pop()`)
	b.run(chromedp.SetValue(chromedp.CSS("#purpose"), "training"))
	b.press(`form[action="/recordings/` + id + `"] button`)
	b.hear(6 * time.Second)
	b.look("recording")
	b.open("/recordings/" + id)
	b.text("Listened") // the log has it

	b.run(click("#holds ~ details summary"), keys("#hold-reason", "complaint about a quote"), keys("#hold-case", "2026/114"))
	b.press(`form[action$="/hold"] button`)
	b.text("The recording is held")
	b.look("recording-held")
	b.erase(id)
	b.text("It is erased by itself when the last of them ends")
	b.open("/recordings/" + id)
	b.run(click("#holds ~ ul summary"), keys("#release0", "settled"))
	b.press(`form[action$="/release"] button`)
	until(t, "the certificate is there", func() bool {
		b.open("/erasures/" + id)
		return b.says("Certificate of erasure")
	})
	b.look("certificate")
	b.open("/recordings/" + id)
	b.text("There is nothing here")
	b.look("not-found")
}

// hear plays the recording, and has the browser decode it: it is as long as it should
// be, and both sides are in it.
func (b *tab) hear(least time.Duration) {
	b.t.Helper()
	b.play(least)
	if s := b.decode(); s.Levels[0] < 0.01 || s.Levels[1] < 0.01 {
		b.t.Errorf("decoded, it has the levels %v", s.Levels)
	}
}

// play has the player play the recording's beginning.
func (b *tab) play(least time.Duration) {
	b.t.Helper()
	until(b.t, "the loudness is drawn", func() bool { return eval[bool](b, `document.querySelector("#wave img").naturalWidth > 0`) })
	length := eval[float64](b, `new Promise((ok, no) => {
		const a = document.getElementById("player");
		a.onerror = () => no(new Error("audio: " + a.error.code));
		a.ontimeupdate = () => { if (a.currentTime > 0.2) { a.pause(); ok(a.duration); } };
		a.play().catch(no);
	})`)
	if length < least.Seconds() || length > least.Seconds()+20 {
		b.t.Errorf("the player says that the recording takes %.1f s", length)
	}
	if s := b.decode(); len(s.Levels) != 2 || math.Abs(s.Seconds-length) > 0.1 {
		b.t.Fatalf("the player says that the recording takes %.1f s; decoded, it is %+v", length, s)
	}
}

// sound is a recording as the browser decodes it. Levels and Shares have a value for
// each channel: its RMS, and how much of its energy is at some frequencies, in Hz.
type sound struct {
	Seconds float64
	Levels  []float64
	Shares  [][]float64
}

// decode is what the player plays.
func (b *tab) decode(hz ...int) sound {
	b.t.Helper()
	return b.decodeOf(`fetch(document.getElementById("player").src).then(r => r.arrayBuffer())`, hz...)
}

// decodeOf decodes what an expression promises. It looks at frequencies (multiples of
// 8 Hz) an eighth of a second at a time.
func (b *tab) decodeOf(bytes string, hz ...int) sound {
	b.t.Helper()
	list, err := json.Marshal(append([]int{}, hz...))
	must(b.t, err)
	return eval[sound](b, bytes+`.then(bytes => new OfflineAudioContext(2, 8000, 8000).decodeAudioData(bytes)).then(sound => {
		const out = {Seconds: sound.duration, Levels: [], Shares: []};
		for (let c = 0; c < sound.numberOfChannels; c++) {
			const pcm = sound.getChannelData(c), energy = pcm.reduce((sum, x) => sum + x * x, 0);
			out.Levels.push(Math.sqrt(energy / pcm.length));
			out.Shares.push(`+string(list)+`.map(hz => {
				let at = 0;
				for (let from = 0; from + 1000 <= pcm.length; from += 1000) {
					let re = 0, im = 0;
					for (let i = 0; i < 1000; i++) {
						re += pcm[from + i] * Math.cos(2 * Math.PI * hz * i / 8000);
						im += pcm[from + i] * Math.sin(2 * Math.PI * hz * i / 8000);
					}
					at += 2 * (re * re + im * im) / 1000;
				}
				return at / energy;
			}));
		}
		return out;
	})`)
}

// erase goes through the form that asks twice.
func (b *tab) erase(id string) {
	b.t.Helper()
	b.open("/recordings/" + id)
	b.press(fmt.Sprintf(`a[href="/recordings/%s/erase"]`, id))
	b.look("erase")
	b.run(keys("#reason", "asked for by its subject"), click(`input[name=confirm]`))
	b.press(`form[action$="/erase"] button`)
}
