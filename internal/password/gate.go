package password

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrBusy is returned when too many hashes wait already, or one has waited too long. The
// visitor is asked to come back after RetryAfter.
var ErrBusy = errors.New("too many password hashes at once")

const (
	queueLength = 50
	queueWait   = 3 * time.Second
	// RetryAfter is when to try again after ErrBusy.
	RetryAfter = 5 * time.Second
)

// Lane is who waits at the gate. Each lane has a queue of its own and the gate serves
// them in turn, so that a flood of sign-ins does not keep signed-in people waiting.
type Lane int

const (
	Visitors Lane = iota
	SignedIn
	lanes
)

// Gate bounds how many hashes are computed at once, by their number and by their memory:
// without it, 200 sign-ins at once take minutes and gigabytes.
type Gate struct {
	mu     sync.Mutex
	slots  int    // free
	memory uint32 // free, KiB
	total  uint32 // KiB
	queues [lanes][]*waiter
	turn   Lane
}

type waiter struct {
	memory uint32
	ready  chan struct{}
}

// NewGate returns a gate for that many processors and that much memory (bytes), of which
// hashing gets a quarter at most, and always enough for one hash of our own.
func NewGate(processors int, memoryBytes uint64) *Gate {
	quarter := max(memory, uint32(min(memoryBytes/4/1024, 1<<31)))
	return &Gate{slots: max(1, processors), memory: quarter, total: quarter}
}

// enter waits for a place for a hash of that many KiB. The returned function gives it back.
func (g *Gate) enter(ctx context.Context, lane Lane, kib uint32) (leave func(), err error) {
	kib = min(kib, g.total)
	g.mu.Lock()
	if g.idle() && g.fits(kib) {
		g.take(kib)
		g.mu.Unlock()
		return func() { g.leave(kib) }, nil
	}
	if len(g.queues[lane]) >= queueLength {
		g.mu.Unlock()
		return nil, ErrBusy
	}
	w := &waiter{memory: kib, ready: make(chan struct{})}
	g.queues[lane] = append(g.queues[lane], w)
	g.mu.Unlock()

	timeout := time.NewTimer(queueWait)
	defer timeout.Stop()
	select {
	case <-w.ready:
		return func() { g.leave(kib) }, nil
	case <-timeout.C:
		err = ErrBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !g.withdraw(lane, w) {
		g.leave(kib) // it was let in just now
	}
	return nil, err
}

func (g *Gate) idle() bool {
	for _, queue := range g.queues {
		if len(queue) > 0 {
			return false
		}
	}
	return true
}

func (g *Gate) fits(kib uint32) bool { return g.slots > 0 && g.memory >= kib }

func (g *Gate) take(kib uint32) { g.slots--; g.memory -= kib }

func (g *Gate) leave(kib uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots++
	g.memory += kib
	g.admit()
}

// admit lets in the first of each queue in turn, as long as there is room. A big hash at
// the head of its queue is waited for, or small ones would starve it.
func (g *Gate) admit() {
	for !g.idle() {
		for len(g.queues[g.turn]) == 0 {
			g.turn = (g.turn + 1) % lanes
		}
		next := g.queues[g.turn][0]
		if !g.fits(next.memory) {
			return
		}
		g.queues[g.turn] = g.queues[g.turn][1:]
		g.turn = (g.turn + 1) % lanes
		g.take(next.memory)
		close(next.ready)
	}
}

// withdraw takes a waiter out of its queue; false means that it had been let in.
func (g *Gate) withdraw(lane Lane, w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.queues[lane] {
		if other == w {
			g.queues[lane] = append(g.queues[lane][:i:i], g.queues[lane][i+1:]...)
			g.admit() // it may have stood in the way of others
			return true
		}
	}
	return false
}
