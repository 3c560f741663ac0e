package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentgate/proxy"
)

// TestRegisterGoesOutAsOursAndComesBackAsWritten: every Contact, in a list and in
// several headers, has our address for the registrar; the PBX gets its own back
// with what the registrar granted, another's as it is.
func TestRegisterGoesOutAsOursAndComesBackAsWritten(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	ours := r.carrierAddr()
	r.pbx.send(register("100", 7,
		`Contact: "Desk, 1" <sip:100@127.0.0.1:6001;line=ab;transport=udp>;expires=120;q=0.7;+sip.instance="<urn:uuid:1>";reg-id=1, <sip:101@127.0.0.1:6001;ob>`,
		`m: sip:102@127.0.0.1:6001;q=0.1`, `Authorization: Digest username="100", uri="sip:carrier.example", response="0"`,
		`Expires: 900`, `Supported: path, outbound, gruu`))
	req := r.registrar.recv("REGISTER sip:carrier.example SIP/2.0")
	want := `"Desk, 1" <sip:100@` + ours + `;line=ab>;expires=120;q=0.7;+sip.instance="<urn:uuid:1>";reg-id=1, <sip:101@` + ours + `;ob>`
	if got := field(req, "Contact"); got != want {
		t.Errorf("the registrar got Contact\n%s\nwant\n%s", got, want)
	}
	if got := field(req, "m"); got != `<sip:102@`+ours+`>;q=0.1` {
		t.Errorf("the registrar got m: %s", got)
	}
	if !strings.Contains(field(req, "Via"), ours) || !strings.Contains(field(req, "Authorization"), `response="0"`) {
		t.Errorf("the registrar got\n%s", req)
	}
	r.registrar.reply(req, "200 OK",
		`Contact: <sip:100@`+ours+`;line=ab>;expires=60;q=0.7;+sip.instance="<urn:uuid:1>";reg-id=1;pub-gruu="sip:100@carrier.example;gr=1"`,
		`Contact: <sip:elsewhere@198.51.100.9:5070>;expires=33, <sip:101@`+ours+`;ob>;expires=61,<sip:102@`+ours+`>;expires=62`,
		`Service-Route: <sip:edge.carrier.example;lr>`, `P-Associated-URI: <tel:+442079460100>`, `Path: <sip:proxy.carrier.example;lr>`)
	res := r.pbx.recv("SIP/2.0 200 OK")
	want = `<sip:100@127.0.0.1:6001;line=ab;transport=udp>;expires=60;q=0.7;+sip.instance="<urn:uuid:1>";reg-id=1;pub-gruu="sip:100@carrier.example;gr=1"` + "\n" +
		`<sip:elsewhere@198.51.100.9:5070>;expires=33, <sip:101@127.0.0.1:6001;ob>;expires=61, <sip:102@127.0.0.1:6001>;expires=62`
	if got := field(res, "Contact"); got != want {
		t.Errorf("the PBX got Contact\n%s\nwant\n%s", got, want)
	}
	for name, want := range map[string]string{"Service-Route": "<sip:edge.carrier.example;lr>", "P-Associated-URI": "<tel:+442079460100>",
		"Path": "<sip:proxy.carrier.example;lr>"} {
		if got := field(res, name); got != want {
			t.Errorf("the PBX got %s: %q", name, got)
		}
	}
	if n := r.gauge("consentgate_registrations"); n != 3 {
		t.Errorf("%v are registered", n)
	}
}

// TestChallengesAndRefusalsOfRegisterPass: 401 and 423 come back whole, and nobody
// is registered by them.
func TestChallengesAndRefusalsOfRegisterPass(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	for i, status := range []string{"401 Unauthorized", "423 Interval Too Brief", "407 Proxy Authentication Required"} {
		r.pbx.send(register("100", i+1, "Contact: <sip:100@127.0.0.1:6001>;expires=5"))
		req := r.registrar.recv("REGISTER ")
		r.registrar.reply(req, status, `WWW-Authenticate: Digest realm="carrier.example", nonce="n,1"`, "Min-Expires: 60",
			"Contact: "+field(req, "Contact"))
		res := r.pbx.recv("SIP/2.0 " + status)
		if field(res, "WWW-Authenticate") != `Digest realm="carrier.example", nonce="n,1"` || field(res, "Min-Expires") != "60" ||
			field(res, "Contact") != "<sip:100@127.0.0.1:6001>;expires=5" {
			t.Errorf("the PBX got\n%s", res)
		}
	}
	if n := r.gauge("consentgate_registrations"); n != 0 {
		t.Errorf("%v are registered", n)
	}
	r.registrar.send(request("MESSAGE", "sip:100@"+r.carrierAddr()))
	if m := r.pbx.recv("MESSAGE "); startLine(m) != "MESSAGE sip:100@"+r.carrierAddr()+" SIP/2.0" {
		t.Errorf("it was led to who isn't registered: %s", startLine(m))
	}
}

