package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/evidence"
	"consentgate/store/rights"
)

// asked is a call whose remote party pressed 1 after the whole prompt.
type asked struct {
	t       testing.TB
	session *consent.Session
	store   *store.Store
	rec     *store.Recording
	start   time.Time
}

func ask(t testing.TB, s *store.Store, call string, remote string) *asked {
	t.Helper()
	return askIn(t, s, consent.Call{ID: call, Trunk: "main", Direction: consent.Inbound, Remote: remote, Local: calledNumber})
}

func askIn(t testing.TB, s *store.Store, call consent.Call) *asked {
	t.Helper()
	call.Controller = consent.Controller{Name: controller, Contact: "privacy@example.com"}
	rule := *policy
	rule.Withdraw, rule.OnWithdrawal = "*9", consent.Keep
	rule.Purpose.Text = map[string]string{"en": "staff training"}
	a := &asked{t: t, store: s, start: time.Now()}
	a.session = consent.NewSession(&call, &rule, s.Audit())
	a.step(consent.Event{Kind: consent.Start})
	a.step(consent.Event{Kind: consent.PromptEnd, Heard: consent.Heard{Prompt: "training.en", SHA256: consent.Hash{1}, Language: "en",
		Heard: 8 * time.Second, Complete: true}})
	a.step(consent.Event{Kind: consent.KeyPressed, Press: consent.Press{Key: '1', Via: "rfc4733", SSRC: 7, At: a.start}})
	if a.rec == nil {
		t.Fatal("no recorder")
	}
	return a
}

// step does what the call would do.
func (a *asked) step(ev consent.Event) {
	a.t.Helper()
	ev.At = time.Now()
	acts, _ := a.session.Step(ev)
	for _, act := range acts {
		switch act.Do {
		case consent.Commit:
			a.step(a.session.Commit(context.Background(), act.Record))
		case consent.Append:
			_, err := a.store.Audit().Append(context.Background(), *act.Record)
			must(a.t, err)
		case consent.Create:
			rec, err := a.store.Create(context.Background(), act.Grant)
			must(a.t, err)
			a.rec = rec
			a.step(consent.Event{Kind: consent.Opened})
		}
	}
}

// talk is a second of both, a tone of its own each, and a pause; then the end. It
// begins with the recording, as no packet comes before a tap is open: of one that
// had, a part would lie before the recording's beginning.
func (a *asked) talk() string {
	a.t.Helper()
	start := a.rec.End(0)
	for _, v := range []*voice{newVoice(a.t, a.rec, consent.Remote, "PCMU", 8000, 0, 440), newVoice(a.t, a.rec, consent.Local, "PCMA", 8000, 8, 880)} {
		for i := range 50 {
			must(a.t, a.rec.WriteRTP(v.party, start.Add(time.Duration(i)*20*time.Millisecond), v.next()))
		}
	}
	must(a.t, a.rec.Gap(consent.Remote, "hold", start.Add(time.Second), start.Add(2*time.Second)))
	must(a.t, a.rec.Seal(start.Add(3*time.Second), "hang-up"))
	return a.rec.ID()
}

func bundleOf(number string) store.BundleOptions {
	return store.BundleOptions{By: "dana@desk", Bundle: evidence.Bundle{Subject: number, Language: "en", Request: "r-1",
		Controller: consent.Controller{Name: controller, Contact: "privacy@example.com"}}}
}

