package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/consent"
	"consentgate/media/prompt"
)

// policyNodes are where a policy's values stand, for messages about more than
// one of them.
type policyNodes map[string]*yaml.Node

func (ns policyNodes) at(key string, whole *yaml.Node) *yaml.Node {
	if n := ns[key]; n != nil {
		return n
	}
	return whole
}

func (p *parser) readPolicies(root *yaml.Node) {
	if p.policies == nil {
		p.warnf(root, "policies", "there are none: no call will be asked, none recorded")
		return
	}
	names := map[string]bool{}
	caught := map[consent.Direction]string{} // a policy before rules every call of that direction
	p.each(p.policies, "policies", func(n *yaml.Node, path string) {
		pol := p.policy(n, path)
		if pol.Name == "" {
			p.errorf(n, path+".name", "is missing: it names the policy in the evidence")
		} else if names[pol.Name] {
			p.errorf(n, path+".name", "%q is another policy's name, too", pol.Name)
		}
		names[pol.Name] = true
		if by := shadowedBy(caught, pol.Direction); by != "" {
			p.errorf(n, path, "can never rule a call: policy %q before it rules them all", by)
		}
		if len(pol.Numbers) == 0 || slices.Contains(pol.Numbers, "*") {
			caught[pol.Direction] = pol.Name
		}
		p.config.Policies = append(p.config.Policies, pol)
	})
}

func shadowedBy(caught map[consent.Direction]string, d consent.Direction) string {
	if by := caught[consent.Any]; by != "" {
		return by
	}
	if d == consent.Any && caught[consent.Inbound] != "" && caught[consent.Outbound] != "" {
		return caught[consent.Outbound]
	}
	return caught[d]
}

func (p *parser) policy(n *yaml.Node, path string) *consent.Policy {
	pol := defaultPolicy()
	where := policyNodes{}
	purpose := ""
	fs := fields{
		"name":          parsed(p.reader, &pol.Name, notEmpty),
		"direction":     oneOf(p.reader, &pol.Direction, consent.Any, consent.Inbound, consent.Outbound),
		"numbers":       func(n *yaml.Node, path string) { p.numbers(n, path, &pol) },
		"action":        oneOf(p.reader, &pol.Action, consent.Ask, consent.Bypass),
		"purpose":       p.text(&purpose),
		"parties":       func(n *yaml.Node, path string) { p.parties(n, path, &pol) },
		"when":          oneOf(p.reader, &pol.When, consent.Answered, consent.Ring),
		"language":      parsed(p.reader, &pol.Language, language),
		"prompt":        p.text(&pol.Prompt),
		"accept":        parsed(p.reader, &pol.Accept, parseKey),
		"decline":       parsed(p.reader, &pol.Decline, parseKey),
		"barge_in":      parsed(p.reader, &pol.BargeIn, parseBool),
		"timeout":       parsed(p.reader, &pol.Timeout, between(100*time.Millisecond, 5*time.Minute, parseDuration)),
		"attempts":      parsed(p.reader, &pol.Attempts, between(1, 10, strconv.Atoi)),
		"on_refusal":    oneOf(p.reader, &pol.OnRefusal, consent.Connect, consent.Disconnect),
		"withdraw":      parsed(p.reader, &pol.Withdraw, parseSequence),
		"on_withdrawal": oneOf(p.reader, &pol.OnWithdrawal, consent.Keep, consent.Erase),
		"pause":         parsed(p.reader, &pol.Pause, parseSequence),
		"resume":        parsed(p.reader, &pol.Resume, parseSequence),
	}
	for key, read := range fs {
		fs[key] = func(n *yaml.Node, path string) { where[key] = n; read(n, path) }
	}
	p.mapping(n, path, fs)
	if pol.Action == consent.Ask {
		p.checkAsk(&pol, purpose, n, path, where)
	}
	return &pol
}

