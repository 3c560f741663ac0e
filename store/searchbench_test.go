package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store/catalog"
	"consentgate/store/phone"
)

// TestBenchSearch fills a store with a million recordings of two years and prints
// how long searches take, by kind. STORE_BENCH is how many there are to be.
func TestBenchSearch(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("STORE_BENCH"))
	if err != nil || n < 1 {
		t.Skip("a benchmark: 'make bench' runs it")
	}
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(Options{Dir: dir, Numbers: phone.Book{Default: phone.Rules{Region: "GB"}}})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	s.keys.db.NoSync = true // while it is filled
	began := time.Now()
	must(t, s.fill(n, benchRecording(n)), s.keys.db.Sync())
	s.keys.db.NoSync = false
	info, err := os.Stat(filepath.Join(dir, keysFile))
	must(t, err)
	fmt.Printf("%d recordings, filled in %.0f s; keys.db has %d bytes a recording\n\n", n, time.Since(began).Seconds(), info.Size()/int64(n))
	fmt.Printf("| search | found on the page | p50 ms | p95 ms | p99 ms |\n|---|--:|--:|--:|--:|\n")
	for _, kind := range benchQueries(t, s, n) {
		took := make([]time.Duration, 200)
		found := 0
		for i := range took {
			q := kind.query(rand.New(rand.NewPCG(uint64(i), 1)))
			began := time.Now()
			page, _, err := s.Search(q)
			took[i] = time.Since(began)
			must(t, err)
			found += len(page)
		}
		slices.Sort(took)
		at := func(p int) float64 { return float64(took[len(took)*p/100]) / 1e6 }
		fmt.Printf("| %s | %.1f | %.2f | %.2f | %.2f |\n", kind.name, float64(found)/float64(len(took)), at(50), at(95), at(99))
	}
}

var benchStart = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

const benchSpan = 730 * 24 * time.Hour

// benchRecording makes the same recording of the same number each time: callers
// call five times, 400 agents have an extension each and 20 more hardly any calls.
func benchRecording(n int) func(i int) fillIn {
	return func(i int) fillIn {
		r := rand.New(rand.NewPCG(uint64(i), 0))
		f := fillIn{start: benchStart.Add(benchSpan / time.Duration(n) * time.Duration(i)), length: time.Duration(r.IntN(600)) * time.Second,
			state: StateSealed, reason: "hang-up", end: int64(4 * i)}
		f.bytes = int64(f.length.Seconds() * 16500)
		f.purpose = consent.Purpose{Name: oneOf(r, 95, "training", "proof"), Retention: 90 * 24 * time.Hour}
		f.call = consent.Call{ID: fmt.Sprintf("%016x@pbx.example", r.Uint64()), Trunk: fmt.Sprintf("trunk-%d", r.IntN(4)), Remote: benchCaller(r.IntN(n/5 + 1)),
			Local: fmt.Sprintf("2%03d", r.IntN(400)), Direction: consent.Inbound}
		if r.IntN(2) == 0 {
			f.call.Direction = consent.Outbound
		}
		if r.IntN(10_000) == 0 {
			f.call.Local = fmt.Sprintf("3%03d", r.IntN(20))
		}
		if r.IntN(500) == 0 {
			f.state, f.reason = StateTruncated, "truncated: the disk was full"
		} else if r.IntN(200) == 0 {
			f.reason = consent.EndWithdrawn
		}
		return f
	}
}

func benchCaller(i int) string { return fmt.Sprintf("+44207%07d", 9_000_000+i%1_000_000) }

func oneOf(r *rand.Rand, percent int, often, seldom string) string {
	if r.IntN(100) < percent {
		return often
	}
	return seldom
}

type benchKind struct {
	name  string
	query func(r *rand.Rand) Query
}

func benchQueries(t *testing.T, s *Store, n int) []benchKind {
	t.Helper()
	within := func(r *rand.Rand, span time.Duration, q Query) Query {
		q.From = benchStart.Add(time.Duration(r.Int64N(int64(benchSpan - span))))
		q.To = q.From.Add(span)
		return q
	}
	k, err := s.keys.system(t.Context(), numberIndex)
	must(t, err)
	deep := func(q Query) string { // where who turned the pages would be, who needs an hour for it
		return q.cursor(k, catalog.Position{Start: benchStart.Add(benchSpan / 10).UnixNano()})
	}
	all, trunk := deep(Query{}), deep(Query{Trunk: "trunk-1"})
	const day = 24 * time.Hour
	return []benchKind{
		{"the latest", func(*rand.Rand) Query { return Query{} }},
		{"by number", func(r *rand.Rand) Query { return Query{Party: benchCaller(r.IntN(n/5 + 1))} }},
		{"by number that is nowhere", func(*rand.Rand) Query { return Query{Party: "+493012345678"} }},
		{"by number, one month", func(r *rand.Rand) Query { return within(r, 30*day, Query{Party: benchCaller(r.IntN(n/5 + 1))}) }},
		{"by time, one day", func(r *rand.Rand) Query { return within(r, day, Query{}) }},
		{"by purpose, one month", func(r *rand.Rand) Query { return within(r, 30*day, Query{Purpose: oneOf(r, 50, "training", "proof")}) }},
		{"by purpose that is nowhere", func(*rand.Rand) Query { return Query{Purpose: "marketing"} }},
		{"by trunk and state", func(r *rand.Rand) Query {
			return Query{Trunk: fmt.Sprintf("trunk-%d", r.IntN(4)), State: oneOf(r, 20, StateSealed, StateTruncated)}
		}},
		{"by state that is nowhere", func(*rand.Rand) Query { return Query{State: StateRecording} }},
		{"by outcome: withdrawn", func(*rand.Rand) Query { return Query{Outcome: OutcomeWithdrawn} }},
		{"by outcome, one month", func(r *rand.Rand) Query {
			return within(r, 30*day, Query{Outcome: oneOf(r, 50, OutcomeWithdrawn, OutcomeRecorderFailed)})
		}},
		{"by outcome that is nowhere", func(*rand.Rand) Query { return Query{Outcome: OutcomeCrashed} }},
		{"by agent", func(r *rand.Rand) Query { return Query{Agent: fmt.Sprintf("2%03d", r.IntN(400))} }},
		{"by agent with few calls", func(r *rand.Rand) Query { return Query{Agent: fmt.Sprintf("3%03d", r.IntN(20))} }},
		{"by all at once", func(r *rand.Rand) Query {
			return within(r, 365*day, Query{Party: benchCaller(r.IntN(n/5 + 1)), Agent: fmt.Sprintf("2%03d", r.IntN(400)), Purpose: "training",
				Trunk: "trunk-1", State: StateSealed, Direction: consent.Inbound})
		}},
		{"a page 90 % down", func(*rand.Rand) Query { return Query{Cursor: all} }},
		{"a page 90 % down, by trunk", func(*rand.Rand) Query { return Query{Trunk: "trunk-1", Cursor: trunk} }},
		{"a page of 1000", func(*rand.Rand) Query { return Query{Limit: MaxPage} }},
	}
}
