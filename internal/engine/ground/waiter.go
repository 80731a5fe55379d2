package ground

import "time"

// DialTimeout bounds the wait for a keeper that is on its way.
const DialTimeout = 5 * time.Second

// Waiter waits a little longer each time, up to a deadline.
type Waiter struct {
	deadline time.Time
	next     time.Duration
}

// NewWaiter returns a Waiter whose time begins now.
func NewWaiter(timeout time.Duration) *Waiter {
	return &Waiter{time.Now().Add(timeout), 200 * time.Microsecond}
}

// Wait reports false when the time is over.
func (w *Waiter) Wait() bool {
	if time.Now().After(w.deadline) {
		return false
	}
	time.Sleep(w.next)
	w.next = min(2*w.next, 20*time.Millisecond)
	return true
}
