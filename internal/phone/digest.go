package phone

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// credentials answers a 401's or 407's challenge: a header's name and value, or
// "" where there is nothing to say (RFC 3261 section 22, RFC 8760).
func (p *Phone) credentials(req *sip.Request, res *sip.Response) (name, value string) {
	ask := map[int]string{401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[res.StatusCode]
	if ask == "" || p.password == "" {
		return "", ""
	}
	name = map[int]string{401: "Authorization", 407: "Proxy-Authorization"}[res.StatusCode]
	for _, h := range res.GetHeaders(ask) {
		if v := authorize(h.Value(), p.Name, p.password, string(req.Method), req.Recipient.String(), token()); v != "" {
			return name, v
		}
	}
	return "", ""
}

// authorize computes a digest (RFC 7616 section 3.4), "" for an algorithm that it
// doesn't know.
func authorize(challenge, user, password, method, uri, cnonce string) string {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(challenge), " ")
	c := params(rest)
	newHash := map[string]func() hash.Hash{"": md5.New, "md5": md5.New, "sha-256": sha256.New}[strings.ToLower(c["algorithm"])]
	if !strings.EqualFold(scheme, "Digest") || newHash == nil {
		return ""
	}
	h := func(parts ...string) string {
		sum := newHash()
		sum.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(sum.Sum(nil))
	}
	ha1, ha2 := h(user, c["realm"], password), h(method, uri)
	out := fmt.Sprintf(`Digest username=%q, realm=%q, nonce=%q, uri=%q`, user, c["realm"], c["nonce"], uri)
	if offered(c["qop"], "auth") {
		const count = "00000001" // each nonce is used once
		out += fmt.Sprintf(`, response=%q, qop=auth, nc=%s, cnonce=%q`, h(ha1, c["nonce"], count, cnonce, "auth", ha2), count, cnonce)
	} else {
		out += fmt.Sprintf(`, response=%q`, h(ha1, c["nonce"], ha2))
	}
	if a := c["algorithm"]; a != "" {
		out += ", algorithm=" + a
	}
	if o, ok := c["opaque"]; ok {
		out += fmt.Sprintf(`, opaque=%q`, o)
	}
	return out
}

func offered(list, want string) bool {
	for _, s := range strings.Split(list, ",") {
		if strings.EqualFold(strings.TrimSpace(s), want) {
			return true
		}
	}
	return false
}

// params reads name=value and name="value", parted by commas.
func params(s string) map[string]string {
	out := map[string]string{}
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		name = strings.ToLower(strings.Trim(name, " ,\t"))
		if quoted, isQuoted := strings.CutPrefix(rest, `"`); isQuoted {
			out[name], s, _ = strings.Cut(quoted, `"`)
		} else {
			out[name], s, _ = strings.Cut(rest, ",")
			out[name] = strings.TrimSpace(out[name])
		}
	}
	return out
}
