package chaos_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"consentgate/internal/chaos"
)

// TestAGateThatSaysNothingIsNoticed: each call's INVITE is reported, with what
// its caller did about it.
func TestAGateThatSaysNothingIsNoticed(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	crowd, err := chaos.New()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	at := silent.LocalAddr().(*net.UDPAddr).AddrPort()
	report, err := crowd.Run(ctx, at, at, chaos.Load{Seed: 1, Calls: 20, Rate: 100, Patience: 2 * time.Second})
	if err != nil {
		t.Error(err)
	}
	if err := crowd.Close(); err != nil {
		t.Error(err)
	}
	if len(report.Unanswered) != 20 || !strings.Contains(report.Unanswered[0], "caller sends INVITE") {
		t.Errorf("%+v", report)
	}
}
