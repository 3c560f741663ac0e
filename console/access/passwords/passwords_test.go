package passwords_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consentgate/console/access/passwords"
)

const password = "correct horse battery"

func TestAHashIsThePasswordsAndNoOthers(t *testing.T) {
	text, err := passwords.New(password)
	if err != nil {
		t.Fatal(err)
	}
	again, err := passwords.New(password)
	if err != nil || again == text {
		t.Errorf("twice the same hash: %v", err)
	}
	h, err := passwords.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c := passwords.NewChecker()
	for try, want := range map[string]bool{password: true, password + " ": false} {
		if got, err := c.Matches(t.Context(), h, try, false); got != want || err != nil {
			t.Errorf("%q matches: %v, %v", try, got, err)
		}
	}
	if got, err := c.Matches(t.Context(), h.Nobodys(), password, false); got || err != nil {
		t.Errorf("it matches nobody's, too: %v", err)
	}
	for _, bad := range []string{"", "elevenchars", strings.Repeat("x", 1025)} {
		if _, err := passwords.New(bad); err == nil {
			t.Errorf("%d characters are taken", len(bad))
		}
	}
}

// TestAHashWithinBoundsIsRead, and no other: a configuration takes neither the
// memory that calls need nor makes guessing cheap.
func TestAHashWithinBoundsIsRead(t *testing.T) {
	const salt, sum = "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for text, want := range map[string]string{
		"$argon2id$v=19$m=65536,t=3,p=4$" + salt + "$" + sum:                        "",
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + sum:                        "",
		"$argon2id$v=19$m=7168,t=5,p=1$" + salt + "$" + sum:                         "",
		"$argon2id$v=19$m=262144,t=8,p=8$" + salt + "$" + sum:                       "",
		"$argon2id$v=19$m=262145,t=1,p=1$" + salt + "$" + sum:                       "more than",
		"$argon2id$v=19$m=65536,t=9,p=1$" + salt + "$" + sum:                        "more than",
		"$argon2id$v=19$m=65536,t=3,p=9$" + salt + "$" + sum:                        "more than",
		"$argon2id$v=19$m=65536,t=3,p=0$" + salt + "$" + sum:                        "more than",
		"$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + sum:                        "too cheap",
		"$argon2id$v=19$m=7168,t=4,p=1$" + salt + "$" + sum:                         "too cheap",
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + sum:                            "too cheap",
		"$argon2id$v=19$m=4294967296,t=3,p=1$" + salt + "$" + sum:                   "of the form",
		"$argon2id$v=19$m=-1,t=3,p=1$" + salt + "$" + sum:                           "of the form",
		"$argon2id$v=19$t=3,m=65536,p=1$" + salt + "$" + sum:                        "of the form",
		"$argon2id$v=19$m=65536,t=3,p=1,keyid=1$" + salt + "$" + sum:                "of the form",
		"$argon2id$v=16$m=65536,t=3,p=1$" + salt + "$" + sum:                        "another version",
		"$argon2i$v=19$m=65536,t=3,p=1$" + salt + "$" + sum:                         "never the password itself",
		"$argon2id$v=19$m=65536,t=3,p=1$AAAA$" + sum:                                "cut or changed",
		"$argon2id$v=19$m=65536,t=3,p=1$" + salt + "$AAAA":                          "cut or changed",
		"$argon2id$v=19$m=65536,t=3,p=1$" + salt + "$" + strings.Repeat("A", 1<<16): "cut or changed",
		"$argon2id$v=19$m=65536,t=3,p=1$" + salt + "$" + sum + "=":                  "cut or changed",
		"$argon2id$v=19$m=65536,t=3,p=1$" + salt:                                    "never the password itself",
		"x$argon2id$v=19$m=65536,t=3,p=1$" + salt + "$" + sum:                       "never the password itself",
		"secret": "never the password itself",
		"":       "never the password itself",
	} {
		h, err := passwords.Parse(text)
		if want == "" && (err != nil || !h.Set()) || want != "" && (err == nil || !strings.Contains(err.Error(), want) || h.Set()) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := passwords.Parse(text); h.Set() != (err == nil) {
			t.Error(err)
		}
	})
}

// TestACrowdWaitsInALineOfBoundedLength: hashings happen one at a time, few wait,
// the others are told to come again, and those who were here before have a line of
// their own.
func TestACrowdWaitsInALineOfBoundedLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := passwords.NewChecker()
		release := c.Hold() // as a hashing that lasts
		type end struct {
			acquainted bool
			err        error
		}
		ends := make(chan end, 200)
		ctx, leave := context.WithCancel(t.Context())
		come := func(n int, acquainted bool) {
			for range n {
				go func() {
					_, err := c.Matches(ctx, passwords.Hash{}, "x", acquainted)
					ends <- end{acquainted, err}
				}()
			}
			synctest.Wait()
		}
		come(100, false)
		if n := len(ends); n != 92 {
			t.Errorf("%d of 100 strangers were told to come again", n)
		}
		for len(ends) > 0 {
			if e := <-ends; !errors.Is(e.err, passwords.ErrBusy) {
				t.Error(e.err)
			}
		}
		come(5, true)
		if len(ends) != 0 {
			t.Error("strangers fill the line of those who were here before")
		}
		time.Sleep(9 * time.Second)
		come(0, false)
		if len(ends) != 0 {
			t.Error("nobody waits")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(ends); n != 13 {
			t.Errorf("%d of 13 gave up after ten seconds", n)
		}
		for len(ends) > 0 {
			<-ends
		}
		come(1, false)
		leave()
		if e := <-ends; !errors.Is(e.err, context.Canceled) {
			t.Errorf("who goes away: %v", e.err)
		}
		release()
		if c.Done() != 0 {
			t.Error("something was compared")
		}
	})
}

func BenchmarkHash(b *testing.B) {
	text, err := passwords.New(password)
	if err != nil {
		b.Fatal(err)
	}
	h, err := passwords.Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	c := passwords.NewChecker()
	for range b.N {
		if ok, err := c.Matches(b.Context(), h, password, false); !ok || err != nil {
			b.Fatal(err)
		}
	}
}
