package store

import (
	"bufio"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A recording's file is a header and frames, each sealed by itself, so that a
// file that was cut off is good up to the cut. docs/recording-format.md.

const (
	fileMagic  = "CGREC001"
	idSize     = 16
	headerSize = len(fileMagic) + idSize
	frameHead  = 5         // length and flag
	maxFrame   = 128 << 10 // bytes of a sealed frame that a reader accepts
	flagData   = byte(0)   // more follows
	flagFinal  = byte(1)   // the recording was ended in order
)

// sealer makes the frames of one file. The key is used for this file alone, so a
// counter makes each nonce unique.
type sealer struct {
	aead   cipher.AEAD
	header [headerSize]byte
	count  uint64
	hash   [sha256.Size]byte // SHA-256(hash of the frames before | frame)
	buf    []byte
}

func newSealer(k key, id [idSize]byte) *sealer {
	s := &sealer{aead: aead(k)}
	copy(s.header[:], fileMagic)
	copy(s.header[len(fileMagic):], id[:])
	s.hash = sha256.Sum256(s.header[:])
	return s
}

// frame seals plain as the next frame. The result is valid until the next call.
func (s *sealer) frame(plain []byte, flag byte) []byte {
	s.buf = binary.BigEndian.AppendUint32(s.buf[:0], uint32(len(plain)+s.aead.Overhead()))
	s.buf = append(s.buf, flag)
	nonce := nonceOf(s.count, flag)
	s.buf = s.aead.Seal(s.buf, nonce[:], plain, associatedFrame(s.header, [frameHead]byte(s.buf)))
	s.count++
	s.hash = chain(s.hash, s.buf)
	return s.buf
}

func nonceOf(count uint64, flag byte) (n [12]byte) {
	binary.BigEndian.PutUint64(n[3:], count)
	n[11] = flag
	return n
}

func associatedFrame(header [headerSize]byte, head [frameHead]byte) []byte {
	return append(header[:], head[:]...)
}

func chain(h [sha256.Size]byte, frame []byte) [sha256.Size]byte {
	d := sha256.New()
	d.Write(h[:])
	d.Write(frame)
	return [sha256.Size]byte(d.Sum(nil))
}

// frames reads a file's frames in order.
type frames struct {
	in     *bufio.Reader
	aead   cipher.AEAD
	header [headerSize]byte
	count  uint64
	hash   [sha256.Size]byte
	offset int64 // behind the last good frame
	final  bool
	buf    []byte
}

var (
	errFrame    = errors.New("a frame doesn't open: cut off, changed, or of another file")
	errNoHeader = errors.New("the file ends before its header does")
)

func openFrames(r io.Reader, k key) (*frames, error) {
	f := &frames{in: bufio.NewReaderSize(r, 32<<10), aead: aead(k)}
	if _, err := io.ReadFull(f.in, f.header[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errNoHeader
	} else if err != nil {
		return nil, fmt.Errorf("reading the file's header: %w", err)
	}
	if string(f.header[:len(fileMagic)]) != fileMagic {
		return nil, errors.New("not a recording of this version")
	}
	f.hash = sha256.Sum256(f.header[:])
	f.offset = int64(headerSize)
	return f, nil
}

// cutOff tells a file's end from a disk that can't be read: only the former says
// anything about the file.
func cutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errFrame
	}
	return err
}

// next returns the next frame's content, valid until the next call. io.EOF comes
// at the end of the file; whether it is the recording's end, final says. errFrame
// means that what follows the good frames isn't one; other errors are the disk's.
func (f *frames) next() ([]byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(f.in, head[:]); err != nil {
		return nil, cutOff(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if f.final || n > maxFrame || int(n) < f.aead.Overhead() || head[4] > flagFinal {
		return nil, errFrame
	}
	f.buf = append(f.buf[:0], head[:]...)
	f.buf = append(f.buf, make([]byte, n)...)
	if _, err := io.ReadFull(f.in, f.buf[frameHead:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errFrame
		}
		return nil, cutOff(err)
	}
	hash := chain(f.hash, f.buf)
	nonce := nonceOf(f.count, head[4])
	plain, err := f.aead.Open(f.buf[frameHead:frameHead], nonce[:], f.buf[frameHead:], associatedFrame(f.header, head))
	if err != nil {
		return nil, errFrame
	}
	f.count++
	f.hash, f.final = hash, head[4] == flagFinal
	f.offset += int64(frameHead) + int64(n)
	return plain, nil
}
