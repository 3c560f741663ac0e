package consent

import "testing"

// TestNobodyIsAskedWhereNothingCanBeRecorded: the parties talk at once, the log
// gets the reason, and it is no refusal: a policy that hangs up on those doesn't.
func TestNobodyIsAskedWhereNothingCanBeRecorded(t *testing.T) {
	p := testPolicy()
	p.OnRefusal = Disconnect
	m, acts, expected := NewMachine(&Call{ID: "c1"}, p).Step(Event{Kind: Start, At: noon, Reason: "the disk is full"})
	if !expected || m.State != Unrecorded || does(acts) != "bridge append(failed)" || acts[1].Record.Reason != "the disk is full" {
		t.Errorf("%s: %s", m.State, does(acts))
	}
	bypass := testPolicy()
	bypass.Action = Bypass
	if _, acts, _ := NewMachine(&Call{ID: "c1"}, bypass).Step(Event{Kind: Start, At: noon, Reason: "the disk is full"}); does(acts) != "bridge append(bypassed)" {
		t.Errorf("bypassed: %s", does(acts))
	}
}
