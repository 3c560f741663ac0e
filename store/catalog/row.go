// Package catalog finds recordings by what is known of them. It is a list by
// time, in sealed blocks: a search opens blocks and not recordings' summaries,
// and who has the file learns from it when recordings were made and no more.
package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
)

// ID is a recording's.
type ID = [16]byte

// Row is what a recording is found by. Names and numbers are short keyed hashes
// here: two may meet, names once in four billion, so what is found must be looked
// at.
type Row struct {
	Position
	Remote, Local  uint64 // hashes of the parties' numbers
	Connected      uint64 // that of who answered instead of who was called; 0: nobody
	Purpose, Trunk uint32 // hashes of the names
	State          uint8  // what the numbers mean is the caller's to know
	Direction      uint8
	Flags          uint8
	Outcome        uint8 // 0: it isn't noted
}

// Position is a row's place: rows stand by time, those of one moment by ID.
type Position struct {
	Start int64 // Unix nanoseconds, from 1970 on
	ID    ID
}

// End stands behind every row.
var End = Position{Start: 1<<63 - 1, ID: ID(bytes.Repeat([]byte{0xff}, 16))}

func (p Position) key() []byte { return p.append(make([]byte, 0, positionSize)) }

func (p Position) append(b []byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(p.Start)), p.ID[:]...)
}

func positionOf(key []byte) Position {
	return Position{int64(binary.BigEndian.Uint64(key)), ID(key[8:positionSize])}
}

// Month names the month that a moment is in, in UTC: each has a key of its own.
func Month(start int64) string { return time.Unix(0, start).UTC().Format("2006-01") }

// begin is a month's first position.
func begin(start int64) Position {
	t := time.Unix(0, start).UTC()
	return Position{Start: time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC).UnixNano()}
}

// A block's columns, each sealed by itself so that a search opens what it needs.
const (
	where = iota // position
	who          // Remote, Local, Connected
	what         // Purpose, Trunk, State, Direction, Flags, Outcome
	columns
)

const (
	positionSize = 8 + 16
	whoSize      = 8 + 8 + 8
	shortWhoSize = 8 + 8 // of blocks of earlier versions, without Connected
	whatSize     = 4 + 4 + 4
)

// widths are how many bytes a row has in each column.
type widths [columns]int

var (
	wide  = widths{positionSize, whoSize, whatSize}
	short = widths{positionSize, shortWhoSize, whatSize}
)

// size is that of a block's value.
func (w widths) size(rows int) int {
	size := headSize
	for _, width := range w {
		size += rows*width + tagSize
	}
	return size
}

var labels = [columns]string{"where", "who", "what"}

// append appends what a column holds of a row.
func (r Row) append(b []byte, col int) []byte {
	switch col {
	case where:
		return r.Position.append(b)
	case who:
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, r.Remote), r.Local), r.Connected)
	}
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, r.Purpose), r.Trunk)
	return append(b, r.State, r.Direction, r.Flags, r.Outcome)
}

func (w widths) decode(cols *[columns][]byte, i int) (r Row) {
	r.Position = positionOf(cols[where][i*positionSize:])
	r.Remote, r.Local, r.Connected = w.numbers(cols[who], i)
	b := cols[what][i*whatSize:]
	r.Purpose, r.Trunk = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	r.State, r.Direction, r.Flags, r.Outcome = b[8], b[9], b[10], b[11]
	return r
}

var errTime = errors.New("a recording from before 1970, or after 2262")

// numbers are a row's, of the column that has them.
func (w widths) numbers(col []byte, i int) (remote, local, connected uint64) {
	b := col[i*w[who]:][:w[who]]
	if w[who] == whoSize {
		connected = binary.BigEndian.Uint64(b[16:])
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), connected
}
