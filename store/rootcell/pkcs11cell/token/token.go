//go:build cgo

// Package token does one request with a PKCS#11 token. It loads the token's
// library into the process: only consentgate-pkcs11 may use it.
package token

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/miekg/pkcs11"

	"consentgate/store/rootcell/pkcs11cell"
)

// Do carries out a request.
func Do(r pkcs11cell.Request) (a pkcs11cell.Answer) {
	err := do(r, &a)
	if errors.Is(err, errNoKey) {
		return pkcs11cell.Answer{NoKey: true}
	}
	if err != nil {
		return pkcs11cell.Answer{Error: err.Error()}
	}
	return a
}

var errNoKey = errors.New("no such key")

func do(r pkcs11cell.Request, a *pkcs11cell.Answer) (err error) {
	if _, err := os.Stat(r.Module); err != nil { // New doesn't say what is wrong
		return fmt.Errorf("the PKCS#11 module isn't there: %w: install the token's library, or correct 'module'", err)
	}
	p := pkcs11.New(r.Module)
	if p == nil {
		return fmt.Errorf("the PKCS#11 module %s can't be loaded: is it a library for this machine?", r.Module)
	}
	defer p.Destroy()
	if err := p.Initialize(); err != nil {
		return explain(r, "initializing the module", err)
	}
	defer func() { err = errors.Join(err, p.Finalize()) }()
	slot, info, err := find(p, r)
	if err != nil {
		return err
	}
	a.ID = strings.TrimSpace(info.SerialNumber)
	if r.Op == "id" {
		return nil
	}
	s, err := p.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return explain(r, "opening a session", err)
	}
	defer func() { err = errors.Join(err, p.CloseSession(s)) }()
	if err := login(p, s, r, info); err != nil {
		return err
	}
	return (&session{p, s, r}).do(a)
}

// find looks for the token by its label.
func find(p *pkcs11.Ctx, r pkcs11cell.Request) (found uint, info pkcs11.TokenInfo, err error) {
	slots, err := p.GetSlotList(true)
	if err != nil {
		return 0, info, explain(r, "looking for tokens", err)
	}
	var labels []string
	n := 0
	for _, slot := range slots {
		t, err := p.GetTokenInfo(slot)
		if err != nil {
			continue // a reader whose card went away just now
		}
		label := strings.TrimSpace(t.Label)
		if label == r.Token {
			found, info = slot, t
			n++
		}
		labels = append(labels, fmt.Sprintf("%q", label))
	}
	switch n {
	case 0:
		return 0, info, fmt.Errorf("there is no token %q; %s has: %s", r.Token, r.Module, strings.Join(labels, ", "))
	case 1:
		return found, info, nil
	}
	return 0, info, fmt.Errorf("%d tokens have the label %q: give the one meant another", n, r.Token)
}

func login(p *pkcs11.Ctx, s pkcs11.SessionHandle, r pkcs11cell.Request, info pkcs11.TokenInfo) error {
	pin, err := os.ReadFile(r.PINFile)
	if err != nil {
		return fmt.Errorf("reading the token's PIN: %w", err)
	}
	// A gate that is restarted again and again must not use up the tries.
	if info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0 {
		return fmt.Errorf("the token %q allows one more try of its PIN, which isn't used up here: "+
			"correct %s, and log in once with the token's own tools", r.Token, r.PINFile)
	}
	if err := p.Login(s, pkcs11.CKU_USER, strings.TrimRight(string(pin), "\r\n")); err != nil {
		return explain(r, "logging in", err)
	}
	return nil
}

// explain says what to do about the errors that operators can mend.
func explain(r pkcs11cell.Request, act string, err error) error {
	var code pkcs11.Error
	if errors.As(err, &code) {
		switch uint(code) {
		case pkcs11.CKR_PIN_INCORRECT:
			return fmt.Errorf("the token %q refuses the PIN in %s: correct the file; a few more tries lock the token", r.Token, r.PINFile)
		case pkcs11.CKR_PIN_LOCKED:
			return fmt.Errorf("the PIN of token %q is locked after too many wrong ones: its security officer must set a new one", r.Token)
		case pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
			return fmt.Errorf("the token %q has no user PIN yet: set one with the token's own tools", r.Token)
		case pkcs11.CKR_MECHANISM_INVALID:
			return fmt.Errorf("%s: the token %q can't do it: AES-256 keys and AES-GCM are needed: %w", act, r.Token, err)
		}
	}
	return fmt.Errorf("%s with token %q: %w", act, r.Token, err)
}

// session is one that is logged in.
type session struct {
	p *pkcs11.Ctx
	s pkcs11.SessionHandle
	r pkcs11cell.Request
}

