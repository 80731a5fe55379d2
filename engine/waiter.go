package engine

import "time"

const dialTimeout = 5 * time.Second

// waiter waits a little longer each time, up to a deadline.
type waiter struct {
	deadline time.Time
	next     time.Duration
}

func newWaiter(timeout time.Duration) *waiter {
	return &waiter{time.Now().Add(timeout), 200 * time.Microsecond}
}

// wait reports false when the time is over.
func (w *waiter) wait() bool {
	if time.Now().After(w.deadline) {
		return false
	}
	time.Sleep(w.next)
	w.next = min(2*w.next, 20*time.Millisecond)
	return true
}
