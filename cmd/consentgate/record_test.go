package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentgate/processing"
)

// recordOf runs the command on a configuration.
func recordOf(t *testing.T, config string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	mustOK(t, os.WriteFile(path, []byte(config), 0o600))
	var out, errs bytes.Buffer
	if code := recordCommand(context.Background(), append([]string{"--config", path}, args...), &out, &errs); code != exitOK {
		t.Fatalf("%d %s", code, errs.String())
	}
	return out.String()
}

// measuresOf are those of a record, by key; those that aren't taken have "missing: "
// before their detail.
func measuresOf(t *testing.T, config string) map[string]string {
	t.Helper()
	var r processing.Record
	mustOK(t, json.Unmarshal([]byte(recordOf(t, config, "--json")), &r))
	out := map[string]string{}
	for _, m := range r.Measures {
		if m.Missing {
			m.Detail = "missing: " + m.Detail
		}
		out[m.Key] = m.Detail
	}
	return out
}

// TestTheRecordSaysWhatIsConfigured, not what could be: each measure follows the
// configuration, both ways.
func TestTheRecordSaysWhatIsConfigured(t *testing.T) {
	with := minimal + `
audit: {witness: [{file: /mnt/elsewhere/w.log}]}
erasure: {every: 10m, require_backup: true}
retention: {brake: 5%}
alarms: {webhook: {url: "https://alarms.example/in"}, hours: {days: [mon]}}
console: {users: [{name: dana, role: officer, token_sha256: "0000000000000000000000000000000000000000000000000000000000000000"}]}
archive: {endpoint: "https://s3.example", bucket: recordings, access_key_file: a, secret_key_file: s}
record: {dpo: "Dora Po", measures: ["a locked door"], recipients: ["An archive"]}
`
	with = strings.Replace(with, "carrier: {listen", "carrier: {srtp: optional, listen", 1)
	bare, full := measuresOf(t, minimal), measuresOf(t, with)
	for key, want := range map[string][2]string{
		"root_key":       {"file", "file"},
		"erasure":        {"1h0m0s", "10m0s"},
		"root_backup":    {"missing: ", ""},
		"witnesses":      {"missing: ", "file:/mnt/elsewhere/w.log"},
		"tls":            {"missing: ", "missing: "},
		"clear":          {"missing: main/carrier (udp), main/pbx (udp)", "missing: main/carrier (udp), main/pbx (udp)"},
		"clear_media":    {"missing: main/carrier, main/pbx", "missing: main/carrier (srtp: optional), main/pbx"},
		"roles":          {"missing: ", "1 officer"},
		"retention":      {"10 %", "5 %"},
		"alarms":         {"plays, exports, first_export, logins, all_logins, unwraps, log_head, config, clock", "plays, exports, hours, first_export, logins, all_logins, unwraps, log_head, config, clock"},
		"stated_measure": {"", "a locked door"},
	} {
		if bare[key] != want[0] || full[key] != want[1] {
			t.Errorf("%s: %q and %q, not %q", key, bare[key], full[key], want)
		}
	}
	text := recordOf(t, with, "--lang", "de")
	for _, w := range []string{"Dora Po", "An archive", "Webhook", "alarms.example", "die Schulung unserer Mitarbeiter", "90 Tage", "sip:127.0.0.1:5072", "espeak-ng", "Zeuge file:/mnt/elsewhere/w.log", "Objektspeicher https://s3.example/recordings/: Kopien"} {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
	if strings.Contains(text, "dana") || strings.Contains(text, "%!") {
		t.Errorf("a user's name, or a fault, in\n%s", text)
	}
}

// TestEverythingTheRecordNamesHasASentence: a key without one would be printed
// bare.
func TestEverythingTheRecordNamesHasASentence(t *testing.T) {
	var r processing.Record
	mustOK(t, json.Unmarshal([]byte(recordOf(t, minimal+"trace: {calls: 5}\nhep: {server: \"192.0.2.1:9060\"}\n", "--json")), &r))
	var keys []string
	for _, m := range r.Measures {
		keys = append(keys, m.Key)
	}
	for _, to := range r.Recipients {
		keys = append(keys, to.Kind)
	}
	for _, p := range r.Periods {
		keys = append(keys, p.What)
	}
	for _, c := range append(r.Data, r.Subjects...) {
		keys = append(keys, string(c))
	}
	for _, k := range keys {
		if text := processing.Text("de", k, "detail"); strings.HasPrefix(text, k) {
			t.Errorf("%s has no sentence", k)
		}
	}
}
