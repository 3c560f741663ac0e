package s3_test

import (
	"context"
	"testing"
	"time"

	"consentgate/store/archive/archivetest"
	"consentgate/store/archive/s3"
)

// TestAPlaceAtAServerThatOthersMade does what it does at ours.
func TestAPlaceAtAServerThatOthersMade(t *testing.T) {
	t.Parallel()
	real := archivetest.NewReal(t)
	access, secret := keys(t, archivetest.AccessKey, "secret")
	p := open(t, s3.Config{Endpoint: real.URL, Bucket: archivetest.Bucket, Region: "us-east-1", Prefix: "gate-1/", PathStyle: true,
		AccessKeyFile: access, SecretKeyFile: secret})
	if found := p.Probe(context.Background(), time.Hour); len(found) > 0 {
		t.Errorf("%q", found)
	}
	behaves(t, p, func(object string) { real.Forget(t, "gate-1/"+object) })
}
