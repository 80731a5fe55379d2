// Package cgroup turns runtime-spec resources into host actions on cgroups.
//
// It is pure: ParseLayout takes the text of three /proc and /sys files,
// Compute returns a flat list of actions that package cgroupfs executes and
// `tare run --plan` prints. v1 and v2 are chosen for each controller by where
// the Layout found it, and are two tables of {file, value}; nothing outside
// these two packages knows which one is in use.
package cgroup
