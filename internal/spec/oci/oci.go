// Package oci composes OCI runtime specifications from options. It is pure:
// what it needs to know of the machine is an argument.
package oci

import "github.com/opencontainers/runtime-spec/specs-go"

// Option changes a specification, or says why it cannot.
type Option func(*specs.Spec) error

// Compose applies the options in order to base and returns it. The first
// error ends it.
func Compose(base *specs.Spec, opts ...Option) (*specs.Spec, error) {
	for _, opt := range opts {
		if err := opt(base); err != nil {
			return nil, err
		}
	}
	return base, nil
}
