package browser

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axeSource is axe-core 4.14.1 of Deque Systems, under the Mozilla Public License
// 2.0 (axe.LICENSE): axe.min.js of its npm package, as it is.
//
//go:embed testdata/axe.min.js.gz
var axeSource []byte

// chromium is where Debian has it.
const chromium = "/usr/bin/chromium"

// chrome is one for all tests, started by the first; stopChrome ends it.
func chrome(t *testing.T) context.Context {
	t.Helper()
	needs(t, chromium, "chromium")
	b := shared()
	must(t, b.err)
	return b.ctx
}

// needs skips a test without a program; in CI it must be there.
func needs(t *testing.T, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED: %v; Debian: %s", err, debian)
	}
}

type running struct {
	ctx  context.Context
	stop func()
	err  error
}

var shared = sync.OnceValue(func() running {
	started.Store(true)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.WindowSize(1280, 860),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.Flag("lang", "en-GB"), chromedp.Flag("accept-lang", "en-GB"),
		chromedp.Env("TZ=Europe/London"))
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(alloc)
	return running{ctx, func() { stop(); stopAlloc() }, chromedp.Do(ctx)}
})

var started atomic.Bool

func stopChrome() {
	if started.Load() {
		shared().stop()
	}
}

// tab is somebody's browser: its cookies are its own.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string
	axe  string
}

func newTab(t *testing.T, browser context.Context, base string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	z, err := gzip.NewReader(bytes.NewReader(axeSource))
	must(t, err)
	axe, err := io.ReadAll(z)
	must(t, err)
	b := &tab{t, ctx, base, string(axe)}
	must(t, chromedp.Do(ctx)) // the first must not be bounded: the tab would end with it
	b.listen()
	b.ctx, cancel = context.WithTimeout(ctx, 100*time.Second)
	t.Cleanup(cancel)
	b.run(chromedp.EmulateViewport(1280, 860))
	return b
}

// listen makes every complaint of the browser's about the page an error: what its
// policy forbids, and what fails in the script.
func (b *tab) listen() {
	must(b.t, chromedp.Listen(b.ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			b.t.Errorf("the page's script failed: %s %s", ev.ExceptionDetails.Text, ev.ExceptionDetails.URL)
		case *page.EventJavascriptDialogOpening:
			b.t.Errorf("the page opened a dialog: %s", ev.Message)
		case *log.EventEntryAdded:
			if ev.Entry.Source == log.EntrySourceSecurity {
				b.t.Errorf("the browser complains: %s %s", ev.Entry.Text, ev.Entry.URL)
			}
		}
	}))
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.lost(err)
	}
}

// lost ends the test, and says where the browser was.
func (b *tab) lost(err error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 5*time.Second)
	defer cancel()
	where, err2 := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	b.t.Fatalf("%v\nat %s %v", err, where, err2)
}

// open loads a page.
func (b *tab) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.base + path))
}

// login goes in by the form.
func (b *tab) login(name string) {
	b.t.Helper()
	b.open("/login")
	b.run(keys("#name", name), keys("#password", secret))
	b.press(`form[action="/login"] button`)
	b.text(name)
}

// press clicks and waits for the page that comes.
func (b *tab) press(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, click(selector)); err != nil {
		b.lost(fmt.Errorf("pressing %s: %w", selector, err))
	}
}

func click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible)
}

// keys types into a field.
func keys(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible)
}

// text waits until the page says something.
func (b *tab) text(want string) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		// Between two pages there is none to ask.
		said, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf(`document.body !== null && document.body.innerText.includes(%q)`, want)))
		if said && err == nil {
			return
		}
		if time.Now().After(deadline) || b.ctx.Err() != nil {
			b.lost(fmt.Errorf("waiting for %q: %w", want, errors.Join(err, b.ctx.Err())))
		}
	}
}

// says reports whether it does now.
func (b *tab) says(want string) bool {
	b.t.Helper()
	return eval[bool](b, fmt.Sprintf(`document.body.innerText.includes(%q)`, want))
}

// sealed loads a list until it has so many recordings that are complete, and none that
// isn't.
func (b *tab) sealed(list string, n int) {
	b.t.Helper()
	until(b.t, fmt.Sprintf("%d recordings are complete", n), func() bool {
		b.open(list)
		return eval[bool](b, fmt.Sprintf(`document.querySelectorAll("tbody .chip.ok").length === %d && document.querySelectorAll("tbody tr").length === %[1]d`, n))
	})
}

// eval is the value of an expression; of a promise, what it comes to.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.lost(fmt.Errorf("%.200s: %w", expression, err))
	}
	return out
}

// command sends one of the browser's own.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// pictures are the screens that the documents show.
var pictures = []string{"login", "calls", "recordings", "recording", "recording-dark", "certificate", "requests", "audit", "system"}

// look has axe judge the page in both themes, and sees that it fits a narrow window
// (WCAG 2.2, 1.4.10: 320 px). With SCREENS set it keeps a picture.
func (b *tab) look(name string) {
	b.t.Helper()
	for _, theme := range []string{"light", "dark"} {
		b.run(command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}))
		file := name + map[string]string{"dark": "-dark"}[theme]
		if dir := os.Getenv("SCREENS"); dir != "" && slices.Contains(pictures, file) {
			b.keep(filepath.Join(dir, file+".png"))
		}
		b.judge(name + " in the " + theme + " theme")
	}
	b.run(command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}), chromedp.EmulateViewport(320, 640))
	if wide := eval[int](b, `document.scrollingElement.scrollWidth`); wide > 320 {
		what := eval[string](b, `[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > 321 && !e.closest(".scroll")).map(e => e.outerHTML.slice(0, 120)).slice(0, 5).join("\n")`)
		b.t.Errorf("%s is %d px wide in a window of 320: %s", name, wide, what)
	}
	b.run(chromedp.EmulateViewport(1280, 860))
}

func (b *tab) keep(file string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	must(b.t, err)
	must(b.t, os.WriteFile(file, png, 0o644))
}

// fault is what axe finds.
type fault struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

func (b *tab) judge(where string) {
	b.t.Helper()
	if !eval[bool](b, `window.axe !== undefined`) {
		b.run(chromedp.Evaluate[chromedp.Void](b.axe))
	}
	found := eval[struct {
		Violations []fault
		Passes     []struct{ ID string }
	}](b, `axe.run(document, {resultTypes: ["violations"]})`)
	if len(found.Passes) < 10 {
		b.t.Errorf("%s: axe looked at %d rules only", where, len(found.Passes))
	}
	for _, f := range found.Violations {
		for _, n := range f.Nodes {
			b.t.Errorf("%s: %s (%s): %s\n%s\n%s", where, f.ID, f.Impact, f.Help, n.HTML, n.FailureSummary)
		}
	}
}
