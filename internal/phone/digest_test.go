package phone

import (
	"strings"
	"testing"
)

// TestDigestsAreRFC7616s: the example of its section 3.9.1, both algorithms.
func TestDigestsAreRFC7616s(t *testing.T) {
	const challenge = `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%, ` +
		`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`
	const cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
	for algorithm, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		got := authorize(strings.Replace(challenge, "%", algorithm, 1), "Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce)
		if p := params(strings.TrimPrefix(got, "Digest ")); p["response"] != want || p["opaque"] == "" || p["nc"] != "00000001" {
			t.Errorf("%s: %s", algorithm, got)
		}
	}
	// Without qop: RFC 2617 section 3.2.2.1, with the figures of RFC 2069's errata.
	got := authorize(`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`, "Mufasa", "CircleOfLife", "GET", "/dir/index.html", "")
	if p := params(strings.TrimPrefix(got, "Digest ")); p["response"] != "1949323746fe6a43ef61f9606e7febea" {
		t.Error(got)
	}
	if got := authorize(`Digest realm="a", nonce="b", algorithm=SHA-512-256`, "u", "p", "GET", "/", ""); got != "" {
		t.Errorf("an unknown algorithm was answered: %s", got)
	}
}
