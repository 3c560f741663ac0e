package store_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"

	"consentgate/store"
	"consentgate/store/rootcell"
)

// An attacker who has bytes, in whatever order, and a root key. What is here is
// written from docs/recording-format.md and shares no code with the store.
type attacker struct {
	raw    []byte
	id     string // of the recording that is looked for; an attacker would try all
	grant  string // hash in hex
	bucket string
	month  string
}

func gcm(k [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return a
}

func derived(k [32]byte, label string, salt []byte) (out [32]byte) {
	b, err := hkdf.Key(sha256.New, k[:], salt, label, 32)
	if err != nil {
		panic(err)
	}
	return [32]byte(b)
}

// boxed is a key of 32 bytes in a box: nonce, key, tag.
const boxed = 12 + 32 + 16

// keys opens a box at every offset: what hangs under the root.
func (a attacker) keys(root [32]byte) (out [][32]byte) {
	var about [][]byte
	for _, name := range []string{a.bucket, a.bucket + "#1", a.bucket + "#2", "month/" + a.month, "catalog/" + a.month, "catalog/" + a.month + "#1", "request/" + a.month} {
		about = append(about, []byte("consentgate/1/bucket-key\x00"+name))
	}
	about = append(about, []byte("consentgate/1/system-key\x00catalog-index"))
	seen := map[[32]byte]bool{}
	c, dst := gcm(root), make([]byte, 0, boxed)
	for i := 0; i+boxed <= len(a.raw); i++ {
		box := a.raw[i : i+boxed]
		if box[0]|box[19]|box[38]|box[57] == 0 { // empty; one box in 2^32 looks so
			continue
		}
		for _, ad := range about {
			if plain, err := c.Open(dst, box[:12], box[12:], ad); err == nil && !seen[[32]byte(plain)] {
				seen[[32]byte(plain)] = true
				out = append(out, [32]byte(plain))
			}
		}
	}
	return out
}

var isBase64 = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") {
		t[c] = true
	}
	return t
}()

// text calls f with every run of n bytes that may be base64, decoded.
func (a attacker) text(n int, f func([]byte)) {
	run := 0
	for i, c := range a.raw {
		if run++; !isBase64[c] {
			run = 0
		}
		if run < n {
			continue
		}
		if b, err := base64.StdEncoding.DecodeString(string(a.raw[i+1-n : i+1])); err == nil {
			f(b)
		}
	}
}

// grantKeys opens the grant's wrapped key wherever it may stand.
func (a attacker) grantKeys(keks [][32]byte) (out [][32]byte) {
	var ciphers []cipher.AEAD
	for _, k := range keks {
		ciphers = append(ciphers, gcm(k))
	}
	a.text(boxed/3*4, func(box []byte) {
		for _, name := range []string{a.bucket, a.bucket + "#1", a.bucket + "#2"} {
			ad := []byte("consentgate/2/grant-key\x00" + a.id + "\x00" + name + "\x00" + a.grant)
			for _, c := range ciphers {
				if plain, err := c.Open(nil, box[:12], box[12:], ad); err == nil && !slices.Contains(out, [32]byte(plain)) {
					out = append(out, [32]byte(plain))
				}
			}
		}
	})
	return out
}

// listed opens the catalog's blocks with every key, and looks for the recording.
func (a attacker) listed(keys [][32]byte) bool {
	var ciphers []cipher.AEAD
	for _, k := range keys {
		b, err := hkdf.Expand(sha256.New, k[:], "consentgate/2/catalog/where", 32)
		if err != nil {
			panic(err)
		}
		ciphers = append(ciphers, gcm([32]byte(b)))
	}
	id := a.rawID()
	for i := 24; i+14 < len(a.raw); i++ { // a block follows its key in the page
		n := int(binary.BigEndian.Uint16(a.raw[i:]))
		if end := i + 14 + n*24 + 16; n > 0 && n <= 128 && end <= len(a.raw) {
			for _, c := range ciphers {
				plain, err := c.Open(nil, a.raw[i+2:i+14], a.raw[i+14:end], a.raw[i-24:i+2])
				if err == nil && bytes.Contains(plain, id) {
					return true
				}
			}
		}
	}
	return false
}

func (a attacker) rawID() []byte {
	raw, err := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding).DecodeString(a.id)
	if err != nil {
		panic(err)
	}
	return raw
}

