package api_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"consentgate/internal/sample"
	"consentgate/store"
)

// plays are the log's entries of who listened: by, why, from, until.
func (k *kit) plays(kind string) (out []string) {
	for _, e := range k.entries(kind) {
		text := fmt.Sprintf("%v for %v", e["by"], e["why"])
		for _, name := range []string{"from", "until", "form", "to", "use"} {
			if e[name] != nil {
				text += fmt.Sprintf(" %s %v", name, e[name])
			}
		}
		out = append(out, text)
	}
	return out
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestNobodyListensForAnotherPurposeThanConsentedTo: without a purpose it is a bad
// request, for another it is refused and logged, and not a byte of sound is given.
func TestNobodyListensForAnotherPurposeThanConsentedTo(t *testing.T) {
	k := newKit(t, options{})
	audio := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second) + "/audio"
	k.get("agent-lead", audio).want(http.StatusBadRequest, "purpose-missing")
	k.get("agent-lead", audio+"?purpose=").want(http.StatusBadRequest, "purpose-missing")
	same(t, "refused", k.plays(store.TypeRefused), nil)
	k.get("agent-lead", audio+"?purpose=marketing").want(http.StatusForbidden, "purpose-not-consented")
	k.get("agent-lead", audio+"?purpose=Training", "Range", "bytes=0-").want(http.StatusForbidden, "purpose-not-consented")
	k.get("officer", strings.TrimSuffix(audio, "audio")+"export?form=wav&purpose=marketing").want(http.StatusForbidden, "purpose-not-consented")
	same(t, "refused", k.plays(store.TypeRefused), []string{"agent-lead for marketing use recording.played", "agent-lead for Training use recording.played",
		"officer for marketing use recording.exported"})
	same(t, "played", k.plays(store.TypePlayed), nil)
	same(t, "exported", k.plays(store.TypeExported), nil)
}

// TestEveryPlayIsLoggedOnceWithItsSeconds: ranges of one listening are one entry,
// other seconds and later listenings are others; asking for the header alone is none.
func TestEveryPlayIsLoggedOnceWithItsSeconds(t *testing.T) {
	k := newKit(t, options{})
	audio := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, 4*time.Second) + "/audio?purpose=training"
	const second = 8000 * 4 // bytes
	head := k.do("agent-lead", "HEAD", audio, "").want(http.StatusOK, "")
	size := head.header.Get("Content-Length")
	k.get("agent-lead", audio, "Range", "bytes=0-43").want(http.StatusPartialContent, "")
	same(t, "header only", k.plays(store.TypePlayed), nil)

	part := func(as string, from, to int) got {
		t.Helper()
		g := k.get(as, audio, "Range", fmt.Sprintf("bytes=%d-%d", from, to-1)).want(http.StatusPartialContent, "")
		if want := fmt.Sprintf("bytes %d-%d/%s", from, to-1, size); g.header.Get("Content-Range") != want || len(g.body) != to-from {
			t.Errorf("%s, %d bytes, want %s", g.header.Get("Content-Range"), len(g.body), want)
		}
		return g
	}
	part("agent-lead", 44+second, 44+2*second)
	part("agent-lead", 44+second+100, 44+2*second-100)
	want := []string{"agent-lead for training from 1 until 2"}
	same(t, "a part, and again", k.plays(store.TypePlayed), want)
	part("agent-lead", 44+2*second-100, 44+2*second+100)
	want = append(want, "agent-lead for training from 1 until 3")
	same(t, "a bit more", k.plays(store.TypePlayed), want)
	whole := k.get("agent-lead", audio).want(http.StatusOK, "")
	want = append(want, "agent-lead for training")
	same(t, "all of it", k.plays(store.TypePlayed), want)
	part("agent-lead", 100, 200)
	same(t, "seeking in it", k.plays(store.TypePlayed), want)
	part("officer", 44, 44+second)
	want = append(want, "officer for training until 1")
	same(t, "somebody else", k.plays(store.TypePlayed), want)
	k.clock.forward(11 * time.Minute)
	later := part("agent-lead", 44+second, 44+2*second)
	want = append(want, "agent-lead for training from 1 until 2")
	same(t, "another listening", k.plays(store.TypePlayed), want)
	if !bytes.Equal(later.body, whole.body[44+second:44+2*second]) {
		t.Error("the range isn't what is there in the whole")
	}
	if fmt.Sprint(len(whole.body)) != size || string(whole.body[:4]) != "RIFF" {
		t.Errorf("%d bytes of %s", len(whole.body), size)
	}
	for _, g := range []got{head, whole, later} {
		if g.header.Get("Cache-Control") != "no-store" || g.header.Get("ETag") != "" {
			t.Errorf("%v may be kept", g.header)
		}
	}
}

