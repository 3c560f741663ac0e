package phone_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"consentgate/store/phone"
)

var (
	gb   = phone.Rules{Region: "GB"}
	de   = phone.Rules{Region: "DE"}
	us   = phone.Rules{Region: "US"}
	it   = phone.Rules{Region: "IT"}
	fr   = phone.Rules{Region: "FR"}
	none = phone.Rules{}
)

// TestEverySpellingOfANumberIsOne: each line is one number.
func TestEverySpellingOfANumberIsOne(t *testing.T) {
	for _, c := range []struct {
		rules     phone.Rules
		want      string
		spellings []string
	}{
		{gb, "+442079460018", []string{"+442079460018", "+44 20 7946 0018", "020 7946 0018", "02079460018", "00442079460018", "0044 20 7946 0018",
			"+44 (0)20 7946 0018", "0044 (0)20 7946 0018", "(020) 7946 0018", "020-7946-0018", "020.7946.0018", "020/79460018", "+44.20.7946.0018",
			"sip:+442079460018@carrier.example", "sip:+442079460018@192.0.2.1:5060;user=phone", "sips:+442079460018@h", "SIP:02079460018@h",
			"<sip:+442079460018@h>", "<sip:+442079460018@h>;tag=1", `"Ann <Q>" <sip:+44-20-7946-0018@h;user=phone>;tag=x`, "Ann <tel:+44-20-7946-0018>",
			"tel:+44-20-7946-0018", "TEL:+442079460018", "tel:020-7946-0018;phone-context=example.com", "tel:7946-0018;phone-context=+44-20",
			"sip:7946-0018;phone-context=+4420@h;user=phone", "sip:+442079460018;npdi;rn=+4420@h", "tel:+44-20-7946-0018;ext=12", "020 7946 0018 ext. 12",
			"sip:%2B442079460018@h", "sip:+442079460018:secret@h", "\u00a0+44\u00a020\u00a07946\u00a00018", "＋４４　２０　７９４６　００１８",
			"０２０－７９４６－００１８", "٠٢٠٧٩٤٦٠٠١٨", "\u202a+44 20 7946 0018\u202c", "020\u20117946\u20130018", "+44\u200b2079460018", "  020 7946 0018\t"}},
		{de, "+4930123456", []string{"+4930123456", "+49 30 123456", "+49 (0)30 123456", "+49 (0) 30 / 12 34 56", "0049 30 123456", "030 123456", "030/123456",
			"(030) 12 34 56", "030-123456", "030.123.456", "tel:+49-30-123456", "tel:030-123456", "sip:+4930123456@h", "sip:030123456@h;user=phone",
			"<sip:004930123456@h>", "+49(30)123456", "０３０ １２３４５６", "00 49 30 12 34 56", "+49-(0)30-123456", "\t030\u00a0123456", "sip:%2b4930123456@h"}},
		{us, "+12125550123", []string{"+12125550123", "+1 212 555 0123", "(212) 555-0123", "212-555-0123", "212.555.0123", "2125550123", "1 212 555 0123",
			"1-212-555-0123", "12125550123", "011 1 212 555 0123", "001 212 555 0123", "+1 (212) 555-0123", "tel:+1-212-555-0123", "tel:212-555-0123;phone-context=+1",
			"sip:2125550123@h", "sip:+12125550123@h;user=phone", "<sip:12125550123@h>", "(212)5550123", "212 555 0123 x12", "(212) 555-0123 ext. 7", "＋１２１２５５５０１２３",
			"212\u2011555\u20110123"}},
		{us, "+18003569377", []string{"1-800-FLOWERS", "1 800 flowers", "+1 800 FLOWERS", "(800) FLOWERS", "800-356-9377", "sip:1800FLOWERS@h"}},
		{it, "+390612345678", []string{"+390612345678", "+39 06 1234 5678", "06 1234 5678", "0612345678", "0039 06 12345678", "+39 (06) 12345678",
			"tel:+39-06-1234-5678", "sip:0612345678@h"}},
		{fr, "+33142685300", []string{"+33142685300", "01 42 68 53 00", "01.42.68.53.00", "+33 1 42 68 53 00", "+33 (0)1 42 68 53 00", "0033142685300"}},
		{phone.Rules{Region: "BR"}, "+551123456789", []string{"+55 11 2345-6789", "(11) 2345-6789", "011 2345-6789", "0 15 11 2345-6789", "0055 11 2345 6789"}},
		{phone.Rules{Region: "AR"}, "+5491123456789", []string{"+54 9 11 2345-6789", "011 15-2345-6789"}},
		{phone.Rules{Region: "RU"}, "+74951234567", []string{"8 (495) 123-45-67", "+7 495 123-45-67", "810 7 495 123 45 67"}},
		{none, "+442079460018", []string{"+44 20 7946 0018", "00442079460018", "tel:+44-20-7946-0018", "sip:0044-2079460018@h"}},
		{phone.Rules{BareInternational: true}, "+4930123456", []string{"4930123456", "49 30 123456", "sip:4930123456@h;user=phone", "+4930123456"}},
		{phone.Rules{Region: "DE", BareInternational: true}, "+4930123456", []string{"4930123456", "030123456", "0049 30 123456"}},
	} {
		for _, s := range c.spellings {
			if got := c.rules.Read(s); got != c.want {
				t.Errorf("%+v: %q is %q, want %q", c.rules, s, got, c.want)
			}
		}
	}
}

