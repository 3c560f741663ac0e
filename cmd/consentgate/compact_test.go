package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"consentgate/consent"
	"consentgate/store"
)

// TestCompactGivesBackWhatNothingIsIn: it says the sizes, which are the log's and the
// files', and the log verifies as before.
func TestCompactGivesBackWhatNothingIsIn(t *testing.T) {
	config, dir := loggedConfig(t, 3, consent.Granted)
	path := filepath.Join(dir, "keys.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	must(t, err, db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("ballast"))
		must(t, err)
		return b.Put([]byte("k"), make([]byte, 5<<20))
	}), db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("ballast")) }), db.Close())
	before, err := os.Stat(path)
	must(t, err)
	code, out, errs := program(t, "compact", "--config", config)
	after, err := os.Stat(path)
	must(t, err)
	if code != exitOK || !strings.HasPrefix(out, "keys.db: "+mebibytes(before.Size())+" before, 0.") || !strings.Contains(out, "\naudit.db: ") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if before.Size() < 5<<20 || after.Size() > 1<<20 {
		t.Errorf("%d bytes became %d", before.Size(), after.Size())
	}
	if code, out, errs := program(t, "verify", "--config", config); code != exitOK || !strings.HasSuffix(out, "ok\n") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	s, err := store.Open(store.Options{Dir: dir})
	must(t, err)
	var logged []store.Compacted
	must(t, s.Entries(0, func(e store.Entry) bool {
		var c store.Compacted
		if e.Type == store.TypeCompact && json.Unmarshal(e.Payload, &c) == nil {
			logged = append(logged, c)
		}
		return true
	}), s.Close())
	if len(logged) != 2 || logged[0].Database != "keys.db" || logged[0].Before != before.Size() {
		t.Errorf("logged: %+v", logged)
	}
}

// TestCompactWantsTheGateStopped, and says so, and does nothing.
func TestCompactWantsTheGateStopped(t *testing.T) {
	config, dir := loggedConfig(t, 1, consent.Granted)
	s, err := store.Open(store.Options{Dir: dir})
	must(t, err)
	var out, errs strings.Builder
	code := run(context.Background(), []string{"compact", "--config", config}, &out, &errs)
	if code != exitFail || !strings.Contains(errs.String(), "stop the gate") || !strings.Contains(errs.String(), dir) || out.Len() > 0 {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
	must(t, s.Close())
	for _, args := range [][]string{{"compact"}, {"compact", "--config", config, "more"}} {
		if code := run(context.Background(), args, &out, &errs); code != exitUsage {
			t.Errorf("%v: exit %d", args, code)
		}
	}
	must(t, os.RemoveAll(dir))
	errs.Reset()
	if code := run(context.Background(), []string{"compact", "--config", config}, &out, &errs); code != exitFail || !strings.Contains(errs.String(), "nothing to compact") {
		t.Errorf("no data directory: exit %d: %s", code, errs.String())
	}
}
