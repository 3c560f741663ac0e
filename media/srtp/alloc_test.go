//go:build !race

package srtp_test

import (
	"encoding/binary"
	"testing"
	"time"

	"consentgate/media/srtp"
)

func TestSealingAndOpeningAllocateNothing(t *testing.T) {
	for name := range names {
		key := srtp.New(1, name)
		s, r := srtp.NewSender(key), srtp.NewReceiver(key, nil)
		seq, dst := uint16(0), make([]byte, 0, 2000)
		b := packet(7, 0)
		turn := func() {
			seq++
			binary.BigEndian.PutUint16(b[2:], seq)
			sealed, err := s.RTP(dst, b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.RTP(sealed, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		turn()
		if n := testing.AllocsPerRun(200, turn); n != 0 {
			t.Errorf("%s: %v allocations a packet", name, n)
		}
	}
}
