package srtp_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"consentgate/media/srtp"
)

// names are the suites and how much longer they make a packet of RTP.
var names = map[string]int{"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4, "AES_256_CM_HMAC_SHA1_80": 10,
	"AES_256_CM_HMAC_SHA1_32": 4, "AES_CM_256_HMAC_SHA1_80": 10, "AES_CM_256_HMAC_SHA1_32": 4, "AEAD_AES_128_GCM": 16, "AEAD_AES_256_GCM": 16}

func parsed(t testing.TB, value string) srtp.Crypto {
	t.Helper()
	c, err := srtp.Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func packet(ssrc uint32, seq uint16) []byte {
	b := append([]byte{0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, bytes.Repeat([]byte{byte(seq)}, 160)...)
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

func seal(t testing.TB, s *srtp.Sender, b []byte) []byte {
	t.Helper()
	out, err := s.RTP(make([]byte, 0, 2000), b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func opens(t testing.TB, r *srtp.Receiver, sealed, want []byte) {
	t.Helper()
	if got, err := r.RTP(sealed, time.Now()); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("packet %d: %v, % x", binary.BigEndian.Uint16(want[2:]), err, got)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// TestEachSuiteSealsAsOthersDo: known packets, by which other implementations
// are validated, too. The keys stand as they would in SDP.
func TestEachSuiteSealsAsOthersDo(t *testing.T) {
	plain := unhex("800f1234decafbadcafebabe abababababababababababababababab")
	for _, c := range []struct{ suite, key, want string }{
		{"AES_CM_128_HMAC_SHA1_80", "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
			"800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb"},
		{"AES_256_CM_HMAC_SHA1_80", "f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2",
			"800f1234decafbadcafebabe f1d9de17ff251ff1aa007774b0b4b40d a08d9d9a5b3a55d8873b"},
		{"AEAD_AES_128_GCM", "000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab",
			"800f1234decafbadcafebabe c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392"},
	} {
		key := parsed(t, "1 "+c.suite+" inline:"+base64.StdEncoding.EncodeToString(unhex(c.key)))
		got := seal(t, srtp.NewSender(key), plain)
		if !bytes.Equal(got, unhex(c.want)) {
			t.Errorf("%s: % x", c.suite, got)
		}
		opens(t, srtp.NewReceiver(key, nil), got, plain)
	}
}

func TestWhatIsSealedOpensWithEachSuite(t *testing.T) {
	report := unhex("80c8000600000007 0000000000000000 00000000 00000000 00000000")
	for name, longer := range names {
		key := srtp.New(1, name)
		key = parsed(t, key.Attribute()) // as it goes through SDP
		s, r := srtp.NewSender(key), srtp.NewReceiver(key, nil)
		plain := packet(7, 1)
		sealed := seal(t, s, plain)
		if len(sealed) != len(plain)+longer || bytes.Contains(sealed, plain[12:60]) {
			t.Errorf("%s: %d bytes became %d", name, len(plain), len(sealed))
		}
		opens(t, r, sealed, plain)
		out, err := s.RTCP(make([]byte, 0, 2000), report)
		if err != nil || bytes.Contains(out, report[8:]) {
			t.Errorf("%s: %v, % x", name, err, out)
		}
		if got, err := r.RTCP(out, time.Now()); err != nil || !bytes.Equal(got, report) {
			t.Errorf("%s: %v, % x", name, err, got)
		}
		if _, err := r.RTCP(out, time.Now()); !errors.Is(err, srtp.ErrReplay) {
			t.Errorf("%s: a report came twice: %v", name, err)
		}
	}
}

func TestWhatWasTamperedWithOrReplayedStaysShut(t *testing.T) {
	for name := range names {
		key := srtp.New(1, name)
		s, r := srtp.NewSender(key), srtp.NewReceiver(key, nil)
		plain := packet(7, 1)
		sealed := seal(t, s, plain)
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := r.RTP(bad, time.Now()); err == nil {
				t.Fatalf("%s: byte %d was changed and it opened", name, i)
			}
		}
		if _, err := srtp.NewReceiver(srtp.New(1, name), nil).RTP(sealed, time.Now()); !errors.Is(err, srtp.ErrAuth) {
			t.Errorf("%s: another key: %v", name, err)
		}
		if _, err := r.RTP(plain, time.Now()); !errors.Is(err, srtp.ErrAuth) {
			t.Errorf("%s: in the clear: %v", name, err)
		}
		opens(t, r, sealed, plain)
		if _, err := r.RTP(sealed, time.Now()); !errors.Is(err, srtp.ErrReplay) {
			t.Errorf("%s: replayed: %v", name, err)
		}
	}
}

// TestWrapsAreCounted: for each source by itself, over loss, disorder and other
// sources in between.
func TestWrapsAreCounted(t *testing.T) {
	key := srtp.New(1, "AEAD_AES_128_GCM")
	s, r := srtp.NewSender(key), srtp.NewReceiver(key, nil)
	seq := uint32(65000)
	for range 20000 {
		seq += 13
		b := packet(7, uint16(seq))
		opens(t, r, seal(t, s, b), b)
	}
	if !s.Wrapped(7) || s.Wrapped(8) {
		t.Error("the wraps aren't known")
	}
	other := packet(8, 3)
	opens(t, r, seal(t, s, other), other)
	early, late := packet(7, uint16(seq+1)), packet(7, uint16(seq+2))
	sealedEarly, sealedLate := seal(t, s, early), seal(t, s, late)
	opens(t, r, sealedLate, late)
	opens(t, r, sealedEarly, early)
}

// TestANewKeyTakesOverFromTheOldOne: packets under way still open, the count of
// wraps goes on or begins anew as the peer likes (RFC 3711 section 3.3.1 and RFC
// 4568 section 7.1.4 differ), and the old key ends.
func TestANewKeyTakesOverFromTheOldOne(t *testing.T) {
	for _, c := range []struct {
		what string
		wrap bool // right at the change
		keep bool
	}{{"goes on", false, true}, {"goes on over a wrap", true, true}, {"begins anew", false, false}} {
		t.Run(c.what, func(t *testing.T) {
			one, two := srtp.New(1, "AES_CM_128_HMAC_SHA1_80"), srtp.New(1, "AEAD_AES_256_GCM")
			s, r := srtp.NewSender(one), srtp.NewReceiver(one, nil)
			last, earlier := uint16(30000), []uint16{40000, 65500, 20, 29998} // wraps once
			if c.wrap {
				last, earlier = 65535, append(earlier, 60000, 65533)
			}
			for _, seq := range earlier {
				b := packet(7, seq)
				opens(t, r, seal(t, s, b), b)
			}
			underWay := seal(t, s, packet(7, last-1))
			renewed := srtp.NewSender(two)
			if c.keep { // as if it had sealed the earlier ones
				for _, seq := range earlier {
					seal(t, renewed, packet(7, seq))
				}
			}
			former := r
			r = srtp.NewReceiver(two, former)
			opens(t, r, seal(t, renewed, packet(7, last+1)), packet(7, last+1))
			opens(t, r, underWay, packet(7, last-1))
			opens(t, r, seal(t, renewed, packet(7, last+2)), packet(7, last+2))
			if _, err := r.RTP(underWay, time.Now()); !errors.Is(err, srtp.ErrReplay) {
				t.Errorf("replayed under the old key: %v", err)
			}
			if _, err := r.RTP(seal(t, s, packet(7, last)), time.Now().Add(time.Minute)); !errors.Is(err, srtp.ErrAuth) {
				t.Errorf("the old key after a minute: %v", err)
			}
		})
	}
}

// TestNoNumberIsUsedTwice: two packets sealed alike give each other away.
func TestNoNumberIsUsedTwice(t *testing.T) {
	s := srtp.NewSender(srtp.New(1, "AEAD_AES_128_GCM"))
	seal(t, s, packet(7, 500))
	other := packet(7, 500)
	other[20] ^= 1
	for _, b := range [][]byte{other, packet(7, 300)} { // the second lies behind all that is remembered
		if _, err := s.RTP(make([]byte, 0, 2000), b); !errors.Is(err, srtp.ErrSentBefore) {
			t.Errorf("%v", err)
		}
	}
	seal(t, s, packet(7, 499))
}

func TestSourcesAreBounded(t *testing.T) {
	key := srtp.New(1, "AES_CM_128_HMAC_SHA1_80")
	s, r := srtp.NewSender(key), srtp.NewReceiver(key, nil)
	for ssrc := range uint32(1024) {
		b := packet(ssrc, 1)
		opens(t, r, seal(t, s, b), b)
	}
	if _, err := s.RTP(nil, packet(5000, 1)); !errors.Is(err, srtp.ErrSources) {
		t.Errorf("sent: %v", err)
	}
	if _, err := r.RTP(seal(t, srtp.NewSender(key), packet(5000, 1)), time.Now()); !errors.Is(err, srtp.ErrSources) {
		t.Errorf("received: %v", err)
	}
}

// TestAttributesAreReadAsTheyAreWritten: the examples of RFC 4568 sections 4 and
// 6.1, and what peers are known to write.
func TestAttributesAreReadAsTheyAreWritten(t *testing.T) {
	const key = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"
	for _, v := range []string{
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key + "|2^20|1:32",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key + "|2^20|1:4",
		"1 AES_CM_128_HMAC_SHA1_80  inline:" + key + "|1048576",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key + "|1:4 WSH=128",
		"1 aes_cm_128_hmac_sha1_80 inline:" + key + " -SOMETHING=new",
	} {
		if c := parsed(t, v); c.Attribute() != "1 AES_CM_128_HMAC_SHA1_80 inline:"+key {
			t.Errorf("%q is %q", v, c.Attribute())
		}
	}
	for _, v := range []string{"", "1", "1 AES_CM_128_HMAC_SHA1_80", "x AES_CM_128_HMAC_SHA1_80 inline:" + key,
		"1 F8_128_HMAC_SHA1_80 inline:" + key, "1 AEAD_AES_128_GCM inline:" + key, "1 AES_CM_128_HMAC_SHA1_80 uri:" + key,
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key[:20], "1 AES_CM_128_HMAC_SHA1_80 inline:*" + key[1:],
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key + " UNENCRYPTED_SRTP", "1 AES_CM_128_HMAC_SHA1_80 inline:" + key + " KDR=1",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key + " UNAUTHENTICATED_SRTP",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key + "|1:4;inline:" + key + "|2:4",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key + "|1:0", "1 AES_CM_128_HMAC_SHA1_80 inline:" + key + "|300:1"} {
		c, err := srtp.Parse(v)
		if err == nil {
			t.Errorf("%q was read as %s", v, c.Attribute())
		} else if strings.Contains(err.Error(), key[:10]) || strings.Contains(err.Error(), key[1:10]) {
			t.Errorf("the error has the key: %v", err)
		}
	}
}

// TestAMasterKeyIdentifierStandsInEachPacket of its owner's (RFC 3711 section 3.1).
func TestAMasterKeyIdentifierStandsInEachPacket(t *testing.T) {
	key := parsed(t, srtp.New(1, "AES_CM_128_HMAC_SHA1_80").Attribute()+"|2^31|258:4")
	b := packet(7, 1)
	sealed := seal(t, srtp.NewSender(key), b)
	if !bytes.Equal(sealed[len(sealed)-14:len(sealed)-10], []byte{0, 0, 1, 2}) {
		t.Errorf("% x", sealed[len(sealed)-14:])
	}
	opens(t, srtp.NewReceiver(key, nil), sealed, b)
}

func TestOffersAreOfOurSuitesWithKeysOfTheirOwn(t *testing.T) {
	var suites []string
	seen := map[string]bool{}
	for i, c := range srtp.Offer() {
		if c.Tag != i+1 {
			t.Errorf("tag %d", c.Tag)
		}
		suites = append(suites, c.Suite)
		if key := c.Attribute(); seen[key[strings.Index(key, "inline"):]] {
			t.Error("a key stands twice")
		} else {
			seen[key[strings.Index(key, "inline"):]] = true
		}
	}
	if got := strings.Join(suites, " "); got != "AEAD_AES_256_GCM AEAD_AES_128_GCM AES_256_CM_HMAC_SHA1_80 AES_CM_128_HMAC_SHA1_80" {
		t.Error(got)
	}
}

// TestAKeyIsNeverPrinted, by no verb, logger or encoder, nor within what holds it.
func TestAKeyIsNeverPrinted(t *testing.T) {
	key := srtp.New(1, "AES_CM_128_HMAC_SHA1_80")
	inline := strings.TrimPrefix(key.Attribute(), "1 AES_CM_128_HMAC_SHA1_80 inline:")
	raw, err := base64.StdEncoding.DecodeString(inline)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	holder := struct {
		Key    srtp.Crypto
		hidden srtp.Crypto
		at     *srtp.Crypto
		more   []srtp.Crypto
	}{key, key, &key, []srtp.Crypto{key}}
	for _, x := range []any{key, &key, []srtp.Crypto{key}, map[string]srtp.Crypto{"k": key}, holder, &holder, srtp.NewSender(key), srtp.NewReceiver(key, nil)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, verb+"\n", x)
		}
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "key", x)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "key", x)
	}
	if j, err := json.Marshal(holder); err == nil {
		b.Write(j)
	}
	for _, form := range []string{inline, inline[:12], hex.EncodeToString(raw[:8]), fmt.Sprint(raw[:6])[1:12], fmt.Sprintf("%#v", raw[:4])[8:20]} {
		if strings.Contains(b.String(), form) {
			t.Errorf("%q was printed", form)
		}
	}
}

// FuzzParse: no attribute makes the reader panic, and what it accepts makes
// contexts.
func FuzzParse(f *testing.F) {
	f.Add("1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:32")
	f.Add("2 AEAD_AES_256_GCM inline:|:|")
	f.Fuzz(func(t *testing.T, v string) {
		c, err := srtp.Parse(v)
		if err != nil {
			return
		}
		if again := parsed(t, c.Attribute()); again.Suite != c.Suite {
			t.Errorf("%q", v)
		}
		s, r := srtp.NewSender(c), srtp.NewReceiver(c, nil)
		opens(t, r, seal(t, s, packet(1, 1)), packet(1, 1))
	})
}

// FuzzOpen: no packet makes a receiver panic, or opens without the key.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 1, 2, 3})
	f.Add([]byte{0x80, 200, 0, 6, 0, 0, 0, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		for name := range names {
			r := srtp.NewReceiver(srtp.New(1, name), nil)
			if _, err := r.RTP(b, time.Now()); err == nil {
				t.Error("opened")
			}
			if _, err := r.RTCP(b, time.Now()); err == nil {
				t.Error("opened")
			}
		}
	})
}

// BenchmarkSuites is what a packet of 20 ms costs to open and to seal.
func BenchmarkSuites(b *testing.B) {
	for name := range names {
		b.Run(name, func(b *testing.B) {
			key := srtp.New(1, name)
			s, r := srtp.NewSender(key), srtp.NewReceiver(key, nil)
			plain, room := packet(7, 0), make([]byte, 0, 2000)
			seq := uint16(0)
			for b.Loop() {
				seq++
				binary.BigEndian.PutUint16(plain[2:], seq)
				sealed, err := s.RTP(room, plain)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.RTP(sealed, time.Time{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