// audio counts the bytes of the recording's frames that open with a key that is
// derived from one of these.
func (a attacker) audio(keys [][32]byte) (n int) {
	header := append([]byte("CGREC001"), a.rawID()...)
	distinct := map[string]bool{"": true}
	a.text(44, func(b []byte) { distinct[string(b)] = true })
	for at := 0; ; at += len(header) {
		i := bytes.Index(a.raw[at:], header)
		if i < 0 {
			return n
		}
		at += i
		for _, k := range keys {
			for salt := range distinct {
				n += a.frames(at+len(header), header, derived(k, "consentgate/2/live-file", []byte(salt)))
			}
			n += a.frames(at+len(header), header, k)
		}
	}
}

func (a attacker) frames(at int, header []byte, k [32]byte) (n int) {
	c := gcm(k)
	for count := uint64(0); at+5 < len(a.raw); count++ {
		length := int(binary.BigEndian.Uint32(a.raw[at:]))
		if length < 16 || length > 128<<10 || at+5+length > len(a.raw) {
			return n
		}
		nonce := append(binary.BigEndian.AppendUint64(make([]byte, 3, 12), count), a.raw[at+4])
		ad := append(header[:len(header):len(header)], a.raw[at:at+5]...)
		plain, err := c.Open(nil, nonce, a.raw[at+5:at+5+length], ad)
		next := at + 5 + length
		if err != nil && count > 0 { // the file goes on in another block, whichever
			plain, next, err = a.elsewhere(c, nonce, at+5, length, ad)
		}
		if err != nil {
			return n
		}
		n += len(plain)
		at = next
	}
	return n
}

// sealed counts the bytes of the recording's sealed file, an age file, that open
// with a file key in a box under one of these.
func (a attacker) sealed(keys [][32]byte) (n int) {
	var ciphers []cipher.AEAD
	for _, k := range keys {
		ciphers = append(ciphers, gcm(derived(k, "consentgate/2/sealed-file", nil)))
	}
	fileKeys := map[string]bool{}
	a.text((12+16+16+2)/3*4, func(box []byte) {
		for _, c := range ciphers {
			if plain, err := c.Open(nil, box[:12], box[12:], []byte("consentgate/2/file-key\x00"+a.id)); err == nil {
				fileKeys[string(plain)] = true
			}
		}
	})
	a.after("-> consentgate-recording "+a.id+"\n", func(i int) []byte {
		mac := bytes.Index(a.raw[i:], []byte("--- "))
		if mac < 0 {
			return nil
		}
		body := a.raw[i+mac+len("--- ")+43+1:] // the MAC in base64, and a line's end
		for k := range fileKeys {
			key, err := hkdf.Key(sha256.New, []byte(k), body[:16], "payload", chacha20poly1305.KeySize)
			if err != nil {
				panic(err)
			}
			n += lastChunk(key, body[16:])
		}
		return nil
	})
	return n
}

// lastChunk opens a recording that is in one chunk, whose length isn't known, and
// returns how many bytes it has.
func lastChunk(key, body []byte) int {
	nonce := append(make([]byte, 11), 1)
	stream, err := chacha20.NewUnauthenticatedCipher(key, nonce)
	if err != nil {
		panic(err)
	}
	stream.SetCounter(1)
	begin := make([]byte, 4)
	if stream.XORKeyStream(begin, body[:4]); !bytes.Equal(begin, []byte("\n\r\r\n")) { // of every pcapng capture
		return 0
	}
	c, err := chacha20poly1305.New(key)
	if err != nil {
		panic(err)
	}
	for n := 0; n <= 64<<10 && n+16 <= len(body); n += 4 {
		if plain, err := c.Open(nil, nonce, body[:n+16], nil); err == nil {
			return len(plain)
		}
	}
	return 0
}

const blockSize = 4096

func (a attacker) elsewhere(c cipher.AEAD, nonce []byte, at, length int, ad []byte) (plain []byte, next int, err error) {
	end := (at/blockSize + 1) * blockSize
	rest := length - (end - at)
	if rest <= 0 {
		return nil, 0, errors.New("it is all in this block")
	}
	for b := 0; b+rest <= len(a.raw); b += blockSize {
		box := append(append(make([]byte, 0, length), a.raw[at:end]...), a.raw[b:b+rest]...)
		if plain, err = c.Open(nil, nonce, box, ad); err == nil {
			return plain, b + rest, nil
		}
	}
	return nil, 0, errors.New("nowhere")
}

