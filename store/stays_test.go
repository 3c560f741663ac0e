package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// TestAKeyThatNoRotationTakesEndsThemWithItsName: the root isn't replaced for ever, and
// who reads the log knows that something isn't final.
func TestAKeyThatNoRotationTakesEndsThemWithItsName(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "data"))
	defer func() { must(t, s.Close()) }()
	const stays = "month/2020-01"
	must(t, s.keys.update(t.Context(), func(k keysTx) error { // as if a step forgot to take it away
		_, err := k.need(bKEK, asBucketKey, stays)
		return errors.Join(err, k.Bucket(bTouched).Put([]byte(stays), nil))
	}))
	if err := s.Rotate(t.Context()); !errors.Is(err, errStays) || !strings.Contains(err.Error(), stays) {
		t.Errorf("%v", err)
	}
	must(t, s.keys.update(t.Context(), func(k keysTx) error { return k.Bucket(bKEK).Delete([]byte(stays)) }))
	if err := s.Rotate(t.Context()); err != nil {
		t.Errorf("when it is gone: %v", err)
	}
}
