package proxy

// Stall keeps a call's goroutine busy until until is closed, and returns when it
// is.
func (g *Gate) Stall(id string, until <-chan struct{}) {
	g.mu.Lock()
	c := g.live[id]
	g.mu.Unlock()
	busy := make(chan struct{})
	c.post(event{kind: evReply, run: func() {
		close(busy)
		<-until
	}})
	<-busy
}
