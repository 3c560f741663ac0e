package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"consentgate/internal/sipp"
)

// carrierProxy is a carrier's edge: it challenges who calls in from the trunk and
// checks the credentials' URI, stays in every dialog, and leads calls from the
// trunk to its subscriber, others to the trunk. Placeholders: itself, the
// subscriber, the trunk.
const carrierProxy = `
request_route {
	if (has_totag()) {
		if (loose_route()) {
			t_relay();
		} else if (is_method("ACK") && t_check_trans()) {
			t_relay();
		} else if (!is_method("ACK")) {
			sl_send_reply("404", "No route");
		}
		exit;
	}
	if (is_method("OPTIONS")) {
		sl_send_reply("200", "OK");
		exit;
	}
	if (is_method("CANCEL")) {
		if (t_check_trans()) t_relay();
		exit;
	}
	t_check_trans();
	record_route();
	if ($si == "SUBSCRIBER_IP" && $sp == SUBSCRIBER_PORT) {
		$du = "sip:TRUNK";
		t_relay();
		exit;
	}
	if (!pv_proxy_authenticate("carrier.example", "secret", "0")) {
		proxy_challenge("carrier.example", "1");
		exit;
	}
	if ($adu != $ru) {
		sl_send_reply("400", "Credentials for another URI");
		exit;
	}
	consume_credentials();
	$du = "sip:SUBSCRIBER";
	t_relay();
}
`

// TestACarriersProxy between the gate and sipp: it challenges the trunk's INVITE
// and records its route; requests within the dialog find their way by the route
// set in both directions.
func TestACarriersProxy(t *testing.T) {
	needs(t, "sipp")
	for _, trunkCalls := range []bool{true, false} {
		folder := map[bool]string{true: "trunk-calls", false: "subscriber-calls"}[trunkCalls]
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			proxy, subscriber, pbx := freePort(t), freePort(t), freePort(t)
			g := startGate(t, setup{carrierPeer: proxy, pbxPeer: pbx})
			host, port, _ := strings.Cut(subscriber, ":")
			startKamailio(t, proxy, strings.NewReplacer("SUBSCRIBER_IP", host, "SUBSCRIBER_PORT", port,
				"SUBSCRIBER", subscriber, "TRUNK", g.Carrier).Replace(carrierProxy))
			parts := sippParts(t)
			caller := sippScenario(t, filepath.Join("testdata/proxied", folder, "caller.xml"), parts)
			called := sippScenario(t, filepath.Join("testdata/proxied", folder, "called.xml"), parts)
			calling, answering, to := subscriber, pbx, proxy
			if trunkCalls {
				calling, answering, to = pbx, subscriber, g.PBX
			}
			server := sipp.Start(t, "called", called, answering, "", 1, "-timeout", "30s")
			client := sipp.Start(t, "caller", caller, calling, to, 1, "-timeout", "30s", "-auth_uri", "100@"+to)
			client.Wait()
			server.Wait()
			g.until("nothing is left", func() bool { return g.metric("calls_active") == 0 })
			if n := g.metric("sip_unexpected_total"); n != 0 {
				t.Errorf("%v unexpected events\n%s", n, g.log)
			}
			g.stop()
		})
	}
}
