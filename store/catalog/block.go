package catalog

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Key is a month's.
type Key = [32]byte

// A block's value is u16 number of rows | 12 bytes nonce | the columns, sealed.
// Its key is the position that its rows don't stand before.
const (
	nonceSize = 12
	tagSize   = 16
	headSize  = 2 + nonceSize
	// most is how many rows a block has at most. More make a search cheaper, and
	// each write dearer.
	most = 128
)

// ciphers are one for each column, so that they may share a nonce.
type ciphers [columns]cipher.AEAD

func newCiphers(k Key) *ciphers {
	var m ciphers
	for i, label := range labels {
		derived, err := hkdf.Expand(sha256.New, k[:], "consentgate/2/catalog/"+label, len(k))
		if err == nil {
			var block cipher.Block
			if block, err = aes.NewCipher(derived); err == nil {
				m[i], err = cipher.NewGCM(block)
			}
		}
		if err != nil { // the lengths are right
			panic("catalog: internal error: " + err.Error())
		}
	}
	return &m
}

// ErrSealed means that a block doesn't open.
var ErrSealed = errors.New("a block of the catalog doesn't open: another key, or it was changed")

// rowsIn is the number of rows of a block that is as long as it says, and their
// widths.
func rowsIn(value []byte) (int, widths, error) {
	if len(value) < headSize {
		return 0, wide, ErrSealed
	}
	n := int(binary.BigEndian.Uint16(value))
	switch {
	case n == 0 || n > most:
	case len(value) == wide.size(n):
		return n, wide, nil
	case len(value) == short.size(n):
		return n, short, nil
	}
	return 0, wide, ErrSealed
}

// open appends a column's plaintext to buf.
func (m *ciphers) open(col int, key, value, buf []byte) ([]byte, error) {
	n, w, err := rowsIn(value)
	if err != nil {
		return nil, err
	}
	from := headSize
	for _, width := range w[:col] {
		from += n*width + tagSize
	}
	plain, err := m[col].Open(buf, value[2:headSize], value[from:from+n*w[col]+tagSize], about(key, value))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func about(key, value []byte) []byte {
	return append(append(make([]byte, 0, positionSize+2), key...), value[:2]...)
}

// rows opens a whole block.
func (m *ciphers) rows(key, value []byte) ([]Row, error) {
	n, w, err := rowsIn(value)
	if err != nil {
		return nil, err
	}
	var cols [columns][]byte
	for i := range cols {
		if cols[i], err = m.open(i, key, value, nil); err != nil {
			return nil, err
		}
	}
	rows := make([]Row, n, n+1)
	for i := range rows {
		rows[i] = w.decode(&cols, i)
	}
	return rows, nil
}

// seal makes a block's value.
func (m *ciphers) seal(key []byte, rows []Row) ([]byte, error) {
	if len(rows) == 0 || len(rows) > most {
		return nil, fmt.Errorf("catalog: internal error: a block of %d rows", len(rows))
	}
	value := make([]byte, headSize, wide.size(len(rows)))
	binary.BigEndian.PutUint16(value, uint16(len(rows)))
	rand.Read(value[2:headSize])
	plain := make([]byte, 0, len(rows)*positionSize)
	for col := range columns {
		plain = plain[:0]
		for _, r := range rows {
			plain = r.append(plain, col)
		}
		value = m[col].Seal(value, value[2:headSize], plain, about(key, value))
	}
	return value, nil
}
