package oidc

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxName bounds a name, in bytes.
const maxName = 128

// identity reads claims that the provider signed.
func (c Config) identity(claims map[string]any) (Identity, error) {
	name, _ := claims[c.NameClaim].(string)
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		return Identity{}, fmt.Errorf("%w: the claim %q is no name", ErrAnswer, c.NameClaim)
	}
	if verified, said := claims["email_verified"].(bool); c.NameClaim == "email" && (!said || !verified) {
		return Identity{}, fmt.Errorf("%w: the provider didn't check the email address", ErrAnswer)
	}
	values := texts(lookUp(claims, c.RolesClaim))
	for _, m := range c.Roles {
		if slices.Contains(values, m.Value) {
			return Identity{Name: name, Role: m.Role}, nil
		}
	}
	return Identity{Name: name}, ErrNoRole
}

// lookUp finds a claim by its name, or else by a path whose steps are divided by
// dots, as realm_access.roles.
func lookUp(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	var at any = claims
	for _, step := range strings.Split(name, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[step]
	}
	return at
}

// texts are a claim's, which holds one or a list.
func texts(v any) (out []string) {
	if one, ok := v.(string); ok {
		return []string{one}
	}
	list, _ := v.([]any)
	for _, item := range list {
		if text, ok := item.(string); ok {
			out = append(out, text)
		}
	}
	return out
}
