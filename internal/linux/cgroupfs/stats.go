package cgroupfs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// Stats returns what the group and the groups below it have used. A group
// that is gone is fault.NotFound.
func (g *Group) Stats() (cgroup.Stats, error) {
	s, err := g.stats(g.layout.StatFiles())
	s.Finish()
	return s, err
}

// Totals is Stats of what was used in all: CPU time, the most memory, what was
// read and written, pressure, OOM kills. The rest is zero.
func (g *Group) Totals() (cgroup.Stats, error) { return g.stats(g.layout.TotalFiles()) }

func (g *Group) stats(files []cgroup.StatFile) (cgroup.Stats, error) {
	var s cgroup.Stats
	read, seen := 0, map[int][]string{}
	for _, f := range files {
		dir := g.dir(f.Hierarchy)
		if dir < 0 {
			continue
		}
		before, after, many := strings.Cut(f.Name, "*")
		if !many {
			n, err := g.stat(&s, f, f.Name, "")
			if err != nil {
				return cgroup.Stats{}, err
			}
			read += n
			continue
		}
		names, ok := seen[f.Hierarchy]
		if !ok {
			var err error
			if names, err = namesIn(dir, unix.DT_REG); err != nil {
				return cgroup.Stats{}, fail("read", g.target(f.Hierarchy), err)
			}
			seen[f.Hierarchy] = names
		}
		for _, name := range names {
			star, ok := strings.CutPrefix(name, before)
			if star, ok = cutSuffix(star, after, ok); !ok || strings.Contains(star, ".") {
				continue // "2MB.rsvd" is the reservation
			}
			if _, err := g.stat(&s, f, name, star); err != nil {
				return cgroup.Stats{}, err
			}
		}
	}
	if read == 0 {
		return cgroup.Stats{}, fault.New(fault.NotFound, "read cgroup %s: no such group", g.path)
	}
	return s, nil
}

func cutSuffix(s, suffix string, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, suffix)
}

// stat parses one file and returns 1, or 0 where it does not exist.
func (g *Group) stat(s *cgroup.Stats, f cgroup.StatFile, name, star string) (int, error) {
	text, err := readValue(g.dir(f.Hierarchy), name)
	switch {
	case absent(err), gone(err), errors.Is(err, unix.EINVAL): // PSI that is switched off
		return 0, nil
	case err != nil:
		return 0, fail("read", g.target(f.Hierarchy)+"/"+name, err)
	}
	return 1, f.Parse(s, star, text)
}
