package proxy

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/consent"
)

// lateKeeps can't be read or written before it is open.
type lateKeeps struct {
	values map[string][]byte
	open   bool
}

var errNotOpen = errors.New("not open yet")

func (k *lateKeeps) Save(_ context.Context, changes map[string][]byte) error {
	if !k.open {
		return errNotOpen
	}
	for name, v := range changes {
		if k.values[name] = v; len(v) == 0 {
			delete(k.values, name)
		}
	}
	return nil
}

func (k *lateKeeps) Load(context.Context) (out [][]byte, err error) {
	if !k.open {
		return nil, errNotOpen
	}
	for _, v := range k.values {
		out = append(out, v)
	}
	return out, nil
}

// TestRegistrationsThatAreReadLateChangeNothingThatIsKnown: who registered, moved or
// went meanwhile is where it is now, and the others are where they were.
func TestRegistrationsThatAreReadLateChangeNothingThatIsKnown(t *testing.T) {
	kept := &lateKeeps{values: map[string][]byte{}, open: true}
	cfg := func() *Config {
		return &Config{Bindings: kept, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Trunks: []Trunk{{Name: "t"}}}
	}
	phones := func(r *registrar) *registrations { return r.sides[sideKey{"t", consent.Local}] }
	now := time.Now()
	binding := func(user, host string, expires time.Duration) Binding {
		return Binding{Trunk: "t", Party: consent.Local, AOR: user, Series: user, Contact: "sip:" + user + "@" + host, Alias: alias{User: user},
			Expires: now.Add(expires)}
	}
	before := newRegistrar(cfg())
	for _, user := range []string{"stays", "moves", "refreshes", "goes"} {
		phones(before).confirm(binding(user, "old", time.Hour))
	}
	if !before.save() {
		t.Fatal("not saved")
	}
	kept.open = false
	r := newRegistrar(cfg())
	r.loadLate() // it isn't open yet
	if r.loaded || phones(r).registered() != 0 {
		t.Fatal("something was read")
	}
	phones(r).confirm(binding("moves", "new", time.Hour))
	phones(r).confirm(binding("refreshes", "old", 2*time.Hour))
	phones(r).confirm(binding("goes", "old", 2*time.Hour))
	phones(r).remove("goes", "sip:goes@old")
	kept.open = true
	r.loadLate()
	for user, want := range map[string]string{"stays": "sip:stays@old", "moves": "sip:moves@new", "refreshes": "sip:refreshes@old", "goes": ""} {
		if got := phones(r).find(user); got != want {
			t.Errorf("%s is at %q, want %q", user, got, want)
		}
	}
	if s := phones(r).byAlias[alias{User: "refreshes"}]; s == nil || !s.last.Expires.Equal(now.Add(2*time.Hour)) {
		t.Error("a refreshed one expires as it did before")
	}
	if !r.loaded || !r.save() {
		t.Error("it is read again, or not written")
	}
	if again := newRegistrar(cfg()); phones(again).registered() != 3 {
		t.Errorf("%d are kept", phones(again).registered())
	}
}
