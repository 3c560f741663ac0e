package evidence_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentgate/store/evidence"
)

func signer(t *testing.T) evidence.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gate.example.com"}, NotBefore: began, NotAfter: made}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	must(t, err)
	cert, err = x509.ParseCertificate(der)
	must(t, err)
	return evidence.Signer{Key: key, Chain: []*x509.Certificate{cert}}
}

// TestASignedVConIsCheckedWithOpenSSL: by the certificate that it brings along;
// and one whose payload was changed isn't good.
func TestASignedVConIsCheckedWithOpenSSL(t *testing.T) {
	var out, plain bytes.Buffer
	c := caseOf("info", remote)
	must(t, evidence.SignedVCon(&out, c, evidence.Setting{}, officer, evidence.Audio{Write: inline}, made, signer(t)))
	must(t, evidence.VCon(&plain, c, evidence.Setting{}, officer, evidence.Audio{Write: inline}, made))
	var jws struct {
		Payload    string
		Signatures []struct {
			Header struct {
				UUID string
				X5C  []string
			}
			Protected, Signature string
		}
	}
	must(t, json.Unmarshal(out.Bytes(), &jws))
	payload, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil || !bytes.Equal(payload, plain.Bytes()) {
		t.Errorf("the payload isn't the unsigned vCon: %v", err)
	}
	v, sig := checkVCon(t, "signed", payload), jws.Signatures[0]
	protected, err := base64.RawURLEncoding.DecodeString(sig.Protected)
	must(t, err)
	if string(protected) != `{"alg":"RS256"}` || sig.Header.UUID != v["uuid"] {
		t.Errorf("header %s, uuid %s", protected, sig.Header.UUID)
	}
	dir := t.TempDir()
	der, err := base64.StdEncoding.DecodeString(sig.Header.X5C[0])
	must(t, err)
	raw, err := base64.RawURLEncoding.DecodeString(sig.Signature)
	must(t, err)
	write := func(name string, b []byte) { must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600)) }
	write("cert", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write("sig", raw)
	write("signed", []byte(sig.Protected+"."+jws.Payload))
	write("key", []byte(run(t, dir, "openssl", "x509", "-in", "cert", "-pubkey", "-noout")))
	if said := run(t, dir, "openssl", "dgst", "-sha256", "-verify", "key", "-signature", "sig", "signed"); !strings.Contains(said, "Verified OK") {
		t.Error(said)
	}
	write("signed", []byte(sig.Protected+"."+jws.Payload[:len(jws.Payload)-1]+"A"))
	if said := run(t, dir, "sh", "-c", "openssl dgst -sha256 -verify key -signature sig signed || true"); strings.Contains(said, "Verified OK") {
		t.Error("a changed payload is good")
	}
}

// TestNothingIsSignedWithoutTheRightKey, nor begun.
func TestNothingIsSignedWithoutTheRightKey(t *testing.T) {
	good, other := signer(t), signer(t)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for name, s := range map[string]evidence.Signer{"another's certificate": {Key: good.Key, Chain: other.Chain}, "none": {Key: good.Key},
		"not RSA": {Key: curve, Chain: good.Chain}} {
		var out bytes.Buffer
		if err := evidence.SignedVCon(&out, caseOf("info", remote), evidence.Setting{}, officer, evidence.Audio{}, made, s); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
	}
	if err := evidence.SignedVCon(io.Discard, evidence.Case{}, evidence.Setting{}, officer, evidence.Audio{}, made, good); err == nil {
		t.Error("a case without consent is signed")
	}
}
