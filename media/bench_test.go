package media_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/media"
)

// cpu is the process's CPU time so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type discard struct{}

func (discard) Format(consent.Party, uint8, string, int) error        { return nil }
func (discard) WriteRTP(consent.Party, time.Time, []byte) error       { return nil }
func (discard) Gap(consent.Party, string, time.Time, time.Time) error { return nil }
func (discard) Seal(time.Time, string) error                          { return nil }

// BenchmarkRelayMemory: bytes of heap for one idle call's media.
func BenchmarkRelayMemory(b *testing.B) {
	_, _, engine := newEngine(b, media.PoolConfig{Min: 42000, Max: 60999, Quarantine: time.Nanosecond})
	b.ReportAllocs()
	for b.Loop() {
		relay, err := engine.NewRelay("c", media.Sides{Remote: loopback, Local: loopback}, func(media.Event) {})
		if err != nil {
			b.Fatal(err)
		}
		relay.Close()
	}
	if err := engine.Wait(context.Background()); err != nil {
		b.Fatal(err)
	}
}