// sh runs stock programs; it is skipped where one isn't installed, but not on CI.
func sh(t *testing.T, dir, script string) string {
	t.Helper()
	for _, program := range []string{"age", "age-keygen", "unzip", "sha256sum", "sox"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
			t.Skip(err)
		}
	}
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// TestASubjectGetsEverythingOfTheirsAndNothingElse: from calls to what age, unzip,
// sha256sum and sox say on their own machine.
func TestASubjectGetsEverythingOfTheirsAndNothingElse(t *testing.T) {
	ctx := context.Background()
	s, _ := kit(t)
	first := ask(t, s, "c-1", callerNumber).talk()
	must(t, s.Played(ctx, first, "eve@desk", "training", time.Second, 2*time.Second), s.Exported(ctx, first, "eve@desk", "training", "wav", "Trainers Ltd"))
	withdrawn := ask(t, s, "c-2", "0044 20 7946 0123")
	withdrawn.step(consent.Event{Kind: consent.Withdraw, Party: consent.Remote})
	withdrawn.talk()
	ask(t, s, "c-3", "+33142685300").talk()

	dir := t.TempDir()
	said := sh(t, dir, "age-keygen -o key 2>&1")
	o := bundleOf("+44 (20) 7946-0123")
	_, o.Recipient, _ = strings.Cut(strings.TrimSpace(said), ": ")
	f, err := os.Create(filepath.Join(dir, "b.age"))
	must(t, err)
	must(t, s.Bundle(ctx, f, o), f.Close())
	if out := sh(t, dir, "age -d -i key -o b.zip b.age; unzip -q b.zip -d b; cd b; sha256sum -c MANIFEST.sha256; ls recordings"); strings.Count(out, ": OK") != 8 {
		t.Errorf("two recordings are in it: %s", out)
	}
	page := sh(t, dir, "cat b/index.html")
	for _, want := range []string{"Employee 1", "Trainers Ltd", "0:00:01–0:00:02", "the call was on hold", "consent was withdrawn", "staff training", "Entry "} {
		if !strings.Contains(page, want) {
			t.Errorf("the page doesn't say %q", want)
		}
	}
	for _, secret := range []string{calledNumber, calledNumber[1:], "+33142685300", "eve@desk", "dana@desk"} {
		if out := sh(t, dir, "grep -rlF -- '"+secret+"' b || true"); out != "" {
			t.Errorf("%s is in %s", secret, out)
		}
	}
	wavs, err := filepath.Glob(filepath.Join(dir, "b/recordings/*/audio.wav"))
	if err != nil || len(wavs) != 2 {
		t.Fatalf("%v, %v", wavs, err)
	}
	if out := sh(t, dir, "soxi b/recordings/001-*/audio.wav"); !strings.Contains(out, "Channels       : 2") || !strings.Contains(out, "Sample Rate    : 8000") {
		t.Errorf("soxi says %s", out)
	}
	wav, err := os.ReadFile(wavs[0])
	must(t, err)
	mine, rate := track(t, wav, consent.Remote)
	if got := share(mine[:rate], 440, rate); got < 0.97 {
		t.Errorf("%.2f of my voice is there", got)
	}
	theirs, _ := track(t, wav, consent.Local)
	for i, sample := range theirs {
		if sample != 0 {
			t.Fatalf("sample %d of the other party is %d", i, sample)
		}
	}
	grant := must1(s.Get(first)).Grant
	must(t, s.Entries(0, func(e store.Entry) bool {
		var use struct{ Recording, Grant, By, Why, To string }
		if e.Type == store.TypePlayed && (json.Unmarshal(e.Payload, &use) != nil || use.Recording != first || use.Grant != grant.String() ||
			use.By != "eve@desk" || use.Why != "training") {
			t.Errorf("the log says %s", e.Payload)
		}
		return true
	}))
	if n := types(t, s); n[store.TypeExported] != 3 || n[store.TypePlayed] != 1 {
		t.Errorf("the log has %d exports, %d plays", n[store.TypeExported], n[store.TypePlayed])
	}
}

// TestEachBundleTellsOfTheOnesBefore, and a bundle of nobody's is one, too.
func TestEachBundleTellsOfTheOnesBefore(t *testing.T) {
	s, _ := kit(t)
	ask(t, s, "c-1", callerNumber).talk()
	accesses := func(number string, said int) int {
		t.Helper()
		var out bytes.Buffer
		must(t, s.Bundle(context.Background(), &out, bundleOf(number)))
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "b.zip"), out.Bytes(), 0o600))
		if got := strings.Count(sh(t, dir, "unzip -p b.zip index.html"), "you asked for it"); got != said {
			t.Errorf("the page tells of %d", got)
		}
		return strings.Count(sh(t, dir, "unzip -p b.zip bundle.json"), `"exported": true`)
	}
	for want := range 3 {
		if got := accesses(callerNumber, want); got != want {
			t.Errorf("bundle %d tells of %d exports", want+1, got)
		}
	}
	if got := accesses("+15550100", 0); got != 0 {
		t.Errorf("who never called is told of %d exports", got)
	}
}

