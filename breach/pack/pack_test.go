package pack_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"consentgate/breach/pack"
)

var day = time.Date(2026, 11, 27, 15, 30, 0, 0, time.UTC) // a Friday

// export is a log: types and payloads, an entry a minute from day on. A payload
// that is "" is erased; mark is on its leaf.
func export(entries ...[3]string) string {
	var b strings.Builder
	b.WriteString(`{"format":"consentgate-audit-export-1","vkey":"log+1+x","checkpoint":"log\n1\n"}` + "\n")
	for i, e := range entries {
		at := day.Add(time.Duration(i) * time.Minute)
		line := map[string]any{"seq": i + 1, "at": at, "type": e[0], "leaf": strings.TrimSpace(fmt.Sprintf("consentgate-audit-1 %d %d %s 00 %s", i+1, at.UnixMilli(), e[0], e[1])) + "\n"}
		if e[2] != "" {
			line["payload"] = []byte(e[2])
		}
		text, err := json.Marshal(line)
		if err != nil {
			panic(err)
		}
		b.Write(append(text, '\n'))
	}
	return b.String()
}

func packed(t *testing.T, o pack.Options, log string) (pack.Pack, map[string]string) {
	t.Helper()
	if o.From.IsZero() {
		o.From, o.To = day, day.Add(time.Hour)
	}
	c := pack.Collect(o)
	if err := c.First(strings.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	if err := c.Second(strings.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	p := c.Pack(pack.Log{})
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(text)
	}
	return p, files
}

// TestTheSeventyTwoHoursRunFromBecomingAware, over the weekend (Regulation 1182/71
// Art. 3(4) spares periods in hours nothing), and are over when they are.
func TestTheSeventyTwoHoursRunFromBecomingAware(t *testing.T) {
	alarm := export([3]string{"node.start", "", "{}"}, [3]string{"alarm.raised", "", `{"rule":"play_burst","entry":1}`})
	for _, c := range []struct {
		name              string
		aware             time.Time
		made              time.Time
		log               string
		deadline          string
		assumed, late, no bool
	}{
		{"as it was said", day, day.Add(time.Hour), alarm, "2026-11-30T15:30:00Z", false, false, false},
		{"at the first alarm", time.Time{}, day.Add(time.Hour), alarm, "2026-11-30T15:31:00Z", true, false, false},
		{"a second before its end", day, day.Add(72*time.Hour - time.Second), alarm, "2026-11-30T15:30:00Z", false, false, false},
		{"at its end", day, day.Add(72 * time.Hour), alarm, "2026-11-30T15:30:00Z", false, true, false},
		{"nobody knows", time.Time{}, day, export(), "", false, false, true},
	} {
		p, files := packed(t, pack.Options{Aware: c.aware, Made: c.made}, c.log)
		if p.Clock.Assumed != c.assumed || p.Clock.Over != c.late || p.Clock.Deadline.IsZero() != c.no || !c.no && p.Clock.Deadline.Format(time.RFC3339) != c.deadline {
			t.Errorf("%s: %+v", c.name, p.Clock)
		}
		if got := strings.Contains(files["breach.en.html"], "reasons for the delay"); got != c.late {
			t.Errorf("%s: the page asks for reasons: %v", c.name, got)
		}
	}
}

// TestWhatACallerCallsThemselvesIsNoFormula of a spreadsheet's, and numbers stay as they are.
func TestWhatACallerCallsThemselvesIsNoFormula(t *testing.T) {
	granted := `{"kind":"granted","at":"2026-11-27T15:00:00Z","call":{"remote":%q,"local":"+4930901820"},"purpose":{"name":"training"}}`
	_, files := packed(t, pack.Options{Made: day}, export(
		[3]string{"consent", "aa", fmt.Sprintf(granted, `=HYPERLINK("http://x")`)}, [3]string{"consent", "bb", fmt.Sprintf(granted, "+442079460123")},
		[3]string{"recording.played", "aa", `{"by":"dana","recording":"a","grant":"g"}`}, [3]string{"recording.played", "bb", `{"by":"dana","recording":"b","grant":"g"}`}))
	list := files["affected.csv"]
	if !strings.Contains(list, `"'=HYPERLINK(`) || !strings.Contains(list, ",+442079460123,+4930901820,") {
		t.Error(list)
	}
}

// TestAnErasureHidesNoUse: whose it was isn't known any more, and so it is counted
// for each user.
func TestAnErasureHidesNoUse(t *testing.T) {
	log := export([3]string{"recording.played", "aa", ""}, [3]string{"recording.played", "aa", ""}, [3]string{"recording.erased", "aa", `{"recording":"a"}`},
		[3]string{"recording.played", "bb", `{"by":"eve","recording":"b"}`})
	p, _ := packed(t, pack.Options{Made: day, User: "dana"}, log)
	if p.Data.Recordings != 1 || p.Data.Plays != 2 || p.Data.Unattributed != 2 || p.Data.Erased != 1 || p.Subjects.Unknown != 1 || len(p.Users) != 0 {
		t.Errorf("%+v %+v %+v", p.Data, p.Subjects, p.Users)
	}
	if p.Timeline[0].Erased != true || p.Timeline[0].By != "" {
		t.Errorf("%+v", p.Timeline[0])
	}
}

// TestWhoAnsweredIsWhoWasAffected, and not who was called instead.
func TestWhoAnsweredIsWhoWasAffected(t *testing.T) {
	for direction, want := range map[string]string{"outbound": "+442079460777", "inbound": "+442079460018"} {
		log := export([3]string{"consent", "aa", `{"kind":"granted","call":{"remote":"+442079460018","local":"100","connected":"+442079460777","direction":"` + direction + `"}}`},
			[3]string{"recording.played", "aa", `{"by":"eve","recording":"a"}`})
		_, files := packed(t, pack.Options{Made: day}, log)
		all := ""
		for _, text := range files {
			all += text
		}
		for _, number := range []string{"+442079460777", "+442079460018"} {
			if strings.Contains(strings.ReplaceAll(all, "&#43;", "+"), number) != (number == want) {
				t.Errorf("%s: %s is told, or %s isn't", direction, number, want)
			}
		}
	}
}

// TestEverySentenceOfThePageIsThereInBothLanguages, and the page asks for no other.
func TestEverySentenceOfThePageIsThereInBothLanguages(t *testing.T) {
	for key, pair := range pack.Sentences() {
		if pair[0] == "" || pair[1] == "" {
			t.Errorf("%s: %q", key, pair)
		}
	}
	for _, key := range pack.Asked() {
		if _, ok := pack.Sentences()[key]; !ok {
			t.Errorf("%s isn't there", key)
		}
	}
}

// TestWhatIsNoExportIsRefused.
func TestWhatIsNoExportIsRefused(t *testing.T) {
	for _, text := range []string{"", "{}\n", export() + "x\n"} {
		if err := pack.Collect(pack.Options{}).First(strings.NewReader(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