// payloads collects what the log said of the grant.
func (a attacker) payloads(keys [][32]byte) (out []string) {
	leaves := a.after("consentgate-audit-1 ", func(i int) []byte {
		begin := i - len("consentgate-audit-1 ")
		if end := bytes.IndexByte(a.raw[i:min(i+256, len(a.raw))], '\n'); end > 0 {
			return a.raw[begin : i+end+1]
		}
		return nil
	})
	rows := a.after("grant/"+a.grant+"\x00", func(i int) []byte { return a.raw[i:min(i+2500, len(a.raw))] })
	for _, k := range keys {
		c := gcm(derived(k, "consentgate/2/audit-entry", nil))
		for _, row := range rows {
			for _, leaf := range leaves {
				out = append(out, payload(c, row, leaf)...)
			}
		}
	}
	return out
}

// after collects what stands behind a word, once each; by its beginning.
func (a attacker) after(word string, read func(i int) []byte) (out [][]byte) {
	seen := map[string]bool{}
	for at := 0; ; {
		i := bytes.Index(a.raw[at:], []byte(word))
		if i < 0 {
			return out
		}
		at += i + len(word)
		if b := read(at); b != nil && !seen[string(b[:min(len(b), 128)])] {
			seen[string(b[:min(len(b), 128)])] = true
			out = append(out, b)
		}
	}
}

// payload opens one whose length isn't known.
func payload(c cipher.AEAD, row, leaf []byte) []string {
	ad := append([]byte("consentgate/1/audit-entry\x00"), leaf...)
	for n := 60; n < len(row); n++ {
		if plain, err := c.Open(nil, row[:12], row[12:n], ad); err == nil {
			return []string{string(plain[32:])}
		}
	}
	return nil
}

// loot is what an attack brought.
type loot struct {
	keys, grantKeys, audio int
	listed                 bool // the recording, among what can be found by number
	number                 bool // the caller's number, in what the log said
}

func (a attacker) attack(root [32]byte) (l loot) {
	keys := a.keys(root)
	grants := a.grantKeys(append(keys, root))
	all := append(append(append([][32]byte{}, grants...), keys...), root)
	l = loot{keys: len(keys), grantKeys: len(grants), audio: a.audio(all) + a.sealed(all), listed: a.listed(keys)}
	for _, p := range a.payloads(all) {
		l.number = l.number || strings.Contains(p, callerNumber)
	}
	return l
}

// ext4 mounts a file system of its own, whose bytes image reads.
func ext4(t *testing.T, mode string) (dir string, image func() []byte) {
	t.Helper()
	file, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	must(t, os.WriteFile(file, nil, 0o600), os.Truncate(file, 16<<20))
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", "-b", "4096", file}, {"mount", "-o", "loop,data=" + mode, file, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("NOT TESTED on a disk's raw bytes, which needs the right to mount (on the files and a backup it is): %v %s", err, out)
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func() []byte {
		syscall.Sync()
		raw, err := os.ReadFile(file)
		must(t, err)
		return raw
	}
}

// written leaves out the blocks that are empty, or the same in another image.
func written(raw, other []byte) (out []byte) {
	empty := make([]byte, blockSize)
	for at := 0; at+blockSize <= len(raw); at += blockSize {
		block := raw[at : at+blockSize]
		if !bytes.Equal(block, empty) && (other == nil || !bytes.Equal(block, other[at:at+blockSize])) {
			out = append(out, block...)
		}
	}
	return out
}

// TestErasedIsGoneFromTheDisk: ext4 writes back in order, or keeps data in its
// journal, too. The attacker has every block of the disk as it is, and of an image
// of it from before the erasure.
func TestErasedIsGoneFromTheDisk(t *testing.T) {
	unraced(t)
	for _, mode := range []string{"ordered", "journal"} {
		t.Run(mode, func(t *testing.T) {
			disk, image := ext4(t, mode)
			eraseUnderAttack(t, filepath.Join(disk, "data"), image, func(now, before []byte) []byte {
				return append(written(now, nil), written(before, now)...)
			})
		})
	}
}

// TestErasedIsGoneFromFilesAndBackups: the attacker has all files of now, and a
// backup of all of them from before the erasure.
func TestErasedIsGoneFromFilesAndBackups(t *testing.T) {
	unraced(t)
	dir := filepath.Join(t.TempDir(), "data")
	eraseUnderAttack(t, dir, func() []byte { return filesOf(t, dir) }, func(now, before []byte) []byte { return append(now, before...) })
}

func filesOf(t *testing.T, dir string) (all []byte) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	}))
	return all
}

// unraced leaves a test to 'make e2e', which runs it without the race detector: an
// attack is a minute of arithmetic in one goroutine there.
func unraced(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("not under the race detector: 'make e2e' runs it")
	}
}

