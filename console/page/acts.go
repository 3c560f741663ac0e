package page

import (
	"consentgate/console/office"
	"consentgate/store"
	"consentgate/store/rights"
)

func (v *visit) recordingPath() string { return "/recordings/" + v.id() }

func postHold(v *visit) error {
	if _, _, err := v.o.Hold(v.r.Context(), v.who, v.id(), v.form("reason"), v.form("case")); err != nil {
		return err
	}
	return v.done(v.recordingPath(), "hold.done")
}

// postRelease may be what an erasure waited for: then there is no recording any more.
func postRelease(v *visit) error {
	if err := v.o.Release(v.r.Context(), v.who, v.id(), v.form("hold"), v.form("reason")); err != nil {
		return err
	}
	return v.done(v.after(), "hold.released")
}

func postRestrict(v *visit) error {
	if _, err := v.o.Restrict(v.r.Context(), v.who, v.id(), rights.Ground(v.form("ground")), "", false, v.form("reason")); err != nil {
		return err
	}
	return v.done(v.recordingPath(), "restrict.done")
}

func postLift(v *visit) error {
	if err := v.o.Lift(v.r.Context(), v.who, v.id(), v.form("restriction"), v.form("told") == "yes", v.form("reason")); err != nil {
		return err
	}
	return v.done(v.after(), "restrict.lifted")
}

// after is where a recording is found after something that kept it is gone.
func (v *visit) after() string {
	if e, _, err := v.o.Erasure(v.id()); err == nil && e.State != store.ErasureRequested {
		return "/erasures/" + v.id()
	}
	return v.recordingPath()
}

func getErase(v *visit) error { return v.eraseForm("") }

func (v *visit) eraseForm(problem string) error {
	r, err := v.o.Recording(v.r.Context(), v.who, v.id())
	if err != nil {
		return err
	}
	kept := len(r.Rights.Holds)+len(r.Rights.Restrictions) > 0
	return v.show("erase", "recordings", v.t("erase.title"), eraseBody{v.recordingOf(r), kept, problem})
}

func postErase(v *visit) error {
	if v.form("confirm") != "yes" || v.form("reason") == "" {
		return v.eraseForm("erase.missing")
	}
	if _, err := v.o.Erase(v.r.Context(), v.who, v.id(), v.form("reason")); err != nil {
		return err
	}
	return v.done("/erasures/"+v.id(), "")
}

func getErasure(v *visit) error {
	e, signed, err := v.o.Erasure(v.id())
	if err != nil {
		return err
	}
	b := erasureBody{ID: v.id(), Erasure: erasure{e.State, e.Requested, e.Logical, e.Shredded}}
	if signed != nil {
		vkey, err := v.o.VerifierKey()
		if err != nil {
			return err
		}
		c, err := store.CheckCertificate(signed, vkey)
		if err != nil {
			return err
		}
		b.Certificate = &c
	}
	return v.show("erasure", "recordings", v.t("erasure.title"), b)
}

// postExport sends a recording as a file. The form is a POST, as taking it out is an
// act that is logged.
func postExport(v *visit) error {
	form, err := office.FormOf(v.form("form"))
	if err != nil {
		return err
	}
	t := office.Taking{Form: form.Name, Purpose: v.form("purpose"), To: v.form("to"), Case: v.form("case"), Reason: v.form("reason")}
	if to := v.form("recipient"); to != "" {
		t.Recipients = []string{to}
	}
	d := v.download(form.Type, "recording-"+v.id()+form.Suffix)
	return d.end(v.o.Export(v.r.Context(), v.who, v.id(), t, d))
}
