package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"strings"
	"time"

	"consentgate/consent"
	"consentgate/internal/datagram"
	"consentgate/store/pcapng"
)

// A recording in its standard form is a pcapng capture: each party's packets as
// they came, and between them, on an interface of their own, notes in JSON.
// Addresses and ports are made up (RFC 5737): those of the call aren't kept.
// docs/recording-format.md.

// notesInterface is that of the notes; a party's has its number.
const notesInterface = 2

var (
	rtpEnds = [2]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5004"), netip.MustParseAddrPort("192.0.2.2:5004")}
	noteEnd = netip.MustParseAddrPort("192.0.2.3:9") // discard

	captureHead = pcapng.AppendHead(nil, "consentgate",
		pcapng.Interface{Name: "remote", About: "RTP of the remote party (the carrier's side)"},
		pcapng.Interface{Name: "local", About: "RTP of the local party (the PBX's side)"},
		pcapng.Interface{Name: "notes", About: "What isn't RTP: JSON"})
)

// remark is the JSON of a note, which is what isn't RTP. Times are microseconds since the
// recording's start.
type remark struct {
	Note      string          `json:"note"`
	Recording json.RawMessage `json:"recording,omitempty"` // of "recording", the first
	Party     *consent.Party  `json:"party,omitempty"`
	PT        *uint8          `json:"pt,omitempty"`
	Encoding  *string         `json:"encoding,omitempty"`
	Rate      int             `json:"rate,omitempty"`
	Cause     string          `json:"cause,omitempty"`
	From      *int64          `json:"from,omitempty"`
	To        *int64          `json:"to,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Sealed    *sealNote       `json:"sealed,omitempty"` // of "sealed", the last
}

// sealNote closes the capture.
type sealNote struct {
	ID      string       `json:"id"`
	Frames  uint64       `json:"frames"`  // of the live file it was made of
	Hash    consent.Hash `json:"hash"`    // their running hash, as the log has it
	Records uint64       `json:"records"` // packets and notes before this one
	Length  int64        `json:"length"`  // of the recording, microseconds
	Spoken  [2][]coding  `json:"spoken"`  // how the parties' packets are coded
	Index   timeIndex    `json:"index"`   // where to read on from
}

// Names of notes.
const (
	noteRecording = "recording"
	noteFormat    = "format"
	noteGap       = "gap"
	noteEnded     = "end"
	noteSealed    = "sealed"
)

// remarkOf is a record as a note; but for its time, which is the datagram's.
func remarkOf(c content) remark {
	switch c.kind {
	case recMeta:
		return remark{Note: noteRecording, Recording: c.data}
	case recFormat:
		return remark{Note: noteFormat, Party: &c.party, PT: &c.pt, Encoding: &c.text, Rate: c.clockRate}
	case recGap:
		from, to := c.at.Microseconds(), c.to.Microseconds()
		return remark{Note: noteGap, Party: &c.party, Cause: c.text, From: &from, To: &to}
	default:
		return remark{Note: noteEnded, Reason: c.text}
	}
}

// content is the inverse.
func (n remark) content(at time.Duration) (c content, ok bool) {
	var party consent.Party
	if n.Party != nil {
		party = *n.Party
	}
	switch {
	case n.Note == noteRecording:
		return content{kind: recMeta, data: n.Recording}, true
	case n.Note == noteFormat && n.PT != nil && n.Encoding != nil:
		return content{kind: recFormat, party: party, pt: *n.PT, text: *n.Encoding, clockRate: n.Rate, at: at}, true
	case n.Note == noteGap && n.From != nil && n.To != nil:
		c = content{kind: recGap, party: party, text: n.Cause, at: micros(*n.From), to: micros(*n.To)}
		return c, inTime(c.at) && inTime(c.to)
	case n.Note == noteEnded:
		return content{kind: recEnd, text: n.Reason, at: at}, true
	}
	return c, false
}

func micros(n int64) time.Duration { return time.Duration(min(max(n, -1), 1<<53)) * time.Microsecond }

func inTime(d time.Duration) bool { return d >= 0 && d <= maxTime }

// standardWriter writes the standard form.
type standardWriter struct {
	w       io.Writer
	started int64 // microseconds since 1970
	off     int64
	last    time.Duration // of a packet
	count   uint64
	digest  hash.Hash // of the records, to be compared with what is read back
	buf     []byte
	dgram   []byte
	record  []byte
}

func newStandardWriter(w io.Writer) *standardWriter {
	return &standardWriter{w: w, digest: sha256.New()}
}

// put writes a record. The first must be the recording's.
func (s *standardWriter) put(c content) error {
	c.text = strings.ToValidUTF8(c.text, "\uFFFD") // JSON has no other text
	if s.count == 0 {
		var m meta
		if err := json.Unmarshal(c.data, &m); err != nil || c.kind != recMeta {
			return fmt.Errorf("a recording's first record: %w", errors.Join(errContent, err))
		}
		s.started = m.Started.UnixMicro()
		s.buf = append(s.buf[:0], captureHead...)
		if err := s.flush(); err != nil {
			return err
		}
	}
	switch c.kind {
	case recRTP:
		s.last = max(s.last, c.at)
	case recFormat: // it has no time of its own
		c.at = s.last
	}
	s.count++
	s.digestOf(c)
	var err error
	if s.buf, err = s.append(s.buf[:0], c); err != nil {
		return err
	}
	return s.flush()
}

func (s *standardWriter) digestOf(c content) {
	s.record = appendRecord(s.record[:0], c)
	s.digest.Write(s.record)
}

// append appends a record as a block.
func (s *standardWriter) append(b []byte, c content) ([]byte, error) {
	if c.kind == recRTP {
		if len(c.data) > datagram.Most {
			return b, errTooLarge
		}
		s.dgram = datagram.Append(s.dgram[:0], rtpEnds[c.party], rtpEnds[1-c.party], c.data)
		return s.block(b, uint32(c.party), c.at), nil
	}
	at := c.at
	if c.kind == recGap {
		at = c.to
	}
	return s.appendNote(b, remarkOf(c), at)
}

func (s *standardWriter) appendNote(b []byte, n remark, at time.Duration) ([]byte, error) {
	text, err := json.Marshal(n)
	if err != nil {
		return b, err
	}
	if len(text) > datagram.Most {
		return b, errTooLarge
	}
	s.dgram = datagram.Append(s.dgram[:0], noteEnd, noteEnd, text)
	return s.block(b, notesInterface, at), nil
}

func (s *standardWriter) block(b []byte, on uint32, at time.Duration) []byte {
	return pcapng.AppendPacket(b, pcapng.Packet{Interface: on, At: s.started + at.Microseconds(), Data: s.dgram})
}

// close writes the last note. An index that doesn't fit is left out.
func (s *standardWriter) close(last sealNote) error {
	last.Records = s.count
	at := micros(last.Length)
	b, err := s.appendNote(s.buf[:0], remark{Note: noteSealed, Sealed: &last}, at)
	if errors.Is(err, errTooLarge) {
		last.Index = timeIndex{}
		b, err = s.appendNote(s.buf[:0], remark{Note: noteSealed, Sealed: &last}, at)
	}
	if err != nil {
		return err
	}
	s.buf = b
	return s.flush()
}

func (s *standardWriter) flush() error {
	n, err := s.w.Write(s.buf)
	s.off += int64(n)
	return err
}

// standardReader reads the standard form, strictly: what it takes is, byte for
// byte, what the writer makes of it.
type standardReader struct {
	in     *pcapng.Reader
	same   standardWriter // writes again what was read
	begun  bool
	sealed *sealNote // once it has been read
	count  uint64
}

func newStandardReader(r io.Reader) *standardReader {
	return &standardReader{in: pcapng.NewReader(r, captureHead)}
}

// readOn reads on from an offset, for a recording that began at started.
func readOn(r io.Reader, off int64, started time.Time) *standardReader {
	return &standardReader{in: pcapng.NewReaderAt(r, off), begun: true, same: standardWriter{started: started.UnixMicro()}}
}

// next returns the next record, valid until the one after; io.EOF behind the last
// note.
func (s *standardReader) next() (content, error) {
	p, err := s.in.Next()
	if errors.Is(err, io.EOF) && s.sealed == nil {
		return content{}, fmt.Errorf("%w: its last note is missing", pcapng.ErrFormat)
	}
	if err != nil {
		return content{}, err
	}
	if s.sealed != nil {
		return content{}, fmt.Errorf("%w: something follows its last note", pcapng.ErrFormat)
	}
	c, err := s.content(p)
	if err != nil {
		return c, err
	}
	if s.sealed != nil {
		_, err := s.in.Next()
		if err == nil || micros(p.At-s.same.started) != micros(s.sealed.Length) {
			err = fmt.Errorf("%w: its last note isn't at its end", pcapng.ErrFormat)
		}
		return content{}, err
	}
	s.count++
	return c, nil
}

// content reads a packet: what it is, and that it is written as it should be.
func (s *standardReader) content(p pcapng.Packet) (c content, err error) {
	data, ok := datagram.Data(p.Data)
	if !ok || p.Interface > notesInterface {
		return c, fmt.Errorf("%w: a packet isn't a datagram", pcapng.ErrFormat)
	}
	at := micros(p.At - s.same.started)
	var again []byte
	if p.Interface == notesInterface {
		var n remark
		if err := json.Unmarshal(data, &n); err != nil {
			return c, fmt.Errorf("%w: a note: %w", pcapng.ErrFormat, err)
		}
		if !s.begun {
			if at, err = s.begin(n); err != nil {
				return c, err
			}
		}
		if n.Note == noteSealed && n.Sealed != nil {
			s.sealed = n.Sealed
			again, err = s.same.appendNote(nil, n, at)
		} else if c, ok = n.content(at); !ok {
			return c, fmt.Errorf("%w: a note isn't known", pcapng.ErrFormat)
		} else {
			again, err = s.same.append(nil, c)
		}
	} else {
		c = content{kind: recRTP, party: consent.Party(p.Interface), at: at, data: data}
		again, err = s.same.append(s.same.buf[:0], c)
		s.same.buf, s.same.last = again, max(s.same.last, at)
	}
	if err != nil {
		return c, err
	}
	if !inTime(at) || !s.begun || !same(again, p) || c.kind == recFormat && at != s.same.last {
		return c, fmt.Errorf("%w: a packet isn't as it was written", pcapng.ErrFormat)
	}
	return c, nil
}

// begin takes the first note: times count from what it says.
func (s *standardReader) begin(n remark) (time.Duration, error) {
	var m meta
	if err := json.Unmarshal(n.Recording, &m); err != nil || n.Note != noteRecording {
		return 0, fmt.Errorf("%w: its first note: %w", pcapng.ErrFormat, errors.Join(errContent, err))
	}
	s.begun, s.same.started = true, m.Started.UnixMicro()
	return 0, nil
}

func same(block []byte, p pcapng.Packet) bool {
	again, err := pcapng.Parse(block)
	return err == nil && again.Interface == p.Interface && again.At == p.At && bytes.Equal(again.Data, p.Data)
}
