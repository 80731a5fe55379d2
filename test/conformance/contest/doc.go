// Package contest is a conformance suite for OCI runtimes, one file a feature.
// It judges the runtime that RUNTIME names, a program of PATH or a path
// (default: bin/tare-oci of this repository):
//
//	RUNTIME=runc go test ./contest
//
// What a test asserts passes with runc or crun, or its comment cites the
// sentence of the runtime-spec that asks for it. Tests of security.go fail on
// the runtimes that a CVE was about.
package contest
