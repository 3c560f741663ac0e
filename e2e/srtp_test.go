package e2e

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"consentgate/consent"
	"consentgate/store"
)

// TestPhonesWithSRTP: real phones with SRTP of their own, libre's and libsrtp.
// Whoever is asked says yes by key, each hears the other, and the recording has
// both voices.
func TestPhonesWithSRTP(t *testing.T) {
	for _, c := range []struct {
		name            string
		inbound         bool
		carrier, pbx    string // srtp of the gate's sides
		remotes, agents string // SRTP of the phones: baresip's mediaenc; "linphone" must have it
	}{
		{"required at the carrier alone", true, "required", "off", "srtp-mand", ""},
		{"required on both sides", false, "required", "required", "srtp-mand", "srtp-mand"},
		{"optional, offered by the phones", true, "optional", "optional", "srtp", "srtp"},
		{"optional, offered by the gate", false, "optional", "off", "srtp", ""},
		{"optional, and the phone has none", true, "off", "optional", "", ""},
		{"linphone calls", true, "required", "off", "linphone", ""},
		{"linphone is called", false, "required", "required", "linphone", "srtp-mand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			needs(t, "baresip")
			carrier, pbx := freePort(t), freePort(t)
			g := startGate(t, setup{carrierPeer: carrier, pbxPeer: pbx, carrierSRTP: c.carrier, pbxSRTP: c.pbx, promptFile: true,
				policy: []string{"purpose: training", "timeout: 12s", "attempts: 1"}, extra: "log: {level: debug}\n"})
			answers := map[bool]string{true: ";answermode=auto"}
			agent := startBaresip(t, "agent", pbx, g.PBX, 440, mediaenc(c.agents)+answers[c.inbound])
			var remote, caller softphone = nil, agent
			if c.remotes == "linphone" {
				needs(t, "linphonec")
				remote = startLinphone(t, "+442079460123", carrier, 880, !c.inbound, "media_encryption=srtp", "media_encryption_mandatory=1")
			} else {
				phone := startBaresip(t, "+442079460123", carrier, g.Carrier, 880, mediaenc(c.remotes)+answers[!c.inbound])
				defer phone.isSealed(c.remotes != "")
				remote = phone
			}
			if c.inbound {
				caller = remote
				caller.dial("sip:agent@" + g.Carrier)
			} else {
				caller.dial("sip:+442079460123@" + g.PBX)
			}
			hears(remote, promptHz)
			afterPrompt(g, remote)
			remote.press("1")
			hears(remote, 440)
			hears(agent, 880)
			g.until("recording", func() bool { return g.metric("recordings_active") == 1 })
			from := len(remote.heard())
			remote.until("a second of the call", func() bool { return len(remote.heard()) > from+8000 })
			caller.hangUp()
			g.until("the call is over", func() bool { return g.metric("calls_active") == 0 })
			// baresip's first and last RTCP, a ping and a BYE, aren't sealed, and
			// Linphone repeats a key's end under one number. There is nothing else.
			for reason, most := range map[string]float64{"srtp_auth": 4, "srtp_replay": 2, "srtp_send": 2} {
				if n := g.metric(`rtp_dropped_total{reason="` + reason + `"}`); n > most {
					t.Errorf("%v packets dropped as %s", n, reason)
				}
			}
			g.stop()
			agent.isSealed(c.agents != "")
			if strings.Contains(g.log.String(), "inline") {
				t.Errorf("a key is in the log:\n%s", g.log)
			}
			heardBoth(t, g)
		})
	}
}

// isSealed checks what the phone says of its call.
func (b *baresip) isSealed(want bool) {
	b.t.Helper()
	if is := strings.Contains(b.out.String(), "SRTP is Enabled"); is != want {
		b.t.Errorf("its media are sealed: %t\n%s", is, b.out)
	}
}

func mediaenc(v string) string {
	if v == "" {
		return ""
	}
	return ";mediaenc=" + v
}

// heardBoth: the one recording there is has the caller on the left and the agent
// on the right.
func heardBoth(t *testing.T, g *gate) {
	t.Helper()
	if ev := g.evidence(); ev.kinds() != "granted" || ev.count(store.TypeSealed) != 1 {
		t.Fatalf("%q, %d sealed", ev.kinds(), ev.count(store.TypeSealed))
	}
	s := g.open("")
	defer s.Close()
	found, _, err := s.Search(store.Query{Purpose: "training"})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d found, %v", len(found), err)
	}
	var wav bytes.Buffer
	if _, err := s.WAV(t.Context(), found[0].ID, &wav); err != nil {
		t.Fatal(err)
	}
	for party, hz := range map[consent.Party]float64{consent.Remote: 880, consent.Local: 440} {
		var pcm []int16
		for at := 44 + 2*int(party); at+1 < wav.Len(); at += 4 {
			pcm = append(pcm, int16(binary.LittleEndian.Uint16(wav.Bytes()[at:])))
		}
		if !hasTone(pcm, hz) || hasTone(pcm, 880+440-hz) {
			t.Errorf("%s: its own tone %t, the other's %t", party, hasTone(pcm, hz), hasTone(pcm, 880+440-hz))
		}
	}
}

// TestPhonesWithoutKeysAreRefused where the side must have them, as the caller
// and as the called party.
func TestPhonesWithoutKeysAreRefused(t *testing.T) {
	for name, inbound := range map[string]bool{"caller": true, "called": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needs(t, "baresip")
			carrier, pbx := freePort(t), freePort(t)
			g := startGate(t, setup{carrierPeer: carrier, pbxPeer: pbx, carrierSRTP: "required"})
			remote := startBaresip(t, "+442079460123", carrier, g.Carrier, 880, ";answermode=auto")
			agent := startBaresip(t, "agent", pbx, g.PBX, 440, ";answermode=auto")
			caller := agent
			if inbound {
				caller = remote
				remote.dial("sip:agent@" + g.Carrier)
			} else {
				agent.dial("sip:+442079460123@" + g.PBX)
			}
			caller.until("it is refused with 488", func() bool {
				caller.mu.Lock()
				defer caller.mu.Unlock()
				return strings.Contains(strings.Join(caller.events, "\n"), "488 ")
			})
			g.until("the call is over", func() bool { return g.metric("calls_active") == 0 })
		})
	}
}
