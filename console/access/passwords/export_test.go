package passwords

// Hold takes the turn, as a hashing does, until the function is called.
func (c *Checker) Hold() (release func()) {
	c.turn <- struct{}{}
	return func() { <-c.turn }
}
