package evidence_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/piprate/json-gold/ld"

	"consentgate/consent"
	"consentgate/store/evidence"
)

var officer = evidence.Reader{Numbers: true}

func receiptOf(t *testing.T, c evidence.Case, r evidence.Reader) []byte {
	t.Helper()
	b, err := evidence.Receipt(c, evidence.Setting{Address: "1 Example Street, London", Country: "GB"}, r, made)
	must(t, err)
	return b
}

// TestReceiptsAreAsTheyWere: a change to what is given out is a decision.
func TestReceiptsAreAsTheyWere(t *testing.T) {
	for name, c := range cases() {
		golden(t, "receipt-"+name+".jsonld", receiptOf(t, c, evidence.Reader{}))
	}
}

// nothingFetched is a JSON-LD processor's way to the network.
type nothingFetched struct{}

func (nothingFetched) LoadDocument(u string) (*ld.RemoteDocument, error) {
	return nil, errors.New("a receipt must be readable without fetching " + u)
}

// expanded is a receipt as any JSON-LD processor understands it.
func expanded(t *testing.T, receipt []byte) []any {
	t.Helper()
	var doc any
	must(t, json.Unmarshal(receipt, &doc))
	opts := ld.NewJsonLdOptions("")
	opts.DocumentLoader = nothingFetched{}
	opts.SafeMode = true // an error where something would be lost
	out, err := ld.NewJsonLdProcessor().Expand(doc, opts)
	must(t, err)
	return out
}

// walk calls f for each member of each object.
func walk(v any, f func(key string, value any)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			walk(e, f)
		}
	case map[string]any:
		for k, e := range v {
			f(k, e)
			walk(e, f)
		}
	}
}

// TestEveryTermOfAReceiptHasAMeaning: none is lost when it is expanded, and every
// name and reference becomes an IRI.
func TestEveryTermOfAReceiptHasAMeaning(t *testing.T) {
	absolute := func(s string) bool {
		return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "urn:")
	}
	for name, c := range cases() {
		raw := receiptOf(t, c, officer)
		var compact map[string]any
		must(t, json.Unmarshal(raw, &compact))
		context := compact["@context"].(map[string]any)
		delete(compact, "@context")
		written, meant := map[string]bool{}, map[string]bool{}
		walk(compact, func(k string, _ any) {
			if prefix, local, ok := strings.Cut(k, ":"); ok {
				written[context[prefix].(string)+local] = true
			} else if !strings.HasPrefix(k, "@") {
				t.Errorf("%s: %s has no prefix", name, k)
			}
		})
		walk(expanded(t, raw), func(k string, v any) {
			if !strings.HasPrefix(k, "@") {
				meant[k] = true
			}
			if k == "@id" && !absolute(v.(string)) {
				t.Errorf("%s: %v isn't an IRI", name, v)
			}
			for _, typ := range types(k, v) {
				if !absolute(typ) {
					t.Errorf("%s: the type %s isn't an IRI", name, typ)
				}
			}
		})
		for iri := range written {
			if !meant[iri] {
				t.Errorf("%s: %s is lost", name, iri)
			}
		}
		if len(meant) < 40 {
			t.Errorf("%s: only %d properties", name, len(meant))
		}
	}
}

func types(k string, v any) (out []string) {
	if k != "@type" {
		return nil
	}
	if s, ok := v.(string); ok {
		return []string{s}
	}
	for _, e := range v.([]any) {
		out = append(out, e.(string))
	}
	return out
}

