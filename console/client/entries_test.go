package client

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
)

// documented are the types of the log's entries, each with what docs/audit-format.md has
// of its payload.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/audit-format.md")
	if err != nil {
		t.Fatal(err)
	}
	_, types, _ := strings.Cut(string(text), "## Types and payloads")
	types, _, _ = strings.Cut(types, "\n## ")
	out := map[string]string{}
	for row := range strings.Lines(types) {
		cells := strings.Split(strings.ReplaceAll(row, `\|`, "/"), " | ")
		if len(cells) < 3 || !strings.HasPrefix(row, "| `") {
			continue
		}
		begin := ""
		for _, name := range regexp.MustCompile("`([a-z._]+)`").FindAllStringSubmatch(cells[0], -1) {
			kind := name[1]
			if strings.HasPrefix(kind, ".") {
				kind = begin + kind
			}
			begin, _, _ = strings.Cut(kind, ".")
			out[kind] += cells[1]
		}
	}
	record, err := json.Marshal(consent.Record{Party: new(consent.Party), Reason: "r", By: "b"})
	if err != nil {
		t.Fatal(err)
	}
	out["consent"] = string(record)
	return out
}

// TestOfEachTypeOfEntryIsSaidWhatItHas: none is forgotten, and no member is looked for
// that isn't there.
func TestOfEachTypeOfEntryIsSaidWhatItHas(t *testing.T) {
	types := documented(t)
	if len(types) < 30 {
		t.Fatalf("%d types are documented: %v", len(types), types)
	}
	for kind, payload := range types {
		what, ok := says[kind]
		if !ok {
			t.Errorf("%s: nothing is said of it", kind)
		}
		for _, member := range strings.Fields(what) {
			if _, path, ok := strings.Cut(member, "="); ok {
				member = path
			}
			for name := range strings.SplitSeq(member, ".") {
				if !strings.Contains(payload, `"`+name+`"`) && member != "gaps.list" && !(kind == "retention.braked" && (name == "confirmed" || name == "reason")) {
					t.Errorf("%s has no %s: %s", kind, member, payload)
				}
			}
		}
	}
	for kind := range says {
		if types[kind] == "" {
			t.Errorf("%s isn't documented", kind)
		}
	}
}

// TestAnEntryIsReadAsWhoDidWhatToWhat: times are the reader's, hashes are short, lists
// are counted, and a value with spaces is kept together.
func TestAnEntryIsReadAsWhoDidWhatToWhat(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	hash := strings.Repeat("ab", 32)
	for _, c := range []struct{ kind, payload, by, of, rest string }{
		{"hold.set", `{"recording":"k3vq","id":"h1","by":"dana","reason":"claim of Smith, \"urgent\"","case":"C-7","grant":"` + hash + `"}`,
			"dana", "k3vq", `reason="claim of Smith, \"urgent\"" case=C-7 id=h1`},
		{"recording.sealed", `{"recording":"k3vq","seconds":61.5,"bytes":1234567890123,"truncated":true,"reason":"hang-up","gaps":{"list":[{"party":"local"},{}]},"hash":"` + hash + `"}`,
			"", "k3vq", "reason=hang-up seconds=61.5 bytes=1234567890123 truncated=true gaps=2"},
		{"consent", `{"kind":"withdrawn","party":"remote","call":{"id":"c9","trunk":"main","direction":"inbound","remote":"…123","local":"201"},"purpose":{"name":"training"},"policy":"default"}`,
			"", "c9", "kind=withdrawn party=remote trunk=main direction=inbound remote=…123 local=201 purpose=training policy=default"},
		{"config.changed", `{"before":"` + hash + `","after":""}`, "", "", "before=abababababab…"},
		{"user.failed", `{"as":"dana","from":"192.0.2.1","reason":"wrong password"}`, "dana", "", `reason="wrong password" from=192.0.2.1`},
		{"retention.run", `{"erased":{"training":3,"proof":1},"by":"retention"}`, "retention", "", `erased="proof 1, training 3"`},
		{"clock.jumped", `{"was":"2026-11-25T12:00:00Z","is":"x","seconds":-2}`, "", "", `was="` + moment(at) + `" is=x seconds=-2`},
		{"of.tomorrow", `{"new":"a=b","by":"dana","request":"q1","flag":false,"none":null}`, "dana", "q1", `flag=false new="a=b"`},
	} {
		by, of, rest, err := cellsOf(c.kind, json.RawMessage(c.payload))
		if err != nil || by != c.by || of != c.of || rest != c.rest {
			t.Errorf("%s: %q, %q, %s, %v", c.kind, by, of, rest, err)
		}
	}
	if _, _, _, err := cellsOf("consent", json.RawMessage(`[]`)); err == nil {
		t.Error("what isn't an object is one")
	}
}
