package media

import (
	"testing"
	"time"
)

func TestEachRecordingHasItsTurnOnceInATurnOfAllAndFewAtATime(t *testing.T) {
	for _, recordings := range []int{1, 3, few, few + 1, 125, 1000} {
		var l lane
		for range recordings {
			l.put(new(Tap))
		}
		turns := map[*Tap]int{}
		var took time.Duration
		for served := 0; served < 100*recordings; {
			due, pause := l.due(nil)
			if most := max(few, recordings/steps+1); len(due) == 0 || len(due) > most {
				t.Fatalf("%d of %d recordings are due at once, at most %d should be", len(due), recordings, most)
			}
			for _, x := range due {
				turns[x]++
				l.put(x)
			}
			served += len(due)
			took += pause
		}
		for _, n := range turns {
			if n < 99 || n > 101 {
				t.Errorf("of %d recordings one had %d turns in the time of a hundred", recordings, n)
			}
		}
		if len(turns) != recordings || took < 99*gather || took > 101*gather {
			t.Errorf("%d of %d recordings had turns; a hundred take %s", len(turns), recordings, took)
		}
	}
}

func TestALaneWithoutRecordingsHasNothingToDo(t *testing.T) {
	var l lane
	if due, _ := l.due(nil); len(due) != 0 {
		t.Errorf("%d are due", len(due))
	}
}
