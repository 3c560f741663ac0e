package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"consentgate/store"
)

// certified erases a recording for good, whose certificate it returns.
func certified(t *testing.T) (signed []byte, vkey string, sum store.Summary, dir string) {
	t.Helper()
	s, dir := kit(t)
	sum, id := recorded(t, s, "victim")
	must(t, s.Erase(context.Background(), sum.Grant, "asked"), s.Rotate(context.Background()))
	signed, err := s.Certificate(id)
	must(t, err)
	return signed, vkeyOf(t, dir), sum, dir
}

// TestACertificateIsGoodToTheByte: whichever is changed, it is refused.
func TestACertificateIsGoodToTheByte(t *testing.T) {
	t.Parallel()
	signed, vkey, sum, _ := certified(t)
	c, err := store.CheckCertificate(signed, vkey)
	must(t, err)
	if !c.Of(sum.Grant) {
		t.Error("it isn't of the grant")
	}
	if keep := os.Getenv("STORE_KEEP_CERTIFICATE"); keep != "" { // for the command's test data
		must(t, os.WriteFile(filepath.Join(keep, "erasure.certificate"), signed, 0o644),
			os.WriteFile(filepath.Join(keep, "erasure.vkey"), []byte(vkey), 0o644),
			os.WriteFile(filepath.Join(keep, "erasure.grant"), []byte(sum.Grant.String()+"\n"), 0o644))
	}
	for i := range signed {
		forged := bytes.Clone(signed)
		forged[i] ^= 1
		if _, err := store.CheckCertificate(forged, vkey); err == nil {
			t.Errorf("byte %d may be changed", i)
		}
	}
}

// TestACertificateTellsNothingOfAPerson: no number, no call, no recording's ID.
func TestACertificateTellsNothingOfAPerson(t *testing.T) {
	signed, vkey, sum, _ := certified(t)
	c, err := store.CheckCertificate(signed, vkey)
	must(t, err)
	for _, secret := range []string{callerNumber, calledNumber, callerNumber[1:], "victim", sum.ID, sum.Grant.String(), "training"} {
		if bytes.Contains(signed, []byte(secret)) || bytes.Contains(c.Proof.Payload, []byte(secret)) {
			t.Errorf("it has %q", secret)
		}
	}
}

// forger signs a certificate with the log's own key after a change, and has that
// checked.
func forger(t *testing.T, signed []byte, dir string) (forge func(change func(*store.Certificate)) error) {
	t.Helper()
	text, _, _ := strings.Cut(string(signed), "\n\n")
	kind, body, _ := strings.Cut(text, "\n")
	skey, vkey := store.LogKeys(t, dir)
	signer, err := note.NewSigner(skey)
	must(t, err)
	return func(change func(*store.Certificate)) error {
		var c store.Certificate
		must(t, json.Unmarshal([]byte(body), &c))
		change(&c)
		b, err := json.Marshal(c)
		must(t, err)
		forged, err := note.Sign(&note.Note{Text: kind + "\n" + string(b) + "\n"}, signer)
		must(t, err)
		_, err = store.CheckCertificate(forged, vkey)
		return err
	}
}

// TestACertificateThatSaysMoreThanTheLogIsRefused: one signed with the log's own
// key must still agree with the log's entry.
func TestACertificateThatSaysMoreThanTheLogIsRefused(t *testing.T) {
	signed, _, _, dir := certified(t)
	forge := forger(t, signed, dir)
	must(t, forge(func(*store.Certificate) {})) // control
	for name, change := range map[string]func(*store.Certificate){
		"another recording": func(c *store.Certificate) { c.Erased.Commitment = strings.Repeat("00", 32) },
		"an earlier root":   func(c *store.Certificate) { c.Root.From-- },
		"another holder":    func(c *store.Certificate) { c.Root.Holders[0].Holder = "a safe" },
		"another refusal":   func(c *store.Certificate) { c.Root.Holders[0].Refusal = "never" },
		"no holder":         func(c *store.Certificate) { c.Root.Holders = nil },
		"earlier":           func(c *store.Certificate) { c.Shredded = c.Shredded.AddDate(-1, 0, 0) },
		"another entry":     func(c *store.Certificate) { c.Proof.Index-- },
		"another payload":   func(c *store.Certificate) { c.Proof.Payload[3] ^= 1 },
		"another proof":     func(c *store.Certificate) { c.Proof.Hashes[0][0] ^= 1 },
		"another log":       func(c *store.Certificate) { c.Log = "consentgate/0" },
		"no checkpoint":     func(c *store.Certificate) { c.Proof.Checkpoint = "" },
	} {
		if err := forge(change); err == nil {
			t.Errorf("%s: it passes", name)
		}
	}
}
