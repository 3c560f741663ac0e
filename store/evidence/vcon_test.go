package evidence_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store/evidence"
)

var wav = append([]byte("RIFF\x00\x00\x00\x00WAVE"), bytes.Repeat([]byte{0xff, 0x00, 0x7f}, 1000)...)

func inline(w io.Writer) error {
	for _, b := range wav { // in the most awkward pieces
		if _, err := w.Write([]byte{b}); err != nil {
			return err
		}
	}
	return nil
}

func vconOf(t *testing.T, c evidence.Case, r evidence.Reader, a evidence.Audio) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, evidence.VCon(&b, c, evidence.Setting{}, r, a, made))
	return b.Bytes()
}

type object = map[string]any

// rules are what draft-ietf-vcon-vcon-core-04 and draft-howe-vcon-lawful-basis-02
// ask of what we write, each with its section. They are written from the texts.
var rules = []struct {
	says  string
	holds func(v object) bool
}{
	{"core 4.1.1: vcon is 0.4.0", func(v object) bool { return v["vcon"] == "0.4.0" }},
	{"core 4.1.2: uuid is a UUID of version 8", func(v object) bool { return uuid8.MatchString(text(v["uuid"])) }},
	{"core 4.1.3: extensions names the extensions used", func(v object) bool { return slices.Contains(v["extensions"].([]any), any("lawful_basis")) }},
	{"core 4.1.5: created_at is a date", func(v object) bool { return date(v["created_at"]) }},
	{"core 4.1.8: redacted has a type, and a uuid that is another's", func(v object) bool {
		r, there := v["redacted"].(object)
		return !there || text(r["type"]) != "" && uuid8.MatchString(text(r["uuid"])) && r["uuid"] != v["uuid"]
	}},
	{"core 4.1.8, 4.1.9: redacted and amended exclude each other; there is no group", func(v object) bool { return v["amended"] == nil && v["group"] == nil }},
	{"core 4.1.12: no analysis is claimed", func(v object) bool { return v["analysis"] == nil }},
	{"core 4.2.1: tel is a telephone number", each("parties", func(p, _ object) bool { return p["tel"] == nil || tel.MatchString(text(p["tel"])) })},
	{"core 4.2.5: who has a name has a validation", each("parties", func(p, _ object) bool { return p["name"] == nil || p["validation"] != nil })},
	{"core 4.3.1: the dialog is a recording", each("dialog", func(d, _ object) bool { return d["type"] == "recording" })},
	{"core 4.3.2: start is a date", each("dialog", func(d, _ object) bool { return date(d["start"]) })},
	{"core 4.3.3: duration is seconds", each("dialog", func(d, _ object) bool { s, ok := d["duration"].(float64); return ok && s >= 0 })},
	{"core 4.3.4: a party for each of the two channels, or null", each("dialog", func(d, v object) bool {
		p := d["parties"].([]any)
		return len(p) == 2 && !slices.ContainsFunc(p, func(i any) bool { return i != nil && !index(i, v, "parties") })
	})},
	{"core 4.3.5: originator is a party that isn't the first", each("dialog", func(d, v object) bool {
		return d["originator"] == nil || index(d["originator"], v, "parties") && d["originator"] != 0.0
	})},
	{"core 4.3.8: an inline dialog has a media type", each("dialog", func(d, _ object) bool { return d["body"] == nil || d["mediatype"] == "audio/x-wav" })},
	{"core 2.3: body comes with encoding; base64url has no padding", each("dialog", func(d, _ object) bool {
		return d["body"] == nil && d["encoding"] == nil || d["encoding"] == "base64url" && !strings.ContainsAny(text(d["body"]), "+/=")
	})},
	{"core 2.2: content_hash is sha512 and 86 digits of base64url", each("dialog", func(d, _ object) bool {
		return d["content_hash"] == nil || contentHash.MatchString(text(d["content_hash"]))
	})},
	{"core 2.4, 2.4.1: url is HTTPS and comes with content_hash", each("dialog", func(d, _ object) bool {
		return d["url"] == nil || strings.HasPrefix(text(d["url"]), "https://") && d["content_hash"] != nil
	})},
	{"core 4.3.10: the audio is inside or elsewhere, not both", each("dialog", func(d, _ object) bool {
		return d["body"] == nil || d["url"] == nil && d["content_hash"] == nil
	})},
	{"core 4.4: an attachment has start, party and dialog", each("attachments", func(a, v object) bool {
		return date(a["start"]) && index(a["party"], v, "parties") && index(a["dialog"], v, "dialog")
	})},
	{"core 4.4.5: an inline attachment has a media type, and JSON is a value, no text", each("attachments", func(a, _ object) bool {
		return text(a["mediatype"]) != "" && a["encoding"] == "json" && a["body"] != nil && text(a["body"]) == ""
	})},
	{"basis 5.2.1: lawful_basis, expiration, purpose_grants", basis(func(b object) bool {
		return b["lawful_basis"] == "consent" && date(b["expiration"]) && len(b["purpose_grants"].([]any)) > 0
	})},
	{"basis 5.2.1: a grant has purpose, granted and granted_at", basis(func(b object) bool {
		return every(b["purpose_grants"], func(g object) bool {
			_, bool := g["granted"].(bool)
			return text(g["purpose"]) != "" && bool && date(g["granted_at"])
		})
	})},
	{"basis 5.2.2: a proof has a type of the draft's, a time and data", basis(func(b object) bool {
		return every(b["proof_mechanisms"], func(p object) bool {
			return p["proof_type"] == "external_system" && date(p["timestamp"]) && len(p["proof_data"].(object)) > 0
		})
	})},
}

