package rights

import (
	"crypto/sha256"
	"encoding/hex"
)

// Commitment names a recording to whoever knows its ID and the request, and to
// nobody else: what was done can be shown when the recording is gone.
func Commitment(salt []byte, recording string) string {
	h := sha256.New()
	h.Write([]byte("consentgate/1/request-recording\x00"))
	h.Write(salt)
	h.Write([]byte("\x00" + recording))
	return hex.EncodeToString(h.Sum(nil))
}
