package main

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/consent"
	"consentgate/proxy"
	"consentgate/proxy/locate"
	"consentgate/store/phone"
)

// parser fills a Config from the tree.
type parser struct {
	*reader
	config   *Config
	purposes map[string]*yaml.Node
	policies *yaml.Node
}

func (p *parser) parse(root *yaml.Node) {
	c := p.config
	var trunks *yaml.Node
	p.mapping(root, "", fields{
		"data_dir": parsed(p.reader, &c.DataDir, notEmpty),
		"root_key": p.text(&c.RootKey),
		"disk":     p.disk,
		"root":     func(n *yaml.Node, path string) { p.root(n, path, &c.Root, false) },
		"erasure":  p.erasure,
		"node":     parsed(p.reader, &c.Node, notEmpty),
		"region":   parsed(p.reader, &c.Region, region),
		"controller": func(n *yaml.Node, path string) {
			p.mapping(n, path, fields{"name": parsed(p.reader, &c.Controller.Name, notEmpty), "contact": p.text(&c.Controller.Contact),
				"address": p.text(&c.Stated.Address), "country": parsed(p.reader, &c.Stated.Country, country), "authority": p.text(&c.Stated.Authority)})
		},
		"trunks":         func(n *yaml.Node, _ string) { trunks = n },
		"media":          p.media,
		"prompts":        func(n *yaml.Node, path string) { p.mapping(n, path, fields{"tts": p.text(&c.TTS)}) },
		"purposes":       p.readPurposes,
		"policies":       func(n *yaml.Node, _ string) { p.policies = n }, // they name purposes, which may come later
		"shutdown_grace": parsed(p.reader, &c.ShutdownGrace, between(0, 24*time.Hour, parseDuration)),
		"ops": func(n *yaml.Node, path string) {
			p.mapping(n, path, fields{"listen": parsed(p.reader, &c.Ops, hostPort)})
		},
		"trace": func(n *yaml.Node, path string) {
			p.mapping(n, path, fields{"calls": parsed(p.reader, &c.Trace.Calls, tracedCalls)})
		},
		"hep": func(n *yaml.Node, path string) {
			p.mapping(n, path, fields{"server": parsed(p.reader, &c.Trace.HEP, captureServer), "id": parsed(p.reader, &c.Trace.HEPID, captureID)})
		},
		"dns":       p.dns,
		"audit":     p.audit,
		"archive":   p.archive,
		"retention": p.retention,
		"alarms":    p.alarms,
		"record":    p.record,
		"console":   p.console,
		"log": func(n *yaml.Node, path string) {
			p.mapping(n, path, fields{"level": parsed(p.reader, &c.Log.Level, logLevel), "format": oneOf(p.reader, &c.Log.Format, "text", "json")})
		},
	})
	if trunks == nil {
		p.errorf(root, "trunks", "is missing: at least one trunk, with name, pbx and carrier")
	} else {
		p.trunks(trunks)
	}
	for i := range c.Trunks { // region may come after trunks
		c.Trunks[i].Numbers.Region = cmp.Or(c.Trunks[i].Numbers.Region, c.Region)
	}
	p.readPolicies(root)
	p.insideData(root)
}

// region reads a country's code; "" is none.
func region(v string) (string, error) { return v, phone.CheckRegion(v) }

// country reads a country's code as receipts have it; "" is none.
func country(v string) (string, error) {
	if v == "EU" { // the vocabulary has it beside the countries
		return v, nil
	}
	return region(v)
}

func bareNumbers(v string) (international bool, err error) {
	switch v {
	case "as_is":
		return false, nil
	case "international":
		return true, nil
	}
	return false, errors.New("allowed: as_is, international")
}

func notEmpty(v string) (string, error) {
	if strings.TrimSpace(v) == "" {
		return "", errors.New("must not be empty")
	}
	return v, nil
}

