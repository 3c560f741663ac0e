package store

import (
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// FuzzSigned: even who has the log's key can't make a certificate or a proof that
// breaks its reader, and nothing unsigned is either.
func FuzzSigned(f *testing.F) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.example")
	must(f, err)
	signer, err := note.NewSigner(skey)
	must(f, err)
	checkpoint, err := note.Sign(&note.Note{Text: "log.example\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"}, signer)
	must(f, err)
	quoted := strings.ReplaceAll(string(checkpoint), "\n", `\n`)
	f.Add(`{"log":"log.example","proof":{"index":0,"leaf":"consentgate-audit-1 0 1 erasure.shredded 00\n","checkpoint":"` + quoted + `"}}`)
	f.Add(`{"format":"` + proofFormat + `","to":"` + quoted + `","from":"` + quoted + `"}`)
	f.Add(`{"format":"` + proofFormat + `","to":"` + quoted + `","entry":{"seq":0,"leaf":"x"},"hashes":["AAAA"]}`)
	f.Fuzz(func(t *testing.T, body string) {
		if _, err := CheckCertificate([]byte(body), vkey); err == nil {
			t.Errorf("a certificate without a signature: %q", body)
		}
		if p, err := CheckProof([]byte(body), vkey); err == nil && p.To.Origin != "log.example" {
			t.Errorf("a proof of another log: %q", body)
		}
		signed, err := note.Sign(&note.Note{Text: certificateType + "\n" + body + "\n"}, signer)
		if err != nil {
			return // no note
		}
		if c, err := CheckCertificate(signed, vkey); err == nil && c.Log != "log.example" {
			t.Errorf("a certificate of another log: %q", body)
		}
	})
}