// TestEveryDPVTermIsInTheVocabulary: against the list of those that version 2.3
// has (testdata says where from).
func TestEveryDPVTermIsInTheVocabulary(t *testing.T) {
	f, err := os.Open("testdata/dpv-2.3-terms.txt")
	must(t, err)
	defer f.Close()
	known := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		known[s.Text()] = !strings.HasPrefix(s.Text(), "#")
	}
	used := map[string]bool{}
	for _, c := range cases() {
		walk(expanded(t, receiptOf(t, c, officer)), func(k string, v any) {
			used[k] = true
			if k == "@id" {
				used[v.(string)] = true
			}
			for _, typ := range types(k, v) {
				used[typ] = true
			}
		})
	}
	n := 0
	for iri := range used {
		if strings.HasPrefix(iri, "https://w3id.org/dpv") {
			n++
			if !known[iri] {
				t.Errorf("%s isn't in the vocabulary", iri)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d terms of DPV", n)
	}
}

// required are the fields that the DPV guide to 27560 (Final Community Group
// Report, 15 February 2026) says MUST be present, by its sections, with their
// property and the node that has them.
var required = []struct{ section, field, path string }{
	{"9.1.1", "schema version of the receipt", "dct:conformsTo"},
	{"9.1.2", "receipt identifier", "dpv:hasIdentifier"},
	{"9.1.3", "consent record", "dpv:hasRecordOfActivity"},
	{"9.1.4", "creation timestamp", "dct:created"},
	{"8.1.1", "schema version", "R/dct:conformsTo"},
	{"8.1.2", "record identifier", "R/dct:identifier"},
	{"8.1.3", "data subject (pii_principal_id)", "R/dpv:hasDataSubject/dct:identifier"},
	{"8.2.1", "notice (privacy_notice)", "R/dpv:hasNotice"},
	{"8.2.2", "language", "R/dpv:hasNotice/dct:language"},
	{"8.3.1", "process", "R/dpv:hasProcess"},
	{"8.3.2", "purpose", "R/dpv:hasProcess/dpv:hasPurpose"},
	{"8.3.3", "personal data (pii_information, pii_type)", "R/dpv:hasProcess/dpv:hasPersonalData"},
	{"8.3.4.2", "storage (storage_locations, retention_period)", "R/dpv:hasProcess/dpv:hasStorageCondition"},
	{"8.3.5", "controller (pii_controllers)", "R/dpv:hasProcess/dpv:hasDataController"},
	{"8.3.7", "recipients", "R/dpv:hasProcess/dpv:hasRecipient"},
	{"8.3.8", "withdrawal", "R/dpv:hasProcess/dpv:hasConsentControl/dpv:isExercisedAt"},
	{"8.3.9", "jurisdiction", "R/dpv:hasProcess/dpv:hasJurisdiction"},
	{"8.3.10", "rights", "R/dpv:hasProcess/dpv:hasRight"},
	{"8.4.1", "entity's name", "R/dpv:hasEntity/dpv:hasName"},
	{"8.4.2", "entity's identifier", "R/dpv:hasEntity/dpv:hasIdentifier"},
	{"8.4.3", "entity's role", "R/dpv:hasEntity/@type"},
	{"8.4.4", "entity's contact", "R/dpv:hasEntity/schema:contactPoint"},
	{"8.4.4.1", "entity's address", "R/dpv:hasEntity/schema:address"},
	{"8.5.1", "consent type", "R/dpv:hasProcess/dpv:hasLegalBasis"},
	{"8.5.2", "consent state", "R/dpv:hasConsentStatus/@type"},
	{"8.5.3", "event time", "R/dpv:hasConsentStatus/dpv:isIndicatedAtTime"},
	{"8.5.4", "event duration", "R/dpv:hasConsentStatus/dpv:hasDuration"},
	{"8.5.5", "expressed by", "R/dpv:hasConsentStatus/dpv:isIndicatedBy"},
}

// TestReceiptsHaveWhat27560Requires: in every record, and of every event.
func TestReceiptsHaveWhat27560Requires(t *testing.T) {
	for name, c := range cases() {
		var doc any
		must(t, json.Unmarshal(receiptOf(t, c, evidence.Reader{}), &doc))
		for _, r := range required {
			path := strings.Split(strings.Replace(r.path, "R/", "dpv:hasRecordOfActivity/", 1), "/")
			if !has(doc, path) {
				t.Errorf("%s: section %s: no %s at %s", name, r.section, r.field, r.path)
			}
		}
	}
}

// has reports whether every node that a path leads through has the next step of it.
func has(v any, path []string) bool {
	if list, ok := v.([]any); ok {
		return len(list) > 0 && !slices.ContainsFunc(list, func(e any) bool { return !has(e, path) })
	}
	if len(path) == 0 {
		return v != nil && v != ""
	}
	m, ok := v.(map[string]any)
	return ok && m[path[0]] != nil && has(m[path[0]], path[1:])
}

// TestANumberIsOnlyShownToWhoMaySeeIt: in receipts.
func TestANumberIsOnlyShownToWhoMaySeeIt(t *testing.T) {
	c := cases()["two"]
	for name, k := range map[string]struct {
		r             evidence.Reader
		public, agent bool
		records       int
	}{
		"nobody's":       {evidence.Reader{}, false, false, 2},
		"an officer's":   {officer, true, true, 2},
		"the caller's":   {evidence.Reader{Party: &remote}, true, false, 1},
		"the agent's":    {evidence.Reader{Party: &local}, false, true, 1},
		"told otherwise": {evidence.Reader{Party: &local, Numbers: true}, false, true, 1},
	} {
		text := string(receiptOf(t, c, k.r))
		if got := strings.Contains(text, publicNumber); got != k.public {
			t.Errorf("%s: the caller's number is there: %v", name, got)
		}
		if got := strings.Contains(text, agentNumber); got != k.agent {
			t.Errorf("%s: the agent's number is there: %v", name, got)
		}
		if got := strings.Count(text, `"dpv:ConsentRecord"`); got != k.records {
			t.Errorf("%s: %d records", name, got)
		}
	}
}

// TestAPseudonymIsOfOneGrantOnly: nobody can tell from two that they are of one person.
func TestAPseudonymIsOfOneGrantOnly(t *testing.T) {
	subject := func(c evidence.Case) string {
		var doc struct {
			Records []struct {
				Subject struct {
					ID string `json:"dct:identifier"`
				} `json:"dpv:hasDataSubject"`
			} `json:"dpv:hasRecordOfActivity"`
		}
		must(t, json.Unmarshal(receiptOf(t, c, evidence.Reader{}), &doc))
		return doc.Records[0].Subject.ID
	}
	first, again, other := caseOf("info", remote), caseOf("info", remote), caseOf("info", remote)
	other.Records[0].Call.ID = "c-2"
	if subject(first) != subject(again) {
		t.Error("the same grant gives two pseudonyms")
	}
	if a, b := subject(first), subject(other); a == b || len(a) != 36 {
		t.Errorf("two grants give %s and %s", a, b)
	}
}

// TestNoReceiptWithoutConsent: nor for who wasn't asked.
func TestNoReceiptWithoutConsent(t *testing.T) {
	for name, c := range map[string]evidence.Case{"no records": {}, "refused": {Records: []evidence.Logged{{Record: consent.Record{Kind: consent.Declined}}}}} {
		if b, err := evidence.Receipt(c, evidence.Setting{}, officer, made); err == nil {
			t.Errorf("%s: %s", name, b)
		}
	}
	if b, err := evidence.Receipt(caseOf("info", remote), evidence.Setting{}, evidence.Reader{Party: &local}, made); err == nil {
		t.Errorf("the agent wasn't asked: %s", b)
	}
	if b, err := evidence.Receipt(caseOf("info", remote), evidence.Setting{Country: "Germany"}, officer, made); err == nil {
		t.Errorf("a country that isn't one: %s", b)
	}
}

// TestACountryThatNobodyStatedIsNotAssumed: neither of the law nor of the storage.
func TestACountryThatNobodyStatedIsNotAssumed(t *testing.T) {
	b, err := evidence.Receipt(caseOf("info", remote), evidence.Setting{}, officer, made)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "not stated; ask the contact"); strings.Contains(string(b), `"loc:`) || n != 3 {
		t.Errorf("jurisdiction, storage location and address should be said not to be stated: %s", b)
	}
}

// TestOddInputGivesAReceipt that still expands: in any script, with nothing known.
func TestOddInputGivesAReceipt(t *testing.T) {
	c := caseOf("", remote)
	g := &c.Records[0]
	g.Call.Controller = consent.Controller{Name: "株式会社 <例> \u202e", Contact: "+49 30 1"}
	g.Call.Remote, g.Purpose.Text, g.Purpose.Retention, g.Answers[0].Heard.Language = "ألِيس", nil, 0, ""
	g.Seq, g.Leaf, c.Started = -1, "", time.Time{}
	if n := len(expanded(t, receiptOf(t, c, officer))); n != 1 {
		t.Errorf("%d nodes", n)
	}
}