// TestWhatIsNoNumberStaysItself, and what isn't sure isn't guessed.
func TestWhatIsNoNumberStaysItself(t *testing.T) {
	for _, c := range []struct {
		rules          phone.Rules
		spelling, want string
	}{
		{gb, "alice@pbx", "alice"}, {gb, "sip:Alice@pbx.example;user=ip", "alice"}, {gb, "anonymous", "anonymous"},
		{gb, `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1`, "anonymous"}, {gb, "sip:first.last-name@h", "first.last-name"},
		{gb, "201", "201"}, {gb, "sip:201@pbx", "201"}, {de, "112", "112"}, {us, "911", "911"}, {gb, "116 123", "116123"},
		{de, "4930123456", "4930123456"}, {de, "30123456", "30123456"}, {gb, "442079460018", "442079460018"},
		{gb, "2079460018", "2079460018"}, {gb, "7946 0018", "79460018"}, {us, "555-0123", "5550123"}, {us, "4930123456", "4930123456"},
		{none, "020 7946 0018", "02079460018"}, {none, "2125550123", "2125550123"},
		{gb, "*31#02079460018", "*31#02079460018"}, {gb, "*21*", "*21*"},
		{gb, "+999 123 456", "+999123456"}, {gb, "00999123456", "+999123456"}, {gb, "+44 1", "+441"},
		{gb, "", ""}, {gb, "+", "+"}, {gb, "sip:", ""}, {gb, "anna 020 7946 0018", "anna 020 7946 0018"},
		{phone.Rules{BareInternational: true}, "201", "201"}, {phone.Rules{BareInternational: true}, "112", "112"},
		{phone.Rules{Region: "GB", BareInternational: true}, "020 7946 0018", "+442079460018"},
		{gb, strings.Repeat("1", 1000), strings.Repeat("1", 1000)},
	} {
		if got := c.rules.Read(c.spelling); got != c.want {
			t.Errorf("%+v: %q is %q, want %q", c.rules, c.spelling, got, c.want)
		}
	}
}

// TestTheDigitsOfAllScriptsAreDigits: each script has ten of them.
func TestTheDigitsOfAllScriptsAreDigits(t *testing.T) {
	seen := map[string]int{}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.IsDigit(r) {
			seen[none.Read(string(r))]++
		}
	}
	if len(seen) != 10 || seen["0"] < 30 {
		t.Fatalf("%v", seen)
	}
	for d, n := range seen {
		if n != seen["0"] {
			t.Errorf("%d runes are the digit %s, %d are 0", n, d, seen["0"])
		}
	}
}

