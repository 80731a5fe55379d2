package containers

import (
	"os"
	"strconv"
	"strings"
)

// NetCounters count the bytes, packets and so on of all interfaces of a
// network namespace but the loopback.
type NetCounters struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// netOf reads the counters of a process's network namespace. ok is false when
// it is this process's: the counters are the host's then, and no container's.
func netOf(pid int) (n NetCounters, ok bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	theirs, err := os.Readlink(dir + "/ns/net")
	if err != nil {
		return n, false
	}
	if ours, err := os.Readlink("/proc/self/ns/net"); err != nil || ours == theirs {
		return n, false
	}
	b, err := os.ReadFile(dir + "/net/dev")
	if err != nil {
		return n, false
	}
	return parseNetDev(string(b)), true
}

// parseNetDev sums up /proc/PID/net/dev: two lines of headings, then
// "NAME: rx bytes packets errs drop fifo frame compressed multicast tx …".
func parseNetDev(text string) (n NetCounters) {
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if !ok || len(f) < 16 || strings.TrimSpace(name) == "lo" {
			continue
		}
		for i, to := range map[int]*uint64{
			0: &n.RxBytes, 1: &n.RxPackets, 2: &n.RxErrors, 3: &n.RxDropped,
			8: &n.TxBytes, 9: &n.TxPackets, 10: &n.TxErrors, 11: &n.TxDropped,
		} {
			v, err := strconv.ParseUint(f[i], 10, 64)
			if err == nil { // the kernel writes nothing else
				*to += v
			}
		}
	}
	return n
}
