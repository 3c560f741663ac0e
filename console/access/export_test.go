package access

import "fmt"

// Comparisons is how many passwords were compared.
func (g *Gatekeeper) Comparisons() uint64 { return g.checker.Done() }

// Kept is everything that is held of sessions, as text.
func (g *Gatekeeper) Kept() (out string) {
	g.sessions.mu.Lock()
	defer g.sessions.mu.Unlock()
	for key, s := range g.sessions.by {
		out += fmt.Sprintf("%s %x %+v\n", key, key, *s)
	}
	return out
}

// Sessions is how many there are.
func (g *Gatekeeper) Sessions() int {
	g.sessions.mu.Lock()
	defer g.sessions.mu.Unlock()
	return len(g.sessions.by)
}