func TestABookReadsAsEachTrunkDoes(t *testing.T) {
	b := phone.Book{Default: gb, Trunks: map[string]phone.Rules{"berlin": de, "milan": it}}
	if b.Of("berlin") != de || b.Of("gone") != gb {
		t.Errorf("%+v", b)
	}
	got := b.Readings("020 7946 0018")
	if !slices.Contains(got, "+442079460018") || !slices.Contains(got, "02079460018") || !slices.Contains(got, "+3902079460018") {
		t.Errorf("%q", got)
	}
	if got := b.Readings("+44 20 7946 0018"); !slices.Equal(got, []string{"+442079460018"}) {
		t.Errorf("%q", got)
	}
	if got := (phone.Book{}).Readings("Alice@pbx"); !slices.Equal(got, []string{"alice"}) {
		t.Errorf("%q", got)
	}
}

// TestANumberYoungerThanTheLibraryIsFoundByBothSpellings: it isn't valid for all that
// is known, so each of them is filed as it came. What is valid has one reading.
func TestANumberYoungerThanTheLibraryIsFoundByBothSpellings(t *testing.T) {
	b := phone.Book{Default: gb, Trunks: map[string]phone.Rules{"boston": us, "bare": none}}
	for spelling, want := range map[string][]string{
		"07700 900123": {"+447700900123", "07700900123"}, "+44 7700 900123": {"+447700900123", "07700900123"},
		"00447700900123": {"+447700900123", "07700900123"}, "sip:07700900123@h": {"+447700900123", "07700900123"},
		"1 555 555 1234": {"+15555551234", "15555551234"}, "+1 555 555 1234": {"+15555551234", "15555551234"},
		"+44 20 7946 0018": {"+442079460018"}, "201": {"201"}, "0201": {"0201"}, "112": {"112"}, "anonymous": {"anonymous"},
		"+49 190 1234": {"+491901234"}, "+999 123 456": {"+999123456"},
	} {
		got := b.Readings(spelling)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s is %q, want %q", spelling, got, want)
		}
	}
}

func TestAnUnknownRegionIsExplained(t *testing.T) {
	for code, want := range map[string]string{"gb": "in capitals: GB", "UK": "is GB", "XX": "ISO 3166-1", "Germany": "ISO 3166-1", "001": "ISO 3166-1"} {
		if err := phone.CheckRegion(code); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", code, err, want)
		}
	}
	for _, code := range []string{"", "GB", "DE", "US", "IT"} {
		if err := phone.CheckRegion(code); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// FuzzRead: whatever comes, what was read reads as itself, bears no digit of
// another script, and is UTF-8 if it was.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"+44 (0)20 7946 0018", "sip:0044-20@h;user=phone", `"<" <tel:7946;phone-context=+4420>`, "1-800-FLOWERS", "４９３０１２３４５６",
		"sip:%2B49%2030@h", "tel:+49-30;ext=5;isub=1", "a@b@c", "sip:sip:tel:1", "+0049", "000049", "(0)20", "+390612345678", "*31#+49", "%%%34"} {
		f.Add(s)
	}
	rules := []phone.Rules{none, gb, de, us, it, {Region: "AR"}, {Region: "BR"}, {Region: "GB", BareInternational: true}, {BareInternational: true}}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range rules {
			once := r.Read(s)
			if twice := r.Read(once); twice != once {
				t.Errorf("%+v: %q is %q, which is %q", r, s, once, twice)
			}
			if utf8.ValidString(s) && !utf8.ValidString(once) {
				t.Errorf("%q gives %q", s, once)
			}
			for _, c := range once {
				if c > 127 && unicode.IsDigit(c) {
					t.Errorf("%q gives %q", s, once)
				}
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, s := range []string{"+442079460018", "020 7946 0018", "201", "anonymous"} {
		b.Run(s, func(b *testing.B) {
			for b.Loop() {
				gb.Read(s)
			}
		})
	}
}
