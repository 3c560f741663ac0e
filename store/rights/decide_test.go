package rights

import "testing"

func eachStanding(f func(Standing)) {
	for _, held := range []bool{false, true} {
		for _, asked := range []bool{false, true} {
			for _, restraint := range []Restraint{Unrestricted, LetGo, Kept} {
				for _, over := range []bool{false, true} {
					f(Standing{held, asked, restraint, over})
				}
			}
		}
	}
}

// TestEachStandingIsInOneRow: the table is whole, and its order says nothing.
func TestEachStandingIsInOneRow(t *testing.T) {
	eachStanding(func(s Standing) {
		n := 0
		for _, row := range table {
			if row.held.holds(s.Held) && row.asked.holds(s.Asked) && row.restraint&s.Restraint != 0 && row.over.holds(s.Over) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%+v is in %d rows", s, n)
		}
	})
}

func TestAHoldBeatsErasureAndRetention(t *testing.T) {
	eachStanding(func(s Standing) {
		if s.Held && Decide(s).Erase != None {
			t.Errorf("%+v is erased", s)
		}
	})
}

func TestARestrictionBeatsRetentionUnlessItsSubjectLetsGo(t *testing.T) {
	eachStanding(func(s Standing) {
		if got := Decide(s).Erase; s.Restraint == Kept && got != None {
			t.Errorf("%+v is erased", s)
		}
		if s.Restraint == LetGo && s.Over && !s.Held && Decide(s).Erase == None {
			t.Errorf("%+v stays, and nobody wants that", s)
		}
	})
}

// TestWhatIsFreeHasATime: it is used for its purpose only while that lasts, and
// only while nobody wants it gone or restricted.
func TestWhatIsFreeHasATime(t *testing.T) {
	eachStanding(func(s Standing) {
		d := Decide(s)
		if want := s.Over || s.Asked || s.Restraint != Unrestricted; d.Restricted != want || (d.Why != "") != want {
			t.Errorf("%+v: %+v", s, d)
		}
	})
}
