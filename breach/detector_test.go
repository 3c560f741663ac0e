package breach_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"consentgate/breach"
)

// tuesday is within everybody's hours: ten in the morning in Berlin.
var tuesday = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

var berlin = func() *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return l
}()

// settings that the tables below know.
func settings() breach.Settings {
	return breach.Settings{
		Plays: breach.Limit{Most: 3, Within: time.Hour}, Exports: breach.Limit{Most: 2, Within: time.Hour},
		Hours: breach.Hours{Days: []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday},
			From: 8 * time.Hour, Until: 18 * time.Hour, Zone: berlin},
		FirstExport: true,
		Logins:      breach.Limit{Most: 2, Within: 10 * time.Minute}, AllLogins: breach.Limit{Most: 4, Within: 10 * time.Minute},
		Unwraps: breach.Limit{Most: 2, Within: time.Hour},
		LogHead: true, Config: true, Clock: true, Honey: []string{"honey"}, Quiet: 30 * time.Minute,
	}
}

// step is an entry some time after the first; fields are its payload.
type step struct {
	after  time.Duration
	kind   string
	fields map[string]any
}

type fields = map[string]any

func played(after time.Duration, by string) step {
	return step{after, "recording.played", fields{"by": by, "recording": "r", "from": 1.5}}
}

func exported(after time.Duration, by string) step {
	return step{after, "recording.exported", fields{"by": by, "recording": "r"}}
}

func failed(after time.Duration, as, from string) step {
	return step{after, "user.failed", fields{"as": as, "from": from, "reason": "wrong password"}}
}

// run gives the alarms as "rule@entry", from the entry on that is to be judged.
func run(t *testing.T, s breach.Settings, start time.Time, steps []step) (raised []string) {
	t.Helper()
	d := breach.NewDetector(s)
	for i, st := range steps {
		payload, err := json.Marshal(st.fields)
		if err != nil {
			t.Fatal(err)
		}
		if st.fields == nil {
			payload = nil
		}
		if !breach.Types()[st.kind] {
			t.Errorf("nobody would be given a %s", st.kind)
		}
		for _, a := range d.Take(breach.Entry{Seq: int64(i), At: start.Add(st.after), Type: st.kind, Payload: payload}) {
			raised = append(raised, fmt.Sprintf("%s@%d", a.Rule, a.Entry))
		}
	}
	return raised
}

const minute = time.Minute