func hostPort(v string) (string, error) {
	if _, err := netip.ParseAddrPort(v); err != nil {
		if host, port, err2 := net.SplitHostPort(v); err2 != nil || host != "localhost" || port == "" {
			return "", errors.New("an address and a port, for instance 127.0.0.1:9090")
		}
	}
	return v, nil
}

func logLevel(v string) (l slog.Level, err error) {
	if err := l.UnmarshalText([]byte(v)); err != nil {
		return l, errors.New("allowed: debug, info, warn, error")
	}
	return l, nil
}

func (p *parser) media(n *yaml.Node, path string) {
	m := &p.config.Media
	p.mapping(n, path, fields{
		"codecs":  oneOf(p.reader, &m.Codecs, "playable", "any"),
		"timeout": parsed(p.reader, &m.Timeout, between(0, 24*time.Hour, parseDuration)),
		"ports": func(n *yaml.Node, path string) {
			v, ok := p.scalar(n, path)
			if !ok {
				return
			}
			low, high, _ := strings.Cut(v, "-")
			lo, err1 := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
			hi, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
			if err1 != nil || err2 != nil || lo < 1024 || hi < lo+7 {
				p.errorf(n, path, "%s: a range of at least 8 ports above 1023, for instance 20000-29999; a call takes 4", show(n))
				return
			}
			m.MinPort, m.MaxPort = uint16(lo), uint16(hi)
		},
	})
}

func (p *parser) trunks(n *yaml.Node) {
	names := map[string]bool{}
	listening := map[proxy.Listen]string{}
	p.each(n, "trunks", func(n *yaml.Node, path string) {
		t := TrunkConfig{OptionsPing: 30 * time.Second, FailOver: 3 * time.Second}
		var pbx, carrier *yaml.Node
		p.mapping(n, path, fields{
			"name":                 parsed(p.reader, &t.Name, notEmpty),
			"pbx":                  func(n *yaml.Node, _ string) { pbx = n },
			"carrier":              func(n *yaml.Node, _ string) { carrier = n },
			"options_ping":         parsed(p.reader, &t.OptionsPing, between(0, time.Hour, parseDuration)),
			"failover_after":       parsed(p.reader, &t.FailOver, between(100*time.Millisecond, 30*time.Second, parseDuration)),
			"max_calls":            parsed(p.reader, &t.MaxCalls, wholeNumber),
			"max_duration":         parsed(p.reader, &t.MaxDuration, between(0, 7*24*time.Hour, parseDuration)),
			"max_calls_per_second": parsed(p.reader, &t.MaxCallRate, perSecond),
			"quota":                parsed(p.reader, &t.Quota, size),
			"bare_numbers":         parsed(p.reader, &t.Numbers.BareInternational, bareNumbers),
			"region":               parsed(p.reader, &t.Numbers.Region, region),
		})
		if t.Name == "" {
			p.errorf(n, path+".name", "is missing: it names the trunk in metrics and evidence")
		} else if names[t.Name] {
			p.errorf(n, path+".name", "%q is another trunk's name, too", t.Name)
		}
		names[t.Name] = true
		t.PBX = p.side(n, pbx, path+".pbx", listening)
		t.Carrier = p.side(n, carrier, path+".carrier", listening)
		p.config.Trunks = append(p.config.Trunks, t)
	})
	if len(p.config.Trunks) == 0 && resolve(n).Kind == yaml.SequenceNode {
		p.errorf(n, "trunks", "is empty: at least one trunk, with name, pbx and carrier")
	}
}

