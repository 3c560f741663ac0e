package office

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/store"
	"consentgate/store/evidence"
)

// Form is what a recording can be taken out as.
type Form struct {
	Name, Type, Suffix string // as asked for; media type; of a file's name
	write              func(ctx context.Context, s *store.Store, id string, w io.Writer, to []age.Recipient) error
}

// Forms are those that there are. VCon is made by the store, which logs it itself.
var Forms = []Form{
	{"wav", "audio/wav", ".wav", wav(store.WAVOptions{})},
	{"g711", "audio/wav", ".wav", wav(store.WAVOptions{G711: true})},
	{"remote", "audio/wav", ".wav", wav(store.WAVOptions{Only: party(consent.Remote)})},
	{"local", "audio/wav", ".wav", wav(store.WAVOptions{Only: party(consent.Local)})},
	{"opus", "audio/ogg", ".opus", func(ctx context.Context, s *store.Store, id string, w io.Writer, _ []age.Recipient) error {
		_, err := s.Opus(ctx, id, w, store.WAVOptions{})
		return err
	}},
	{"age", "application/octet-stream", ".pcapng.age", func(ctx context.Context, s *store.Store, id string, w io.Writer, to []age.Recipient) error {
		return s.Sealed(ctx, id, w, to...)
	}},
	{"vcon", "application/vcon+json", ".vcon.json", nil},
}

func party(p consent.Party) *consent.Party { return &p }

func wav(o store.WAVOptions) func(context.Context, *store.Store, string, io.Writer, []age.Recipient) error {
	return func(ctx context.Context, s *store.Store, id string, w io.Writer, _ []age.Recipient) error {
		_, err := s.WAVOf(ctx, id, w, o)
		return err
	}
}

// Taking is what is to be taken out, and for whom.
type Taking struct {
	Form       string
	Purpose    string
	To         string   // who gets it; "": who takes it
	Recipients []string // age recipients, of form age
	// Case and Reason take a restricted recording out for a legal claim (GDPR Art.
	// 18(2)), as WAV; Purpose is none then.
	Case, Reason string
}

// FormOf finds a form by its name.
func FormOf(name string) (Form, error) {
	i := slices.IndexFunc(Forms, func(f Form) bool { return f.Name == name })
	if i < 0 {
		var known []string
		for _, f := range Forms {
			known = append(known, f.Name)
		}
		return Form{}, fmt.Errorf("%w: the forms are %s", ErrForm, strings.Join(known, ", "))
	}
	return Forms[i], nil
}

// Export takes a recording out. The log has it before the first byte; an error
// after that leaves w with half of it. ErrPending: a second officer has to agree;
// who asked tries again then.
func (o *Office) Export(ctx context.Context, p access.Principal, id string, t Taking, w io.Writer) error {
	s, sum, err := o.recording(id)
	if err != nil {
		return err
	}
	form, err := FormOf(t.Form)
	if err != nil {
		return err
	}
	to, err := recipients(t)
	if err != nil {
		return err
	}
	claim := t.Case != ""
	if claim && t.Form != "wav" {
		return fmt.Errorf("%w: for a legal claim a recording is taken out as wav", ErrForm)
	}
	if claim && !sum.Restricted {
		// A claim is what a restriction leaves (GDPR Art. 18(2)), and no way round the
		// purpose that was consented to.
		err := fmt.Errorf("%w: it isn't restricted, so state what it was recorded for: %q", ErrForbiddenPurpose, sum.Purpose)
		return errors.Join(err, s.UseRefused(ctx, id, p.Name, evidence.LegalClaims, store.Export))
	}
	if !claim {
		if err := o.mayUse(ctx, s, p, sum, t.Purpose, store.Export); err != nil {
			return err
		}
	}
	err = o.agreed(ctx, p, wish{Act: ActExport, Object: id, Form: t.Form, Why: t.Purpose, To: t.to(), Case: t.Case}, t.Reason, nil)
	switch {
	case err != nil:
		return err
	case claim:
		permit, err := s.PermitClaims(ctx, id, store.Export, o.act(p, t.Reason), t.Case)
		if err != nil {
			return err
		}
		return o.turns.reading(ctx, w, func(w io.Writer) error { _, err := s.WAVBy(ctx, permit, w); return err })
	case form.write == nil:
		return o.turns.reading(ctx, w, func(w io.Writer) error {
			return s.VCon(ctx, w, id, store.VConOptions{Reader: evidence.Reader{Numbers: p.SeesNumbers()}, Setting: o.c.Setting, Audio: true,
				By: p.Name, Purpose: t.Purpose, To: t.to()})
		})
	}
	if err := s.Exported(ctx, id, p.Name, t.Purpose, t.Form, t.to()); err != nil {
		return err
	}
	return o.turns.reading(ctx, w, func(w io.Writer) error { return form.write(ctx, s, id, w, to) })
}

// to is who gets it, as the log has it.
func (t Taking) to() string {
	if t.To == "" {
		return strings.Join(t.Recipients, " ")
	}
	return t.To
}

func recipients(t Taking) (out []age.Recipient, err error) {
	if (t.Form == "age") != (len(t.Recipients) > 0) {
		return nil, fmt.Errorf("%w: form age needs recipients, and no other takes any", ErrInput)
	}
	for _, r := range t.Recipients {
		parsed, err := age.ParseRecipients(strings.NewReader(r))
		if err != nil || len(parsed) != 1 {
			return nil, errors.Join(fmt.Errorf("%w: %q isn't an age recipient (age1...)", ErrInput, r), err)
		}
		out = append(out, parsed[0])
	}
	return out, nil
}

// VCon writes what is known of a recording as a vCon, without its audio; with it,
// it is an export. audioAt says where who may listen for a purpose hears it; nil:
// that isn't in it. To name the place and hash of the audio is no use of it: who goes
// there says what for, and is logged.
func (o *Office) VCon(ctx context.Context, p access.Principal, id string, audioAt func(purpose string) string, w io.Writer) error {
	s, sum, err := o.recording(id)
	if err != nil {
		return err
	}
	opts := store.VConOptions{Reader: evidence.Reader{Numbers: p.SeesNumbers()}, Setting: o.c.Setting}
	if audioAt == nil {
		return s.VCon(ctx, w, id, opts)
	}
	if sum.State == store.StateRecording {
		return fmt.Errorf("%w, so its audio has no hash yet", ErrGoesOn)
	}
	opts.URL = audioAt(sum.Purpose)
	return o.turns.reading(ctx, w, func(w io.Writer) error { return s.VCon(ctx, w, id, opts) })
}

// Receipt is a recording's consent receipt, JSON-LD.
func (o *Office) Receipt(ctx context.Context, p access.Principal, id string) ([]byte, error) {
	s, _, err := o.recording(id)
	if err != nil {
		return nil, err
	}
	return s.Receipt(ctx, id, o.c.Setting, evidence.Reader{Numbers: p.SeesNumbers()})
}
