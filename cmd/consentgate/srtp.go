package main

import (
	"errors"

	"go.yaml.in/yaml/v3"

	"consentgate/proxy"
)

func srtpMode(v string) (proxy.SRTP, error) {
	switch v {
	case "off", "false": // YAML 1.1 readers take a bare off for a boolean
		return proxy.SRTPOff, nil
	case "optional":
		return proxy.SRTPOptional, nil
	case "required":
		return proxy.SRTPRequired, nil
	}
	return proxy.SRTPOff, errors.New("allowed: off, optional, required")
}

// checkKeys warns of keys that go over the network in the clear: who reads the
// signalling can hear the call (RFC 4568 section 8.3).
func (p *parser) checkKeys(n *yaml.Node, path string, s SideConfig) {
	if s.SRTP == proxy.SRTPOff {
		return
	}
	for _, at := range s.Listen {
		if at.Transport != "tls" {
			p.warnf(n, path, "keys are in session descriptions, and those of %s://%s aren't sealed: SRTP protects as well as SIP does, so use tls://",
				at.Transport, at.Addr)
			return
		}
	}
}
