package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"consentgate/console/access"
	"consentgate/console/access/oidc"
	"consentgate/console/access/passwords"
)

// ConsoleConfig is for the people's side.
type ConsoleConfig struct {
	Listen     string
	URL        string // https://HOST, by which others reach it; "": it isn't known
	Cert, Key  string
	FourEyes   bool // exports and erasures wait for a second officer
	Users      []UserConfig
	Session    access.SessionLimits
	OIDC       oidc.Config // no issuer: none
	OIDCSecret string      // the file with OIDC.Secret, which is read when the console opens; "": there is none
}

// UserConfig is somebody who may log in.
type UserConfig struct{ Name, Role, Password, TokenSHA256 string }

func defaultConsole() ConsoleConfig {
	return ConsoleConfig{Listen: "127.0.0.1:8080", Session: access.SessionLimits{Idle: 30 * time.Minute, Longest: 12 * time.Hour},
		OIDC: oidc.Config{ClientID: "consentgate", NameClaim: "preferred_username", RolesClaim: "roles"}}
}

func (p *parser) console(n *yaml.Node, path string) {
	c := &p.config.Console
	p.mapping(n, path, fields{
		"listen": parsed(p.reader, &c.Listen, hostPort),
		"url":    parsed(p.reader, &c.URL, publicURL),
		"tls": func(n *yaml.Node, path string) {
			p.mapping(n, path, fields{"cert": p.text(&c.Cert), "key": p.text(&c.Key)})
		},
		"session": func(n *yaml.Node, path string) {
			long := between(time.Minute, 7*24*time.Hour, parseDuration)
			p.mapping(n, path, fields{"idle": parsed(p.reader, &c.Session.Idle, long), "longest": parsed(p.reader, &c.Session.Longest, long)})
		},
		"oidc":      p.oidc,
		"four_eyes": parsed(p.reader, &c.FourEyes, parseBool),
		"users": func(n *yaml.Node, path string) {
			names := map[string]bool{}
			p.each(n, path, func(n *yaml.Node, path string) { p.user(n, path, names) })
		},
	})
	if (c.Cert == "") != (c.Key == "") {
		p.errorf(n, path+".tls", "cert and key belong together")
	}
	if c.Session.Idle > c.Session.Longest {
		p.errorf(n, path+".session.idle", "is more than session.longest")
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && !onThisMachine(host) && c.Cert == "" {
		p.errorf(n, path+".tls", "is required when listen isn't a loopback address (GDPR Art. 32)")
	}
}

func (p *parser) user(n *yaml.Node, path string, names map[string]bool) {
	var u UserConfig
	p.mapping(n, path, fields{
		"name":     parsed(p.reader, &u.Name, userName),
		"role":     oneOf(p.reader, &u.Role, roleNames()...),
		"password": parsed(p.reader, &u.Password, passwordHash),
		"token_sha256": parsed(p.reader, &u.TokenSHA256, func(v string) (string, error) {
			if v != "" && (len(v) != 64 || strings.Trim(v, "0123456789abcdef") != "") {
				return "", errors.New("the SHA-256 of the token, as 64 small hexadecimal digits")
			}
			return v, nil
		}),
	})
	if u.Role == "" {
		p.errorf(n, path+".role", "is missing: %s", strings.Join(roleNames(), ", "))
	}
	switch {
	case u.Name == "":
		p.errorf(n, path+".name", "is missing: it is stamped on the audit log")
	case names[u.Name]:
		p.errorf(n, path+".name", "%q is another user's name, too", u.Name)
	case u.Password == "" && u.TokenSHA256 == "":
		p.errorf(n, path, "a user needs password or token_sha256")
	}
	names[u.Name] = true
	p.config.Console.Users = append(p.config.Console.Users, u)
}

func userName(v string) (string, error) {
	if strings.TrimSpace(v) == "" || len(v) > access.MaxName || strings.ContainsFunc(v, unicode.IsControl) {
		return "", fmt.Errorf("1 to %d characters", access.MaxName)
	}
	return v, nil
}

func passwordHash(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	_, err := passwords.Parse(v)
	return v, err
}

// oidcCallback is where the page has people come back to.
const oidcCallback = "/login/oidc/callback"

func (p *parser) oidc(n *yaml.Node, path string) {
	o := &p.config.Console.OIDC
	p.mapping(n, path, fields{
		"issuer":             parsed(p.reader, &o.Issuer, issuer),
		"client_id":          parsed(p.reader, &o.ClientID, notEmpty),
		"client_secret_file": p.oidcSecret,
		"redirect_url":       parsed(p.reader, &o.RedirectURL, redirectURL),
		"name_claim":         parsed(p.reader, &o.NameClaim, notEmpty),
		"roles_claim":        parsed(p.reader, &o.RolesClaim, notEmpty),
		"roles":              func(n *yaml.Node, path string) { p.oidcRoles(n, path, o) },
	})
	switch {
	case o.Issuer == "" && (o.RedirectURL != "" || p.config.Console.OIDCSecret != "" || len(o.Roles) > 0):
		p.errorf(n, path+".issuer", "is missing: the provider's URL, as its /.well-known/openid-configuration has it")
	case o.Issuer != "" && o.RedirectURL == "":
		p.errorf(n, path+".redirect_url", "is missing: https://HOST%s, with the host that browsers know the console by", oidcCallback)
	case o.Issuer != "" && len(o.Roles) == 0:
		p.errorf(n, path+".roles", "is missing: which value of %s gives which role; nobody has one otherwise", o.RolesClaim)
	}
}

// oidcRoles reads values and the roles they give, in the order they stand in.
func (p *parser) oidcRoles(n *yaml.Node, path string, o *oidc.Config) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		p.errorf(n, path, "%s isn't a mapping of a claim's values to roles", show(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		m := oidc.Mapping{Value: n.Content[i].Value}
		at := join(path, m.Value)
		if seen[m.Value] {
			p.errorf(n.Content[i], at, "is there twice")
		}
		seen[m.Value] = true
		oneOf(p.reader, &m.Role, roleNames()...)(n.Content[i+1], at)
		o.Roles = append(o.Roles, m)
	}
}

func roleNames() (out []string) {
	for _, r := range access.Roles {
		out = append(out, string(r))
	}
	return out
}

// publicURL is an origin (RFC 6454): what is heard at it goes through TLS, whoever
// ends that.
func publicURL(v string) (string, error) {
	u, err := url.Parse(v)
	if v != "" && (err != nil || u.Hostname() == "" || v != "https://"+u.Host) {
		return "", errors.New("https://HOST[:PORT] and nothing behind it")
	}
	return v, nil
}

// issuer allows what nobody on the way can change: the provider says who somebody
// is.
func issuer(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", errors.New("https://HOST[:PORT][/PATH]")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && onThisMachine(u.Hostname())) {
		return "", errors.New("https:// is required, but on a loopback address")
	}
	return v, nil
}

func redirectURL(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	if _, err := issuer(v); err != nil {
		return "", err
	}
	if u, err := url.Parse(v); err != nil || u.Path != oidcCallback {
		return "", fmt.Errorf("its path is %s", oidcCallback)
	}
	return v, nil
}

func onThisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// oidcSecret is a warning where it can't be read: without it nobody logs in at the
// provider, and calls go on.
func (p *parser) oidcSecret(n *yaml.Node, path string) {
	to := &p.config.Console.OIDCSecret
	p.text(to)(n, path)
	if _, err := secretIn(*to); err != nil {
		p.warnf(n, path, "%v: nobody can log in at the provider", err)
	}
}

// secretIn reads a secret from a file, so that the configuration holds none.
func secretIn(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the secret can't be read: %s", strings.TrimPrefix(err.Error(), "open "))
	}
	secret := strings.TrimRight(string(raw), "\r\n")
	if secret == "" {
		return "", errors.New("the file holds no secret")
	}
	return secret, nil
}
