package store_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/phone"
	"consentgate/store/rights"
)

var trunkNumbers = phone.Book{Trunks: map[string]phone.Rules{"london": {Region: "GB"}, "berlin": {Region: "DE"}, "bare": {}}}

func openNumbered(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir, Node: "test", Numbers: trunkNumbers})
	must(t, err)
	return s
}

// numbered is a store whose trunks are in several countries.
func numbered(t testing.TB) *store.Store {
	s := openNumbered(t, filepath.Join(t.TempDir(), "data"))
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

var calls atomic.Int64

// begin records a call, by the way that the gate goes.
func begin(t testing.TB, s *store.Store, c consent.Call, purpose string) *store.Recording {
	t.Helper()
	c.ID = fmt.Sprintf("call-%d", calls.Add(1))
	p := *policy
	p.Purpose.Name = purpose
	session := consent.NewSession(&c, &p, s.Audit())
	session.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	session.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Complete: true}})
	acts, _ := session.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1'}})
	for _, a := range acts {
		if a.Do != consent.Commit {
			continue
		}
		acts, _ := session.Step(session.Commit(context.Background(), a.Record))
		for _, a := range acts {
			if a.Do == consent.Create {
				r, err := s.Create(context.Background(), a.Grant)
				must(t, err)
				return r
			}
		}
	}
	t.Fatal("no grant")
	return nil
}

func recordCall(t testing.TB, s *store.Store, c consent.Call, purpose string) string {
	t.Helper()
	r := begin(t, s, c, purpose)
	must(t, r.Seal(time.Now(), "hang-up"))
	return r.ID()
}

// people are parties by one spelling that each trunk reads as the same.
var people = []string{"+442079460001", "0044 20 7946 0002", "sip:+442079460003@h;user=phone", "tel:+49-30-123456", "201", "alice", "anonymous", "+4930123457"}

// ends are why recordings end; "withdrawn" and others are found by it.
var ends = []string{consent.EndHangUp, consent.EndWithdrawn, consent.EndChanged, consent.EndUnbegun, consent.EndFailed + ": a fault"}

func randomCall(r *rand.Rand) (consent.Call, string) {
	return consent.Call{Trunk: []string{"london", "berlin", "bare"}[r.IntN(3)], Direction: []consent.Direction{consent.Inbound, consent.Outbound}[r.IntN(2)],
			Remote: people[r.IntN(len(people))], Local: people[r.IntN(len(people))], Controller: consent.Controller{Name: controller}},
		[]string{"training", "proof", "quality"}[r.IntN(3)]
}

// searched pages through all that a query finds.
func searched(t testing.TB, s *store.Store, q store.Query) (out []store.Summary) {
	t.Helper()
	for range 1000 {
		page, next, err := s.Search(q)
		must(t, err)
		if len(page) > cmp.Or(q.Limit, 100) || next != "" && len(page) != cmp.Or(q.Limit, 100) {
			t.Fatalf("a page of %d, and %q", len(page), next)
		}
		out = append(out, page...)
		if next == "" {
			return out
		}
		q.Cursor = next
	}
	t.Fatal("there is no end of pages")
	return nil
}

func ids(all []store.Summary) (out []string) {
	for _, s := range all {
		out = append(out, s.ID)
	}
	return out
}

// reader reads numbers as who has no rules does, each once: it takes longer than all
// that a search does.
func reader() func(string) string {
	read := map[string]string{}
	return func(n string) string {
		if _, ok := read[n]; !ok {
			read[n] = phone.Rules{}.Read(n)
		}
		return read[n]
	}
}

// naive is a search through a list.
func naive(all []store.Summary, q store.Query, number func(string) string) (out []string) {
	for _, s := range all {
		if (q.Party == "" || number(s.Remote) == number(q.Party) || number(s.Local) == number(q.Party)) &&
			(q.Agent == "" || number(s.Local) == number(q.Agent)) && (q.From.IsZero() || !s.Started.Before(q.From)) &&
			(q.To.IsZero() || s.Started.Before(q.To)) && (q.Purpose == "" || s.Purpose == q.Purpose) && (q.Trunk == "" || s.Trunk == q.Trunk) &&
			(q.State == "" || s.State == q.State) && (q.Outcome == "" || s.Outcome() == q.Outcome) && (q.Direction == "" || s.Direction == q.Direction) &&
			(!q.Held || s.Held) && (!q.Restricted || s.Restricted) {
			out = append(out, s.ID)
		}
	}
	return out
}

