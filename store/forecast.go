package store

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/rootcell"
)

// Forecast is what a run of the retention would do.
type Forecast struct {
	Due     []Due          // the longest overdue first
	Total   map[string]int // recordings by purpose
	Stopped []string       // purposes of which nothing would go before an officer confirms it
	Months  []string       // of the audit log, as 2026-11, whose payloads would go
	Held    bool           // they wouldn't, before an officer confirms it
	Braked  *Braked        // what stopped the last run; nil: nothing did
}

// ForecastRetention says what a run would do at a moment, and does nothing. It
// reads a data directory, or a copy of one; a gate may be using it meanwhile.
func ForecastRetention(ctx context.Context, dir string, cell rootcell.Cell, p Retention, now time.Time) (out Forecast, err error) {
	err = view(filepath.Join(dir, keysFile), func(tx *bolt.Tx) error {
		for _, b := range [][]byte{bRecording, bGrantKey, bRights} {
			if tx.Bucket(b) == nil {
				return fmt.Errorf("%s of %s isn't one of this version; it is once a gate was started on it", keysFile, dir)
			}
		}
		t, err := keysAt(ctx, dir, cell, tx)
		if err != nil {
			return err
		}
		var state retained
		if b := tx.Bucket(bMeta).Get(kRetained); b != nil {
			if err := json.Unmarshal(b, &state); err != nil {
				return err
			}
		}
		found, err := p.survey(func(f func(keysTx) error) error { return f(t) }, now)
		if err != nil {
			return err
		}
		slices.SortFunc(found.due, func(a, b Due) int {
			if c := a.Until.Compare(b.Until); c != 0 {
				return c
			}
			return strings.Compare(a.ID, b.ID)
		})
		out = Forecast{Due: found.due, Total: found.total, Stopped: p.stopped(found, state.Confirmed), Braked: state.Braked}
		return view(filepath.Join(dir, auditFile), func(log *bolt.Tx) error {
			due, err := p.logDue(log, t, now, state.Confirmed)
			out.Months, out.Held = nil, due.stopped()
			for _, name := range due.keys {
				out.Months = append(out.Months, strings.TrimPrefix(name, ofMonth))
			}
			return err
		})
	})
	return out, err
}