// TestNothingIsUsedForAPurposeThatNobodyConsentedTo: it isn't logged, and nothing
// is given out.
func TestNothingIsUsedForAPurposeThatNobodyConsentedTo(t *testing.T) {
	ctx := context.Background()
	s, _ := kit(t)
	id := record(t, s, "c", 10)
	for name, err := range map[string]error{"played": s.Played(ctx, id, "eve@desk", "marketing", 0, 0), "exported": s.Exported(ctx, id, "eve@desk", "", "wav", "")} {
		if !errors.Is(err, store.ErrPurpose) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var out bytes.Buffer
	err := s.VCon(ctx, &out, id, store.VConOptions{Audio: true, By: "eve@desk", Purpose: "marketing"})
	if !errors.Is(err, store.ErrPurpose) || out.Len() > 0 {
		t.Errorf("vCon: %v, %d bytes", err, out.Len())
	}
	if err := s.Played(ctx, "mfrggzdfmztwq2lkmfrggzdfmz", "eve@desk", "training", 0, 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a recording that isn't there: %v", err)
	}
	nobody := bundleOf(callerNumber)
	nobody.By = ""
	for name, err := range map[string]error{"played": s.Played(ctx, id, "", "training", 0, 0), "bundle": s.Bundle(ctx, &out, nobody)} {
		if err == nil || out.Len() > 0 {
			t.Errorf("%s by nobody: %v, %d bytes", name, err, out.Len())
		}
	}
	if n := types(t, s); n[store.TypePlayed]+n[store.TypeExported] != 0 {
		t.Errorf("the log has %v", n)
	}
}

// TestAReceiptNamesItsPlaceInTheLog: the entry there is its record, and the leaf
// the one that the tree holds.
func TestAReceiptNamesItsPlaceInTheLog(t *testing.T) {
	s, _ := kit(t)
	a := ask(t, s, "c", callerNumber)
	a.step(consent.Event{Kind: consent.Withdraw, Party: consent.Remote})
	id := a.talk()
	raw, err := s.Receipt(context.Background(), id, evidence.Setting{}, evidence.Reader{})
	must(t, err)
	var doc struct {
		Records []struct {
			Events []struct {
				Record string `json:"cg:record"`
				Seq    int64  `json:"cg:auditEntry"`
				Leaf   string `json:"cg:auditLeaf"`
			} `json:"dpv:hasConsentStatus"`
		} `json:"dpv:hasRecordOfActivity"`
	}
	must(t, json.Unmarshal(raw, &doc))
	events := doc.Records[0].Events
	if len(events) != 2 {
		t.Fatalf("given and withdrawn make %d events", len(events))
	}
	for _, ev := range events {
		must(t, s.Entries(ev.Seq, func(e store.Entry) bool {
			leaf, record := tlog.RecordHash([]byte(e.Leaf)), sha256.Sum256(e.Payload)
			if hex.EncodeToString(leaf[:]) != ev.Leaf || hex.EncodeToString(record[:]) != ev.Record {
				t.Errorf("entry %d isn't what the receipt says: %+v", e.Seq, ev)
			}
			return false
		}))
	}
	if strings.Contains(string(raw), callerNumber) {
		t.Error("the number is in it")
	}
	// What the log says of its use goes with it, and the log still verifies (kit).
	must(t, s.Played(context.Background(), id, "eve@desk", "training", 0, 0))
	must(t, s.Erase(context.Background(), must1(s.Get(id)).Grant, "asked for"))
	must(t, s.Entries(0, func(e store.Entry) bool {
		if e.Type == store.TypePlayed && e.Payload != nil {
			t.Errorf("the log still says %s", e.Payload)
		}
		return true
	}))
	if _, err := s.Receipt(context.Background(), id, evidence.Setting{}, evidence.Reader{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of what is erased: %v", err)
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestTheAudioInAVConIsTheWAV, and that it was taken out is in the log.
func TestTheAudioInAVConIsTheWAV(t *testing.T) {
	ctx := context.Background()
	s, _ := kit(t)
	id := ask(t, s, "c", callerNumber).talk()
	var out, wav bytes.Buffer
	must(t, s.VCon(ctx, &out, id, store.VConOptions{Reader: evidence.Reader{Numbers: true}, Audio: true, By: "dana@desk", Purpose: "training", To: "Trainers Ltd"}))
	_, err := s.WAV(ctx, id, &wav)
	must(t, err)
	var v struct {
		Parties []struct{ Tel string }
		Dialog  []struct {
			Duration float64
			Body     string
		}
	}
	must(t, json.Unmarshal(out.Bytes(), &v))
	body, err := base64.RawURLEncoding.DecodeString(v.Dialog[0].Body)
	if err != nil || !bytes.Equal(body, wav.Bytes()) || v.Parties[0].Tel != callerNumber || v.Dialog[0].Duration < 2.9 {
		t.Errorf("%d bytes of %d, %v, %+v", len(body), wav.Len(), err, v.Parties)
	}
	if n := types(t, s); n[store.TypeExported] != 1 {
		t.Errorf("the log has %d exports", n[store.TypeExported])
	}
	out.Reset()
	must(t, s.VCon(ctx, &out, id, store.VConOptions{}))
	if n := types(t, s); strings.Contains(out.String(), `"body":"`) || n[store.TypeExported] != 1 {
		t.Errorf("a vCon without audio has some, or was logged: %d", n[store.TypeExported])
	}
}

// TestAVConSaysWhereTheAudioIsWithItsHash: of the very bytes that are read from there,
// each time anew. Nobody heard anything by that, and the log has no export.
func TestAVConSaysWhereTheAudioIsWithItsHash(t *testing.T) {
	ctx := context.Background()
	s, _ := kit(t)
	id := ask(t, s, "c", callerNumber).talk()
	const at = "https://gate.example/audio?purpose=training"
	var hashes []string
	for range 2 {
		var out bytes.Buffer
		must(t, s.VCon(ctx, &out, id, store.VConOptions{URL: at}))
		var v struct {
			Dialog []struct {
				Duration float64
				URL      string
				Hash     string `json:"content_hash"`
			}
		}
		must(t, json.Unmarshal(out.Bytes(), &v))
		if d := v.Dialog[0]; d.URL != at || d.Duration < 2.9 || strings.Contains(out.String(), `"body":"`) {
			t.Errorf("%+v", d)
		}
		hashes = append(hashes, v.Dialog[0].Hash)
	}
	sound, err := s.OpenWAV(ctx, id, store.WAVOptions{})
	must(t, err)
	h := sha512.New()
	_, err = io.Copy(h, sound)
	must(t, err, sound.Close())
	if want := "sha512-" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)); hashes[0] != want || hashes[1] != want {
		t.Errorf("%v, want %s", hashes, want)
	}
	if n := types(t, s); n[store.TypeExported]+n[store.TypePlayed] != 0 {
		t.Errorf("the log has %v", n)
	}
	_, err = s.Restrict(ctx, id, rights.Restriction{Act: because("contests it"), Ground: rights.Accuracy})
	must(t, err)
	var out bytes.Buffer
	if err := s.VCon(ctx, &out, id, store.VConOptions{URL: at}); !errors.Is(err, store.ErrRestricted) || out.Len() > 0 {
		t.Errorf("of a restricted one: %v, %s", err, out.String())
	}
}

// TestWhatCannotBeReadIsSaidInTheBundle: a damaged file doesn't keep the others
// from their subject, nor one that is still being written.
func TestWhatCannotBeReadIsSaidInTheBundle(t *testing.T) {
	s, dir := kit(t)
	bad := ask(t, s, "c-1", callerNumber).talk()
	must(t, os.WriteFile(filepath.Join(dir, "recordings", bad+".rec"), []byte("nothing like a recording at all, but long enough for a header"), 0o600))
	ask(t, s, "c-2", callerNumber).talk()
	live := ask(t, s, "c-3", callerNumber)
	t.Cleanup(func() { live.talk() })
	var out bytes.Buffer
	must(t, s.Bundle(context.Background(), &out, bundleOf(callerNumber)))
	work := t.TempDir()
	must(t, os.WriteFile(filepath.Join(work, "b.zip"), out.Bytes(), 0o600))
	if got := sh(t, work, "unzip -Z1 b.zip | grep -c wav; unzip -p b.zip index.html | grep -c 'It is damaged'"); got != "2\n1\n" {
		t.Errorf("recordings with audio, and damaged ones: %q", got)
	}
}

// TestARecordingTooLongForAFileIsToldOfAndLogged: it is given without audio, and that
// is an export like others.
func TestARecordingTooLongForAFileIsToldOfAndLogged(t *testing.T) {
	s, _ := kit(t)
	a := ask(t, s, "c-1", callerNumber)
	must(t, a.rec.Seal(a.rec.End(200_000), "hang-up"))
	var out bytes.Buffer
	must(t, s.Bundle(context.Background(), &out, bundleOf(callerNumber)))
	if n := types(t, s); n[store.TypeExported] != 1 {
		t.Errorf("%d exports are logged", n[store.TypeExported])
	}
	work := t.TempDir()
	must(t, os.WriteFile(filepath.Join(work, "b.zip"), out.Bytes(), 0o600))
	if got := sh(t, work, "unzip -Z1 b.zip | grep -c wav || true; unzip -p b.zip index.html | grep -c 'too long for one WAV file'"); got != "0\n1\n" {
		t.Errorf("recordings with audio, and too long ones: %q", got)
	}
}

// TestWhoWasCalledIsNotGivenWhatAnotherSaidWhoAnswered: a call of ours went to one
// number and was answered at another. Who answered has the voice, and the number.
func TestWhoWasCalledIsNotGivenWhatAnotherSaidWhoAnswered(t *testing.T) {
	const answered = "+442079460777"
	s, _ := kit(t)
	askIn(t, s, consent.Call{ID: "c", Trunk: "main", Direction: consent.Outbound, Remote: callerNumber, Connected: answered, Local: calledNumber}).talk()
	for asks, c := range map[string]struct{ wavs, says, never string }{
		answered:     {"1", "You agreed on", callerNumber},
		callerNumber: {"0", "another one answered", answered},
	} {
		var out bytes.Buffer
		must(t, s.Bundle(context.Background(), &out, bundleOf(asks)))
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "b.zip"), out.Bytes(), 0o600))
		if got := sh(t, dir, "unzip -q b.zip -d b; find b -name '*.wav' | wc -l"); got != c.wavs+"\n" {
			t.Errorf("%s gets %s WAVs, want %s", asks, got, c.wavs)
		}
		all := sh(t, dir, "cat b/index.html b/bundle.json b/recordings/*/* 2>/dev/null | sed 's/&#43;/+/g' || true")
		if !strings.Contains(all, c.says) || !strings.Contains(all, asks) || strings.Contains(all, c.never) || c.wavs == "0" && strings.Contains(all, "You agreed") {
			t.Errorf("%s gets\n%s", asks, sh(t, dir, "cat b/index.html b/bundle.json"))
		}
	}
	if n := types(t, s); n[store.TypeExported] != 2 {
		t.Errorf("%d exports are logged", n[store.TypeExported])
	}
}

