package engine

import (
	"time"

	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// The clock of the wall may be set while containers run. What is measured
// within one boot is measured by the clock that counts since then; times in a
// record are for people.

// sinceBoot is how long the machine is up, time asleep included.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// ticks is the unit of a process's start time: USER_HZ, 100 on every machine
// that Go runs on.
const ticks = time.Second / 100

// timeLeft is what a --timeout has left, in ns, for a process that started at
// the given ticks after boot; 0 is for ever.
func timeLeft(timeout int64, up time.Duration, start uint64) int64 {
	if timeout <= 0 {
		return 0
	}
	return max(1, timeout-max(0, int64(up)-int64(start)*int64(ticks)))
}

// restartIn is the wait before a container's next start, whatever has become
// of the clock.
func restartIn(r *state.Record, now time.Time) time.Duration {
	return min(max(0, r.RestartAt.Sub(now)), time.Duration(r.Backoff), lastBackoff)
}