var (
	uuid8       = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	tel         = regexp.MustCompile(`^\+?[0-9*#]+$`)
	contentHash = regexp.MustCompile(`^sha512-[A-Za-z0-9_-]{86}$`)
)

func text(v any) string { s, _ := v.(string); return s }

func date(v any) bool {
	_, err := time.Parse(time.RFC3339Nano, text(v))
	return err == nil && strings.HasSuffix(text(v), "Z")
}

func index(i any, v object, of string) bool {
	n, ok := i.(float64)
	list, _ := v[of].([]any)
	return ok && n >= 0 && int(n) < len(list)
}

func every(list any, f func(object) bool) bool {
	l, _ := list.([]any)
	return len(l) > 0 && !slices.ContainsFunc(l, func(e any) bool { return !f(e.(object)) })
}

func each(list string, f func(e, v object) bool) func(object) bool {
	return func(v object) bool { return every(v[list], func(e object) bool { return f(e, v) }) }
}

func basis(f func(object) bool) func(object) bool {
	return each("attachments", func(a, _ object) bool { return a["purpose"] != "lawful_basis" || f(a["body"].(object)) })
}

func checkVCon(t *testing.T, name string, raw []byte) object {
	t.Helper()
	var v object
	must(t, json.Unmarshal(raw, &v))
	for _, r := range rules {
		if !r.holds(v) {
			t.Errorf("%s: not so: %s", name, r.says)
		}
	}
	return v
}

// TestVConsAreAsTheDraftsSay: for each case, for each reader, in each form of audio.
func TestVConsAreAsTheDraftsSay(t *testing.T) {
	sum := bytes.Repeat([]byte{7}, 64)
	for name, c := range cases() {
		for i, r := range []evidence.Reader{{}, officer, {Party: &remote}} {
			for j, a := range []evidence.Audio{{}, {Write: inline}, {Filename: "audio.wav", SHA512: sum}, {URL: "https://gate.example/audio", SHA512: sum},
				{Write: inline, Only: &remote}} {
				v := checkVCon(t, fmt.Sprint(name, i, j), vconOf(t, c, r, a))
				if whole := r == officer && a.Only == nil; whole != (v["redacted"] == nil) {
					t.Errorf("%s %d %d: redacted: %v", name, i, j, v["redacted"])
				}
			}
		}
	}
	for name, c := range cases() {
		golden(t, "vcon-"+name+".json", vconOf(t, c, evidence.Reader{Party: &remote}, evidence.Audio{Filename: "audio.wav", SHA512: sum, Only: &remote}))
	}
}

