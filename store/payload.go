package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
)

// The row of an audit payload names the key that it is sealed under: a grant's,
// with which it goes, or a month's.
const (
	ofGrant    = "grant/" // and the grant's hash, in hex
	ofMonth    = "month/" // and the month, as 2026-11; so is the key bucket called
	ofOldMonth = "audit/" // the key bucket of version 1, whose rows name the month alone
)

// payloadKeys gives the keys of audit payloads by name, as far as they are there.
type payloadKeys func(name string) (key, error)

// sealingKey is what an entry's payload is sealed under: the key of the grant
// that it is about, if there is one; else the month's, which was made before.
func (k *keyring) sealingKey(g consent.Hash, month string) (name string, got key, err error) {
	err = k.view(func(t keysTx) error {
		if g != (consent.Hash{}) {
			name = ofGrant + g.String()
			if got, err = t.payloadKey(name); !errors.Is(err, errNoKey) {
				return err
			}
		}
		name = month
		got, err = t.payloadKey(name)
		return err
	})
	return name, got, err
}

// payloadKey opens a key by its name. errNoKey: it is not there, or no longer.
func (t keysTx) payloadKey(name string) (key, error) {
	text, isGrant := strings.CutPrefix(name, ofGrant)
	switch {
	case isGrant:
		var g consent.Hash
		if err := g.UnmarshalText([]byte(text)); err != nil {
			return key{}, fmt.Errorf("key %q: %w", name, errNoKey)
		}
		rk, _, err := t.grantKey(g)
		if err != nil {
			return key{}, err
		}
		return derive(rk, forAudit, nil), nil
	case strings.HasPrefix(name, ofMonth):
		return t.lookup(bKEK, asBucketKey, name)
	default:
		return t.lookup(bKEK, asBucketKey, ofOldMonth+name)
	}
}

func (k *keyring) payloadKey(name string) (got key, err error) {
	err = k.view(func(t keysTx) (err error) {
		got, err = t.payloadKey(name)
		return err
	})
	return got, err
}

// putPayload seals an entry's salt and payload, and lists them under the grant
// whose key it is.
func putPayload(tx *bolt.Tx, l leaf, name string, k key, plain []byte) error {
	row := append([]byte(name+"\x00"), seal(k, asEntry, string(l.text()), plain)...)
	err := tx.Bucket(bPayload).Put(seqKey(l.Seq), row)
	if g, ok := grantOfRow(row); ok {
		return errors.Join(err, tx.Bucket(bOfGrant).Put(append(g[:], seqKey(l.Seq)...), nil))
	}
	return errors.Join(err, noteMonth(tx, l.Seq, name))
}

// grantOfRow is the grant that a payload's row is sealed under.
func grantOfRow(row []byte) (g consent.Hash, ok bool) {
	text, ok := strings.CutPrefix(nameOfRow(row), ofGrant)
	return g, ok && g.UnmarshalText([]byte(text)) == nil
}

// nameOfRow is the name of the key that a payload's row is sealed under.
func nameOfRow(row []byte) string {
	name, _, _ := bytes.Cut(row, []byte{0})
	return string(name)
}

// ofGrantSeqs lists the entries whose payloads are sealed under a grant's key,
// in order.
func ofGrantSeqs(tx *bolt.Tx, g consent.Hash) (seqs []int64) {
	cur := tx.Bucket(bOfGrant).Cursor()
	for k, _ := cur.Seek(g[:]); bytes.HasPrefix(k, g[:]) && len(k) == len(g)+8; k, _ = cur.Next() {
		seqs = append(seqs, int64(binary.BigEndian.Uint64(k[len(g):])))
	}
	return seqs
}

// dropPayloads takes the payloads away that are sealed under a grant's key, and
// says which they were. Their leaves stay.
func dropPayloads(tx *bolt.Tx, g consent.Hash) (seqs []int64, err error) {
	seqs = ofGrantSeqs(tx, g)
	for _, seq := range seqs {
		err = errors.Join(err, tx.Bucket(bPayload).Delete(seqKey(seq)), tx.Bucket(bOfGrant).Delete(append(g[:], seqKey(seq)...)))
	}
	return seqs, err
}

// payloadChanged is what is wrong with a payload that its key doesn't open.
const payloadChanged = "the payload was changed: it doesn't open"

// openPayload opens what lies beside a leaf. It isn't opened where there are
// no keys, or the payload is gone; wrong is set where it should open and doesn't.
func openPayload(row, leafText []byte, keys payloadKeys) (salt, payload []byte, state payloadState, wrong string) {
	if row == nil {
		return nil, nil, payloadMissing, ""
	}
	name, box, found := bytes.Cut(row, []byte{0})
	if !found {
		return nil, nil, payloadSealed, "the payload's row can't be read"
	}
	if keys == nil {
		return nil, nil, payloadSealed, ""
	}
	k, err := keys(string(name))
	if err != nil {
		return nil, nil, payloadSealed, "the payload is sealed under a key that isn't there"
	}
	plain, err := open(k, asEntry, string(leafText), box)
	if err != nil || len(plain) < saltSize {
		return nil, nil, payloadSealed, payloadChanged
	}
	return plain[:saltSize], plain[saltSize:], payloadOpened, ""
}
