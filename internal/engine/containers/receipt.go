package containers

import (
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

//go:generate go run ../../lib/jsongen -o receipt_json.go append:Receipt

// Receipt is what one run of a container has cost and done. It is computed
// when the run has ended. Times are nanoseconds, sizes bytes; what this host
// does not count is zero, or null where it is an object.
type Receipt struct {
	Schema      int
	ID, Name    string
	Image       string // as the user named it
	ImageID     string `json:",omitempty"` // digest of the image's configuration
	ImageDigest string `json:",omitempty"` // digest of its manifest, where it came from a registry
	Exit        ReceiptExit
	Started     time.Time
	Finished    time.Time
	WallTime    int64

	CPUTime, CPUUser, CPUSystem, CPUThrottled int64

	MemoryPeak uint64
	OOMKills   uint64

	ReadBytes, WriteBytes uint64 // of block devices
	ReadOps, WriteOps     uint64

	// Network is null where the container had the network namespace of others.
	Network  *NetCounters
	Pressure *ReceiptPressure
	// Files is null without a writable layer of its own.
	Files *ReceiptFiles
}

// receiptSchema is the version of the receipt.
const receiptSchema = 1

// ReceiptExit is why a run has ended.
type ReceiptExit struct {
	// Cause is an exit.Cause: exit (by itself), signal (that tare did not send), stop
	// (tare stop, kill or rm), oom, timeout (--timeout), policy (--health-on-failure),
	// pid-namespace (that it shared and that ended), unknown.
	Cause  string
	Code   int // -1 where nobody knows
	Signal int `json:",omitempty"`
}

// ReceiptPressure is the time in which some, and in which all, processes of
// the container waited for a resource (PSI).
type ReceiptPressure struct {
	CPU, Memory, IO PressureTotal
}

// PressureTotal is the waiting of one resource.
type PressureTotal struct{ Some, Full int64 }

// ReceiptFiles counts what the run left in the container's writable layer, as
// against its image. What earlier runs have written is in it too.
type ReceiptFiles struct {
	Added, Changed, Deleted int
	Bytes                   int64
	Truncated               bool `json:",omitempty"` // there are more than were counted
}

// maxReceiptFiles bounds the walk of the writable layer.
const maxReceiptFiles = 20_000

// receipt computes the receipt of a run that has ended, from its record and
// what its cgroup has counted.
func (e *Room) receipt(n *ending) *Receipt {
	r, c, stats := n.r, n.c, n.stats
	t := &Receipt{
		Schema: receiptSchema, ID: r.ID, Name: r.Name, Image: r.Image, ImageID: r.ImageID,
		Started: r.Started, Finished: r.Finished,
		WallTime: max(0, int64(r.Finished.Sub(r.Started))), // the clock may have been set back
		Exit:     ReceiptExit{Cause: r.Cause, Code: r.ExitCode, Signal: r.ExitSignal},
	}
	if stats != nil {
		t.use(stats)
	}
	if ground.PlainNetwork(c) {
		t.Network = &NetCounters{} // nothing but a loopback
	}
	if c.RootFS == "" {
		img, err := n.image, error(nil)
		if img == nil {
			img, err = e.ImageOf(r)
		}
		if err == nil && img != nil {
			t.ImageDigest = img.Digest()
			if n, err := e.Snapshots.Count(r.ID, img.Lower, maxReceiptFiles); err == nil {
				t.Files = &ReceiptFiles{n.Added, n.Changed, n.Deleted, n.Bytes, n.Truncated}
			}
		}
	}
	return t
}

// use takes over the cgroup's counters.
func (t *Receipt) use(s *cgroup.Stats) {
	u := usageOf(s)
	t.CPUTime, t.CPUUser, t.CPUSystem = int64(u.CPUTime), int64(u.CPUUser), int64(u.CPUSystem)
	t.CPUThrottled = int64(u.CPUThrottled)
	t.MemoryPeak, t.OOMKills = u.Peak, u.OOMKills
	if s.IO != nil {
		n := s.IO.Total()
		t.ReadBytes, t.WriteBytes, t.ReadOps, t.WriteOps = n.ReadBytes, n.WriteBytes, n.ReadOps, n.WriteOps
	}
	var p ReceiptPressure
	seen := false
	total := func(to *PressureTotal, from *cgroup.Pressure) {
		if from != nil {
			to.Some, to.Full, seen = int64(from.Some.Total), int64(from.Full.Total), true
		}
	}
	if s.CPU != nil {
		total(&p.CPU, s.CPU.Pressure)
	}
	if s.Memory != nil {
		total(&p.Memory, s.Memory.Pressure)
	}
	if s.IO != nil {
		total(&p.IO, s.IO.Pressure)
	}
	if seen {
		t.Pressure = &p
	}
}

// saveReceipt writes the receipt into the file that was asked for.
func saveReceipt(c *api.ContainerConfig, text []byte) error {
	if c.ReceiptFile == "" {
		return nil
	}
	return fsatomic.WriteFile(c.ReceiptFile, append(text, '\n'), 0o644, fsatomic.Volatile)
}
