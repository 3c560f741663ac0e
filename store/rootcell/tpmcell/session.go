package tpmcell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"consentgate/store/rootcell"
)

// session is a piece of work with the TPM. Passwords and roots cross the bus
// between processor and TPM encrypted, under a salt that a key of the TPM
// protects: who only listens there learns nothing.
type session struct {
	ctx      context.Context
	tpm      transport.TPMCloser
	stop     func() bool // of watching ctx
	config   Config
	password []byte
	owner    []byte
	salt     *tpm2.CreatePrimaryResponse
	saltPub  tpm2.TPMTPublic
}

// link is a connection to a TPM. It isn't an *os.File, which the library would
// wait for with no end.
type link interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

func dial(ctx context.Context, path string) (link, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: is there a TPM, and is it turned on in the firmware?", err)
	}
	if info.Mode()&os.ModeSocket != 0 {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return struct{ link }{f}, nil
}

// grace is how long a command that has begun may go on when the caller's time is
// over. A TPM takes a second for the longest.
const grace = 2 * time.Second

// open connects, and makes the key that protects the session.
func (c *Cell) open(ctx context.Context) (s *session, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s = &session{ctx: ctx, config: c.c}
	if s.password, err = readPassword(c.c.PasswordFile, minPassword); err != nil {
		return nil, err
	}
	if c.c.OwnerPasswordFile != "" {
		if s.owner, err = readPassword(c.c.OwnerPasswordFile, 0); err != nil {
			return nil, err
		}
	}
	l, err := dial(ctx, c.c.Device)
	if err != nil {
		return nil, err
	}
	// A command isn't cut off: what it loaded into the TPM would stay there. A
	// device that knows no deadlines answers within its driver's.
	s.stop = context.AfterFunc(ctx, func() { _ = l.SetDeadline(time.Now().Add(grace)) })
	s.tpm = transport.FromReadWriteCloser(l)
	s.salt, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHNull, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(s.tpm)
	if err != nil {
		s.stop()
		return nil, errors.Join(explain(err), s.tpm.Close())
	}
	pub, err := s.salt.OutPublic.Contents()
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.saltPub = *pub
	return s, nil
}

func (s *session) close() error {
	_, err := tpm2.FlushContext{FlushHandle: s.salt.ObjectHandle}.Execute(s.tpm)
	s.stop()
	return errors.Join(err, s.tpm.Close())
}

// auth is a session for one command: authorized by a password that isn't sent,
// its first parameter encrypted in the direction that has the secret.
func (s *session) auth(password []byte, secret ...tpm2.AuthOption) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, append(secret, tpm2.Auth(password), tpm2.Salted(s.salt.ObjectHandle, s.saltPub))...)
}

var (
	secretIn  = tpm2.AESEncryption(128, tpm2.EncryptIn)
	secretOut = tpm2.AESEncryption(128, tpm2.EncryptOut)
)

