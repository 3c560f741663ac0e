package evidence

import (
	"reflect"
	"strings"
	"testing"
)

// TestEveryTextIsInEveryLanguage, with the same places for what is put in.
func TestEveryTextIsInEveryLanguage(t *testing.T) {
	en := reflect.ValueOf(*texts["en"])
	for lang, w := range texts {
		v := reflect.ValueOf(*w)
		for i := range v.NumField() {
			name, a, b := v.Type().Field(i).Name, en.Field(i), v.Field(i)
			if b.IsZero() {
				t.Errorf("%s: no %s", lang, name)
			}
			switch b.Kind() {
			case reflect.String:
				if name != "Time" && strings.Count(a.String(), "%") != strings.Count(b.String(), "%") {
					t.Errorf("%s: %s has other places: %q", lang, name, b)
				}
			case reflect.Map:
				for _, k := range a.MapKeys() {
					if s := b.MapIndex(k); !s.IsValid() || s.String() == "" {
						t.Errorf("%s: %s has no %v", lang, name, k)
					}
				}
			case reflect.Slice, reflect.Array:
				if a.Len() != b.Len() {
					t.Errorf("%s: %s has %d, want %d", lang, name, b.Len(), a.Len())
				}
				for j := range b.Len() {
					if b.Index(j).String() == "" {
						t.Errorf("%s: %s %d is empty", lang, name, j)
					}
				}
			}
		}
	}
}

// TestMasksLeaveTooLittleToCall: and nothing of names and short numbers.
func TestMasksLeaveTooLittleToCall(t *testing.T) {
	for in, want := range map[string]string{"+442079460123": "•••23", "5550123": "•••23", "112": "•••", "123456": "•••", "": "•••",
		"sip:alice1234567@example.com": "•••", "алиса": "•••", "+": "•••", "*21*02079460123#": "•••23"} {
		if got := mask(in); got != want {
			t.Errorf("%q is masked as %q, want %q", in, got, want)
		}
	}
}
