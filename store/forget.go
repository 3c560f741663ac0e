package store

import (
	"context"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
)

// appendOf logs something of a grant, under its key: it goes with the grant.
func (a *Audit) appendOf(ctx context.Context, kind string, v any, grant consent.Hash) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = a.append(ctx, newEntry{kind: kind, payload: payload, grant: grant})
	return err
}

// appendErased logs a grant's erasure, and in the same transaction takes away
// the payloads that were sealed under its key: there is no moment at which one is
// missing without a word, or said to be gone and there. The grant's key must be
// gone by now, so that none is added later. The entry bears the grant's mark
// itself, so that everyone can check who only sees leaves, and stays whole.
func (a *Audit) appendErased(ctx context.Context, ev recordingEvent) error {
	var grant consent.Hash
	if err := grant.UnmarshalText([]byte(ev.Grant)); err != nil {
		return fmt.Errorf("an erasure without its grant: %w", err)
	}
	_, err := a.append(ctx, newEntry{kind: TypeErased, erases: grant, within: func(tx *bolt.Tx) ([]byte, error) {
		ev := ev // a transaction may be tried again
		var err error
		if ev.Payloads, err = dropPayloads(tx, grant); err != nil {
			return nil, fmt.Errorf("taking payloads away: %w", err)
		}
		return json.Marshal(ev)
	}})
	return err
}