// TestRangesThatAreNoneOrMany: several ranges are answered with all, those behind
// the end with a problem, what can't be read is ignored (RFC 9110 section 14.2).
func TestRangesThatAreNoneOrMany(t *testing.T) {
	k := newKit(t, options{})
	audio := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second) + "/audio?purpose=training"
	size := len(k.get("officer", audio).want(http.StatusOK, "").body)
	many := "bytes=0-0" + strings.Repeat(",5-6", 2000)
	for r, status := range map[string]int{many: 200, "bytes=0-1,3-4": 200, "bytes=-": 200, "bytes=9-3": 200, "items=0-1": 200, "bytes=x-y": 200,
		"bytes=0x1-2": 200, "bytes=99999999999999999999-": 200, fmt.Sprintf("bytes=%d-", size): 416, "bytes=-0": 416,
		"bytes=99999999-999999999": 416, "bytes=-99999999": 206, fmt.Sprintf("bytes=%d-", size-1): 206, "bytes=0-99999999": 206} {
		g := k.get("officer", audio, "Range", r)
		switch {
		case g.status != status, status == 416 && (g.problem() != "no-such-range" || g.header.Get("Content-Range") != fmt.Sprintf("bytes */%d", size)),
			status == 200 && len(g.body) != size:
			t.Errorf("%.40s: %d, %d bytes, %v", r, g.status, len(g.body), g.header)
		}
	}
}

// TestARestrictedRecordingIsPlayedToNobody: it can be taken out for a legal claim,
// which is logged as that.
func TestARestrictedRecordingIsPlayedToNobody(t *testing.T) {
	k := newKit(t, options{})
	one := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second)
	var r struct{ ID string }
	k.do("officer", "POST", one+"/restrictions", `{"reason":"contested","ground":"accuracy"}`).want(http.StatusCreated, "").into(&r)
	k.get("officer", one+"/audio?purpose=training").want(http.StatusForbidden, "restricted")
	k.get("officer", one+"/export?form=age&purpose=training&recipient="+recipient(t)).want(http.StatusForbidden, "restricted")
	k.get("officer", one+"/export?form=opus&case=7-C-12&reason=hearing").want(http.StatusBadRequest, "unknown-form")
	k.get("officer", one+"/export?form=wav&case=7-C-12").want(http.StatusUnprocessableEntity, "incomplete")
	k.get("officer", one+"/export?form=wav&case=7-C-12&reason=hearing").want(http.StatusOK, "")
	same(t, "exported", k.plays(store.TypeExported), []string{"officer for legal claims"})
	k.do("officer", "DELETE", one+"/restrictions/"+r.ID, `{"reason":"settled"}`).want(http.StatusUnprocessableEntity, "incomplete")
	k.do("officer", "DELETE", one+"/restrictions/"+r.ID, `{"reason":"settled","told":true}`).want(http.StatusNoContent, "")
	k.get("officer", one+"/audio?purpose=training").want(http.StatusOK, "")
	k.get("officer", one+"/export?form=wav&case=7-C-12&reason=hearing").want(http.StatusForbidden, "purpose-not-consented")
	same(t, "exported", k.plays(store.TypeExported), []string{"officer for legal claims"})
}

func recipient(t *testing.T) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	must(t, err)
	return id.Recipient().String()
}

