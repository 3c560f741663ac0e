// Package phone makes one spelling of a telephone number out of the many there
// are, so that whoever looks for a number finds it.
package phone

import (
	"fmt"
	"slices"
	"strings"

	lib "github.com/nyaruka/phonenumbers"
)

// Rules say how the numbers of a trunk are written.
type Rules struct {
	// Region is the country whose national numbers are completed, by its ISO 3166-1
	// code in capitals; "": numbers without their country stay as they are.
	Region string
	// BareInternational takes digits without + or 00 for a number with its country's
	// code in front, where they make a valid one: 4930123456 is +4930123456.
	BareInternational bool
}

// CheckRegion tells whether a code is one that Rules can have.
func CheckRegion(code string) error {
	if code == "" || lib.GetSupportedRegions()[code] {
		return nil
	}
	if up := strings.ToUpper(code); lib.GetSupportedRegions()[up] {
		return fmt.Errorf("a country's code is written in capitals: %s", up)
	}
	if code == "UK" || code == "uk" {
		return fmt.Errorf("the United Kingdom's code is GB")
	}
	return fmt.Errorf("the code of a country with two capital letters (ISO 3166-1), for instance GB")
}

const (
	maxSpelling = 1024 // bytes: longer ones aren't looked into
	maxLength   = 128  // bytes of what may be a number; longer ones are names
)

// Read returns a number's one spelling: E.164, such as +442079460018, if it is a
// valid telephone number and its country is known; else what is left of it
// without URI and separators, such as 201, 112, or anonymous. Its result reads as
// itself. It never fails.
func (r Rules) Read(spelling string) string {
	if len(spelling) > maxSpelling {
		return spelling
	}
	text := inside(spelling)
	plain := compact(text)
	if len(text) > maxLength || strings.ContainsAny(text, "*#") || !strings.ContainsAny(text[:min(len(text), 1)], "+(0123456789") &&
		plain == text {
		return plain
	}
	if r.BareInternational && isDigits(plain) && plain[0] != '0' {
		if n, ok := parse("+"+plain, ""); ok {
			return lib.Format(n, lib.E164)
		}
	}
	for _, s := range []string{text, plain} { // separators may mislead, or say what is an extension
		if n, ok := parse(s, r.Region); ok && r.unmistakable(n, s) {
			return lib.Format(n, lib.E164)
		}
	}
	// Most of the world dials 00 before a country's code, and trunks write it even
	// where people don't.
	if rest, ok := strings.CutPrefix(plain, "00"); ok && isDigits(rest) {
		if n, ok := parse("+"+rest, ""); ok {
			return lib.Format(n, lib.E164)
		}
		if rest[0] != '0' {
			return "+" + rest
		}
	}
	return plain
}

func parse(text, region string) (*lib.PhoneNumber, bool) {
	n, err := lib.ParseAndKeepRawInput(text, region)
	return n, err == nil && lib.IsValidNumber(n)
}

// unmistakable tells whether a number says its country, or is written as it is
// dialled at home: behind the trunk prefix, or in full where there is none or
// nobody needs it. The library takes less, too: a subscriber's number without its
// trunk prefix, or one that begins as the country's code does.
func (r Rules) unmistakable(n *lib.PhoneNumber, text string) bool {
	switch n.GetCountryCodeSource() {
	case lib.PhoneNumber_FROM_NUMBER_WITH_PLUS_SIGN, lib.PhoneNumber_FROM_NUMBER_WITH_IDD:
		return true
	}
	if n.GetExtension() != "" {
		text, n.Extension = numberAlone(text), nil
	}
	if strings.ContainsAny(text, "abcdefghijklmnopqrstuvwxyz") { // those of a telephone's keys
		text = lib.ConvertAlphaCharactersInNumber(text)
	}
	digits := onlyDigits(text)
	trunk := lib.GetNddPrefixForRegion(r.Region, true)
	return trunk != "" && strings.HasPrefix(digits, trunk) || digits == onlyDigits(lib.Format(n, lib.NATIONAL))
}

func numberAlone(text string) string {
	number, _ := lib.MaybeSeparateExtensionFromPhone(text)
	return number
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

var separators = strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "", "/", "")

// compact takes the separators out of a number. A name keeps them.
func compact(text string) string {
	n := separators.Replace(text)
	if strings.Trim(n, "+0123456789*#") != "" || n == "" {
		return text
	}
	return n
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// Book has the rules of every trunk. Its zero value completes no number.
type Book struct {
	Default Rules // of trunks that it doesn't name, such as those there were once
	Trunks  map[string]Rules
}

// Of returns a trunk's rules.
func (b Book) Of(trunk string) Rules {
	if r, ok := b.Trunks[trunk]; ok {
		return r
	}
	return b.Default
}

// Readings are all that a number may be filed under: as each trunk reads it, and
// as it is read where no country is known. Of one that isn't valid, as numbers are
// that are younger than the library, both spellings are among them.
func (b Book) Readings(spelling string) []string {
	seen := map[string]bool{}
	var out []string
	add := func(n string) {
		if n != "" && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	all := []Rules{b.Default}
	for _, r := range b.Trunks {
		all = append(all, r)
	}
	all = append(all, Rules{})
	for _, r := range all {
		add(r.Read(spelling))
	}
	if !slices.ContainsFunc(out, valid) {
		for _, n := range slices.Clone(out) {
			for _, r := range all {
				add(r.otherwise(n))
			}
		}
	}
	return out
}

func valid(number string) bool {
	_, ok := parse(number, "")
	return ok
}

// otherwise is how a number that was read may have been dialled at home, or, dialled
// so, is with its country's code; "": in no other way. It is only as long as numbers
// are.
func (r Rules) otherwise(number string) string {
	trunk := lib.GetNddPrefixForRegion(r.Region, true)
	n, err := lib.Parse(number, r.Region)
	if trunk == "" || err != nil || lib.IsPossibleNumberWithReason(n) != lib.IS_POSSIBLE ||
		int(n.GetCountryCode()) != lib.GetCountryCodeForRegion(r.Region) {
		return ""
	}
	switch {
	case strings.HasPrefix(number, "+"):
		return trunk + lib.GetNationalSignificantNumber(n)
	case strings.HasPrefix(number, trunk):
		return lib.Format(n, lib.E164)
	}
	return ""
}
