package store_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consentgate/store"
	"consentgate/store/rights"
)

// requests collects what a request's rows said, of now and of before.
func (a attacker) requests(root [32]byte, id string) string {
	var out strings.Builder
	rows := a.after("request/"+a.month+"\x00", func(i int) []byte { return a.raw[i:min(i+4000, len(a.raw))] })
	for _, k := range a.keys(root) {
		c := gcm(k)
		for _, row := range rows {
			for n := 30; n < len(row); n++ {
				if plain, err := c.Open(nil, row[:12], row[12:n], []byte("consentgate/2/request\x00"+id)); err == nil {
					out.Write(append(plain, '\n'))
				}
			}
		}
	}
	return out.String()
}

// TestWhatARequestSaidBeforeGoesWithTheRoot: the attacker has all files of now, and
// a backup of all of them from before it changed. Months whose requests didn't
// change keep their key.
func TestWhatARequestSaidBeforeGoesWithTheRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	today := rights.DateOf(time.Now().UTC())
	r, err := s.Receive(ctx, rights.Access, "+44 20 7946 0999", today, because("letter"))
	must(t, err)
	other, err := s.Receive(ctx, rights.Access, "+44 20 7946 0111", rights.Date{Year: 2026, Month: 1, Day: 5}, because("letter"))
	must(t, err)
	backup := filesOf(t, dir)
	a := attacker{raw: backup, month: today.String()[:len("2026-11")], bucket: "none"}
	root := rootOf(t, dir, 1)
	before := a.requests(root, r.ID)
	if !strings.Contains(before, "0999") || strings.Contains(before, "passport") {
		t.Fatalf("control: the attack before the change brings %q", before)
	}
	_, err = s.AskIdentity(ctx, r.ID, because("a copy of the passport"))
	must(t, err, s.Rotate(ctx))
	if types(t, s)[store.TypeShredded] != 0 {
		t.Error("a change alone had the root replaced")
	}
	victim, _ := recorded(t, s, "victim")
	must(t, s.Erase(ctx, victim.Grant, "asked"), s.Rotate(ctx))
	for _, id := range []string{r.ID, other.ID} {
		if got, err := s.Request(id); err != nil || got.Party == "" {
			t.Errorf("%+v %v", got, err)
		}
	}
	must(t, s.Close())
	present := rootOf(t, dir, 2)
	a.raw = append(filesOf(t, dir), backup...)
	now := a.requests(present, r.ID)
	if n := strings.Count(now, "\n"); n != 1 || !strings.Contains(now, "passport") {
		t.Errorf("with the present root %d versions open: %s", n, now)
	}
	if old := a.requests(root, r.ID); !strings.Contains(old, "0999") {
		t.Error("control: with the old root the attack must succeed, or it proves nothing")
	}
	a.month, a.raw = "2026-01", bytes.Clone(backup)
	if got := a.requests(present, other.ID); got != "" {
		t.Errorf("the present root opens a key that was under the old: %q", got)
	}
	s = openStore(t, dir) // what was put under new keys is read from the disk
	for _, id := range []string{r.ID, other.ID} {
		if got, err := s.Request(id); err != nil || got.Party == "" {
			t.Errorf("after a start: %+v %v", got, err)
		}
	}
	end(t, s, dir)
}