// TestEveryFilterAnswersAsLookingThroughAllWould: each alone and with all others.
func TestEveryFilterAnswersAsLookingThroughAllWould(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "data")
	s := openNumbered(t, dir)
	var all []string
	for range 40 { // the stop cuts half of them off
		c, purpose := randomCall(r)
		rec := begin(t, s, c, purpose)
		if r.IntN(2) == 0 {
			must(t, rec.Seal(time.Now(), ends[r.IntN(len(ends))]))
		}
		all = append(all, rec.ID())
	}
	must(t, s.Close())
	s = openNumbered(t, dir)
	defer func() { must(t, s.Close()) }()
	for range 20 { // half of which go on
		c, purpose := randomCall(r)
		rec := begin(t, s, c, purpose)
		if r.IntN(2) == 0 {
			must(t, rec.Seal(time.Now(), ends[r.IntN(len(ends))]))
		}
		all = append(all, rec.ID())
	}
	actOn(t, r, s, all)
	all = eraseSome(t, r, s, all)
	sums := summaries(t, s, all)
	number := reader()
	for n := range 4 * 2048 {
		like := sums[r.IntN(len(sums))]
		q := store.Query{Limit: 1 + r.IntN(20)}
		for bit, set := range []func(){func() { q.Party = like.Remote }, func() { q.Agent = like.Local }, func() { q.Purpose = like.Purpose },
			func() { q.Trunk = like.Trunk }, func() { q.State = like.State }, func() { q.Direction = like.Direction },
			func() { q.Held = true }, func() { q.Restricted = true }, func() { q.From = like.Started }, func() { q.To = sums[r.IntN(len(sums)/4)].Started.Add(time.Nanosecond) }, func() { q.Outcome = like.Outcome() }} {
			if n&(1<<bit) != 0 {
				set()
			}
		}
		if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
			continue
		}
		if got, want := ids(searched(t, s, q)), naive(sums, q, number); !slices.Equal(got, want) {
			t.Fatalf("%+v finds %d, want %d", q, len(got), len(want))
		}
	}
	counted(t, s, sums)
}

func summaries(t *testing.T, s *store.Store, ids []string) (out []store.Summary) {
	t.Helper()
	states := map[string]bool{}
	for _, id := range ids {
		sum, err := s.Get(id)
		must(t, err)
		out = append(out, sum)
		states[sum.State] = true
	}
	slices.SortFunc(out, func(a, b store.Summary) int {
		return cmp.Or(b.Started.Compare(a.Started), strings.Compare(b.ID, a.ID))
	})
	if len(states) != 3 {
		t.Fatalf("recordings are in states %v only", states)
	}
	return out
}

func eraseSome(t *testing.T, r *rand.Rand, s *store.Store, all []string) []string {
	t.Helper()
	return slices.DeleteFunc(all, func(id string) bool {
		if r.IntN(6) != 0 {
			return false
		}
		sum, err := s.Get(id)
		must(t, err)
		if sum.State == store.StateRecording {
			return false
		}
		switch err := s.Erase(context.Background(), sum.Grant, "asked"); {
		case errors.Is(err, store.ErrHeld): // it is restricted now
			return false
		default:
			must(t, err)
		}
		return true
	})
}

// actOn holds and restricts some, and takes some of that back.
func actOn(t *testing.T, r *rand.Rand, s *store.Store, all []string) {
	t.Helper()
	for _, id := range all {
		switch r.IntN(6) {
		case 0:
			hold(t, s, id, "case")
		case 1:
			first := hold(t, s, id, "case")
			if r.IntN(2) == 0 {
				hold(t, s, id, "another")
			}
			must(t, s.Release(ctx, id, first, because("settled")))
		case 2:
			hold(t, s, id, "case")
			fallthrough
		case 3:
			k, err := s.Restrict(ctx, id, rights.Restriction{Act: because("contests it"), Ground: rights.Accuracy})
			must(t, err)
			if r.IntN(2) == 0 {
				must(t, s.Lift(ctx, id, k, because("looked into"), true))
			}
		}
	}
}

// TestWhatIsHeldIsFoundAfterAStart, and after what is being written was sealed.
func TestWhatIsHeldIsFoundAfterAStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	rec := begin(t, s, consent.Call{Trunk: "main", Direction: consent.Inbound, Remote: callerNumber, Local: "201"}, "training")
	record(t, s, "another", 2)
	h := hold(t, s, rec.ID(), "case")
	found := func(q store.Query) []string { return ids(searched(t, s, q)) }
	if got := found(store.Query{Held: true}); !slices.Equal(got, []string{rec.ID()}) {
		t.Errorf("while it is written: %v", got)
	}
	must(t, rec.Seal(time.Now(), "hang-up"), s.Close())
	s = openStore(t, dir)
	if got := found(store.Query{Held: true}); !slices.Equal(got, []string{rec.ID()}) || len(found(store.Query{Restricted: true})) != 0 {
		t.Errorf("after a start: %v", got)
	}
	must(t, s.Release(ctx, rec.ID(), h, because("settled")))
	if got := found(store.Query{Held: true}); len(got) != 0 {
		t.Errorf("released: %v", got)
	}
	must(t, s.Close())
}

