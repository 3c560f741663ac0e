package store

import "consentgate/store/catalog"

// outcomeBatch is how many of the catalog's rows get their outcome in one
// transaction: a grant waits for one of them at most.
const outcomeBatch = 128

// noteOutcomes is the goroutine that has the catalog know the outcomes of recordings
// which earlier versions listed without. Until it has, a search for an outcome looks
// at each of them, and finds the same.
func (s *Store) noteOutcomes() {
	n, err := s.noteAllOutcomes()
	if err != nil {
		s.log.Error("searches by outcome stay slow until the next start", "error", err)
	}
	if n > 0 {
		s.log.Info("recordings can be searched by outcome without looking at each", "recordings", n)
	}
}

// noteAllOutcomes says how many it noted. Nothing is kept of how far it came: a start
// sees what is left.
func (s *Store) noteAllOutcomes() (n int, err error) {
	var left []catalog.Row
	err = s.keys.view(func(t keysTx) (err error) {
		left, err = t.unnoted(catalog.End, 1)
		return err
	})
	if err != nil || len(left) == 0 {
		return 0, err
	}
	for before := catalog.End; before != (catalog.Position{}); {
		var noted int // written by the committer, as is last; read here only after it answered
		var last catalog.Position
		err := s.keys.update(contextForever, func(t keysTx) (err error) {
			noted, last, err = t.noteOutcomes(before)
			return err
		})
		if err != nil {
			return n, err
		}
		n, before = n+noted, last
		s.reached("outcomes")
		select {
		case <-s.quit:
			return n, nil
		default:
		}
	}
	return n, nil
}

// unnoted are up to n rows before a position whose outcome isn't noted, the latest
// first.
func (t keysTx) unnoted(before catalog.Position, n int) (rows []catalog.Row, err error) {
	f := catalog.Any()
	f.Before = before
	f.Outcome(0)
	err = t.catalog().Scan(f, func(r catalog.Row) (bool, error) {
		rows = append(rows, r)
		return len(rows) < n, nil
	})
	return rows, err
}

// noteOutcomes notes some, back from a position, and says how far it came; zero:
// there are no others. What can't be read stays as it is.
func (t keysTx) noteOutcomes(before catalog.Position) (noted int, last catalog.Position, err error) {
	rows, err := t.unnoted(before, outcomeBatch)
	if err != nil {
		return 0, last, err
	}
	if len(rows) == outcomeBatch {
		last = rows[len(rows)-1].Position
	}
	c := t.catalog()
	for _, r := range rows {
		sum, err := t.listed(r)
		if err != nil {
			continue
		}
		r.Outcome = outcomeCode(sum.Outcome())
		if _, _, err := c.Put(r); err != nil {
			return noted, last, err
		}
		noted++
	}
	return noted, last, nil
}
