// Package testkit is what tests of many packages need. A test that cannot run here
// says why, in words that test/skips.txt knows.
package testkit

import (
	"os"
	"testing"
)

// Root skips a test of an ordinary user's, which does what it is told.
func Root(t testing.TB, does string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: " + does)
	}
}

// Busybox returns the path of a static busybox, or skips the test.
func Busybox(t testing.TB) string {
	t.Helper()
	const path = "/bin/busybox"
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs " + path + " (busybox-static)")
	}
	return path
}

// Containers skips a test that makes containers of a static busybox where it cannot.
func Containers(t testing.TB) {
	t.Helper()
	Root(t, "makes containers")
	Busybox(t)
}