// counted compares the numbers that are kept with counting.
func counted(t *testing.T, s *store.Store, all []store.Summary) {
	t.Helper()
	counts, err := s.Counts()
	must(t, err)
	have := map[string]int{}
	for _, c := range counts {
		have[c.Purpose+" "+c.State] = c.N
	}
	want := map[string]int{}
	for _, sum := range all {
		want[sum.Purpose+" "+sum.State]++
	}
	for k, n := range have {
		if want[k] != n {
			t.Errorf("%d recordings of %s, want %d", n, k, want[k])
		}
		delete(want, k)
	}
	if len(want) != 0 {
		t.Errorf("not counted: %v", want)
	}
}

// TestPagesHoldEachOnceWhileRecordingsComeAndGo: none of those that stay is twice,
// or missing. Between two pages one comes, and up to three go: the one that the
// page ended with among them.
func TestPagesHoldEachOnceWhileRecordingsComeAndGo(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := numbered(t)
	call := consent.Call{Trunk: "london", Direction: consent.Inbound, Remote: callerNumber, Local: "201"}
	there := map[string]bool{}
	for range 80 {
		there[recordCall(t, s, call, "training")] = true
	}
	for _, q := range []store.Query{{}, {Party: "020 7946 0123"}, {Agent: "201", Purpose: "training"}} {
		seen, before := map[string]int{}, maps.Clone(there)
		for q.Limit = 3; ; {
			page, next, err := s.Search(q)
			must(t, err)
			for _, sum := range page {
				seen[sum.ID]++
			}
			if q.Cursor = next; next == "" {
				break
			}
			there[recordCall(t, s, call, "training")] = true
			leaving := []string{page[2].ID}
			for id := range there {
				if leaving = append(leaving, id); len(leaving) == 3 {
					break
				}
			}
			for _, id := range leaving[r.IntN(3):] {
				if there[id] {
					must(t, s.Erase(context.Background(), grantOf(t, s, id), "asked"))
					delete(there, id)
				}
			}
		}
		for id, n := range seen {
			if n > 1 {
				t.Errorf("%s is there %d times", id, n)
			}
		}
		for id := range before {
			if there[id] && seen[id] == 0 {
				t.Errorf("%s is missing", id)
			}
		}
		if len(seen) < 20 {
			t.Errorf("only %d were seen", len(seen))
		}
	}
}

// TestACursorIsOfItsSearch, and says so; it outlives a restart, and pages may
// differ in length.
func TestACursorIsOfItsSearch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openNumbered(t, dir)
	call := consent.Call{Trunk: "london", Direction: consent.Inbound, Remote: callerNumber, Local: "201"}
	var want []string
	for range 5 {
		want = append([]string{recordCall(t, s, call, "training")}, want...)
	}
	q := store.Query{Party: callerNumber, Limit: 2}
	first, cursor, err := s.Search(q)
	must(t, err)
	must(t, s.Close())
	s = openNumbered(t, dir)
	defer func() { must(t, s.Close()) }()
	q.Limit, q.Cursor = 10, cursor
	rest, end, err := s.Search(q)
	if err != nil || end != "" || !slices.Equal(append(ids(first), ids(rest)...), want) {
		t.Errorf("%v then %v, %q, %v; want %v", ids(first), ids(rest), end, err, want)
	}
	swapped := []byte(cursor)
	swapped[3] ^= 3
	for name, other := range map[string]store.Query{"another party": {Party: "+44", Cursor: cursor}, "an agent": {Agent: callerNumber, Cursor: cursor},
		"no party": {Cursor: cursor}, "one filter more": {Party: callerNumber, Trunk: "london", Cursor: cursor},
		"another time": {Party: callerNumber, To: time.Now(), Cursor: cursor}, "a changed place": {Party: callerNumber, Cursor: string(swapped)},
		"a part": {Party: callerNumber, Cursor: cursor[:20]}, "no cursor": {Party: callerNumber, Cursor: "x!"}} {
		page, _, err := s.Search(other)
		if !errors.Is(err, store.ErrQuery) || !strings.Contains(err.Error(), "begin without a cursor") || len(page) != 0 {
			t.Errorf("%s: %d found, %v", name, len(page), err)
		}
	}
}

