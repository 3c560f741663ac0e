package locate

// WithFiles makes a client read other files than the system's.
func (c *Client) WithFiles(hosts, resolv string) *Client {
	return &Client{servers: c.servers, hosts: hosts, resolv: resolv}
}
