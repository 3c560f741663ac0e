package page

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"

	"consentgate/console/access"
)

// searches seals what somebody searches for into an address: numbers in addresses
// end in histories and logs, and a form that is sent can't be gone back to. The key
// is this process's, the user is bound in, and nothing is held here.
type searches struct{ seal cipher.AEAD }

// search is what an address holds.
type search struct {
	Asked  asked  `json:"a"`
	Cursor string `json:"c,omitempty"`
}

func newSearches() searches {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has the right length
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has the right block size
	}
	return searches{seal}
}

// address is where a search's results are.
func (s searches) address(p access.Principal, q search) string {
	raw, err := json.Marshal(q)
	if err != nil {
		panic(err) // it is made of strings
	}
	return "/recordings?q=" + base64.RawURLEncoding.EncodeToString(s.seal.Seal(nil, nil, raw, []byte(p.Name)))
}

// of opens what an address holds. errExpired: another process or user made it.
func (s searches) of(p access.Principal, sealed string) (q search, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return q, errExpired
	}
	raw, err = s.seal.Open(nil, nil, raw, []byte(p.Name))
	if err != nil || json.Unmarshal(raw, &q) != nil {
		return q, errExpired
	}
	return q, nil
}
