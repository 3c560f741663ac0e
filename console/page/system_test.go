package page

import (
	"testing"
	"time"

	"consentgate/store"
	"consentgate/store/witness"
)

// TestAWitnessWantsAttentionOnlyWhenItStaysBehind: between two of its checkpoints it
// always is a few entries behind.
func TestAWitnessWantsAttentionOnlyWhenItStaysBehind(t *testing.T) {
	fresh := witness.Status{Name: "a", Size: 7, Current: time.Now()}
	stale := witness.Status{Name: "b", Size: 7, Current: time.Now().Add(-time.Hour)}
	other := witness.Status{Name: "c", Size: 7, Current: time.Now(), Conflict: true}
	for name, c := range map[string]struct {
		of   []witness.Status
		want string
	}{
		"none":              {nil, levelOff},
		"a few behind":      {[]witness.Status{fresh}, levelOK},
		"one away":          {[]witness.Status{fresh, stale}, levelWarn},
		"another's history": {[]witness.Status{stale, other}, levelBad},
	} {
		v := &visit{language: "en"}
		if got := v.witnesses(&store.Health{Entries: 9, Witnesses: c.of}); got.Level != c.want {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}