// TestRequestsReachWhoRegistered at the address that it registered, which isn't the
// first peer's, with its own Contact for a Request-URI and what the carrier added.
func TestRequestsReachWhoRegistered(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	desk := r.another("127.0.0.2:0")
	named := r.registers(desk, "100", "<sip:100@"+desk.addr()+";line=ab>")
	for method, more := range map[string][]string{"INVITE": {"Contact: <sip:c@198.51.100.1>"}, "OPTIONS": nil, "MESSAGE": nil, "NOTIFY": {"Event: x"}} {
		r.registrar.send(request(method, strings.Replace(inside(named), ";line=ab", ";line=ab;user=phone", 1), more...))
		got := desk.recv(method + " ")
		if want := method + " sip:100@" + desk.addr() + ";line=ab;user=phone SIP/2.0"; startLine(got) != want {
			t.Errorf("%s, want %s", startLine(got), want)
		}
		desk.reply(got, "486 Busy Here")
		r.registrar.recv("SIP/2.0 486")
		if method == "INVITE" {
			desk.recv("ACK sip:100@" + desk.addr())
		}
	}
	r.registrar.send(request("MESSAGE", "sip:999@"+r.carrierAddr()))
	if m := r.pbx.recv("MESSAGE "); startLine(m) != "MESSAGE sip:999@"+r.carrierAddr()+" SIP/2.0" {
		t.Errorf("who isn't registered got %s", startLine(m))
	}
	r.registrar.send(request("MESSAGE", "sip:100@carrier.example"))
	if m := r.pbx.recv("MESSAGE "); startLine(m) != "MESSAGE sip:100@carrier.example SIP/2.0" {
		t.Errorf("another's address was changed: %s", startLine(m))
	}
}

// TestAContactElsewhereIsReachedWhereItRegisteredFrom: a Contact that names no
// address of a peer (NAT, a name) is led to by the REGISTER's source.
func TestAContactElsewhereIsReachedWhereItRegisteredFrom(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	desk := r.another("127.0.0.2:0")
	for _, contact := range []string{"sip:100@10.9.8.7:5062", "sip:100@pbx.example"} {
		r.registers(desk, "100", "<"+contact+">")
		r.registrar.send(request("MESSAGE", "sip:100@"+r.carrierAddr()))
		if m := desk.recv("MESSAGE "); startLine(m) != "MESSAGE "+contact+" SIP/2.0" {
			t.Errorf("%s", startLine(m))
		}
		desk.send(register("100", 2, "Contact: <"+contact+">;expires=0"))
		r.registrar.reply(r.registrar.recv("REGISTER "), "200 OK")
		desk.recv("SIP/2.0 200")
	}
}

// TestTwoPhonesWithOneUserPartStayApart: the registrar sees two users, each phone
// gets both Contacts as they were written, and calls to each reach it.
func TestTwoPhonesWithOneUserPartStayApart(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	a, b := r.another("127.0.0.1:0"), r.another("127.0.0.2:0")
	one, two := r.registers(a, "100", "<sip:100@"+a.addr()+">"), r.registers(b, "100", "<sip:100@"+b.addr()+">")
	if one != "<sip:100@"+r.carrierAddr()+">" || two == one || !strings.HasPrefix(two, "<sip:100~") {
		t.Fatalf("the registrar got %s and %s", one, two)
	}
	b.send(register("100", 2, "Contact: <sip:100@"+b.addr()+">"))
	req := r.registrar.recv("REGISTER ")
	if got := field(req, "Contact"); got != two {
		t.Errorf("refreshed as %s, registered as %s", got, two)
	}
	r.registrar.reply(req, "200 OK", "Contact: "+one+";expires=50, "+two+";expires=60")
	if got, want := field(b.recv("SIP/2.0 200"), "Contact"), fmt.Sprintf("<sip:100@%s>;expires=50, <sip:100@%s>;expires=60", a.addr(), b.addr()); got != want {
		t.Errorf("the phone got Contact\n%s\nwant\n%s", got, want)
	}
	for named, phone := range map[string]*wire{one: a, two: b} {
		r.registrar.send(request("MESSAGE", inside(named)))
		if m := phone.recv("MESSAGE "); startLine(m) != "MESSAGE sip:100@"+phone.addr()+" SIP/2.0" {
			t.Errorf("%s", startLine(m))
		}
	}
}

