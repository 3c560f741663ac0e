package rights

// Restraint is what the restrictions on a recording leave its keeper to do with
// it when its time is over.
type Restraint uint8

const (
	Unrestricted Restraint = 1 << iota
	// LetGo: its subjects want it restricted as long as it is there, and agree
	// that it goes when its time is over.
	LetGo
	// Kept: to erase is to process (GDPR Art. 4(2)), and what is restricted may
	// only be stored, unless its subject consents (Art. 18(2)).
	Kept
)

// Standing is what the decision about a recording hangs on.
type Standing struct {
	Held      bool      // by a legal hold at least
	Asked     bool      // its erasure was asked for, by a subject or a policy
	Restraint Restraint // by restrictions of subjects who don't ask for the erasure
	Over      bool      // its retention is
}

// Cause is why a recording goes.
type Cause string

const (
	None      Cause = ""          // it stays
	Asked     Cause = "asked"     // its erasure was asked for (GDPR Art. 17)
	Retention Cause = "retention" // its time is over (GDPR Art. 5(1)(e))
)

// Decision is what becomes of a recording, and what may be done with it as long
// as it is there.
type Decision struct {
	Erase      Cause
	Restricted bool   // nobody plays or exports it, but by a Permit
	Why        string // it is restricted, for people; "" if it isn't
}

// condition is a column of the table.
type condition uint8

const (
	no     condition = 1
	yes    condition = 2
	either           = no | yes
)

func (c condition) holds(is bool) bool {
	if is {
		return c&yes != 0
	}
	return c&no != 0
}

// anyRestraint and restricted are sets of restraints.
const (
	anyRestraint = Unrestricted | LetGo | Kept
	restricted   = LetGo | Kept
	notKept      = Unrestricted | LetGo
)

// The law. A hold beats everything that would erase: Art. 17(3)(e). What was to
// be erased and may not be yet is kept as Art. 18(1)(b) has it, and so is what
// only a hold still keeps: the purpose that it was made for is over (Art.
// 5(1)(b), (e)). Every standing is in one row: TestEachStandingIsInOneRow.
var table = []struct {
	held, asked condition
	restraint   Restraint
	over        condition
	then        Decision
}{
	//held asked   restraint     over    erase       restricted
	{yes, yes, anyRestraint, either, Decision{None, true, "its erasure waits for the end of a legal hold (GDPR Art. 17(3)(e), 18(1))"}},
	{yes, no, restricted, either, Decision{None, true, "its subject had it restricted (GDPR Art. 18)"}},
	{yes, no, Unrestricted, yes, Decision{None, true, "its retention is over, and only a legal hold keeps it (GDPR Art. 5(1)(e), 17(3)(e))"}},
	{yes, no, Unrestricted, no, Decision{None, false, ""}},
	{no, yes, Kept, either, Decision{None, true, "its erasure waits for the end of another subject's restriction (GDPR Art. 18(2))"}},
	{no, yes, notKept, either, Decision{Asked, true, "its erasure was asked for (GDPR Art. 17)"}},
	{no, no, Kept, either, Decision{None, true, "its subject had it restricted (GDPR Art. 18)"}},
	{no, no, LetGo, no, Decision{None, true, "its subject had it restricted (GDPR Art. 18)"}},
	{no, no, notKept, yes, Decision{Retention, true, "its retention is over (GDPR Art. 5(1)(e))"}},
	{no, no, Unrestricted, no, Decision{None, false, ""}},
}

// Decide is what becomes of a recording of that standing.
func Decide(s Standing) Decision {
	for _, row := range table {
		if row.held.holds(s.Held) && row.asked.holds(s.Asked) && row.restraint&s.Restraint != 0 && row.over.holds(s.Over) {
			return row.then
		}
	}
	panic("rights: internal error: a standing that no row is for") // a Restraint that isn't one
}
