package proxy

import "sync"

// mailboxSize bounds what a call may have waiting: a flood into one dialog is
// dropped and counted there, and costs the other calls nothing.
const mailboxSize = 1024

// mailbox queues events for the one goroutine that owns a call. Posting never
// blocks: the socket readers and the media path post here.
type mailbox struct {
	mu     sync.Mutex
	queue  []event
	closed bool
	wake   chan struct{}
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// post queues an event; false if the call is over or its box is full.
func (m *mailbox) post(ev event) bool { return m.put(ev, mailboxSize) }

// insist queues an event though the box be full: for what a call asked for itself,
// and what is said to it once. Without its timers, answers and its end it would
// stay for ever.
func (m *mailbox) insist(ev event) { m.put(ev, 2*mailboxSize) }

func (m *mailbox) put(ev event, limit int) bool {
	m.mu.Lock()
	ok := !m.closed && len(m.queue) < limit
	if ok {
		m.queue = append(m.queue, ev)
	}
	m.mu.Unlock()
	if ok {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
	return ok
}

// take waits for events and takes all there are.
func (m *mailbox) take() []event {
	for {
		m.mu.Lock()
		got := m.queue
		m.queue = nil
		m.mu.Unlock()
		if len(got) > 0 {
			return got
		}
		<-m.wake
	}
}

// close refuses further events, and returns those that nobody has taken.
func (m *mailbox) close() []event {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.queue
	m.closed, m.queue = true, nil
	return left
}
