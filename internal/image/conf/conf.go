// Package conf reads images.toml, which says how much an image may hold and
// which images go by themselves. Only tared reads it.
package conf

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/registry"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// Config is what images.toml says.
type Config struct {
	Limits    store.Limits
	GC        api.GCPolicy
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
	c.Limits = store.Limits{Bytes: int64(l.Bytes), Ratio: l.Ratio, Manifest: int64(l.Manifest), Layers: l.Layers}
	c.Limits.Layer.Bytes, c.Limits.Layer.Entries, c.Limits.Layer.Depth = int64(l.LayerBytes), l.Entries, l.Depth
	for _, n := range []int64{l.Ratio, int64(l.Layers), l.Entries, int64(l.Depth)} {
		if n < 0 {
			return Config{}, fault.New(fault.Invalid, "limits: %d is negative", n)
		}
	}
	c.GC = api.GCPolicy{
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
	n, err := api.ParseStoreSize(string(text))
	*s = Size(n)
	return err
}

// Duration is a length of time as people write it: 30d, 2w, 12h.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	n, err := api.ParseAge(string(text))
	*d = Duration(n)
	return err
}
