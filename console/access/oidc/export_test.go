package oidc

// Impatient has a provider that was down be asked again at once.
func (c *Client) Impatient() *Client {
	c.again = 0
	return c
}

// Identity reads claims as if a provider had signed them.
func (c Config) Identity(claims map[string]any) (Identity, error) { return c.identity(claims) }
