package chaos

import (
	"reflect"
	"testing"
)

// TestACallIsWhatItsSeedAndNumberMakeIt: whatever was drawn before.
func TestACallIsWhatItsSeedAndNumberMakeIt(t *testing.T) {
	c := &Crowd{carrier: &place{}, pbx: &place{}, calls: map[string]*call{}}
	plans := func(seed uint64, numbers ...int) map[int]plan {
		out := map[int]plan{}
		for _, n := range numbers {
			out[n] = newCall(c, Load{Seed: seed}, n).plan
		}
		return out
	}
	one, same, other := plans(7, 0, 1, 2, 3), plans(7, 3, 2, 1, 0), plans(8, 0, 1, 2, 3)
	if !reflect.DeepEqual(one, same) || reflect.DeepEqual(one, other) {
		t.Errorf("seed 7 makes %+v and then %+v, seed 8 %+v", one, same, other)
	}
}
