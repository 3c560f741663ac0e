package proxy_test

import (
	"strings"
	"testing"
)

// TestAResponseIsNotOvertakenByTheNextRequest: what one peer sends comes to the
// other in that order, whichever of responses and requests it is. A transferee
// accepts a REFER and sends its NOTIFY right behind.
func TestAResponseIsNotOvertakenByTheNextRequest(t *testing.T) {
	carrier, pbx, g := udpPair(t)
	ok := g.call(carrier, pbx, "c1")
	for n := range 300 {
		carrier.sendTo(g.carrier(), carrier.request("REFER", "sip:gate", head(ok.text, "To"), "c1", 10+n, "Refer-To: <sip:300@h>"))
		refer := pbx.next("REFER")
		notify := strings.Replace(pbx.request("NOTIFY", "sip:gate", head(refer.text, "From"), "c1", 10+n, "Event: refer", "Subscription-State: active"),
			"From: <sip:p@example.test>;tag=p1", "From: "+head(refer.text, "To"), 1)
		refer.reply(answer(refer.text, "202 Accepted", ""))
		refer.reply(notify)
		carrier.next("202")
		got := carrier.next("NOTIFY")
		got.reply(answer(got.text, "200 OK", ""))
		pbx.next("200")
	}
}
