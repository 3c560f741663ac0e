package sipp

import (
	"fmt"
	"strings"
	"time"
)

const description = `
      v=0
      o=sipp 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 [local_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0 101
      a=rtpmap:0 PCMU/8000
      a=rtpmap:101 telephone-event/8000
      a=fmtp:101 0-15
`

// Number is who Caller is.
const Number = "+442079460123"

// Caller is a scenario that calls a number, plays a capture and hangs up after hold.
func Caller(number, file string, hold time.Duration) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
      INVITE sip:%[1]s@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:%[5]s@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
      To: <sip:%[1]s@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:sipp@[local_ip]:[local_port]>
      Max-Forwards: 70
      Content-Type: application/sdp
      Content-Length: [len]
%[2]s
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rtd="true" rrs="true"/>
  <send><![CDATA[
      ACK [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      [routes]
      From: <sip:%[5]s@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
      To: <sip:%[1]s@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0

  ]]></send>
  <nop><action><exec play_pcap_audio="%[3]s"/></action></nop>
  <pause milliseconds="%[4]d"/>
  <send retrans="500"><![CDATA[
      BYE [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      [routes]
      From: <sip:%[5]s@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
      To: <sip:%[1]s@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0

  ]]></send>
  <recv response="200"/>
</scenario>
`, number, description, file, hold.Milliseconds(), Number)
}

// Called is one that answers, plays a capture and waits for the BYE.
func Called(file string) string {
	reply := func(status, rest string) string {
		return `  <send` + map[bool]string{true: ` retrans="500"`}[strings.HasPrefix(status, "200") && rest != ""] + `><![CDATA[
      SIP/2.0 ` + status + `
      [last_Via:]
      [last_From:]
      [last_To:];tag=[pid]SIPpTag01[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      [last_Record-Route:]
      Contact: <sip:sipp@[local_ip]:[local_port]>
` + rest + `
  ]]></send>
`
	}
	return `<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="called">
  <recv request="INVITE" crlf="true" rrs="true"/>
` + reply("180 Ringing", "      Content-Length: 0\n") +
		reply("200 OK", "      Content-Type: application/sdp\n      Content-Length: [len]\n"+description) + `
  <recv request="ACK" rrs="true"/>
  <nop><action><exec play_pcap_audio="` + file + `"/></action></nop>
  <recv request="BYE"/>
  <send><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0

  ]]></send>
</scenario>
`
}
