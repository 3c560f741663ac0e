package breach

import "time"

// Rule is a rule's name, as metrics, the log and the configuration have it.
type Rule string

// Rules.
const (
	PlayBurst        Rule = "play_burst"         // a user listens to many recordings
	ExportBurst      Rule = "export_burst"       // a user takes many out
	OutsideHours     Rule = "outside_hours"      // a user listens or exports at night, or on a day off
	FirstExport      Rule = "first_export"       // a user exports who never did
	LoginFailures    Rule = "login_failures"     // for one name, or from one address
	LoginFailuresAll Rule = "login_failures_all" // whoever, from wherever
	UnwrapFailed     Rule = "unwrap_failed"      // keys, entries or recordings don't open
	LogHead          Rule = "log_head"           // the log isn't the one that a witness saw
	ConfigChanged    Rule = "config_changed"     // the gate has another configuration
	ClockJump        Rule = "clock_jump"         // the clock was set
	HoneyTouched     Rule = "honey_touched"      // somebody came to a recording that nobody has business with
)

// Types of audit entries that rules look at (docs/audit-format.md).
const (
	typePlayed   = "recording.played"
	typeExported = "recording.exported"
	typeFound    = "recording.found"
	typeLoginBad = "user.failed"
	typeUnwrap   = "unwrap.failed"
	typeConflict = "witness.conflict"
	typeConfig   = "config.changed"
	typeClock    = "clock.jumped"
	typeAlarm    = "alarm.raised"
)

// Limit is how much is too much: more than Most within Within. With Within 0
// nothing ever is.
type Limit struct {
	Most   int
	Within time.Duration
}

// Settings are the rules' thresholds.
type Settings struct {
	Plays, Exports Limit         // of one user
	Hours          Hours         // outside of which nobody plays or exports
	FirstExport    bool          // of each user
	Logins         Limit         // failed, for one name or from one address
	AllLogins      Limit         // failed, all together
	Unwraps        Limit         // failed
	LogHead        bool          // a witness keeps another history
	Config         bool          // another configuration
	Clock          bool          // the clock was set
	Honey          []string      // recordings that nobody has business with
	Quiet          time.Duration // for which a rule says nothing more of the same user or address
}

// rule is one line of the table: which entries it counts, for whom, and how many
// are too many. A rule without a limit finds one too many.
type rule struct {
	name  Rule
	types []string
	when  func(d *Detector, a act) bool
	whom  func(a act) []string
	limit func(s *Settings) Limit
}

var rules = []rule{
	{PlayBurst, []string{typePlayed}, always, user, func(s *Settings) Limit { return s.Plays }},
	{ExportBurst, []string{typeExported}, always, user, func(s *Settings) Limit { return s.Exports }},
	{OutsideHours, []string{typePlayed, typeExported}, outsideHours, user, nil},
	{FirstExport, []string{typeExported}, neverExported, user, nil},
	{LoginFailures, []string{typeLoginBad}, always, nameAndAddress, func(s *Settings) Limit { return s.Logins }},
	{LoginFailuresAll, []string{typeLoginBad}, always, everybody, func(s *Settings) Limit { return s.AllLogins }},
	{UnwrapFailed, []string{typeUnwrap}, always, everybody, func(s *Settings) Limit { return s.Unwraps }},
	{LogHead, []string{typeConflict}, func(d *Detector, _ act) bool { return d.LogHead }, nobody, nil},
	{ConfigChanged, []string{typeConfig}, func(d *Detector, _ act) bool { return d.Config }, nobody, nil},
	{ClockJump, []string{typeClock}, func(d *Detector, _ act) bool { return d.Clock }, nobody, nil},
	{HoneyTouched, []string{typePlayed, typeExported, typeFound}, isHoney, user, nil},
}

// Rules are the names of all rules.
func Rules() (names []Rule) {
	for _, r := range rules {
		names = append(names, r.name)
	}
	return names
}

// Types are those of the entries that a Detector wants to see, and of the alarms
// that it raised before.
func Types() map[string]bool {
	types := map[string]bool{typeAlarm: true}
	for _, r := range rules {
		for _, t := range r.types {
			types[t] = true
		}
	}
	return types
}

func always(*Detector, act) bool { return true }

func outsideHours(d *Detector, a act) bool { return d.Hours.Outside(a.at) }

func neverExported(d *Detector, a act) bool { return d.FirstExport && !d.exported[a.by] }

func isHoney(d *Detector, a act) bool { return d.honey[a.recording] }

// user is whom most rules count for; an entry whose payload is gone names nobody.
func user(a act) []string {
	if a.by == "" {
		return nil
	}
	return []string{a.by}
}

// nameAndAddress of a failed login: either may be missing.
func nameAndAddress(a act) (keys []string) {
	if a.as != "" {
		keys = append(keys, "name "+a.as)
	}
	if a.from != "" {
		keys = append(keys, "address "+a.from)
	}
	return keys
}

func everybody(act) []string { return []string{""} }

// nobody: each such entry is an alarm of its own, however soon after another.
func nobody(act) []string { return []string{each} }

const each = "\x00each"
