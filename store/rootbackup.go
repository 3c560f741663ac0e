package store

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"consentgate/internal/durable"
	"consentgate/store/rootcell"
)

// rootBackupFile says, in the data directory, of which root key there is a backup.
const rootBackupFile = "root-backup.json"

// forBackup derives what shows that a backup was of the right root.
const forBackup = "consentgate/2/root-backup"

type rootBackupNote struct {
	Epoch uint64    `json:"epoch"`
	At    time.Time `json:"at"`
	Check string    `json:"check"` // derived from the root, in hex: it tells nothing of it
}

// ConfirmRootBackup says that a backup of a root key was made; dir is
// the data directory that it is of. With Rotation.RequireBackup the root before it
// is destroyed only then. A gate may be using the directory.
func ConfirmRootBackup(dir string, epoch uint64, root rootcell.Key) error {
	check := derive(key(root), forBackup, nil)
	text, err := json.Marshal(rootBackupNote{epoch, time.Now().UTC().Truncate(time.Second), hex.EncodeToString(check[:])})
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, rootBackupFile), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("confirming the root key's backup: %w", err)
	}
	return nil
}

// errNoBackup means that the operator has yet to keep the new root.
var errNoBackup = errors.New("there is no backup of the new root key yet")

// rootBackup says how the backup of a root was confirmed.
func rootBackup(dir string, epoch uint64, root key) (string, error) {
	advice := fmt.Sprintf("the old one is kept until there is. Make one: 'consentgate root backup' (epoch %d)", epoch)
	text, err := os.ReadFile(filepath.Join(dir, rootBackupFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w: %s", errNoBackup, advice)
	}
	var note rootBackupNote
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", rootBackupFile, err)
	}
	check := derive(root, forBackup, nil)
	if note.Epoch != epoch || note.Check != hex.EncodeToString(check[:]) {
		return "", fmt.Errorf("%w: %s is of epoch %d; %s", errNoBackup, rootBackupFile, note.Epoch, advice)
	}
	return "a backup was made, " + note.At.Format(time.RFC3339), nil
}

// watchBackup is the goroutine that looks whether there is a backup of the root,
// so that who asks for the metric doesn't wait for a disk.
func (s *Store) watchBackup() {
	tick := time.NewTicker(s.disk.every)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
			s.unbacked.Store(!s.backedUp())
		}
	}
}

// backedUp reports whether a backup of the present root was confirmed.
func (s *Store) backedUp() bool {
	err := s.keys.view(func(t keysTx) error {
		epoch, err := epochOf(t.Tx)
		if err != nil {
			return err
		}
		_, err = rootBackup(s.dir, epoch, t.root)
		return err
	})
	return err == nil
}
