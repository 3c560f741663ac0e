package main

import (
	"reflect"
	"testing"
)

func TestBencodeIsReadAsItWasWritten(t *testing.T) {
	raw := bencode(nil, map[string]any{"sdp": "v=0\r\n", "replace": []string{"origin", "x"}, "command": "offer"})
	if want := "d7:command5:offer7:replacel6:origin1:xe3:sdp5:v=0\r\ne"; string(raw) != want {
		t.Errorf("written as %q, want %q", raw, want)
	}
	got, rest, err := bdecode(append(raw, "i-7e"...))
	want := map[string]any{"sdp": "v=0\r\n", "replace": []any{"origin", "x"}, "command": "offer"}
	if err != nil || string(rest) != "i-7e" || !reflect.DeepEqual(got, want) {
		t.Errorf("read as %v, %q left, %v", got, rest, err)
	}
	if n, rest, err := bdecode(rest); n != -7 || len(rest) > 0 || err != nil {
		t.Errorf("read as %v, %q left, %v", n, rest, err)
	}
}

func TestWhatIsNoBencodeIsRefused(t *testing.T) {
	for _, raw := range []string{"", "x", "i7", "ie", "9:short", "-1:x", "l1:a", "d1:ae", "di1e1:ae", "d"} {
		if v, _, err := bdecode([]byte(raw)); err == nil {
			t.Errorf("%q reads as %v", raw, v)
		}
	}
}