// TestEachRuleFiresAndItsNearMissDoesNot: every rule of the table is here, with
// what is just too much and with what isn't yet.
func TestEachRuleFiresAndItsNearMissDoesNot(t *testing.T) {
	knows := step{-100 * 24 * time.Hour, "alarm.raised", fields{"rule": "first_export", "by": "dana"}} // her first export is long past
	cases := []struct {
		name  string
		rule  breach.Rule
		steps []step
		want  []string
	}{
		{"more plays than allowed", breach.PlayBurst, []step{played(0, "dana"), played(1, "dana"), played(2, "dana"), played(3, "dana")}, []string{"play_burst@3"}},
		{"as many as allowed", breach.PlayBurst, []step{played(0, "dana"), played(1, "dana"), played(2, "dana")}, nil},
		{"of two users", breach.PlayBurst, []step{played(0, "dana"), played(1, "eve"), played(2, "dana"), played(3, "eve")}, nil},
		{"the first is an hour old", breach.PlayBurst, []step{played(0, "dana"), played(20*minute, "dana"), played(40*minute, "dana"), played(60*minute, "dana")}, nil},
		{"the first is nearly an hour old", breach.PlayBurst, []step{played(0, "dana"), played(20*minute, "dana"), played(40*minute, "dana"), played(60*minute-1, "dana")}, []string{"play_burst@3"}},
		{"the clock was set back a day", breach.PlayBurst, []step{played(24*time.Hour, "dana"), played(24*time.Hour, "dana"), played(0, "dana"), played(0, "dana")}, nil},
		{"nobody knows whose", breach.PlayBurst, []step{{0, "recording.played", nil}, {0, "recording.played", nil}, {0, "recording.played", nil}, {0, "recording.played", nil}}, nil},

		{"more exports than allowed", breach.ExportBurst, []step{knows, exported(0, "dana"), exported(1, "dana"), exported(2, "dana")}, []string{"export_burst@3"}},
		{"as many as allowed", breach.ExportBurst, []step{knows, exported(0, "dana"), exported(1, "dana"), played(2, "dana")}, nil},

		{"a minute before six", breach.OutsideHours, []step{played(8*time.Hour-minute, "dana")}, nil},
		{"six in the evening", breach.OutsideHours, []step{played(8*time.Hour, "dana")}, []string{"outside_hours@0"}},
		{"before eight", breach.OutsideHours, []step{played(-2*time.Hour-minute, "dana")}, []string{"outside_hours@0"}},
		{"at eight", breach.OutsideHours, []step{played(-2*time.Hour, "dana")}, nil},
		{"on a Saturday", breach.OutsideHours, []step{played(4*24*time.Hour, "dana")}, []string{"outside_hours@0"}},
		{"an export at night", breach.OutsideHours, []step{knows, exported(12*time.Hour, "dana")}, []string{"outside_hours@1"}},

		{"who never exported", breach.FirstExport, []step{knows, exported(0, "eve")}, []string{"first_export@1"}},
		{"who did", breach.FirstExport, []step{knows, exported(0, "dana")}, nil},
		{"who did, and it is erased, and there was an alarm", breach.FirstExport, []step{{0, "recording.exported", nil},
			{1, "alarm.raised", fields{"rule": "first_export", "by": "eve"}}, exported(2, "eve")}, nil},
		{"who listened", breach.FirstExport, []step{played(0, "eve"), exported(1, "eve")}, []string{"first_export@1"}},

		{"one name too often", breach.LoginFailures, []step{failed(0, "dana", "::1"), failed(1, "dana", "::2"), failed(2, "dana", "::3")}, []string{"login_failures@2"}},
		{"one address too often", breach.LoginFailures, []step{failed(0, "dana", "::1"), failed(1, "", "::1"), failed(2, "eve", "::1")}, []string{"login_failures@2"}},
		{"all different", breach.LoginFailures, []step{failed(0, "dana", "::1"), failed(1, "eve", "::2"), failed(2, "max", "::3")}, nil},
		{"too slowly", breach.LoginFailures, []step{failed(0, "dana", ""), failed(5*minute, "dana", ""), failed(10*minute, "dana", "")}, nil},
		{"neither is known", breach.LoginFailures, []step{failed(0, "", ""), failed(1, "", ""), failed(2, "", "")}, nil},

		{"too many all together", breach.LoginFailuresAll, []step{failed(0, "a", "::1"), failed(1, "b", "::2"), failed(2, "", ""), failed(3, "c", "::3"), failed(4, "", "::4")}, []string{"login_failures_all@4"}},
		{"as many as allowed", breach.LoginFailuresAll, []step{failed(0, "a", "::1"), failed(1, "b", "::2"), failed(2, "", ""), failed(3, "c", "::3")}, nil},

		{"too much doesn't open", breach.UnwrapFailed, []step{{0, "unwrap.failed", fields{"failed": fields{"key": 2, "entry": 1}}}}, []string{"unwrap_failed@0"}},
		{"by and by", breach.UnwrapFailed, []step{{0, "unwrap.failed", fields{"failed": fields{"key": 2}}}, {minute, "unwrap.failed", fields{"failed": fields{"key": 1}}}}, []string{"unwrap_failed@1"}},
		{"as much as allowed", breach.UnwrapFailed, []step{{0, "unwrap.failed", fields{"failed": fields{"root": 2}}}}, nil},

		{"another history", breach.LogHead, []step{{0, "witness.conflict", fields{"witness": "w"}}}, []string{"log_head@0"}},
		{"another configuration, twice", breach.ConfigChanged, []step{{0, "config.changed", fields{}}, {1, "config.changed", nil}}, []string{"config_changed@0", "config_changed@1"}},
		{"the clock", breach.ClockJump, []step{{0, "clock.jumped", fields{"seconds": -3}}}, []string{"clock_jump@0"}},

		{"the honey is played", breach.HoneyTouched, []step{{0, "recording.played", fields{"by": "dana", "recording": "honey"}}}, []string{"honey_touched@0"}},
		{"exported", breach.HoneyTouched, []step{knows, {0, "recording.exported", fields{"by": "dana", "recording": "honey"}}}, []string{"honey_touched@1"}},
		{"found", breach.HoneyTouched, []step{{0, "recording.found", fields{"by": "dana", "recording": "honey"}}}, []string{"honey_touched@0"}},
		{"another is", breach.HoneyTouched, []step{{0, "recording.found", fields{"by": "dana", "recording": "hone"}}}, nil},
	}
	fires, misses := map[breach.Rule]int{}, map[breach.Rule]int{}
	for _, c := range cases {
		if got := run(t, settings(), tuesday, c.steps); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s, %s: %v, not %v", c.rule, c.name, got, c.want)
		}
		if c.want == nil {
			misses[c.rule]++
		} else {
			fires[c.rule]++
		}
	}
	alone := map[breach.Rule]bool{breach.LogHead: true, breach.ConfigChanged: true, breach.ClockJump: true} // one is too many
	for _, r := range breach.Rules() {
		if fires[r] == 0 || misses[r] == 0 && !alone[r] {
			t.Errorf("%s: %d cases that fire, %d that don't", r, fires[r], misses[r])
		}
	}
}

