package evidence

import (
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"consentgate/consent"
)

// bundleFormat names bundle.json's.
const bundleFormat = "consentgate-access-bundle-1"

// Bundle is an answer to a request for access (GDPR Art. 15, 20): one zip file
// with, for each recording, audio, consent receipt and vCon, and a page that
// says it all to a person.
type Bundle struct {
	Subject    string // who asks: their number, as they gave it
	Request    string // the request's name, ""
	Made       time.Time
	Controller consent.Controller
	Setting    Setting
	Language   string         // of the page: one of Languages
	Zone       *time.Location // of the page's times; nil: UTC

	Both    bool // the other party is heard, too; else silenced (Art. 15(4))
	Numbers bool // the other party's number in full, too
	Staff   bool // names of those who listened; else numbered (CJEU C-579/21)

	// Sealing by age: to a recipient (age1...), or by a passphrase; neither: none.
	Recipient, Passphrase string
}

// Item is a recording that goes into a bundle.
type Item struct {
	Case  Case
	Party consent.Party // which of the call's parties asks
	// Audio writes the WAV: both parties, or the one that asks alone, as the
	// bundle says. It is called once, and tells what it found. nil: there is
	// no audio; Case.Damaged or Case.Erased say why.
	Audio func(io.Writer) (Rendered, error)
}

var errNoSubject = errors.New("evidence: a bundle needs who asked for it")

// Write writes the bundle; nothing written counts unless it returns nil. It
// holds in memory what is known of the recordings, but never their audio.
func (b Bundle) Write(w io.Writer, items iter.Seq2[Item, error]) (err error) {
	words, err := b.check()
	if err != nil {
		return err
	}
	sealed, err := seal(w, b.Recipient, b.Passphrase)
	if err != nil {
		return err
	}
	out := contents{b: &b, words: words, archive: newArchive(sealed, b.Made)}
	for item, err := range items {
		if err != nil {
			return err
		}
		if err := out.item(item); err != nil {
			return fmt.Errorf("recording %s: %w", item.Case.Recording, err)
		}
	}
	if err := out.finish(); err != nil {
		return err
	}
	return sealed.Close()
}

func (b *Bundle) check() (*words, error) {
	if b.Zone == nil {
		b.Zone = time.UTC
	}
	if b.Subject == "" {
		return nil, errNoSubject
	}
	w, ok := texts[b.Language]
	if !ok {
		return nil, fmt.Errorf("evidence: there are no texts in %q; there are in %v", b.Language, Languages())
	}
	return w, b.Setting.check()
}

// contents is a bundle while it is written.
type contents struct {
	*archive
	b     *Bundle
	words *words
	told  []told
	staff []string // whom the page calls person 1, 2, ...
}

// told is what page and bundle.json say of a recording.
type told struct {
	Item
	Folder string
	Files  []string // within Folder
}

func (o *contents) item(it Item) error {
	if err := it.Case.check(); err != nil {
		return err
	}
	t := told{Item: it, Folder: fmt.Sprintf("recordings/%03d-%s/", len(o.told)+1, it.Case.Started.UTC().Format("20060102-150405"))}
	if it.Case.Elsewhere {
		o.told = append(o.told, t)
		return nil
	}
	audio, err := o.audio(&t)
	if err != nil {
		return err
	}
	r := Reader{Party: &it.Party, Numbers: o.b.Numbers}
	doc, err := Receipt(t.Case, o.b.Setting, r, o.b.Made)
	if err == nil {
		err = o.add(&t, "receipt.jsonld", func(w io.Writer) error { _, err := w.Write(doc); return err })
	}
	if err != nil && !errors.Is(err, errNotAsked) {
		return err
	}
	err = o.add(&t, "vcon.json", func(w io.Writer) error { return VCon(w, t.Case, o.b.Setting, r, audio, o.b.Made) })
	o.told = append(o.told, t)
	return err
}

// audio writes the WAV and says how the vCon names it.
func (o *contents) audio(t *told) (Audio, error) {
	out := Audio{}
	if !o.b.Both {
		out.Only = &t.Party
	}
	if t.Audio == nil {
		return out, nil
	}
	sum := sha512.New()
	err := o.add(t, "audio.wav", func(w io.Writer) (err error) {
		t.Case.Rendered, err = t.Audio(io.MultiWriter(w, sum))
		return err
	})
	out.Filename, out.SHA512 = "audio.wav", sum.Sum(nil)
	return out, err
}