// TestAVConsURLServesTheBytesItsHashIsOf, for who may listen, which is then logged: by
// the vCon itself nobody heard anything. Whom the request says it came to doesn't
// matter.
func TestAVConsURLServesTheBytesItsHashIsOf(t *testing.T) {
	k := newKit(t, options{url: "https://gate.example:8443"})
	id := sample.Record(t, k.store, sample.Caller, time.Second)
	path := "/api/v1/recordings/" + id + "/vcon"
	var v struct {
		Dialog []struct {
			URL, Body string
			Hash      string `json:"content_hash"`
		}
	}
	k.get("officer", path+"?audio=url", "Host", "evil.example").want(http.StatusOK, "").into(&v)
	d := v.Dialog[0]
	at, ok := strings.CutPrefix(d.URL, "https://gate.example:8443")
	if !ok || d.Body != "" {
		t.Fatalf("%+v", d)
	}
	same(t, "plays by the vCon", k.plays(store.TypePlayed), nil)
	sum := sha512.Sum512(k.get("agent-lead", at).want(http.StatusOK, "").body)
	if want := "sha512-" + base64.RawURLEncoding.EncodeToString(sum[:]); d.Hash != want {
		t.Errorf("%s is served, and %s said", want, d.Hash)
	}
	same(t, "plays", k.plays(store.TypePlayed), []string{"agent-lead for training"})
	same(t, "exports", k.plays(store.TypeExported), nil)

	for _, query := range []string{"", "?audio=none"} {
		if g := k.get("officer", path+query).want(http.StatusOK, ""); strings.Contains(string(g.body), "content_hash") {
			t.Errorf("%q: %s", query, g.body)
		}
	}
	if g := k.get("officer", path+"?audio=inline").want(http.StatusBadRequest, "bad-request"); !strings.Contains(string(g.body), "none, url") {
		t.Errorf("%s", g.body)
	}
	k.get("agent-lead", path+"?audio=url").want(http.StatusForbidden, "not-your-role")
	running := sample.Begin(t, k.store, sample.Caller, time.Second)
	k.get("officer", "/api/v1/recordings/"+running.ID()+"/vcon?audio=url").want(http.StatusConflict, "goes-on")
	k.do("officer", "POST", "/api/v1/recordings/"+id+"/restrictions", `{"reason":"contested","ground":"accuracy"}`).want(http.StatusCreated, "")
	k.get("officer", path+"?audio=url").want(http.StatusForbidden, "restricted")
	k.get("officer", path).want(http.StatusOK, "")
}

// TestAVConNamesNoURLWhereNobodySaidWhichIsRight, but what to set.
func TestAVConNamesNoURLWhereNobodySaidWhichIsRight(t *testing.T) {
	k := newKit(t, options{})
	g := k.get("officer", "/api/v1/recordings/"+sample.Record(t, k.store, sample.Caller, time.Second)+"/vcon?audio=url").want(http.StatusNotImplemented, "not-set-up")
	if !strings.Contains(string(g.body), "console.url") {
		t.Errorf("%s", g.body)
	}
}

// TestARecordingIsTakenOutInEachForm, and the log has who, in which, and for whom,
// before the first byte.
func TestARecordingIsTakenOutInEachForm(t *testing.T) {
	k := newKit(t, options{})
	export := "/api/v1/recordings/" + sample.Record(t, k.store, sample.Caller, time.Second) + "/export?purpose=training&form="
	to := recipient(t)
	begins := map[string]string{"wav": "RIFF", "g711": "RIFF", "remote": "RIFF", "local": "RIFF", "opus": "OggS",
		"age&to=counsel&recipient=" + to: "age-encryption.org/v1\n", "vcon": `{"vcon"`}
	for form, begin := range begins {
		g := k.get("officer", export+form)
		if form == "opus" && g.status == http.StatusNotImplemented { // no encoder on this machine
			continue
		}
		g.want(http.StatusOK, "")
		if !strings.HasPrefix(string(g.body), begin) || !strings.HasPrefix(g.header.Get("Content-Disposition"), `attachment; filename="recording-`) {
			t.Errorf("%s: %.30q %v", form, g.body, g.header)
		}
		name, _, _ := strings.Cut(form, "&")
		logged := k.plays(store.TypeExported)
		if last := logged[len(logged)-1]; !strings.HasPrefix(last, "officer for training form "+name) || strings.Contains(last, "to counsel") != (name == "age") {
			t.Errorf("%s: %q", form, last)
		}
	}
	n := len(k.entries(store.TypeExported))
	k.get("officer", export+"mp3").want(http.StatusBadRequest, "bad-request")
	k.get("officer", export+"age").want(http.StatusBadRequest, "bad-request")
	k.get("officer", export+"age&recipient=age1x").want(http.StatusBadRequest, "bad-request")
	k.get("officer", export+"wav&recipient="+to).want(http.StatusBadRequest, "bad-request")
	k.do("officer", "HEAD", export+"wav", "").want(http.StatusMethodNotAllowed, "")
	if now := len(k.entries(store.TypeExported)); now != n {
		t.Errorf("%d exports are logged that weren't made", now-n)
	}
}