func (s *session) do(a *pkcs11cell.Answer) (err error) {
	switch s.r.Op {
	case "keys":
		a.Keys, err = s.names()
	case "new":
		err = s.generate()
	case "wrap":
		a.Data, err = s.encrypt()
	case "unwrap":
		a.Data, err = s.decrypt()
	case "delete":
		err = s.destroy()
	default:
		err = fmt.Errorf("%q isn't a request", s.r.Op)
	}
	return err
}

// objects finds secret keys, all of them, or those with a label.
func (s *session) objects(label string) (out []pkcs11.ObjectHandle, err error) {
	want := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true)}
	if label != "" {
		want = append(want, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
	}
	if err := s.p.FindObjectsInit(s.s, want); err != nil {
		return nil, explain(s.r, "looking for keys", err)
	}
	defer func() { err = errors.Join(err, s.p.FindObjectsFinal(s.s)) }()
	for {
		some, _, err := s.p.FindObjects(s.s, 100)
		if err != nil {
			return nil, explain(s.r, "looking for keys", err)
		}
		if len(some) == 0 {
			return out, nil
		}
		out = append(out, some...)
	}
}

func (s *session) names() ([]string, error) {
	all, err := s.objects("")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, o := range all {
		got, err := s.p.GetAttributeValue(s.s, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil)})
		if err != nil {
			return nil, explain(s.r, "reading a key's name", err)
		}
		if name := string(got[0].Value); strings.HasPrefix(name, s.r.Name) {
			out = append(out, name)
		}
	}
	return out, nil
}

func (s *session) generate() error {
	k, err := s.p.GenerateKey(s.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, true),
		pkcs11.NewAttribute(pkcs11.CKA_WRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, s.r.Name),
		pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(s.r.Name)),
	})
	if err != nil {
		return explain(s.r, "making a key", err)
	}
	// The token is asked, not believed.
	got, err := s.p.GetAttributeValue(s.s, k, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, nil)})
	if err == nil && (isSet(got[0]) || !isSet(got[1]) || !isSet(got[2])) {
		err = errors.New("the token made one that can be taken out of it, or that it doesn't keep")
	}
	if err != nil {
		return errors.Join(explain(s.r, "making a key", err), s.p.DestroyObject(s.s, k))
	}
	return nil
}

func isSet(a *pkcs11.Attribute) bool { return len(a.Value) > 0 && a.Value[0] != 0 }

// key finds the one key of the request's name.
func (s *session) key() (k pkcs11.ObjectHandle, err error) {
	all, err := s.objects(s.r.Name)
	switch {
	case err != nil:
		return k, err
	case len(all) == 0:
		return k, errNoKey
	case len(all) > 1:
		return k, fmt.Errorf("token %q has %d keys %s", s.r.Token, len(all), s.r.Name)
	}
	return all[0], nil
}

// ivSize and tagSize are GCM's, in bytes. What is encrypted begins with the IV.
const ivSize, tagSize = 12, 16

func (s *session) encrypt() ([]byte, error) {
	k, err := s.key()
	if err != nil {
		return nil, err
	}
	iv := make([]byte, ivSize)
	rand.Read(iv) // never fails
	params := pkcs11.NewGCMParams(iv, []byte(s.r.Name), tagSize*8)
	defer params.Free()
	if err := s.p.EncryptInit(s.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, k); err != nil {
		return nil, explain(s.r, "encrypting", err)
	}
	box, err := s.p.Encrypt(s.s, s.r.Data)
	if err != nil {
		return nil, explain(s.r, "encrypting", err)
	}
	return append(params.IV(), box...), nil // a token may have chosen another IV
}

func (s *session) decrypt() ([]byte, error) {
	k, err := s.key()
	if err != nil {
		return nil, err
	}
	if len(s.r.Data) < ivSize+tagSize {
		return nil, errors.New("the encrypted root key is too short")
	}
	params := pkcs11.NewGCMParams(s.r.Data[:ivSize], []byte(s.r.Name), tagSize*8)
	defer params.Free()
	if err := s.p.DecryptInit(s.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, k); err != nil {
		return nil, explain(s.r, "decrypting", err)
	}
	plain, err := s.p.Decrypt(s.s, s.r.Data[ivSize:])
	if err != nil {
		return nil, explain(s.r, "decrypting (was the file changed?)", err)
	}
	return plain, nil
}

// destroy destroys every key of the request's name.
func (s *session) destroy() error {
	all, err := s.objects(s.r.Name)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errNoKey
	}
	for _, k := range all {
		if err := s.p.DestroyObject(s.s, k); err != nil {
			return explain(s.r, "destroying a key", err)
		}
	}
	return nil
}