func (o *contents) add(t *told, name string, f func(io.Writer) error) error {
	t.Files = append(t.Files, name)
	return o.file(t.Folder+name, f)
}

// finish writes what is about all recordings.
func (o *contents) finish() error {
	if err := o.file("index.html", o.page); err != nil {
		return err
	}
	list, err := encode(o.list())
	if err != nil {
		return err
	}
	if err := o.bytes("bundle.json", list); err != nil {
		return err
	}
	return o.close()
}

// list is bundle.json.
func (o *contents) list() node {
	recordings := []node{}
	for i := range o.told {
		recordings = append(recordings, o.listed(&o.told[i]))
	}
	channels := "own"
	if o.b.Both {
		channels = "both"
	}
	return node{"format": bundleFormat, "made": stamp(o.b.Made), "request": o.b.Request, "subject": o.b.Subject, "channels": channels,
		"controller": node{"name": o.b.Controller.Name, "contact": o.b.Controller.Contact, "address": o.b.Setting.Address},
		"recipients": o.recipients(), "transfers": o.b.Setting.Transfers, "authority": o.b.Setting.Authority, "recordings": recordings}
}

func (o *contents) listed(t *told) node {
	c, g := &t.Case, t.Case.grant()
	if c.Elsewhere {
		return node{"recording": c.Recording, "started": stamp(c.Started), "seconds": c.Length.Seconds(), "party": t.Party, "number": c.number(t.Party),
			"answered_elsewhere": true, "retention_until": stamp(c.Until())}
	}
	events := []node{}
	for i := range c.Records {
		l := &c.Records[i]
		n := node{"kind": l.Kind, "at": stamp(l.At), "record": l.Hash().String()}
		if l.Leaf != "" {
			n["audit_entry"], n["audit_leaf"] = l.Seq, l.Leaf
		}
		events = append(events, n)
	}
	accesses := []node{}
	for _, a := range c.Accesses {
		accesses = append(accesses, node{"at": stamp(a.At), "by": o.person(a.By), "exported": a.Exported, "to": a.To, "purpose": a.Purpose,
			"from": a.From.Seconds(), "until": a.Up.Seconds()})
	}
	out := node{"recording": c.Recording, "folder": t.Folder, "files": t.Files, "started": stamp(c.Started), "seconds": c.Length.Seconds(),
		"party": t.Party, "direction": g.Call.Direction, "number": c.number(t.Party),
		"other":   c.shown(Reader{Party: &t.Party, Numbers: o.b.Numbers}, t.Party.Other()),
		"purpose": node{"name": g.Purpose.Name, "text": g.Purpose.Text}, "legal_basis": "GDPR Art. 6(1)(a)",
		"retention_until": stamp(c.Until()), "events": events, "accesses": accesses,
		"gaps": gapList(c.gapsFor(Reader{Party: &t.Party})), "ended": c.Reason}
	if !c.Erased.IsZero() {
		out["erased"] = stamp(c.Erased)
	}
	if c.Damaged != "" {
		out["damaged"] = c.Damaged
	}
	if len(c.Unheard) > 0 {
		out["not_rendered"] = c.Unheard
	}
	return out
}

// person is how somebody who listened is named.
func (o *contents) person(by string) string {
	if o.b.Staff || by == "system" {
		return by
	}
	n := slices.Index(o.staff, by)
	if n < 0 {
		n = len(o.staff)
		o.staff = append(o.staff, by)
	}
	return fmt.Sprintf("%s %d", o.words.Person, n+1)
}

// recipients are those named by the controller, and those that exports went to.
func (o *contents) recipients() []string {
	out := slices.Clone(o.b.Setting.Recipients)
	for i := range o.told {
		for _, a := range o.told[i].Case.Accesses {
			if a.Exported && a.To != "" && !slices.Contains(out, a.To) {
				out = append(out, a.To)
			}
		}
	}
	return out
}