// TestAnOfficerMayGiveMore: the other party's voice, both numbers and names, where
// that was decided.
func TestAnOfficerMayGiveMore(t *testing.T) {
	s, _ := kit(t)
	id := ask(t, s, "c", callerNumber).talk()
	must(t, s.Played(context.Background(), id, "eve@desk", "training", 0, 0))
	o := bundleOf(calledNumber) // the agent asks
	o.Both, o.Numbers, o.Staff, o.Language = true, true, true, "de"
	var out bytes.Buffer
	must(t, s.Bundle(context.Background(), &out, o))
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "b.zip"), out.Bytes(), 0o600))
	sh(t, dir, "unzip -q b.zip; mv recordings/*/audio.wav .")
	wav, err := os.ReadFile(filepath.Join(dir, "audio.wav"))
	must(t, err)
	for party, hz := range map[consent.Party]float64{consent.Remote: 440, consent.Local: 880} {
		pcm, rate := track(t, wav, party)
		if got := share(pcm[:rate], hz, rate); got < 0.97 {
			t.Errorf("%.2f of the %s party's voice is there", got, party)
		}
	}
	page := sh(t, dir, "sed 's/&#43;/+/g' index.html")
	for _, want := range []string{callerNumber, calledNumber, "eve@desk", "Sie selbst wurden nicht gefragt", "Sie wurden angerufen"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page doesn't say %q", want)
		}
	}
	if out := sh(t, dir, "ls recordings/*"); strings.Contains(out, "receipt") {
		t.Errorf("who wasn't asked gets a receipt: %s", out)
	}
}

// TestAReceiptOutlastsTheLogsPayload: where that is lost the recording's own copy
// of the consent is taken, and no place in the log is claimed.
func TestAReceiptOutlastsTheLogsPayload(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	id := ask(t, s, "c", callerNumber).talk()
	var seq int64 = -1
	must(t, s.Entries(0, func(e store.Entry) bool {
		if e.Type == store.TypeConsent {
			seq = e.Seq
		}
		return seq < 0
	}))
	must(t, s.Close())
	db, err := bolt.Open(filepath.Join(dir, "audit.db"), 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("payload")).Delete(binary.BigEndian.AppendUint64(nil, uint64(seq)))
	}), db.Close())
	s = openStore(t, dir)
	defer func() { must(t, s.Close()) }()
	raw, err := s.Receipt(context.Background(), id, evidence.Setting{}, evidence.Reader{Party: new(consent.Party)})
	must(t, err)
	if text := string(raw); !strings.Contains(text, callerNumber) || strings.Contains(text, `"cg:auditEntry"`) {
		t.Errorf("%s", raw)
	}
	var out bytes.Buffer
	must(t, s.Bundle(context.Background(), &out, bundleOf(callerNumber)))
}
