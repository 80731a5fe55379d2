package keeper

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTimeLeft(t *testing.T) {
	// A container that started 100 s after boot, with 90 s to run.
	const limit = 90 * time.Second
	for up, want := range map[time.Duration]time.Duration{100 * time.Second: limit, 130 * time.Second: time.Minute, 300 * time.Second: 1, 99 * time.Second: limit} {
		if got := timeLeft(int64(limit), up, 10_000); got != want {
			t.Errorf("%v after boot: %v left, want %v", up, got, want)
		}
	}
	// The two clocks are the same: this process has just started.
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')'):]))
	start, err := strconv.ParseInt(f[20], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if d := sinceBoot() - time.Duration(start)*ticks; d < 0 || d > time.Hour {
		t.Errorf("this process is %v old", d)
	}
}