func TestAQueryThatCantBeMeantIsExplained(t *testing.T) {
	s := numbered(t)
	now := time.Now()
	for want, q := range map[string]store.Query{"allowed: 1 to 1000": {Limit: 1001}, "a page of -1": {Limit: -1},
		"before it begins": {From: now, To: now}, `no state "lost"`: {State: "lost"}, `no outcome "lost"; allowed: running, complete, withdrawn`: {Outcome: "lost"}, `no direction "up"`: {Direction: "up"}} {
		if _, _, err := s.Search(q); !errors.Is(err, store.ErrQuery) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	far := time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)
	recordCall(t, s, consent.Call{Trunk: "london", Direction: consent.Inbound, Remote: "1", Local: "2"}, "training")
	if page, _, err := s.Search(store.Query{From: time.Unix(-1, 0), To: far}); err != nil || len(page) != 1 {
		t.Errorf("between 1969 and 9000: %d, %v", len(page), err)
	}
	if page, _, err := s.Search(store.Query{From: far}); err != nil || len(page) != 0 {
		t.Errorf("after 9000: %d, %v", len(page), err)
	}
}

// TestANationalNumberIsFoundAsItsTrunkReadsIt, whichever trunk that was, and also
// when the configuration has changed since.
func TestANationalNumberIsFoundAsItsTrunkReadsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openNumbered(t, dir)
	record := func(trunk, remote string) string {
		return recordCall(t, s, consent.Call{Trunk: trunk, Direction: consent.Inbound, Remote: remote, Local: "201"}, "training")
	}
	london, berlin, bare := record("london", "02079460018"), record("berlin", "030123456"), record("bare", "02079460018")
	find := func(spelling string, want ...string) {
		t.Helper()
		page, _, err := s.Search(store.Query{Party: spelling})
		slices.Sort(want)
		got := ids(page)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s finds %v, %v; want %v", spelling, got, err, want)
		}
	}
	find("+44 20 7946 0018", london)
	find("020 7946 0018", london, bare)
	find("+49 30 123456", berlin)
	find("030 / 12 34 56", berlin)
	find("201", london, berlin, bare)
	must(t, s.Close())
	var err error
	s, err = store.Open(store.Options{Dir: dir, Numbers: phone.Book{Default: phone.Rules{Region: "FR"}}})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	find("+44 20 7946 0018", london)
	find("0049 30 123456", berlin)
	find("020 7946 0018", bare)
	if sum, err := s.Get(london); err != nil || sum.Region != "GB" || sum.RemoteNumber != "+442079460018" || sum.Remote != "02079460018" {
		t.Errorf("%+v %v", sum, err)
	}
	must(t, s.Erase(context.Background(), grantOf(t, s, london), "asked"))
	find("+44 20 7946 0018")
}

// TestWhoAnsweredInsteadOfWhoWasCalledIsFound: outside it is their voice that is
// recorded, inside the telephone that officers ask for.
func TestWhoAnsweredInsteadOfWhoWasCalledIsFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openNumbered(t, dir)
	out := recordCall(t, s, consent.Call{Trunk: "london", Direction: consent.Outbound, Remote: "02079460018", Connected: "+442079460777", Local: "201"}, "training")
	in := recordCall(t, s, consent.Call{Trunk: "london", Direction: consent.Inbound, Remote: "02079460018", Local: "100", Connected: "205"}, "training")
	same := recordCall(t, s, consent.Call{Trunk: "london", Direction: consent.Outbound, Remote: "02079460999", Connected: "+442079460999", Local: "201"}, "training")
	find := func(q store.Query, want ...string) {
		t.Helper()
		page, _, err := s.Search(q)
		slices.Sort(want)
		got := ids(page)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v finds %v, %v; want %v", q, got, err, want)
		}
	}
	for range 2 {
		find(store.Query{Party: "020 7946 0777"}, out)
		find(store.Query{Party: "020 7946 0018"}, out, in)
		find(store.Query{Agent: "205"}, in)
		find(store.Query{Agent: "100"}, in)
		find(store.Query{Agent: "020 7946 0777"})
		find(store.Query{Party: "020 7946 0999"}, same)
		if sum, err := s.Get(same); err != nil || sum.ConnectedNumber != "" {
			t.Errorf("one number in two spellings is somebody else's: %+v, %v", sum, err)
		}
		must(t, s.Close())
		s = openNumbered(t, dir)
	}
	must(t, s.Erase(context.Background(), grantOf(t, s, out), "asked"))
	find(store.Query{Party: "020 7946 0777"})
	must(t, s.Close())
}

func grantOf(t *testing.T, s *store.Store, id string) consent.Hash {
	t.Helper()
	sum, err := s.Get(id)
	must(t, err)
	return sum.Grant
}
