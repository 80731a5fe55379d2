package keeper

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot is how long the machine is up, time asleep included. The clock of
// the wall may be set while a container runs.
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

// timeLeft is what a limit, in ns, has left for a process that started at the
// given ticks after boot.
func timeLeft(limit int64, up time.Duration, start uint64) time.Duration {
	return max(1, time.Duration(limit)-max(0, up-time.Duration(start)*ticks))
}
