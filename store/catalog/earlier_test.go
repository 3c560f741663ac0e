package catalog

import (
	"encoding/binary"
	"reflect"
	"testing"
)

// TestBlocksOfEarlierVersionsAreRead: they have no number of who answered instead; what
// is written anew has room for it.
func TestBlocksOfEarlierVersionsAreRead(t *testing.T) {
	m := newCiphers(Key{1})
	want := []Row{{Position: Position{Start: 1}, Remote: 2, Local: 3, Purpose: 4, Trunk: 5, State: 1, Direction: 2, Flags: 1, Outcome: 6},
		{Position: Position{Start: 9}, Remote: 12, Local: 13, Purpose: 4, Trunk: 5, State: 1, Direction: 1}}
	key := want[0].key()
	value := make([]byte, headSize)
	binary.BigEndian.PutUint16(value, uint16(len(want)))
	for col := range columns {
		var plain []byte
		for _, r := range want {
			cell := r.append(nil, col)
			plain = append(plain, cell[:short[col]]...)
		}
		value = m[col].Seal(value, value[2:headSize], plain, about(key, value))
	}
	got, err := m.rows(key, value)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	s := scan{Filter: Any()}
	s.Either = []uint64{13}
	if err := s.look(m, key, value); err != nil || !reflect.DeepEqual(s.hits, []int{1}) {
		t.Errorf("found %v, %v", s.hits, err)
	}
	got[0].Connected = 7
	if value, err = m.seal(key, got); err != nil {
		t.Fatal(err)
	}
	if again, err := m.rows(key, value); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("%+v, %v", again, err)
	}
}
