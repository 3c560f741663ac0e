package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"

	bolt "go.etcd.io/bbolt"

	"consentgate/store/rootcell"
)

// Buckets of keys.db: keys, and what is found or read by them.
var (
	bMeta      = []byte("meta")      // version, and the epoch of the root
	bSystem    = []byte("system")    // name -> key wrapped by the root
	bKEK       = []byte("kek")       // bucket id -> key wrapped by the root
	bGrantKey  = []byte("grant-key") // grant hash -> grantRow
	bRecording = []byte("recording") // recording id -> row
	bCatalog   = []byte("catalog")   // what recordings are found by, in blocks: package catalog
	bGrant     = []byte("grant")     // grant hash -> recording id
	bErasing   = []byte("erasing")   // recording id -> an erasure that isn't logged yet
	bErasure   = []byte("erasure")   // recording id -> erasure
	bWaiting   = []byte("waiting")   // recording id of an erasure that isn't shredded yet -> nothing
	bTouched   = []byte("touched")   // id of a bucket key that wrapped a key which was dropped -> nothing
	bRotation  = []byte("rotation")  // kNow -> the rotation under way
	bResealing = []byte("resealing") // month of the catalog -> the key of the block from which on it is under its key's predecessor
)

const (
	schemaVersion = "2"
	oldVersion    = "1" // migrate makes it the present one
)

var (
	kVersion = []byte("version")
	kEpoch   = []byte("epoch")
)

// keyring is keys.db. It is a file of its own, apart from the audit log, so that
// it can be rewritten when the root changes.
type keyring struct {
	db *bolt.DB
	*committer
	refused refusals

	mu    sync.Mutex // guards roots
	roots map[uint64]key
}

var errNewer = errors.New("the data directory was made by another version")

// openKeyring opens keys.db with the root of its epoch. One that is new gets the
// cell's root; the cell makes one if it has none.
func openKeyring(ctx context.Context, dir string, cell rootcell.Cell) (*keyring, error) {
	path := filepath.Join(dir, keysFile)
	db, err := openDB(path)
	if err != nil {
		return nil, err
	}
	k, err := prepareKeyring(ctx, db, dir, cell)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", path, err), db.Close())
	}
	return k, nil
}

func prepareKeyring(ctx context.Context, db *bolt.DB, dir string, cell rootcell.Cell) (*keyring, error) {
	var version string
	var epoch uint64
	err := guarded(db, func(tx *bolt.Tx) (err error) {
		version = versionOf(tx)
		epoch, err = epochOf(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	root := key{}
	switch version {
	case "":
		epoch, root, err = firstRoot(ctx, dir, cell)
	case oldVersion, schemaVersion:
		root, err = rootOf(ctx, dir, cell, epoch)
	default:
		return nil, wrongVersion(version)
	}
	if err != nil {
		return nil, rootRefused{err}
	}
	made := func(tx *bolt.Tx) error {
		for _, b := range [][]byte{bMeta, bSystem, bKEK, bGrantKey, bRecording, bCatalog, bGrant, bErasing, bRights, bRequest, bErasure, bWaiting, bTouched, bChanged, bRotation, bResealing, bUncopied, bCopied, bOwed} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		if version != "" {
			return nil
		}
		return errors.Join(setVersion(tx), setEpoch(tx, epoch))
	}
	err = caught(db, func() error { return db.Update(made) })
	if err != nil {
		return nil, err
	}
	return &keyring{db: db, committer: newCommitter(db, nil), roots: map[uint64]key{epoch: root}}, nil
}

func wrongVersion(v string) error {
	return fmt.Errorf("%w: schema %q, this one knows %q", errNewer, v, schemaVersion)
}

// versionOf is the schema that a database has; "" where it has none yet.
func versionOf(tx *bolt.Tx) string {
	if m := tx.Bucket(bMeta); m != nil {
		return string(m.Get(kVersion))
	}
	return ""
}

func setVersion(tx *bolt.Tx) error { return tx.Bucket(bMeta).Put(kVersion, []byte(schemaVersion)) }

// epochOf is the epoch of the root that keys.db is wrapped under. Version 1 knew
// one root only.
func epochOf(tx *bolt.Tx) (uint64, error) {
	m := tx.Bucket(bMeta)
	if m == nil || m.Get(kEpoch) == nil {
		return 1, nil
	}
	b := m.Get(kEpoch)
	if len(b) != 8 {
		return 0, errors.New("the root's epoch can't be read")
	}
	return binary.BigEndian.Uint64(b), nil
}

func setEpoch(tx *bolt.Tx, epoch uint64) error {
	return tx.Bucket(bMeta).Put(kEpoch, binary.BigEndian.AppendUint64(nil, epoch))
}

// keysTx is a transaction of keys.db and the root that what it sees is wrapped
// under. A rotation changes both at once: so what is sealed or opened under
// keys that hang under a root is so within one transaction, from what it reads.
type keysTx struct {
	*bolt.Tx
	root key
}

// errLetGo means that a transaction sees keys.db as it was before a rotation that
// is over.
var errLetGo = errors.New("the root key was replaced meanwhile")

// at finds the root for what a transaction sees.
func (k *keyring) at(tx *bolt.Tx) (keysTx, error) {
	epoch, err := epochOf(tx)
	if err != nil {
		return keysTx{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	root, ok := k.roots[epoch]
	if !ok {
		return keysTx{}, fmt.Errorf("epoch %d: %w", epoch, errLetGo)
	}
	return keysTx{tx, root}, nil
}

// view reads. f must not wait for a write to keys.db.
func (k *keyring) view(f func(keysTx) error) error {
	for {
		err := k.read(func(tx *bolt.Tx) error {
			t, err := k.at(tx)
			if err != nil {
				return err
			}
			return f(t)
		})
		if !errors.Is(err, errLetGo) { // else it began before a rotation and looked for the root after it
			return k.counted(err)
		}
	}
}

// update writes, and returns when it is durable (committer.commit).
func (k *keyring) update(ctx context.Context, f func(keysTx) error) error {
	return k.counted(k.commit(ctx, func(tx *bolt.Tx) error {
		t, err := k.at(tx)
		if err != nil {
			return err
		}
		return f(t)
	}))
}

// counted counts what didn't open.
func (k *keyring) counted(err error) error {
	if errors.Is(err, errSealed) {
		k.refused.add("key")
	}
	return err
}

// turn puts all that hangs under the root under that of another epoch, in one
// transaction, together with what more is to change at that moment; then the old
// root isn't needed any more and is let go. After an error it isn't known which
// epoch keys.db is of: it has both roots, and turn may be called again.
func (k *keyring) turn(ctx context.Context, epoch uint64, root key, more func(from, to keysTx) error) error {
	k.mu.Lock()
	k.roots[epoch] = root
	k.mu.Unlock()
	err := k.update(ctx, func(from keysTx) error {
		to := keysTx{from.Tx, root}
		if err := more(from, to); err != nil {
			return err
		}
		return errors.Join(from.rewrap(to, bSystem, asSystemKey), from.rewrap(to, bKEK, asBucketKey), setEpoch(from.Tx, epoch))
	})
	if err != nil {
		return fmt.Errorf("wrapping the keys under the root of epoch %d: %w", epoch, err)
	}
	k.letGo(epoch)
	return nil
}

// letGo forgets all roots but that of the epoch that keys.db is of.
func (k *keyring) letGo(epoch uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.roots, func(e uint64, _ key) bool { return e != epoch })
}

// contextForever is for writes whose caller has no deadline.
var contextForever = context.Background()
