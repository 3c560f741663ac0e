package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"consentgate/store/checkpoint"
	"consentgate/store/witness"
)

// Cosigned is the longest of the checkpoints that a witness put its name under.
type Cosigned struct {
	Witness string
	Size    int64
	At      time.Time // by the witness's clock
}

// knows checks that a log's key is the one that the auditor knows.
func (a Auditor) knows(vkey string) error {
	if a.VKey != "" && strings.TrimSpace(a.VKey) != strings.TrimSpace(vkey) {
		return errors.New("it is another log: its verifier key isn't the one given")
	}
	return nil
}

// withWitnessed adds the checkpoints with their witnesses' cosignatures that a
// gate keeps beside its log.
func (a Auditor) withWitnessed(dir string) ([][]byte, error) {
	notes, err := witness.Notes(dir)
	return append(a.Kept[:len(a.Kept):len(a.Kept)], notes...), err
}

// cosigned looks for the witnesses' signatures on what the log continues.
func (c *checker) cosigned(vkeys []string) error {
	for _, vkey := range vkeys {
		w, err := checkpoint.NewCosigner(vkey)
		if err != nil {
			return err
		}
		best := Cosigned{Witness: w.Name(), Size: -1}
		for _, signed := range c.notes {
			at, ok := w.Find(signed)
			if cp, err := checkpoint.Parse(signed, c.vkey); ok && err == nil && cp.Size > best.Size {
				best.Size, best.At = cp.Size, at
			}
		}
		if best.Size < 0 {
			c.bad(c.now.Size, fmt.Sprintf("no checkpoint is cosigned by %s", w.Name()))
			continue
		}
		c.report.Cosigned = append(c.report.Cosigned, best)
	}
	return nil
}