// checkAsk looks at what values mean together.
func (p *parser) checkAsk(pol *consent.Policy, purpose string, n *yaml.Node, path string, where policyNodes) {
	known, ok := p.config.Purposes[purpose]
	switch {
	case purpose == "":
		p.errorf(n, path+".purpose", "is missing: consent is for a purpose (GDPR Art. 6(1)(a)); defined: %s", p.purposeNames())
	case !ok:
		p.errorf(where.at("purpose", n), path+".purpose", "%q isn't defined under purposes; defined: %s", purpose, p.purposeNames())
	case known.Text[pol.Language] == "":
		p.errorf(where.at("language", n), path+".language", "purpose %q has no text in %q, and the prompt must say it", purpose, pol.Language)
	}
	pol.Purpose = known
	if p.config.Controller.Name == "" {
		p.errorf(n, "controller.name", "is missing, and policy %q asks: who asks must be said (GDPR recital 42)", pol.Name)
	}
	if pol.Accept == pol.Decline {
		p.errorf(where.at("decline", n), path+".decline", "%q is the accept key, too", string(rune(pol.Decline)))
	}
	if pol.When == consent.Ring && len(pol.Parties) > 1 {
		p.errorf(where.at("when", n), path+".when", "\"ring\": the caller alone can be asked before the other party is rung; name one of parties, or \"answer\"")
	}
	p.checkSequences(pol, n, path, where)
	if p.problems.Sound() { // else the prompt's words aren't known
		lib := prompt.Library{TTS: p.config.TTS}
		if err := lib.Check(pol, p.config.Controller); err != nil {
			p.errorf(where.at("prompt", n), path+".prompt", "%v", err)
		}
	}
	if pol.OnRefusal == consent.Disconnect {
		p.warnf(where.at("on_refusal", n), path+".on_refusal", "\"hangup\": consent that a call depends on may not be free, so not valid (GDPR Art. 7(4), recital 42)")
	}
}

func (p *parser) checkSequences(pol *consent.Policy, n *yaml.Node, path string, where policyNodes) {
	seqs := map[string]string{"withdraw": pol.Withdraw, "pause": pol.Pause, "resume": pol.Resume}
	for _, a := range []string{"withdraw", "pause", "resume"} {
		for _, b := range []string{"withdraw", "pause", "resume"} {
			if a != b && seqs[a] != "" && (a < b && seqs[a] == seqs[b] || seqs[a] != seqs[b] && strings.HasSuffix(seqs[b], seqs[a])) {
				p.errorf(where.at(a, n), path+"."+a, "%q: whoever presses %s (%q) would press it, too", seqs[a], b, seqs[b])
			}
		}
	}
	if pol.Pause != "" && pol.Resume == "" {
		p.warnf(where.at("pause", n), path+".pause", "there is no resume: a pause lasts to the call's end")
	}
}

func (p *parser) purposeNames() string {
	var names []string
	for name := range p.config.Purposes {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (p *parser) numbers(n *yaml.Node, path string, pol *consent.Policy) {
	p.each(n, path, func(n *yaml.Node, path string) {
		v, ok := p.scalar(n, path)
		if !ok {
			return
		}
		if v == "" || strings.Contains(strings.TrimSuffix(v, "*"), "*") {
			p.errorf(n, path, "%s: a called number, or the beginning of one and * at the end", show(n))
			return
		}
		pol.Numbers = append(pol.Numbers, v)
	})
}

func (p *parser) parties(n *yaml.Node, path string, pol *consent.Policy) {
	pol.Parties = nil
	p.each(n, path, func(n *yaml.Node, path string) {
		var party consent.Party
		v, ok := p.scalar(n, path)
		if !ok {
			return
		}
		if party.UnmarshalText([]byte(v)) != nil {
			p.errorf(n, path, "%s: allowed: remote, local", show(n))
		} else if slices.Contains(pol.Parties, party) {
			p.errorf(n, path, "%s is there twice", show(n))
		} else {
			pol.Parties = append(pol.Parties, party)
		}
	})
	if len(pol.Parties) == 0 {
		p.errorf(n, path, "is empty: somebody must say yes; allowed: remote, local")
	}
}

func language(v string) (string, error) {
	if len(v) != 2 || strings.Trim(v, "abcdefghijklmnopqrstuvwxyz") != "" {
		return "", errors.New("two small letters, for instance en")
	}
	return v, nil
}

func parseKey(v string) (consent.Key, error) {
	k, err := consent.ParseKey(v)
	if err != nil {
		return 0, errors.New("one key: 0-9, *, #, A-D, in quotes")
	}
	return k, nil
}

func parseSequence(v string) (string, error) {
	if len(v) > 6 || strings.Trim(v, "0123456789*#ABCD") != "" {
		return "", errors.New("up to six keys of 0-9, *, #, A-D in quotes, or \"\" for none")
	}
	return v, nil
}