// TestBulkNumberContactTakesEveryUserThatIsNobodyElses (RFC 6140 sections 5.2 and
// 7.1.1).
func TestBulkNumberContactTakesEveryUserThatIsNobodyElses(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	pbx, desk, second := r.another("127.0.0.2:0"), r.another("127.0.0.1:0"), r.another("127.0.0.1:0")
	if got := r.registers(pbx, "pbx", "<sip:"+pbx.addr()+";bnc;x=1>"); got != "<sip:"+r.carrierAddr()+";bnc;x=1>" {
		t.Errorf("the registrar got %s", got)
	}
	r.registers(desk, "100", "<sip:100@"+desk.addr()+">")
	r.registrar.send(request("MESSAGE", "sip:+442079460199@"+r.carrierAddr()+";user=phone"))
	if m := pbx.recv("MESSAGE "); startLine(m) != "MESSAGE sip:+442079460199@"+pbx.addr()+";x=1;user=phone SIP/2.0" {
		t.Errorf("%s", startLine(m))
	}
	r.registrar.send(request("MESSAGE", "sip:100@"+r.carrierAddr()))
	desk.recv("MESSAGE sip:100@" + desk.addr())
	other := r.registers(second, "pbx2", "<sip:"+second.addr()+";bnc>")
	token, found := strings.CutPrefix(inside(other), "sip:"+r.carrierAddr()+";bnc;cg=")
	if !found {
		t.Fatalf("a second bulk Contact is %s", other)
	}
	r.registrar.send(request("MESSAGE", "sip:+4930111@"+r.carrierAddr()+";cg="+token))
	if m := second.recv("MESSAGE "); startLine(m) != "MESSAGE sip:+4930111@"+second.addr()+" SIP/2.0" {
		t.Errorf("%s", startLine(m))
	}
}

// TestUnregisteringForgets one Contact with Expires 0, all with *.
func TestUnregisteringForgets(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	a, b := r.another("127.0.0.1:0"), r.another("127.0.0.2:0")
	r.registers(a, "100", "<sip:100@"+a.addr()+">")
	r.registers(b, "100", "<sip:7@"+b.addr()+">, <sip:8@"+b.addr()+">")
	r.registers(b, "200", "<sip:9@"+b.addr()+">")
	a.send(register("100", 2, "Contact: <sip:100@"+a.addr()+">", "Expires: 0"))
	r.registrar.reply(r.registrar.recv("REGISTER "), "200 OK")
	a.recv("SIP/2.0 200")
	if n := r.gauge("consentgate_registrations"); n != 3 {
		t.Errorf("%v are registered after Expires: 0", n)
	}
	a.send(register("100", 3, "Contact: *", "Expires: 0"))
	req := r.registrar.recv("REGISTER ")
	if got := field(req, "Contact"); got != "*" {
		t.Errorf("the registrar got Contact %s", got)
	}
	r.registrar.reply(req, "200 OK")
	a.recv("SIP/2.0 200")
	if n := r.gauge("consentgate_registrations"); n != 1 {
		t.Errorf("%v are registered after *", n)
	}
}

// TestAPathBehindTheGateStaysThere and leads requests back (RFC 3327).
func TestAPathBehindTheGateStaysThere(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	edge, desk := r.another("127.0.0.2:0"), r.another("127.0.0.1:0")
	edge.send(register("100", 1, "Contact: <sip:100@"+desk.addr()+">", "Path: <sip:x@"+edge.addr()+";lr>,<sip:inner.example;lr>", "Supported: path"))
	req := r.registrar.recv("REGISTER ")
	if field(req, "Path") != "" || field(req, "Supported") != "path" {
		t.Errorf("the registrar got\n%s", req)
	}
	r.registrar.reply(req, "200 OK", "Contact: "+field(req, "Contact")+";expires=60")
	if got := field(edge.recv("SIP/2.0 200"), "Path"); got != "<sip:x@"+edge.addr()+";lr>,<sip:inner.example;lr>" {
		t.Errorf("the edge got Path %s", got)
	}
	r.registrar.send(request("INVITE", "sip:100@"+r.carrierAddr(), "Route: <sip:"+r.carrierAddr()+";lr>", "Contact: <sip:c@198.51.100.1>"))
	got := edge.recv("INVITE sip:100@" + desk.addr() + " SIP/2.0")
	if route := field(got, "Route"); route != "<sip:x@"+edge.addr()+";lr>\n<sip:inner.example;lr>" {
		t.Errorf("the edge got Route %s", route)
	}
	edge.reply(got, "486 Busy Here")
	r.registrar.recv("SIP/2.0 486")
}

