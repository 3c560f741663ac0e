package evidence

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"
)

// Signer signs vCons. Chain begins with the certificate of Key's public key.
type Signer struct {
	Key   crypto.Signer // RSA: what the draft recommends, so that all can check it
	Chain []*x509.Certificate
}

var (
	errNotRSA  = errors.New("evidence: a vCon is signed with an RSA key (RS256)")
	errNoChain = errors.New("evidence: a vCon is signed with a key that a certificate is of")
)

func (s Signer) check() error {
	pub, ok := s.Key.Public().(*rsa.PublicKey)
	if !ok {
		return errNotRSA
	}
	if len(s.Chain) == 0 || !pub.Equal(s.Chain[0].PublicKey) {
		return errNoChain
	}
	return nil
}

// vconSignature is the one member of signatures (RFC 7515 section 7.2.1).
type vconSignature struct {
	Header    vconHeader `json:"header"`
	Protected string     `json:"protected"`
	Signature string     `json:"signature"`
}

// vconHeader isn't protected; the draft wants the certificates there (section 5.3).
type vconHeader struct {
	UUID string   `json:"uuid"`
	X5C  [][]byte `json:"x5c"` // base64 with padding (RFC 7515 section 4.1.6): encoding/json's own
}

// SignedVCon writes a case as a signed vCon: JWS in its general JSON form. What
// it is signed with is the signer's; the rest as in VCon.
func SignedVCon(w io.Writer, c Case, s Setting, r Reader, a Audio, at time.Time, by Signer) error {
	if err := by.check(); err != nil {
		return err
	}
	doc, err := newVCon(&c, s, r, a, at)
	if err != nil {
		return err
	}
	sig := vconSignature{Header: vconHeader{UUID: doc.UUID}, Protected: base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`))}
	for _, cert := range by.Chain {
		sig.Header.X5C = append(sig.Header.X5C, cert.Raw)
	}
	if _, err := io.WriteString(w, `{"payload":"`); err != nil {
		return err
	}
	sum := sha256.New() // RFC 7515 section 5.1: of the protected header, a dot, the payload
	io.WriteString(sum, sig.Protected+".")
	payload := base64.NewEncoder(base64.RawURLEncoding, io.MultiWriter(w, sum))
	if err := doc.write(payload, a); err != nil {
		return err
	}
	if err := payload.Close(); err != nil {
		return err
	}
	signature, err := by.Key.Sign(rand.Reader, sum.Sum(nil), crypto.SHA256)
	if err != nil {
		return fmt.Errorf("signing a vCon: %w", err)
	}
	sig.Signature = base64.RawURLEncoding.EncodeToString(signature)
	tail, err := encodeLine([]vconSignature{sig})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `","signatures":%s}`+"\n", tail[:len(tail)-1])
	return err
}
