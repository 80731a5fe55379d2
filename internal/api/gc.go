package api

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// GCPolicy says which images go without being asked for. Zero fields ask for
// nothing; what a container uses stays in any case.
type GCPolicy struct {
	Unused   time.Duration // not used for so long
	Age      time.Duration // here for so long
	Dangling time.Duration // without a name, and not used for so long
	// MaxBytes is the high-water mark of the store: above it the images that
	// were not used for longest go, until it has no more than LowBytes.
	MaxBytes int64
	LowBytes int64    // 0: 80 % of MaxBytes
	Keep     []string // names, or patterns as of path.Match, that stay
	// Fresh is how long an image stays whatever the rest says.
	Fresh time.Duration
	// Partial is how long what a broken transfer has left stays; 0 is
	// a day.
	Partial time.Duration
}

// GCVictim is an image that goes, and why.
type GCVictim struct {
	ID     string
	Names  []string
	Reason string
	Bytes  int64     // that only it has, at its turn
	Used   time.Time // last
}

// ParseStoreSize reads the size of a store. kB, MB, GB and TB are powers of 1000; KiB, MiB, GiB
// and TiB those of 1024. The error is Invalid.
func ParseStoreSize(s string) (int64, error) {
	end := strings.LastIndexAny(s, "0123456789.") + 1
	unit, ok := map[string]float64{
		"": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	}[strings.ToLower(strings.TrimSpace(s[end:]))]
	n, err := strconv.ParseFloat(s[:end], 64)
	if !ok || err != nil || n < 0 || n*unit >= math.MaxInt64 {
		return 0, fault.New(fault.Invalid, "%q is no size such as 20GB", s)
	}
	return int64(n * unit), nil
}

// ParseAge reads how old something is: weeks, days, or what time.ParseDuration
// takes. The error is Invalid.
func ParseAge(s string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, err := strconv.ParseFloat(strings.TrimSuffix(s, suffix), 64); err == nil && strings.HasSuffix(s, suffix) && n >= 0 && n < 36500 {
			return time.Duration(n * float64(unit)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fault.New(fault.Invalid, "%q is no length of time such as 30d or 12h", s)
	}
	return d, nil
}