// TestRegistrationsOutlastARestart: another gate with the same kept bindings leads
// calls on without a new REGISTER.
func TestRegistrationsOutlastARestart(t *testing.T) {
	t.Parallel()
	kept := &keeps{}
	keep := func(c *proxy.Config) { c.Bindings = kept }
	r := newRegistry(t, keep)
	a, b := r.another("127.0.0.1:0"), r.another("127.0.0.2:0")
	one, two := r.registers(a, "100", "<sip:100@"+a.addr()+">"), r.registers(b, "100", "<sip:100@"+b.addr()+">")
	eventually(t, "both are kept", func() bool { n, _ := kept.state(); return n == 2 })
	carrier, pbx := r.registrar.gate.String(), r.pbx.gate.String()
	r.stop()
	r.metrics = prometheus.NewRegistry()
	r.start(keep, carrier, pbx)
	if n := r.gauge("consentgate_registrations"); n != 2 {
		t.Errorf("%v are registered", n)
	}
	for named, phone := range map[string]*wire{one: a, two: b} {
		r.registrar.send(request("MESSAGE", inside(named)))
		phone.recv("MESSAGE sip:100@" + phone.addr())
	}
	a.send(register("100", 2, "Contact: <sip:100@"+a.addr()+">;expires=0"))
	r.registrar.reply(r.registrar.recv("REGISTER "), "200 OK")
	a.recv("SIP/2.0 200")
	eventually(t, "one is kept", func() bool { n, _ := kept.state(); return n == 1 })
}

// TestADeadDiskHoldsUpNoRegister: writing that hangs or fails is nothing to the
// PBX; what failed is written later.
func TestADeadDiskHoldsUpNoRegister(t *testing.T) {
	t.Parallel()
	kept := &keeps{hangs: true}
	r := newRegistry(t, func(c *proxy.Config) { c.Bindings = kept })
	r.registers(r.pbx, "100", "<sip:100@"+r.pbx.addr()+">")
	eventually(t, "the disk was asked", func() bool { _, asked := kept.state(); return asked > 0 })
	began := time.Now()
	for i := range 20 {
		user := fmt.Sprint(200 + i)
		r.registers(r.pbx, user, "<sip:"+user+"@"+r.pbx.addr()+">")
	}
	if n, asked := kept.state(); n != 0 || asked > 2 {
		t.Errorf("%d kept, %d writes in %s: the disk doesn't hang", n, asked, time.Since(began))
	}
	kept.mu.Lock()
	kept.hangs, kept.fails = false, true
	kept.mu.Unlock()
	eventually(t, "it failed", func() bool { _, asked := kept.state(); return asked > 1 })
	kept.mu.Lock()
	kept.fails = false
	kept.mu.Unlock()
	eventually(t, "all are kept", func() bool { n, _ := kept.state(); return n == 21 })
}

// TestTheStateOfARegistrationNamesTheRegistrantsOwnContact (RFC 3680): else it would
// find itself unregistered.
func TestTheStateOfARegistrationNamesTheRegistrantsOwnContact(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.registers(r.pbx, "100", "<sip:100@"+r.pbx.addr()+";a=1>")
	body := `<reginfo><contact id="1"><uri>%s</uri></contact><r:contact><r:uri>sip:7@198.51.100.1;x=&quot;</r:uri></r:contact></reginfo>`
	r.registrar.send(request("NOTIFY", "sip:100@"+r.carrierAddr(), "Event: reg", "Content-Type: application/reginfo+xml; charset=utf-8", "",
		fmt.Sprintf(body, "sip:100@"+r.carrierAddr()+";a=1")))
	if got, want := r.pbx.recv("NOTIFY "), fmt.Sprintf(body, "sip:100@"+r.pbx.addr()+";a=1"); !strings.HasSuffix(got, "\r\n\r\n"+want) {
		t.Errorf("came\n%s\nwant\n%s", got, want)
	}
}

// TestOptionsToTheGateStayTheGates though a registrant has no user part either.
func TestOptionsToTheGateStayTheGates(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	if got := r.registers(r.pbx, "100", "<sip:"+r.pbx.addr()+">"); got != "<sip:"+r.carrierAddr()+">" {
		t.Errorf("the registrar got %s", got)
	}
	r.registrar.send(request("OPTIONS", "sip:"+r.carrierAddr()))
	if res := r.registrar.recv("SIP/2.0 200"); field(res, "Accept") != "application/sdp" {
		t.Errorf("somebody else answered\n%s", res)
	}
	r.registrar.send(request("MESSAGE", "sip:"+r.carrierAddr()))
	r.pbx.recv("MESSAGE sip:" + r.pbx.addr() + " SIP/2.0")
}
