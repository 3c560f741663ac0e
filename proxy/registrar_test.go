package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

func table() *registrations { return newRegistrations(func(Binding) {}) }

func (r *registrations) take(aor, contact string, now time.Time, expires time.Duration) alias {
	b := Binding{AOR: aor, Contact: contact, Series: contact}
	a, ok := r.reserve(b, now, nil)
	if !ok {
		return alias{}
	}
	b.Alias, b.Expires = a, now.Add(expires)
	r.confirm(b)
	return a
}

func (r *registrations) find(user string) string {
	b, _ := r.called(splitURI("sip:" + user + "@g"))
	return b.Contact
}

// TestBindingsExpire, and reservations that nobody confirmed.
func TestBindingsExpire(t *testing.T) {
	r, now := table(), time.Now()
	r.take("a", "sip:1@h:1", now, time.Minute)
	r.take("a", "sip:2@h:1", now, time.Hour)
	r.reserve(Binding{AOR: "a", Contact: "sip:3@h:1"}, now, nil)
	r.expire(now.Add(61 * time.Second))
	if r.find("1") != "" || r.find("2") != "sip:2@h:1" || r.registered() != 1 || r.count != 2 {
		t.Errorf("%q %q, %d registered, %d in all", r.find("1"), r.find("2"), r.registered(), r.count)
	}
	r.expire(now.Add(2 * time.Hour))
	if r.count+len(r.byAlias)+len(r.byOrigin) != 0 {
		t.Errorf("left are %d %d %d", r.count, len(r.byAlias), len(r.byOrigin))
	}
}

// TestWhoMovesTakesItsAliasAlong: the same series or instance at another address is
// the same user agent; the old address is forgotten when the registrar has the
// new one. Two addresses in one REGISTER are two.
func TestWhoMovesTakesItsAliasAlong(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		next   Binding
		beside map[origin]bool
		moved  bool
	}{
		"same series":          {Binding{AOR: "a", Series: "s"}, nil, true},
		"same instance":        {Binding{AOR: "a", Series: "x", Instance: "i;1"}, nil, true},
		"another instance":     {Binding{AOR: "a", Series: "x", Instance: "i;2"}, nil, false},
		"another user agent":   {Binding{AOR: "a", Series: "x"}, nil, false},
		"another's record":     {Binding{AOR: "b", Series: "s", Instance: "i;1"}, nil, false},
		"both in one REGISTER": {Binding{AOR: "a", Series: "s"}, map[origin]bool{originOf("sip:1@old"): true, originOf("sip:1@new"): true}, false},
	} {
		r := table()
		old := Binding{AOR: "a", Series: "s", Instance: "i;1", Contact: "sip:1@old", Alias: alias{User: "1"}, Expires: now.Add(time.Hour)}
		r.confirm(old)
		c.next.Contact = "sip:1@new"
		a, _ := r.reserve(c.next, now, c.beside)
		if (a.User == "1") != c.moved || r.find("1") != "sip:1@old" {
			t.Errorf("%s: the alias is %q, before the answer 1 is at %q", name, a.User, r.find("1"))
		}
		c.next.Alias, c.next.Expires = a, now.Add(time.Hour)
		r.confirm(c.next)
		if want := map[bool]string{true: "sip:1@new", false: "sip:1@old"}[c.moved]; r.find("1") != want || r.find(a.User) != "sip:1@new" {
			t.Errorf("%s: 1 is at %q, %s at %q", name, r.find("1"), a.User, r.find(a.User))
		}
	}
}

// TestTheTableIsBounded: what is beyond passes unknown, what is known is refreshed.
func TestTheTableIsBounded(t *testing.T) {
	r, now := table(), time.Now()
	for i := range maxBindings {
		r.take("a", fmt.Sprintf("sip:%d@h:1", i), now, time.Hour)
	}
	if _, ok := r.reserve(Binding{AOR: "a", Contact: "sip:x@h:1"}, now, nil); ok {
		t.Error("there is room for one more")
	}
	if _, ok := r.reserve(Binding{AOR: "a", Contact: "sip:7@h:1"}, now, nil); !ok || r.registered() != maxBindings {
		t.Errorf("a known one isn't refreshed; %d registered", r.registered())
	}
	r.restore(Binding{AOR: "a", Contact: "sip:y@h:2", Alias: alias{User: "y"}, Expires: now.Add(time.Hour)})
	if len(r.byAlias) != maxBindings || len(r.byOrigin) != maxBindings {
		t.Errorf("%d aliases, %d places", len(r.byAlias), len(r.byOrigin))
	}
}

