package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// Compare compares two trees that nobody changes, as Diff compares: what is
// different in the one at the descriptor now from the one at before.
func Compare(before, now int) ([]Change, error) {
	c := comparer{}
	if err := c.dir(before, now, "", 0); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	slices.SortFunc(c.list, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return c.list, nil
}

type comparer struct{ list []Change }

func (c *comparer) dir(before, now int, path string, depth int) error {
	old, err := fsatomic.Entries(before)
	if err != nil {
		return err
	}
	cur, err := fsatomic.Entries(now)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, e := range cur {
		there[e.Name] = true
	}
	known := map[string]bool{}
	for _, e := range old {
		known[e.Name] = true
		if !there[e.Name] {
			c.list = append(c.list, Change{path + "/" + e.Name, Deleted})
		}
	}
	for _, e := range cur {
		if err := c.entry(before, now, path, e.Name, known[e.Name], depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparer) entry(before, now int, path, name string, known bool, depth int) error {
	var a, b unix.Stat_t
	if err := unix.Fstatat(now, name, &b, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	path += "/" + name
	change := Added
	if known {
		if err := unix.Fstatat(before, name, &a, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		change = 0
		if differs(&b, &a) || capability(now, name) != capability(before, name) {
			change = Changed
		}
	}
	mark := len(c.list)
	if b.Mode&unix.S_IFMT == unix.S_IFDIR && depth < maxUsageDepth {
		sub, err := openAt(now, name, unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(sub) }()
		old := -1
		if known && a.Mode&unix.S_IFMT == unix.S_IFDIR {
			if old, err = openAt(before, name, unix.O_DIRECTORY); err != nil {
				return err
			}
			defer func() { _ = unix.Close(old) }()
		}
		if err := c.below(old, sub, path, depth+1); err != nil {
			return err
		}
	}
	if change == 0 && len(c.list) > mark {
		change = Changed
	}
	if change != 0 {
		c.list = append(c.list, Change{path, change})
	}
	return nil
}

// below is dir; with old -1 all is new.
func (c *comparer) below(old, now int, path string, depth int) error {
	if old >= 0 {
		return c.dir(old, now, path, depth)
	}
	cur, err := fsatomic.Entries(now)
	for _, e := range cur {
		err = errors.Join(err, c.entry(-1, now, path, e.Name, false, depth))
	}
	return err
}