// eraseUnderAttack erases a recording and attacks what is left. Before the erasure,
// and after it with the old root, the attack must succeed: so it works, and the
// erasure rests on the old root being gone, not on bytes being.
func eraseUnderAttack(t *testing.T, dir string, bytesOf func() []byte, both func(now, before []byte) []byte) {
	t.Helper()
	ctx := context.Background()
	cell := rootcell.NewFile(filepath.Join(t.TempDir(), "root.key")) // not on that disk
	open := func() *store.Store {
		s, err := store.Open(store.Options{Dir: dir, Root: cell})
		must(t, err)
		return s
	}
	s := open()
	var kept []string
	for i := range 20 {
		if i == 10 {
			record(t, s, "victim", 50)
		}
		kept = append(kept, record(t, s, "survivor", 5))
	}
	must(t, s.Close())
	a, traces := victimOf(t, dir, kept)
	oldRoot, err := cell.Get(ctx, 1)
	must(t, err)
	before := bytesOf()
	a.raw = both(before, before)
	if got := a.attack(oldRoot); got.grantKeys == 0 || got.audio < 50*2*172 || !got.listed || !got.number {
		t.Fatalf("control: the attack before the erasure brings %+v", got)
	}
	s = open()
	sum, err := s.Get(a.id)
	must(t, err, s.Erase(ctx, sum.Grant, "asked"), s.Rotate(ctx))
	if state(t, s, a.id) != store.ErasureShredded {
		t.Fatal("not final")
	}
	for _, id := range kept {
		_, err := s.Check(ctx, id)
		must(t, err)
	}
	must(t, s.Close())
	newRoot, err := cell.Get(ctx, 2)
	must(t, err)
	now := bytesOf()
	for name, trace := range traces {
		t.Logf("left of the erased recording where it was: %s, %d times", name, bytes.Count(now, trace))
	}
	a.raw = both(now, before)
	if bytes.Contains(a.raw, oldRoot[:]) || bytes.Contains(a.raw, newRoot[:]) {
		t.Error("a root is in the clear")
	}
	got := a.attack(newRoot)
	t.Logf("with the present root: %+v", got)
	if got.keys < 4 {
		t.Errorf("control: the present root opens %d keys, want its bucket's, the month's, the catalog's and the index's", got.keys)
	}
	if got.grantKeys != 0 || got.audio != 0 || got.listed || got.number {
		t.Errorf("with the present root the attack brings %+v", got)
	}
	got = a.attack(oldRoot)
	t.Logf("with the old root, had it been kept: %+v", got)
	if got.grantKeys == 0 || got.audio < 50*2*172 || !got.listed || !got.number {
		t.Errorf("control: with the old root the attack must succeed, or it proves nothing: %+v", got)
	}
}

// victimOf reads what is known of the recording that isn't among the others, and
// bytes that it left: its wrapped key, its first frame, what the log has of it.
func victimOf(t *testing.T, dir string, others []string) (a attacker, traces map[string][]byte) {
	t.Helper()
	traces = map[string][]byte{}
	a.month = time.Now().UTC().Format("2006-01")
	viewDB(t, filepath.Join(dir, "keys.db"), func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("grant-key")).ForEach(func(g, raw []byte) error {
			var r struct{ ID, Bucket, Wrapped string }
			if err := json.Unmarshal(raw, &r); err != nil || strings.Contains(strings.Join(others, " "), r.ID) {
				return err
			}
			a.id, a.bucket, a.grant = r.ID, r.Bucket, hex.EncodeToString(g)
			traces["its wrapped key"] = []byte(r.Wrapped)
			return nil
		})
	})
	file, err := os.ReadFile(filepath.Join(dir, "recordings", a.id+".rec"))
	must(t, err)
	audio := file[bytes.Index(file, []byte("\n--- "))+len("\n--- ")+43+1+16:]
	traces["the beginning of its audio"] = bytes.Clone(audio[:64])
	viewDB(t, filepath.Join(dir, "audit.db"), func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("payload")).ForEach(func(_, row []byte) error {
			if box, ok := bytes.CutPrefix(row, []byte("grant/"+a.grant+"\x00")); ok && traces["what the log has of its consent"] == nil {
				traces["what the log has of its consent"] = bytes.Clone(box[:64])
			}
			return nil
		})
	})
	if len(traces) != 3 {
		t.Fatalf("traces: %d", len(traces))
	}
	return a, traces
}

func viewDB(t *testing.T, path string, f func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	must(t, err)
	if err := errors.Join(db.View(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}