// slots reads all that the cell may use.
func (s *session) slots() ([]slot, error) {
	out := make([]slot, Slots)
	for i := range out {
		var err error
		if out[i], err = s.slot(tpm2.TPMHandle(s.config.Index) + tpm2.TPMHandle(i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// slot reads one, be it defined or not.
func (s *session) slot(h tpm2.TPMHandle) (out slot, err error) {
	out.handle = h
	if err := s.ctx.Err(); err != nil {
		return out, err
	}
	got, err := tpm2.NVReadPublic{NVIndex: h}.Execute(s.tpm)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return out, nil
	}
	if err != nil {
		return out, explain(err)
	}
	pub, err := got.NVPublic.Contents()
	if err != nil {
		return out, err
	}
	out.name = got.NVName
	a := pub.Attributes
	out.ours = a.AuthRead && a.AuthWrite && a.NoDA && !a.OwnerRead && !a.OwnerWrite && !a.PolicyRead && !a.PolicyWrite &&
		a.NT == tpm2.TPMNTOrdinary && int(pub.DataSize) == slotSize
	if !out.ours || !a.Written { // not written: a Make was cut off
		return out, nil
	}
	read, err := tpm2.NVRead{AuthHandle: tpm2.AuthHandle{Handle: h, Name: got.NVName, Auth: s.auth(s.password, secretOut)},
		NVIndex: tpm2.NamedHandle{Handle: h, Name: got.NVName}, Size: uint16(slotSize)}.Execute(s.tpm)
	if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
		return out, fmt.Errorf("the NV index %#x refuses the password in %s: correct the file, or choose another index "+
			"if that one is another program's", uint32(h), s.config.PasswordFile)
	}
	if err != nil {
		return out, explain(err)
	}
	out.epoch, out.root = decode(read.Data.Buffer)
	return out, nil
}

// find looks for an epoch's root; ErrGone: the TPM has none.
func (s *session) find(epoch uint64) (slot, []slot, error) {
	slots, err := s.slots()
	if err != nil {
		return slot{}, nil, err
	}
	for _, sl := range slots {
		if sl.epoch == epoch {
			return sl, slots, nil
		}
	}
	return slot{}, slots, rootcell.ErrGone
}

// put writes a root into a free index. same: the same root may be there already.
func (s *session) put(epoch uint64, k rootcell.Key, same bool) error {
	found, slots, err := s.find(epoch)
	switch {
	case err == nil && same && found.root == k:
		return nil
	case err == nil:
		return rootcell.ErrExists
	case !errors.Is(err, rootcell.ErrGone):
		return err
	}
	for _, sl := range slots {
		if sl.defined() && (!sl.ours || sl.epoch != 0) {
			continue
		}
		if sl.defined() { // left by a Make or Destroy that was cut off
			if err := s.undefine(sl); err != nil {
				return err
			}
		}
		if err := s.define(sl.handle, encode(epoch, k)); err != nil {
			return err
		}
		if back, err := s.slot(sl.handle); err != nil || back.epoch != epoch || back.root != k {
			return errors.Join(errors.New("it doesn't give back what was written"), err)
		}
		return nil
	}
	return fmt.Errorf("all %d NV indices from %#x on are in use: choose others with 'index'", Slots, s.config.Index)
}

func (s *session) define(h tpm2.TPMHandle, content []byte) error {
	def := tpm2.NVDefineSpace{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: s.auth(s.owner, secretIn)},
		Auth:       tpm2.TPM2BAuth{Buffer: s.password},
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: h, NameAlg: tpm2.TPMAlgSHA256, Attributes: attributes, DataSize: uint16(slotSize)}),
	}
	if _, err := def.Execute(s.tpm); err != nil {
		return s.explainOwner(err)
	}
	sl, err := s.slot(h)
	if err != nil {
		return err
	}
	return s.write(sl, content)
}

func (s *session) write(sl slot, content []byte) error {
	_, err := tpm2.NVWrite{AuthHandle: tpm2.AuthHandle{Handle: sl.handle, Name: sl.name, Auth: s.auth(s.password, secretIn)},
		NVIndex: tpm2.NamedHandle{Handle: sl.handle, Name: sl.name}, Data: tpm2.TPM2BMaxNVBuffer{Buffer: content}}.Execute(s.tpm)
	return explain(err)
}

// undefine overwrites an index that was written, and takes it away. The first
// writing changes an index's name, so it is read again.
func (s *session) undefine(sl slot) error {
	if sl.epoch != 0 {
		if err := s.write(sl, make([]byte, slotSize)); err != nil {
			return err
		}
	}
	_, err := tpm2.NVUndefineSpace{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: s.auth(s.owner)},
		NVIndex: tpm2.NamedHandle{Handle: sl.handle, Name: sl.name}}.Execute(s.tpm)
	return s.explainOwner(err)
}

func (s *session) explainOwner(err error) error {
	if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
		return fmt.Errorf("it refuses the owner's password: name a file with it as owner_password_file (a few more tries "+
			"lock the hierarchy): %w", err)
	}
	return explain(err)
}

// explain says what to do about the errors that operators can mend.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tpm2.TPMRCLockout):
		return fmt.Errorf("it is locked after too many wrong passwords: wait, or use its lockout password: %w", err)
	case errors.Is(err, tpm2.TPMRCNVSpace):
		return fmt.Errorf("it has no room left: undefine NV indices that nobody needs: %w", err)
	case errors.Is(err, tpm2.TPMRCInitialize):
		return fmt.Errorf("it wasn't started: its firmware or emulator must do that: %w", err)
	}
	return err
}
