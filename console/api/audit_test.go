package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"consentgate/internal/sample"
	"consentgate/store"
)

// TestTheLogIsReadInPages, each entry once, and by type.
func TestTheLogIsReadInPages(t *testing.T) {
	k := newKit(t, options{})
	sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	type page struct {
		Entries []struct {
			Seq  int64
			Type string
		}
		Next *int64
	}
	size := k.store.Audit().Size()
	want := int64(0)
	for after := int64(-1); ; {
		var p page
		k.get("auditor", fmt.Sprintf("/api/v1/audit?after=%d&limit=2", after)).want(http.StatusOK, "").into(&p)
		for _, e := range p.Entries {
			if e.Seq != want {
				t.Errorf("entry %d, want %d", e.Seq, want)
			}
			want++
		}
		if p.Next == nil {
			break
		}
		after = *p.Next
	}
	if want != size {
		t.Errorf("%d entries of %d", want, size)
	}
	var p page
	k.get("auditor", "/api/v1/audit?type=recording.sealed").want(http.StatusOK, "").into(&p)
	if len(p.Entries) != 1 || p.Entries[0].Type != store.TypeSealed || p.Next != nil {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{"limit=0", "limit=1001", "after=-2", "after=x"} {
		k.get("auditor", "/api/v1/audit?"+bad).want(http.StatusBadRequest, "bad-request")
	}
}

// TestTheLogsExportVerifies: an officer's with what it says, an auditor's without;
// and the log has who took it.
func TestTheLogsExportVerifies(t *testing.T) {
	k := newKit(t, options{})
	sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	key := string(k.get("auditor", "/api/v1/audit/key").want(http.StatusOK, "").body)
	kept := k.get("auditor", "/api/v1/audit/checkpoint").want(http.StatusOK, "").body
	for _, as := range []string{"officer", "auditor"} {
		out := k.get(as, "/api/v1/audit/export").want(http.StatusOK, "").body
		r, err := store.VerifyExport(bytes.NewReader(out), key, kept)
		if err != nil || !r.OK() || (r.Opened > 0) != (as == "officer") || (r.Sealed > 0) != (as == "auditor") {
			t.Errorf("%s: %+v %v", as, r, err)
		}
		tampered := bytes.Replace(out, []byte("recording.sealed"), []byte("recording.failed"), 1)
		if r, err := store.VerifyExport(bytes.NewReader(tampered), key); err == nil && r.OK() {
			t.Errorf("control: a changed export of %s verifies", as)
		}
	}
	taken := k.entries(store.TypeLogTaken)
	if len(taken) != 2 || taken[0]["by"] != "officer" || taken[0]["payloads"] != true || taken[1]["by"] != "auditor" || taken[1]["payloads"] != false {
		t.Errorf("%v", taken)
	}
	k.do("officer", "HEAD", "/api/v1/audit/export", "").want(http.StatusMethodNotAllowed, "")
}

// TestProofsConvinceWhoHasTheKeyAlone: of an entry, and that the log goes on from a
// checkpoint; a checkpoint of another log proves nothing.
func TestProofsConvinceWhoHasTheKeyAlone(t *testing.T) {
	k := newKit(t, options{})
	key := string(k.get("auditor", "/api/v1/audit/key").want(http.StatusOK, "").body)
	older := string(k.get("auditor", "/api/v1/audit/checkpoint").want(http.StatusOK, "").body)
	sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	p, err := store.CheckProof(k.get("auditor", "/api/v1/audit/proof?entry=1").want(http.StatusOK, "").body, key)
	if err != nil || p.Entry == nil || p.Entry.Seq != 1 || p.Entry.Payload != nil {
		t.Errorf("%+v %v", p, err)
	}
	p, err = store.CheckProof(k.get("officer", "/api/v1/audit/proof?entry=1").want(http.StatusOK, "").body, key)
	if err != nil || p.Entry.Payload == nil {
		t.Errorf("%+v %v", p, err)
	}
	k.get("auditor", "/api/v1/audit/proof?entry=9999").want(http.StatusNotFound, "not-found")
	k.get("auditor", "/api/v1/audit/proof?entry=-1").want(http.StatusNotFound, "not-found")
	k.get("auditor", "/api/v1/audit/proof").want(http.StatusBadRequest, "bad-request")
	body := fmt.Sprintf(`{"checkpoint":%q}`, older)
	p, err = store.CheckProof(k.do("auditor", "POST", "/api/v1/audit/proof", body).want(http.StatusOK, "").body, key)
	if err != nil || p.From.Size >= p.To.Size {
		t.Errorf("%+v %v", p, err)
	}
	k.do("auditor", "POST", "/api/v1/audit/proof", strings.Replace(body, "consentgate/", "consentgate/0", 1)).want(http.StatusConflict, "not-this-log")
}

// TestTheLogIsVerifiedOneAtATime, and the result says what was found.
func TestTheLogIsVerifiedOneAtATime(t *testing.T) {
	k := newKit(t, options{})
	sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	var r struct {
		OK     bool
		Size   int64
		Grants int
	}
	k.do("auditor", "POST", "/api/v1/audit/verify", "").want(http.StatusOK, "").into(&r)
	if !r.OK || r.Size != k.store.Audit().Size() || r.Grants != 1 {
		t.Errorf("%+v", r)
	}
	k.hang.Store(true)
	first := make(chan got)
	go func() { first <- k.do("auditor", "POST", "/api/v1/audit/verify", "") }()
	<-k.hung
	k.do("officer", "POST", "/api/v1/audit/verify", "").want(http.StatusTooManyRequests, "busy")
	k.hang.Store(false)
	close(k.hung)
	if g := <-first; g.status != http.StatusOK {
		t.Errorf("%d", g.status)
	}
}

// TestTheSystemsHealthIsTold to every role, without a number or a name.
func TestTheSystemsHealthIsTold(t *testing.T) {
	k := newKit(t, options{})
	sample.Record(t, k.store, sample.Caller, 20*time.Millisecond)
	var s struct {
		Node  string
		Store struct {
			Recordable bool
			Log        int64
			RootEpoch  uint64 `json:"root_epoch"`
			Disk       struct{ Free int64 }
		}
	}
	g := k.get("operator", "/api/v1/system").want(http.StatusOK, "")
	if g.into(&s); s.Node != "test" || !s.Store.Recordable || s.Store.Log == 0 || s.Store.RootEpoch != 1 || s.Store.Disk.Free == 0 {
		t.Errorf("%s", g.body)
	}
	k.do("officer", "POST", "/api/v1/retention/confirm", `{"reason":"looked at"}`).want(http.StatusConflict, "not-stopped")
}