// TestOneAliasNeverMeansTwoPlaces, whatever is registered, refreshed, removed and
// forgotten in whatever order; and who is registered is found by its alias.
func TestOneAliasNeverMeansTwoPlaces(t *testing.T) {
	r, now := table(), time.Now()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		user, host := rnd.IntN(4), rnd.IntN(5)
		contact := fmt.Sprintf("sip:%d@h%d", user, host)
		if user == 0 {
			contact = fmt.Sprintf("sip:h%d;bnc", host)
		}
		if rnd.IntN(2) == 0 {
			contact += ";p=" + fmt.Sprint(rnd.IntN(2))
		}
		aor := fmt.Sprint("aor", rnd.IntN(3))
		switch rnd.IntN(5) {
		case 0:
			r.remove(aor, contact)
		case 1:
			r.reserve(Binding{AOR: aor, Contact: contact}, now, nil)
		default:
			a := r.take(aor, contact, now, time.Duration(rnd.IntN(100))*time.Second)
			u := splitURI(joinURI("sip", a.User, "g", contactParams(contact)))
			if a.Bulk {
				u = splitURI(joinURI("sip", "+4930", "g", ";cg="+a.Token))
			}
			if b, _ := r.called(u); originOf(b.Contact) != originOf(contact) {
				t.Fatalf("%s is registered as %+v and leads to %q", contact, a, b.Contact)
			}
		}
		if rnd.IntN(50) == 0 {
			now = now.Add(10 * time.Second)
			r.expire(now)
		}
		live, count := 0, 0
		for at, s := range r.byOrigin {
			if r.byAlias[s.alias] != s || s.origin != at || len(s.bindings) == 0 {
				t.Fatalf("the spot of %v isn't in order", at)
			}
			for _, b := range s.bindings {
				if count++; b.confirmed {
					live++
				}
			}
		}
		if len(r.byAlias) != len(r.byOrigin) || live != r.live || count != r.count {
			t.Fatalf("%d aliases, %d places, %d of %d confirmed, %d of %d counted", len(r.byAlias), len(r.byOrigin), r.live, live, r.count, count)
		}
	}
}

// TestALostTableGivesTheSameMarks: the mark doesn't depend on what was before.
func TestALostTableGivesTheSameMarks(t *testing.T) {
	mark := func(before int) alias {
		r := table()
		for i := range before {
			r.take("x", fmt.Sprintf("sip:1@other%d", i), time.Now(), time.Hour)
		}
		return r.take("a", "sip:1@h", time.Now(), time.Hour)
	}
	if a, b := mark(1), mark(3); a != b || a.User == "1" {
		t.Errorf("%v and %v", a, b)
	}
}

// TestSubscriptionsAreBounded: one too many passes and isn't known; a retry with
// credentials is.
func TestSubscriptionsAreBounded(t *testing.T) {
	g := &Gate{subscriptions: newSubscriptions(), metrics: newMetrics(nil)}
	tr := &transport{side: &side{gate: g}, endpoint: &endpoint{}}
	subscribe := func(id string) bool {
		req := parseRequest(t, strings.ReplaceAll(carrierInvite, "i: 1@203.0.113.5", "i: "+id))
		return tr.subscribe(&serverTx{req: req}, onward{}) != nil
	}
	for i := range maxSubscriptions {
		if !subscribe(fmt.Sprint(i)) {
			t.Fatalf("number %d isn't taken", i)
		}
	}
	if subscribe("x") || !subscribe("7") || g.subscriptions.len() != maxSubscriptions {
		t.Errorf("there are %d", g.subscriptions.len())
	}
}

func TestSubscriptionsExpire(t *testing.T) {
	all := newSubscriptions()
	for i := range 3 {
		sub := &subscription{key: dialogKey{callID: fmt.Sprint(i)}}
		sub.extend(time.Duration(i) * time.Minute)
		all.byKey[sub.key] = sub
	}
	all.expire(time.Now().Add(lifetime + 90*time.Second))
	if all.len() != 1 {
		t.Errorf("%d are left", all.len())
	}
}

// TestTakenMarksAreGoneRound: who registers another's marks on purpose stops
// nothing.
func TestTakenMarksAreGoneRound(t *testing.T) {
	r, now := table(), time.Now()
	r.take("x", "sip:1@other", now, time.Hour)
	mark := table().newAlias(originOf("sip:1@h")).User
	if mark != "1" {
		t.Fatalf("alone it is %q", mark)
	}
	for range 80 {
		a := r.newAlias(originOf("sip:1@h"))
		if r.take("x", "sip:"+a.User+"@evil", now, time.Hour) != a {
			t.Fatalf("%q wasn't free", a.User)
		}
	}
	r.take("a", "sip:1@h", now, time.Hour)
	if s := r.byOrigin[originOf("sip:1@h")]; s == nil || r.byAlias[s.alias] != s {
		t.Error("it isn't registered")
	}
}

// FuzzRegister: whatever stands in Contact, nothing panics, and who gets back what
// the registrar got finds its own URIs in it, as they were.
func FuzzRegister(f *testing.F) {
	for _, s := range []string{`"a, b" <sip:1@h:1;x=1>;expires=5, sip:2@h;q=1`, `<sip:h;bnc>,<sips:1@[::1]:5061;ob>`, `*`, `<`, `sip:1@h,sip:1@i,sip:1@h;a=1`, `<sip:1@h?a=b>`, `tel:+1`, `<sip:g:1>`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, contact, other string) {
		r := &registering{table: table(), ours: []string{"g:1", "192.0.2.1:5060"}, now: time.Now(), expires: time.Minute,
			base: Binding{AOR: "sip:a@b"}, beyond: func() {}, beside: origins(splitList(contact))}
		r.table.take("sip:c@d", other, r.now, time.Hour)
		sent := r.asking("g:1")(contact)
		res := sip.NewResponse(200, "OK")
		res.AppendHeader(sip.NewHeader("Contact", sent+", "+other))
		r.learn(res)
		if strings.ContainsAny(contact, "\"<>\\?") {
			eachContact(r.tell)(sent + other)
			return // read in more than one way; the plain ones below must be right
		}
		was, is := splitList(contact), splitList(eachContact(r.tell)(sent))
		for i := range is {
			a, b := parseNameAddr(was[i]).uri, parseNameAddr(is[i]).uri
			if originOf(a) != originOf(b) {
				t.Fatalf("%q was sent as %q and came back as %q", a, sent, b)
			}
		}
	})
}