func (p *parser) side(trunk, n *yaml.Node, path string, listening map[proxy.Listen]string) (s SideConfig) {
	if n == nil {
		p.errorf(trunk, path, "is missing: listen and peers of that side")
		return s
	}
	var domains []peerDomain
	srtp := n
	p.mapping(n, path, fields{
		"listen": func(n *yaml.Node, path string) {
			p.each(n, path, func(n *yaml.Node, path string) {
				var at proxy.Listen
				parsed(p.reader, &at, listenURL)(n, path)
				if !at.Addr.IsValid() {
					return
				}
				if other, ok := listening[at]; ok {
					p.errorf(n, path, "%s is listened on at %s already", show(n), other)
				}
				listening[at] = path
				s.Listen = append(s.Listen, at)
			})
		},
		"peers": func(n *yaml.Node, path string) {
			p.each(n, path, func(n *yaml.Node, path string) {
				var peer locate.Peer
				if parsed(p.reader, &peer, peerURI)(n, path); peer.Host == "" {
					return
				}
				s.Peers = append(s.Peers, peer)
				if _, fixed := peer.Fixed(); !fixed {
					domains = append(domains, peerDomain{at: Problem{p.file, resolve(n).Line, true, path}, peer: peer})
				}
			})
		},
		"accept_from": func(n *yaml.Node, path string) {
			p.each(n, path, func(n *yaml.Node, path string) {
				var c netip.Prefix
				parsed(p.reader, &c, cidr)(n, path)
				if c.IsValid() {
					s.AcceptFrom = append(s.AcceptFrom, c)
				}
			})
		},
		"advertise":     parsed(p.reader, &s.Advertise, advertised),
		"nat":           parsed(p.reader, &s.NAT, parseBool),
		"media_address": parsed(p.reader, &s.MediaAddress, mediaAddress),
		"srtp": func(n *yaml.Node, path string) {
			srtp = n
			parsed(p.reader, &s.SRTP, srtpMode)(n, path)
		},
		"tls": func(n *yaml.Node, path string) { s.TLS = p.sideTLS(n, path) },
	})
	if len(s.Listen) == 0 {
		p.errorf(n, path+".listen", "is missing: for instance [udp://192.0.2.10:5060]")
	}
	if len(s.Peers) == 0 {
		p.errorf(n, path+".peers", "is missing: where calls to this side go, for instance [sip:192.0.2.20:5060]")
	}
	p.checkTransports(n, path, s)
	p.peerDomains(domains, s.Listen)
	p.checkKeys(srtp, path+".srtp", s)
	return s
}

func cidr(v string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(v); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(v)
	if err != nil {
		return p, errors.New("an address or a network, for instance 192.0.2.0/24")
	}
	return p.Masked(), nil
}

func (p *parser) readPurposes(n *yaml.Node, path string) {
	n = resolve(n)
	p.purposes = map[string]*yaml.Node{}
	if n.Kind != yaml.MappingNode {
		p.errorf(n, path, "%s isn't a mapping of purposes by name", show(n))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := join(path, k.Value)
		if p.purposes[k.Value] != nil {
			p.errorf(k, at, "is there twice")
			continue
		}
		p.purposes[k.Value] = k
		purpose := consent.Purpose{Name: k.Value, Text: map[string]string{}}
		p.mapping(v, at, fields{
			"text": func(n *yaml.Node, path string) {
				p.words(n, path, purpose.Text)
			},
			"retention": parsed(p.reader, &purpose.Retention, between(time.Second, 36500*24*time.Hour, parseDuration)),
		})
		if purpose.Retention == 0 {
			p.errorf(k, at+".retention", "is missing: how long recordings for it are kept, for instance 90d (GDPR Art. 5(1)(e))")
		}
		if len(purpose.Text) == 0 {
			p.errorf(k, at+".text", "is missing: the words of the prompt by language, for instance {en: \"staff training\"} (GDPR Art. 13(1)(c))")
		}
		p.config.Purposes[k.Value] = purpose
	}
}

// words reads language: text pairs.
func (p *parser) words(n *yaml.Node, path string, to map[string]string) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		p.errorf(n, path, "%s isn't a mapping of language to words", show(n))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		text := ""
		parsed(p.reader, &text, notEmpty)(v, join(path, k.Value))
		if len(k.Value) != 2 || strings.ToLower(k.Value) != k.Value {
			p.errorf(k, join(path, k.Value), "a language is two small letters, for instance en")
		}
		to[k.Value] = text
	}
}
