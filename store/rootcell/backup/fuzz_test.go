package backup_test

import (
	"bytes"
	"testing"

	"filippo.io/age"

	"consentgate/store/rootcell"
	"consentgate/store/rootcell/backup"
)

// FuzzBackup: a file is a backup of a root, or an error without one; a backup in which
// a byte was changed is never another root's.
func FuzzBackup(f *testing.F) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	var good bytes.Buffer
	key := rootcell.Key{1, 2, 3}
	if err := backup.Write(&good, 7, key, id.Recipient()); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes(), 0, byte(0))
	f.Add([]byte("age-encryption.org/v1\n"), 40, byte(1))
	f.Fuzz(func(t *testing.T, data []byte, at int, flip byte) {
		if epoch, k, err := backup.Read(bytes.NewReader(data), id); err == nil && (epoch != 7 || k != key) || err != nil && k != (rootcell.Key{}) {
			t.Errorf("%q is epoch %d: %v", data, epoch, err)
		}
		changed := bytes.Clone(good.Bytes())
		changed[uint(at)%uint(len(changed))] ^= flip
		if epoch, k, err := backup.Read(bytes.NewReader(changed), id); err == nil && (epoch != 7 || k != key) {
			t.Errorf("byte %d changed: epoch %d", at, epoch)
		}
	})
}
