package store

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	// Holders are those who have one, and since when, where they were named.
	Holders map[string]time.Time `json:"holders,omitempty"`
}

func readBackupNote(dir string) (note rootBackupNote, err error) {
	text, err := os.ReadFile(filepath.Join(dir, rootBackupFile))
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	return note, err
}

// of reports whether the note is of a root.
func (n rootBackupNote) of(epoch uint64, root key) bool {
	check := derive(root, forBackup, nil)
	return n.Epoch == epoch && n.Check == hex.EncodeToString(check[:])
}

// ConfirmRootBackup says that a backup of a root key was made, and who holds it; ""
// where nobody is named. dir is the data directory that it is of. With
// Rotation.RequireBackup the root before it is destroyed only then. A gate may be
// using the directory.
func ConfirmRootBackup(dir string, epoch uint64, root rootcell.Key, holder string) error {
	note, err := readBackupNote(dir)
	if err != nil || !note.of(epoch, key(root)) { // none, or of an earlier root
		check := derive(key(root), forBackup, nil)
		note = rootBackupNote{Epoch: epoch, Check: hex.EncodeToString(check[:])}
	}
	note.At = time.Now().UTC().Truncate(time.Second)
	if holder != "" {
		if note.Holders == nil {
			note.Holders = map[string]time.Time{}
		}
		note.Holders[holder] = note.At
	}
	text, err := json.Marshal(note)
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

// rootBackup says how the backup of a root was confirmed, by each of these holders
// if there are any.
func rootBackup(dir string, epoch uint64, root key, holders []string) (string, error) {
	advice := fmt.Sprintf("the old one is kept until there is. Make one: 'consentgate root backup' (epoch %d)", epoch)
	note, err := readBackupNote(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("%w: %s", errNoBackup, advice)
	case err != nil:
		return "", fmt.Errorf("reading %s: %w", rootBackupFile, err)
	case !note.of(epoch, root):
		return "", fmt.Errorf("%w: %s is of epoch %d; %s", errNoBackup, rootBackupFile, note.Epoch, advice)
	case len(holders) == 0:
		return "a backup was made, " + note.At.Format(time.RFC3339), nil
	}
	var made, lacking []string
	for _, holder := range holders {
		if at, ok := note.Holders[holder]; ok {
			made = append(made, "for "+holder+", "+at.Format(time.RFC3339))
		} else {
			lacking = append(lacking, holder)
		}
	}
	if len(lacking) > 0 {
		return "", fmt.Errorf("%w for %s: %s with --holder", errNoBackup, strings.Join(lacking, ", "), advice)
	}
	return "a backup was made " + strings.Join(made, "; "), nil
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
		_, err = rootBackup(s.dir, epoch, t.root, s.rotator.Backups)
		return err
	})
	return err == nil
}
