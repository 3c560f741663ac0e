package store

import (
	"encoding/json"
	"errors"
	"fmt"

	"consentgate/store/catalog"
)

// kTally is where the numbers of recordings are kept, so that nobody has to count
// them.
var kTally = []byte("tally")

const asTally = "consentgate/2/tally"

// tally is how many recordings there are, by the hash of their purpose.
type tally map[uint32]*tallied

type tallied struct {
	Name string        `json:"name"`
	N    map[uint8]int `json:"n"` // by state
}

func (n tally) add(r catalog.Row, d int) {
	if n[r.Purpose] == nil {
		n[r.Purpose] = &tallied{N: map[uint8]int{}}
	}
	n[r.Purpose].N[r.State] += d
}

func (t keysTx) readTally(k key) (tally, error) {
	n := tally{}
	box := t.Bucket(bMeta).Get(kTally)
	if box == nil {
		return n, nil
	}
	plain, err := open(k, asTally, "", box)
	if err == nil {
		err = json.Unmarshal(plain, &n)
	}
	if err != nil {
		return nil, fmt.Errorf("the numbers of recordings: %w", err)
	}
	return n, nil
}

func (t keysTx) tally(k key, change func(tally)) error {
	k = derive(k, asTally, nil)
	n, err := t.readTally(k)
	if err != nil {
		return err
	}
	change(n)
	plain, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return t.Bucket(bMeta).Put(kTally, seal(k, asTally, "", plain))
}

// Count is how many recordings there are of one purpose in one state.
type Count struct {
	Purpose, State string
	N              int
}

// Counts returns how many recordings there are, without counting them.
func (s *Store) Counts() (out []Count, err error) {
	err = s.keys.view(func(t keysTx) error {
		out = nil
		k, err := t.lookup(bSystem, asSystemKey, numberIndex)
		if errors.Is(err, errNoKey) {
			return nil // there never was a recording
		}
		if err != nil {
			return err
		}
		n, err := t.readTally(derive(k, asTally, nil))
		if err != nil {
			return err
		}
		for _, p := range n {
			for state, code := range stateCodes {
				out = append(out, Count{p.Name, state, p.N[code]})
			}
		}
		return nil
	})
	return out, err
}
