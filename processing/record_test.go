package processing_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"consentgate/processing"
)

func example() processing.Record {
	return processing.Record{Format: processing.Format, Made: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), Node: "gate-1", Version: "v1", Config: "abc",
		Controller: processing.Controller{Name: "Example Ltd", Contact: "privacy@example.com"},
		Activities: []processing.Activity{
			{Purpose: "training", Texts: map[string]string{"en": "staff training", "de": "die Schulung"}, Basis: processing.Basis, Retention: 90 * 86400,
				Policies: []processing.Policy{{Name: "default", Direction: "any", Asked: []string{"remote"}, Withdraw: true, Erases: true}}},
			{Purpose: "unused", Retention: 86400}},
		Data: []processing.Category{"voice", "numbers", "consents", "uses", "rights", "registrations"}, Subjects: []processing.Category{"callers", "staff", "users"},
		Recipients: []processing.Recipient{{Kind: "carrier", Name: "main"}, {Kind: "stated", Name: "An archive"}},
		Periods:    []processing.Period{{What: "requests", Seconds: 1095 * 86400}, {What: "consent_log"}},
		Measures: []processing.Measure{{Key: "gate"}, {Key: "root_key", Detail: "tpm"}, {Key: "tls", Missing: true}, {Key: "clear", Detail: "main/pbx (udp)", Missing: true},
			{Key: "stated_measure", Detail: "a door *with* a lock\n# twice"}},
	}
}

func written(t *testing.T, r processing.Record, lang string) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Markdown(&b, lang); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestTheRecordHasAllOfArticle30InBothLanguages, and says where the controller has
// to add something.
func TestTheRecordHasAllOfArticle30InBothLanguages(t *testing.T) {
	for lang, want := range map[string][]string{
		"en": {"## Controller (a)", "Data protection officer: (to be filled in", "## Purposes and time limits (b, f)", "staff training", "90 days after", "1 day after",
			"no policy records for this purpose", "which erases what was recorded", "## Categories of persons and data (c)", "## Recipients (d)", "An archive",
			"## Transfers to third countries (e)", "None is stated", "1095 days", "(g, Art. 32(1))", "held by: tpm", "### Not taken", "by TLS: none", "main/pbx (udp)", `\*with\* a lock \# twice`},
		"de": {"## Verantwortlicher (a)", "Datenschutzbeauftragter: (vom Verantwortlichen", "die Schulung", "90 Tage nach", "Empfänger (d)", "Keine angegeben", "mit TLS verschlüsselt: keine"},
	} {
		text := written(t, example(), lang)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", lang, w, text)
			}
		}
		if strings.Contains(text, "%!") || strings.Contains(text, "%s") {
			t.Errorf("%s: a sentence without its detail in\n%s", lang, text)
		}
	}
}

// TestWhatIsStatedReplacesTheGaps.
func TestWhatIsStatedReplacesTheGaps(t *testing.T) {
	r := example()
	r.Controller.DPO, r.Controller.Joint = "Dora Po", "Other Ltd"
	r.Transfers = []processing.Transfer{{To: "Example Inc., US", Safeguard: "Art. 46(2)(c)"}}
	text := written(t, r, "en")
	for _, w := range []string{"Data protection officer: Dora Po", "Joint controller: Other Ltd", "Example Inc., US; safeguards: Art. 46(2)(c)"} {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
	if strings.Contains(text, "to be filled in") || strings.Contains(text, "None is stated") {
		t.Errorf("a gap is left in\n%s", text)
	}
}

// TestEverySentenceIsThereInBothLanguages, with as many details in each.
func TestEverySentenceIsThereInBothLanguages(t *testing.T) {
	for key, pair := range processing.Texts() {
		if pair[0] == "" || pair[1] == "" || strings.Count(pair[0], "%s") != strings.Count(pair[1], "%s") {
			t.Errorf("%s: %q", key, pair)
		}
	}
}
