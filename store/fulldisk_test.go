package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
)

// TestARecordingSealedOnAFullDiskIsAccountedWhenThereIsRoom: neither its last
// frame nor its end in the log fits. Both are told, and made good later, once.
func TestARecordingSealedOnAFullDiskIsAccountedWhenThereIsRoom(t *testing.T) {
	disk := tinyDisk(t, "12m")
	dir := filepath.Join(disk, "data")
	s := openStore(t, dir)
	r, err := s.Create(context.Background(), grant(t, s.Audit(), "c"))
	must(t, err)
	speak(t, r, time.Now(), 50)
	s.AnchorNow()
	free := fill(t, disk)
	for err = nil; err == nil; { // bbolt may have free pages left
		_, err = s.Audit().Append(context.Background(), consent.Record{Kind: consent.Bypassed})
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the log on a full disk: %v", err)
	}
	for i := range 200 { // an error is fine, and as good as certain sooner or later
		_ = r.WriteRTP(consent.Remote, time.Now(), packet(uint16(50+i), uint32((50+i)*160), 1, 0x11))
	}
	if err := r.Seal(time.Now(), "hang-up"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("sealed on a full disk: %v", err)
	}
	free()
	s.RunTasks()
	if n := types(t, s)[store.TypeSealed]; n != 1 {
		t.Errorf("%d ends after there was room", n)
	}
	packets, err := s.Packets(r.ID())
	must(t, err)
	if _, err := s.Check(context.Background(), r.ID()); err != nil || len(packets) < 100 {
		t.Errorf("%d packets are left, %v", len(packets), err)
	}
	must(t, s.Close())
	if rep := verify(t, dir); rep.Unaccounted != 0 {
		t.Errorf("%+v", rep)
	}
}

// TestARecorderThatFindsNoRoomLeavesNothing: the grant fitted, the recording
// doesn't.
func TestARecorderThatFindsNoRoomLeavesNothing(t *testing.T) {
	disk := tinyDisk(t, "12m")
	dir := filepath.Join(disk, "data")
	s := openStore(t, dir)
	g := grant(t, s.Audit(), "c")
	free := fill(t, disk)
	for {
		if _, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Bypassed}); err != nil {
			break
		}
	}
	if _, err := s.Create(context.Background(), g); err == nil {
		t.Fatal("a recorder was made on a full disk")
	}
	free()
	s.RunTasks()
	if found, _, err := s.Search(store.Query{}); err != nil || len(found) != 0 {
		t.Errorf("a recording that never was is found: %+v %v", found, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "recordings", "*")); err != nil || len(left) != 0 {
		t.Errorf("files: %v %v", left, err)
	}
	record(t, s, "after", 3)
	h := g.Hash()
	_, err := s.Audit().Append(context.Background(), consent.Record{Kind: consent.Failed, Grant: &h})
	must(t, err, s.Close())
	if rep := verify(t, dir); rep.Unaccounted != 0 || rep.Grants != 2 {
		t.Errorf("%+v", rep)
	}
}