// TestARuleThatIsOffSaysNothing: of all that would be too much.
func TestARuleThatIsOffSaysNothing(t *testing.T) {
	var all []step
	for i := range 50 {
		all = append(all, played(time.Duration(i), "dana"), exported(time.Duration(i), "dana"), failed(time.Duration(i), "dana", "::1"),
			step{0, "unwrap.failed", fields{"failed": fields{"key": 9}}}, step{0, "witness.conflict", nil}, step{0, "config.changed", nil}, step{0, "clock.jumped", nil})
	}
	night := tuesday.Add(14 * time.Hour)
	if got := run(t, breach.Settings{}, night, all); got != nil {
		t.Errorf("%v", got)
	}
	if got := run(t, settings(), night, all); len(got) < 10 {
		t.Errorf("control: %v", got)
	}
}

// TestWhatGoesOnIsSaidAgainOnlyAfterAWhile, but at once of another user.
func TestWhatGoesOnIsSaidAgainOnlyAfterAWhile(t *testing.T) {
	var steps []step
	for i := range 40 { // one a minute
		steps = append(steps, played(time.Duration(i)*minute, "dana"))
	}
	for i := range 4 {
		steps = append(steps, played(39*minute+time.Duration(i), "eve"))
	}
	want := []string{"play_burst@3", "play_burst@33", "play_burst@43"}
	if got := run(t, settings(), tuesday, steps); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

// TestAnAlarmSaysWhomItIsAboutAndHowMuchItWas.
func TestAnAlarmSaysWhomItIsAboutAndHowMuchItWas(t *testing.T) {
	d := breach.NewDetector(settings())
	var got []breach.Alarm
	for i := range 4 {
		got = append(got, d.Take(breach.Entry{Seq: int64(10 + i), At: tuesday, Type: "recording.played", Payload: []byte(`{"by":"dana","recording":"r"}`)})...)
	}
	want := []breach.Alarm{{Rule: breach.PlayBurst, Entry: 13, At: tuesday, By: "dana", Count: 4, Within: time.Hour}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestHoursFollowTheClockOnTheWall, through the change to summer time: the same
// moment of UTC is within in summer and isn't in winter.
func TestHoursFollowTheClockOnTheWall(t *testing.T) {
	h := settings().Hours
	for at, outside := range map[string]bool{"2026-03-27T06:30:00Z": true, "2026-03-30T06:30:00Z": false, "2026-03-29T10:00:00Z": true} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if h.Outside(moment) != outside {
			t.Errorf("%s: outside is %v", at, !outside)
		}
	}
}

// TestAFloodOfAddressesIsForgottenNotKept: memory is bounded, and the rule for all
// of them together still fires.
func TestAFloodOfAddressesIsForgottenNotKept(t *testing.T) {
	d := breach.NewDetector(settings())
	all := 0
	for i := range 12_000 {
		payload := fmt.Appendf(nil, `{"from":"2001:db8::%x"}`, i)
		for _, a := range d.Take(breach.Entry{Seq: int64(i), At: tuesday, Type: "user.failed", Payload: payload}) {
			if a.Rule != breach.LoginFailuresAll {
				t.Fatalf("%+v", a)
			}
			all++
		}
	}
	if all != 1 || d.Remembered() > 12_000 {
		t.Errorf("%d alarms, %d remembered", all, d.Remembered())
	}
}
