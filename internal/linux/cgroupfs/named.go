package cgroupfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// Named returns the paths of all groups whose last part is name, as [Open] takes
// them. It looks through every hierarchy.
func Named(l cgroup.Layout, name string) ([]string, error) {
	var paths []string
	for _, h := range l.Hierarchies {
		if h.ReadOnly {
			continue
		}
		err := filepath.WalkDir(h.Mount, func(path string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
				return nil // just removed
			case err != nil:
				return fail("read", path, err)
			case !d.IsDir() || d.Name() != name:
				return nil
			}
			if p := strings.TrimPrefix(path, h.Mount); !slices.Contains(paths, p) {
				paths = append(paths, p)
			}
			return fs.SkipDir
		})
		if err != nil {
			return nil, err
		}
	}
	return paths, nil
}
