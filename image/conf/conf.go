// Package conf reads images.toml, which says how much an image may hold and
// which images go by themselves. Only tared reads it.
package conf

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/registry"
)

// Config is what images.toml says.
type Config struct {
	Limits    image.Limits
	GC        image.GCPolicy
	AfterPull bool // collect garbage after each pull and load
}

// file is images.toml.
type file struct {
	Limits struct {
		Bytes      Size  `toml:"bytes"`
		Ratio      int64 `toml:"ratio"`
		Manifest   Size  `toml:"manifest"`
		Layers     int   `toml:"layers"`
		LayerBytes Size  `toml:"layer-bytes"`
		Entries    int64 `toml:"entries"`
		Depth      int   `toml:"depth"`
	} `toml:"limits"`
	GC struct {
		AfterPull bool     `toml:"after-pull"`
		Unused    Duration `toml:"unused"`
		Age       Duration `toml:"age"`
		Dangling  Duration `toml:"dangling"`
		MaxBytes  Size     `toml:"max-bytes"`
		LowBytes  Size     `toml:"low-bytes"`
		Keep      []string `toml:"keep"`
		Partial   Duration `toml:"partial"`
	} `toml:"gc"`
}

// Load reads images.toml of the user, or else of the system. TARE_IMAGES names
// a file to be read instead. Without any all is default.
func Load() (Config, error) {
	files := registry.ConfigFiles("images.toml")
	if f := os.Getenv("TARE_IMAGES"); f != "" {
		files = []string{f}
	}
	for i := len(files) - 1; i >= 0; i-- {
		data, err := os.ReadFile(files[i])
		if errors.Is(err, fs.ErrNotExist) && len(files) > 1 {
			continue
		}
		if err != nil {
			return Config{}, err
		}
		c, err := Parse(data)
		if err != nil {
			return Config{}, fault.New(fault.Invalid, "read %s: %w", files[i], err)
		}
		return c, nil
	}
	return Config{}, nil
}

// Parse reads the text of an images.toml. The error is Invalid.
func Parse(data []byte) (Config, error) {
	var f file
	if err := registry.DecodeTOML(data, &f); err != nil {
		return Config{}, err
	}
	l, g := &f.Limits, &f.GC
	c := Config{AfterPull: g.AfterPull}
	c.Limits = image.Limits{Bytes: int64(l.Bytes), Ratio: l.Ratio, Manifest: int64(l.Manifest), Layers: l.Layers}
	c.Limits.Layer.Bytes, c.Limits.Layer.Entries, c.Limits.Layer.Depth = int64(l.LayerBytes), l.Entries, l.Depth
	for _, n := range []int64{l.Ratio, int64(l.Layers), l.Entries, int64(l.Depth)} {
		if n < 0 {
			return Config{}, fault.New(fault.Invalid, "limits: %d is negative", n)
		}
	}
	c.GC = image.GCPolicy{
		Unused: time.Duration(g.Unused), Age: time.Duration(g.Age), Dangling: time.Duration(g.Dangling), Partial: time.Duration(g.Partial),
		MaxBytes: int64(g.MaxBytes), LowBytes: int64(g.LowBytes), Keep: g.Keep,
	}
	if c.GC.LowBytes > c.GC.MaxBytes {
		return Config{}, fault.New(fault.Invalid, "gc: low-bytes is more than max-bytes")
	}
	return c, nil
}

// Size is a number of bytes as people write it: 20GB, 1.5GiB, 4096.
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := ParseSize(string(text))
	*s = Size(n)
	return err
}

// ParseSize reads a Size. kB, MB, GB and TB are powers of 1000; KiB, MiB, GiB
// and TiB those of 1024. The error is Invalid.
func ParseSize(s string) (int64, error) {
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

// Duration is a length of time as people write it: 30d, 2w, 12h.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	n, err := ParseDuration(string(text))
	*d = Duration(n)
	return err
}

// ParseDuration reads a Duration: weeks, days, or what time.ParseDuration
// takes. The error is Invalid.
func ParseDuration(s string) (time.Duration, error) {
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
