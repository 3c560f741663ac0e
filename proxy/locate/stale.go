package locate

import "context"

// question is one that was asked.
type question struct {
	name string
	t    Type
}

// memory answers a question that fails as it was answered last (RFC 8767), beside
// the error. It holds what one round asked and no more. For one goroutine.
type memory struct {
	dns         Lookup
	last, round map[question]Records
	unsure      bool // a question of this round failed and was never asked before
}

// begin begins a round.
func (m *memory) begin() { m.round, m.unsure = map[question]Records{}, false }

// keep makes this round the last one.
func (m *memory) keep() { m.last = m.round }

func (m *memory) Lookup(ctx context.Context, name string, t Type) (Records, error) {
	q := question{name, t}
	r, err := m.dns.Lookup(ctx, name, t)
	if err != nil {
		var known bool
		r, known = m.last[q] // a question that failed before is answered as then: with nothing
		m.unsure = m.unsure || !known
	}
	m.round[q] = r
	return r, err
}
