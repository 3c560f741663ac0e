package api

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

// replays are the answers to POSTs that were made with an Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header-07): who didn't get one asks again and
// nothing is done twice. They are kept in memory, for a day, so many for each user;
// what failed isn't kept and may be tried again.
type replays struct {
	now func() time.Time

	mu    sync.Mutex
	users map[string]*keys
}

const (
	replayFor   = 24 * time.Hour
	replaysMost = 100 // of a user
	keyMost     = 128 // bytes of a key
	replayBytes = 64 << 10
)

type keys struct {
	byName map[string]*replay
	order  []string // the oldest first
}

// replay is a request by its hash, and its answer once there is one.
type replay struct {
	of     [sha256.Size]byte
	at     time.Time
	done   bool
	status int
	header http.Header
	body   []byte
}

func newReplays(now func() time.Time) *replays { return &replays{now: now, users: map[string]*keys{}} }

// serve answers as before, or for the first time.
func (v *replays) serve(c *call, key string) error {
	if len(key) > keyMost {
		return refused(http.StatusBadRequest, "an Idempotency-Key has 128 characters at most")
	}
	of := sha256.Sum256(append([]byte(c.r.Method+" "+c.r.URL.RequestURI()+"\x00"), c.body...))
	old, err := v.begin(c.who.Name, key, of)
	if err != nil {
		return err
	}
	if old != nil {
		for name, values := range old.header {
			c.w.Header()[name] = values
		}
		c.w.Header().Set("Idempotency-Replayed", "true")
		c.w.WriteHeader(old.status)
		_, _ = c.w.Write(old.body) // who doesn't read it has gone
		return nil
	}
	kept := false
	defer func() {
		if !kept {
			v.forget(c.who.Name, key)
		}
	}()
	out := &keeping{ResponseWriter: c.w}
	c.w = out
	if err := c.route.serve(c); err != nil {
		return err
	}
	kept = v.keep(c.who.Name, key, out)
	return nil
}

// begin gives the answer that there is; none, where the request is to be served now.
func (v *replays) begin(user, key string, of [sha256.Size]byte) (*replay, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.users[user]
	if k == nil {
		k = &keys{byName: map[string]*replay{}}
		v.users[user] = k
	}
	r := k.byName[key]
	switch {
	case r != nil && v.now().Sub(r.at) > replayFor:
		k.drop(key)
	case r != nil && r.of != of:
		return nil, refused(http.StatusUnprocessableEntity, "this Idempotency-Key was used for another request")
	case r != nil && !r.done:
		return nil, refused(http.StatusConflict, "the request with this Idempotency-Key is still being served")
	case r != nil:
		return r, nil
	}
	if len(k.order) >= replaysMost {
		k.drop(k.order[0])
	}
	k.byName[key] = &replay{of: of, at: v.now()}
	k.order = append(k.order, key)
	return nil, nil
}

func (v *replays) keep(user, key string, out *keeping) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.users[user].byName[key]
	if r == nil || out.body.Len() > replayBytes {
		return false
	}
	r.done, r.status, r.header, r.body = true, out.status, out.Header().Clone(), out.body.Bytes()
	return true
}

func (v *replays) forget(user, key string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.users[user].drop(key)
}

func (k *keys) drop(key string) {
	delete(k.byName, key)
	for i, name := range k.order {
		if name == key {
			k.order = append(k.order[:i], k.order[i+1:]...)
			return
		}
	}
}

// keeping keeps an answer as it goes out.
type keeping struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader is http.ResponseWriter's.
func (k *keeping) WriteHeader(status int) {
	k.status = status
	k.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (k *keeping) Write(p []byte) (int, error) {
	k.body.Write(p)
	return k.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (k *keeping) Unwrap() http.ResponseWriter { return k.ResponseWriter }
