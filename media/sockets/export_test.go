package sockets

// Still makes a group whose threads read nothing, so that their loads stay as a test
// says they are.
func Still(threads int) (*Group, error) {
	g := &Group{}
	for range threads {
		t, err := newThread(g)
		if err != nil {
			return nil, err
		}
		g.threads = append(g.threads, t)
		processors(1)
	}
	return g, nil
}

// Load has a thread believe that it is that busy, in thousandths.
func (g *Group) Load(thread int, load int64) { g.threads[thread].load.Store(load) }

// Balance has a thread balance its calls with the others'.
func (g *Group) Balance(thread int) { g.threads[thread].balance() }

// Move gives a set to another thread.
func (g *Group) Move(s *Set, to int) { s.move(s.Thread(), g.threads[to]) }

// Thread is who reads the set; nil: nobody.
func (s *Set) Thread() *Thread {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.thread
}

// Index is a thread's place in its group.
func (g *Group) Index(t *Thread) int {
	for i, x := range g.threads {
		if x == t {
			return i
		}
	}
	return -1
}
