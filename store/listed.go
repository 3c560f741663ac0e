package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"consentgate/consent"
	"consentgate/store/catalog"
	"consentgate/store/rights"
)

// numberIndex is the name of the key that numbers and names are hashed with for
// the catalog. Without it, and the root that wraps it, they can't be tried out.
// That of version 1 is another: its hashes may be on the disk still.
const (
	numberIndex    = "catalog-index"
	oldNumberIndex = "number-index"
)

// ofCatalog and a month is the key bucket of what the catalog has of that month.
const ofCatalog = "catalog/"

// hashed is a number or a name as the catalog has it.
func hashed(k key, kind, name string) uint64 {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(kind + "\x00" + name))
	return binary.BigEndian.Uint64(mac.Sum(nil))
}

func hashedNumber(k key, number string) uint64 { return hashed(k, "number", number) }

func hashedName(k key, kind, name string) uint32 { return uint32(hashed(k, kind, name) >> 32) }

// What the catalog has for states and directions: never 0, so that a row isn't
// found by what it has none of.
var (
	stateCodes     = map[string]uint8{StateRecording: 1, StateSealed: 2, StateTruncated: 3}
	directionCodes = map[consent.Direction]uint8{consent.Inbound: 1, consent.Outbound: 2}
)

// Flags of a recording in the catalog: what officers did about it.
const (
	flagHeld       = 1
	flagRestricted = 2
)

func flagsOf(f rights.File) (flags uint8) {
	if len(f.Holds) > 0 {
		flags |= flagHeld
	}
	if f.Decide(false).Restricted {
		flags |= flagRestricted
	}
	return flags
}

// catalog is the list that recordings are found in.
func (t keysTx) catalog() *catalog.Catalog { return catalog.In(t.Bucket(bCatalog), t.monthKey) }

// monthKey is what the catalog has of a month is sealed under. It gets a successor
// as buckets do, and is then between two keys for a while.
func (t keysTx) monthKey(month string, create bool) (k catalog.MonthKey, ok bool, err error) {
	bucket := ofCatalog + month
	n := t.generation(bucket)
	if create {
		k.Key, err = t.need(bKEK, asBucketKey, kekID(bucket, n))
	} else {
		k.Key, err = t.lookup(bKEK, asBucketKey, kekID(bucket, n))
	}
	if errors.Is(err, errNoKey) {
		return k, false, nil
	}
	if from := t.resealing(month); from != nil && err == nil {
		k.From = from
		k.Old, err = t.lookup(bKEK, asBucketKey, kekID(bucket, n-1))
	}
	return k, err == nil, err
}

// list puts a recording where it is found, or changes what is there.
func (t keysTx) list(id string, r row, sum Summary) error {
	k, err := t.need(bSystem, asSystemKey, numberIndex)
	if err != nil {
		return err
	}
	raw, err := idBytes(id)
	if err != nil {
		return err
	}
	f, err := t.getFiled(id, r)
	if err != nil {
		f.File = unreadable()
	}
	entry := catalog.Row{Position: catalog.Position{Start: r.Start, ID: raw},
		Remote: hashedNumber(k, sum.RemoteNumber), Local: hashedNumber(k, sum.LocalNumber),
		Purpose: hashedName(k, "purpose", sum.Purpose), Trunk: hashedName(k, "trunk", sum.Trunk),
		State: stateCodes[sum.State], Direction: directionCodes[sum.Direction], Flags: flagsOf(f.File),
		Outcome: outcomeCode(sum.Outcome())}
	if sum.ConnectedNumber != "" {
		entry.Connected = hashedNumber(k, sum.ConnectedNumber)
	}
	old, replaced, err := t.catalog().Put(entry)
	if err != nil {
		return fmt.Errorf("listing recording %s: %w", id, err)
	}
	return t.tally(k, func(n tally) {
		if replaced {
			n.add(old, -1)
		}
		n.add(entry, 1)
		n[entry.Purpose].Name = sum.Purpose
	})
}

// unlist takes a recording out of the list, and says which key what the list had
// of it goes with; "": it had nothing. Nothing has to be known of it but its row.
func (t keysTx) unlist(id string, r row) (kek string, err error) {
	raw, err := idBytes(id)
	if err != nil {
		return "", err
	}
	old, removed, err := t.catalog().Remove(catalog.Position{Start: r.Start, ID: raw})
	if err != nil {
		return "", fmt.Errorf("taking recording %s out of the list: %w", id, err)
	}
	if !removed {
		return "", nil
	}
	if kek, err = t.lastKey(catalog.Month(r.Start)); err != nil {
		return "", err
	}
	if err := t.Bucket(bTouched).Put([]byte(kek), nil); err != nil {
		return "", err
	}
	k, err := t.lookup(bSystem, asSystemKey, numberIndex)
	if err != nil {
		return "", err
	}
	return kek, t.tally(k, func(n tally) { n.add(old, -1) })
}

// lastKey is the last of a month's keys that a row of it may have been under: while
// it is between two it may have been under either, once that has begun.
func (t keysTx) lastKey(month string) (kek string, err error) {
	begin, err := catalog.Begin(month)
	bucket := ofCatalog + month
	n := t.generation(bucket)
	if bytes.Equal(t.resealing(month), begin) {
		n--
	}
	return kekID(bucket, n), err
}
