// Package cgroupfs executes what package cgroup computed: it makes a
// container's directories in every cgroup hierarchy, writes the limits, opens
// what a child needs to join, and freezes, kills and removes groups.
//
// Everything works on directory fds; each path is resolved once.
package cgroupfs
