package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cgroups lists the cgroup directories there are.
func cgroups() []string {
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			found = append(found, path)
		}
		return nil // what goes away meanwhile is not ours
	})
	return found
}

// sweep removes the empty cgroups that runtimes have made and left: the
// programs name theirs after themselves.
func sweep(before []string) {
	after := cgroups()
	slices.SortFunc(after, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, path := range after {
		if ours(path) && !slices.Contains(before, path) {
			_ = os.Remove(path) // one with processes is somebody's
		}
	}
}

// ours tells the programs' cgroups from those that the machine's other users
// make meanwhile.
func ours(path string) bool {
	return strings.Contains(path, "cgrouptest") || strings.Contains(path, "runtime-tools") || strings.Contains(path, "testrelative")
}
