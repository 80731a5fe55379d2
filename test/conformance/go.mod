// The conformance suite lives in a module of its own: what it needs adds
// nothing to tare's dependencies.
module github.com/tare-engine/tare/test/conformance

go 1.26.0

require (
	github.com/opencontainers/runtime-spec v1.3.0
	golang.org/x/sys v0.49.0
)