// TestTheRulesCanFail: each of them refuses something that is wrong in its point.
func TestTheRulesCanFail(t *testing.T) {
	var v object
	must(t, json.Unmarshal([]byte(`{"vcon":"0.3.0","uuid":"x","extensions":[],"created_at":"today","redacted":{},"amended":{},"analysis":[],
		"parties":[{"tel":"anonymous","name":"x"}],"dialog":[{"type":"text","start":1,"duration":-1,"parties":[7,0],"originator":0,"body":"=","url":"http://gate.example","content_hash":"md5-1"}],
		"attachments":[{"purpose":"lawful_basis","encoding":"json","body":{"lawful_basis":"whim","purpose_grants":[{"purpose":""}],"proof_mechanisms":[{}]}}]}`), &v))
	for _, r := range rules {
		if r.holds(v) {
			t.Errorf("holds of what is wrong: %s", r.says)
		}
	}
}

// TestTheAudioOfAVConIsTheRecordings, byte for byte.
func TestTheAudioOfAVConIsTheRecordings(t *testing.T) {
	v := checkVCon(t, "inline", vconOf(t, caseOf("info", remote), officer, evidence.Audio{Write: inline}))
	got, err := base64.RawURLEncoding.DecodeString(text(v["dialog"].([]any)[0].(object)["body"]))
	if err != nil || !bytes.Equal(got, wav) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	failed := errors.New("the disk")
	err = evidence.VCon(io.Discard, caseOf("info", remote), evidence.Setting{}, officer,
		evidence.Audio{Write: func(io.Writer) error { return failed }}, made)
	if !errors.Is(err, failed) {
		t.Errorf("audio that can't be read: %v", err)
	}
}

// TestAVConShowsNumbersToWhoMaySeeThem, and its silenced channel has no party.
func TestAVConShowsNumbersToWhoMaySeeThem(t *testing.T) {
	c := cases()["two"]
	c.Records[0].Call.Direction = consent.Outbound
	raw := vconOf(t, c, evidence.Reader{Party: &local}, evidence.Audio{Write: inline, Only: &local})
	v := checkVCon(t, "agent's", raw)
	d := v["dialog"].([]any)[0].(object)
	if p := d["parties"].([]any); p[0] != nil || p[1] != 1.0 || d["originator"] != 1.0 {
		t.Errorf("channels %v, originator %v", p, d["originator"])
	}
	if strings.Contains(string(raw), publicNumber) || !strings.Contains(string(raw), `"tel":"`+agentNumber+`"`) {
		t.Errorf("numbers: %s", raw[:400])
	}
	if strings.Contains(string(raw), `"cause":"hold"`) || !strings.Contains(string(raw), `"cause":"dtmf"`) {
		t.Error("the gaps aren't the agent's")
	}
	c.Records[0].Call.Remote, c.Records[0].Call.Local = "sip:alice@example.com", "bob@example.org"
	v = checkVCon(t, "addresses", vconOf(t, c, officer, evidence.Audio{}))
	p := v["parties"].([]any)
	if p[0].(object)["sip"] != "sip:alice@example.com" || p[1].(object)["sip"] != "sip:bob@example.org" {
		t.Errorf("addresses: %v", p)
	}
}

// TestAWithdrawalDeniesInAVCon: who evaluates its grants finds a no.
func TestAWithdrawalDeniesInAVCon(t *testing.T) {
	v := checkVCon(t, "withdrawn", vconOf(t, cases()["withdrawn"], officer, evidence.Audio{}))
	var grants []string
	for _, g := range v["attachments"].([]any)[0].(object)["body"].(object)["purpose_grants"].([]any) {
		grants = append(grants, fmt.Sprint(g.(object)["purpose"], g.(object)["granted"]))
	}
	if want := []string{"recordingtrue", "trainingtrue", "recordingfalse", "trainingfalse"}; !slices.Equal(grants, want) {
		t.Errorf("%v, want %v", grants, want)
	}
}
