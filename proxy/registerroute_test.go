package proxy_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"consentgate/consent"
	"consentgate/proxy"
)

// TestARegistrantBehindAConnectionIsReachedByIt: its port isn't the one that its
// Contact names, and the registrar, by TCP too, has our address with the transport.
func TestARegistrantBehindAConnectionIsReachedByIt(t *testing.T) {
	t.Parallel()
	carrier, pbx := newPeer(t, "tcp", "127.0.0.1", nil), newPeer(t, "tcp", "127.0.0.1", nil)
	g := newRawGate(t, sideOf(carrier), sideOf(pbx), nil)
	phone := newPeer(t, "tcp", "127.0.0.1", nil)
	conn := phone.connect(g.Addr("main", consent.Local))
	own := "<sip:100@127.0.0.1:4999;transport=tcp;ob>"
	text := strings.Replace(phone.request("REGISTER", "sip:carrier.example", "<sip:100@carrier.example>", "r1", 1),
		head(phone.request("REGISTER", "x", "x", "x", 1), "Contact"), own, 1)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	req := carrier.next("REGISTER")
	named := head(req.text, "Contact")
	if want := "<sip:100@" + g.carrier().String() + ";transport=tcp;ob>"; named != want {
		t.Errorf("the registrar got %s, want %s", named, want)
	}
	req.reply(answer(req.text, "200 OK", "r", "Contact: "+named+";expires=60"))
	if got := head(phone.next("200").text, "Contact"); got != own+";expires=60" {
		t.Errorf("the phone got %s", got)
	}
	back := carrier.connect(g.carrier())
	if _, err := io.WriteString(back, carrier.request("MESSAGE", inside(named), "<sip:100@x>", "m1", 1)); err != nil {
		t.Fatal(err)
	}
	m := phone.next("MESSAGE")
	if m.conn != conn || startLine(m.text) != "MESSAGE "+inside(own)+" SIP/2.0" {
		t.Errorf("%s, by another connection: %v", startLine(m.text), m.conn != conn)
	}
}

// TestARegistrantThatIsGoneLeavesTheCallToThePeers: nothing is heard of it, so the
// side's peer is asked.
func TestARegistrantThatIsGoneLeavesTheCallToThePeers(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(c *proxy.Config) { c.Trunks[0].FailOver = 50 * time.Millisecond })
	gone := r.another("127.0.0.2:0")
	r.registers(gone, "100", "<sip:100@"+gone.addr()+">")
	if err := gone.conn.Close(); err != nil {
		t.Fatal(err)
	}
	r.registrar.send(request("INVITE", "sip:100@"+r.carrierAddr(), "Contact: <sip:c@198.51.100.1>"))
	invite := r.pbx.recv("INVITE sip:100@" + gone.addr())
	r.pbx.reply(invite, "486 Busy Here")
	r.registrar.recv("SIP/2.0 486")
	if up, all := r.gathered("consentgate_peer_up"); up != 2 || all != 2 {
		t.Errorf("%v of %d peers are up: a registrant isn't one", up, all)
	}
}

// TestAPBXThatMovesKeepsItsContact for the registrar: its REGISTERs go on with the
// same Call-ID from another address, and so do calls to it.
func TestAPBXThatMovesKeepsItsContact(t *testing.T) {
	t.Parallel()
	kept := &keeps{}
	r := newRegistry(t, func(c *proxy.Config) { c.Bindings = kept })
	before, after := r.another("127.0.0.1:0"), r.another("127.0.0.2:0")
	was := r.registers(before, "100", "<sip:100@"+before.addr()+">")
	after.send(strings.ReplaceAll(register("100", 2, "Contact: <sip:100@"+after.addr()+">"), "{me}", before.addr()))
	req := r.registrar.recv("REGISTER ")
	if got := field(req, "Contact"); got != was {
		t.Errorf("the registrar had %s and got %s", was, got)
	}
	r.registrar.reply(req, "200 OK", "Contact: "+was+";expires=60")
	if got := field(after.recv("SIP/2.0 200"), "Contact"); got != "<sip:100@"+after.addr()+">;expires=60" {
		t.Errorf("the PBX got %s", got)
	}
	r.registrar.send(request("MESSAGE", inside(was)))
	after.recv("MESSAGE sip:100@" + after.addr())
	eventually(t, "it is kept where it is", func() bool { n, _ := kept.state(); return n == 1 && kept.has("sip:100@"+after.addr()) })
}
