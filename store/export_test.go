package store

import "context"

// Packets reads a recording's packets, in the order of the file.
func (s *Store) Packets(id string) (packets [][]byte, err error) {
	_, err = s.read(context.Background(), id, func(c content) error {
		if c.kind == recRTP {
			packets = append(packets, append([]byte(nil), c.data...))
		}
		return nil
	})
	return packets, err
}

// Unaccounted is the gauge.
func (s *Store) Unaccounted() int { return s.unaccounted() }

// RunTasks has the clerk's round happen now.
func (s *Store) RunTasks() { s.runTasks() }

// AnchorNow has the clerk's anchors written now, after a sync.
func (s *Store) AnchorNow() {
	s.each(s.running(), (*Recording).flush)
	s.each(s.running(), (*Recording).sync)
	s.anchorAll(s.running())
}
