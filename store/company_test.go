package store

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWhatNobodyWaitsForWaitsForCompany: and is taken along by the first write
// that somebody waits for, which itself waits for nobody.
func TestWhatNobodyWaitsForWaitsForCompany(t *testing.T) {
	for name, k := range map[string]struct {
		first *write
		more  []*write
		size  int
		after time.Duration
	}{
		"it waits a while":         {&write{later: true}, nil, 1, company},
		"others come":              {&write{later: true}, []*write{{later: true}, {later: true}}, 3, company},
		"one comes that may not":   {&write{later: true}, []*write{{later: true}, {}}, 3, 0},
		"one that may not is lone": {&write{}, nil, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &committer{queue: make(chan *write), quit: make(chan struct{})}
				size, start := make(chan int), time.Now()
				go func() { size <- len(c.gather(k.first)) }()
				for _, w := range k.more {
					c.queue <- w
				}
				if n := <-size; n != k.size || time.Since(start) != k.after {
					t.Errorf("%d writes after %s", n, time.Since(start))
				}
			})
		})
	}
}
