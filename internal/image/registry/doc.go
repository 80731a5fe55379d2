// Package registry talks to registries of images: the OCI distribution
// protocol, which is Docker's registry API version 2 with additions.
//
//	config.go    where a registry is: registries.toml, certs.d, mirrors
//	transport.go connections: TLS, plain HTTP where it is allowed
//	auth.go      credentials, tokens
//	client.go    servers, and whose turn it is
//	request.go   one request: challenges, redirects, retries
//	errors.go    what passes and what does not
//	manifest.go  manifests and indexes, and the choice of a platform
//	download.go  blobs: ranges in parallel, resumed
//	pull.go      an image into an [store.Store]
//	push.go      an image out of it
//	policy.go    which images may be pulled; sigstore.go checks signatures
//
// The package is cold: only tared links it.
package registry
