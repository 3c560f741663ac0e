package proxy

import (
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// TestGlareTimeIsThatOfRFC3261: section 14.1, 2.1 to 4 s for who made the
// Call-ID and up to 2 s for who didn't, in units of 10 ms.
func TestGlareTimeIsThatOfRFC3261(t *testing.T) {
	var least, most [2]time.Duration
	for i, owner := range []bool{true, false} {
		least[i] = time.Hour
		for range 20000 {
			d := glareTime(owner)
			if d%(10*time.Millisecond) != 0 {
				t.Fatalf("%s isn't in units of 10 ms", d)
			}
			least[i], most[i] = min(least[i], d), max(most[i], d)
		}
	}
	if least[0] != 2100*time.Millisecond || most[0] != 4*time.Second || least[1] != 0 || most[1] != 2*time.Second {
		t.Errorf("owners wait %s to %s, others %s to %s", least[0], most[0], least[1], most[1])
	}
}

// TestNumbersRiseOverRequestsOfOurOwn: a peer's requests keep their number until
// the gate has sent one itself, and no number is ever used twice.
func TestNumbersRiseOverRequestsOfOurOwn(t *testing.T) {
	req := func(n string) *sip.Request {
		r := sip.NewRequest(sip.INFO, sip.Uri{})
		r.AppendHeader(sip.NewHeader("CSeq", n+" INFO"))
		return r
	}
	var n numbers
	got := []uint32{n.pass(req("1")), n.pass(req("5")), n.next(), n.pass(req("6")), n.next(), n.next(), n.pass(req("9"))}
	want := []uint32{1, 5, 6, 7, 8, 9, 12}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

// TestAPRACKNamesTheINVITEAsItsReceiverKnowsIt: RFC 3262 section 7.2.
func TestAPRACKNamesTheINVITEAsItsReceiverKnowsIt(t *testing.T) {
	for in, want := range map[string]string{"1 4 INVITE": "1 6 INVITE", "7 3 INVITE": "7 3 INVITE", "rubbish": "rubbish"} {
		r := sip.NewRequest(sip.PRACK, sip.Uri{})
		r.AppendHeader(sip.NewHeader("RAck", in))
		renumberRAck(r, 4, 6)
		if got := header(r, "rack"); got != want {
			t.Errorf("%q became %q, not %q", in, got, want)
		}
	}
}

// TestVersionsRiseByOneWithEachChange: RFC 3264 section 8, for who is told more
// than the far end says; for others every o= line passes.
func TestVersionsRiseByOneWithEachChange(t *testing.T) {
	body := func(who, version, rest string) []byte {
		return []byte("v=0\r\no=- " + who + " " + version + " IN IP4 192.0.2.1\r\n" + rest)
	}
	var o versions
	var before []byte
	for i, c := range []struct {
		in    []byte
		aware bool
		want  []byte
	}{
		{body("1", "7", "a"), false, body("1", "7", "a")},
		{body("1", "7", "b"), false, body("1", "7", "b")}, // its owner's fault, and not ours to mend
		{body("1", "7", "c"), true, body("1", "8", "c")},
		{body("1", "7", "c"), true, body("1", "8", "c")}, // said again
		{body("1", "7", "d"), true, body("1", "9", "d")},
		{body("1", "8", "e"), true, body("1", "10", "e")},
		{body("2", "3", "f"), true, body("2", "3", "f")}, // somebody else
		{[]byte("no origin"), true, []byte("no origin")},
	} {
		got := o.follow(before, c.in, c.aware)
		if string(got) != string(c.want) {
			t.Errorf("%d: got %q, want %q", i, got, c.want)
		}
		before = got
	}
}
