// Package network is the seam between the engine and what gives a container its
// network. A driver knows owners, not containers: an owner is an id, and what a
// driver has of it goes by that id alone.
//
// A start asks a driver twice. Prepare takes what has to be known before the
// container is composed, addresses and the text of its files, and makes nothing
// in the kernel. Attach makes the links at a gate of the start, beside the
// child's mounts, when the namespace is there. Release takes back both.
package network

import (
	"context"
	"os"
)

// Want is what an owner wants of a network.
type Want struct {
	Owner    string // 64 hex digits
	Hostname string // that others find it by
	// Addresses are those that it had before, in CIDR form; it gets them again
	// where they are free.
	Addresses []string
	// Preview asks what would be prepared, for --plan: nothing is taken.
	Preview bool
}

// Prepared is what an owner has of a network before anything is in the kernel.
type Prepared struct {
	Owner     string
	Addresses []string // of its interfaces, in CIDR form
	// Hosts and Resolv are the whole text of /etc/hosts and /etc/resolv.conf,
	// nil where the container gets one of its own.
	Hosts, Resolv []byte
	// Links says that there is something to attach; without it the start has no
	// gate for it.
	Links bool
}

// Driver gives owners a network. Its methods are called under the lock of the
// owner's container; of two owners at once.
//
// An error of Prepare, Attach or Update leaves what was there before. Release
// and Recover may be called again at any time, whatever they find.
type Driver interface {
	// Prepare takes leases, and computes texts. It makes no kernel object.
	Prepare(ctx context.Context, w *Want) (*Prepared, error)
	// Attach makes the links of what was prepared; netns is a descriptor of the
	// owner's network namespace.
	Attach(ctx context.Context, p *Prepared, netns int) error
	// Update changes what a running owner has, ports and connections, and returns
	// what it has then.
	Update(ctx context.Context, w *Want) (*Prepared, error)
	// Release gives back all that there is of an owner. It is no error when
	// there is nothing.
	Release(ctx context.Context, owner string) error
	// Recover calls gone for each owner that it has something of. That calls
	// release, under the lock of the owner's container, unless the owner is
	// there; an error leaves the owner alone.
	Recover(ctx context.Context, gone func(owner string, release func() error) error) error
}

// None is the driver of a namespace with nothing but a loopback.
type None struct{}

// Prepare implements Driver.
func (None) Prepare(_ context.Context, w *Want) (*Prepared, error) {
	return &Prepared{Owner: w.Owner}, nil
}

// Attach implements Driver.
func (None) Attach(context.Context, *Prepared, int) error { return nil }

// Update implements Driver.
func (None) Update(_ context.Context, w *Want) (*Prepared, error) {
	return &Prepared{Owner: w.Owner}, nil
}

// Release implements Driver.
func (None) Release(context.Context, string) error { return nil }

// Recover implements Driver.
func (None) Recover(context.Context, func(string, func() error) error) error { return nil }

// Host is the driver of the host's own network.
type Host struct{ None }

// Prepare implements Driver: the container's files are the host's.
func (Host) Prepare(_ context.Context, w *Want) (*Prepared, error) {
	p := &Prepared{Owner: w.Owner}
	var err error
	if p.Resolv, err = read("/etc/resolv.conf"); err == nil {
		p.Hosts, err = read("/etc/hosts")
	}
	return p, err
}

// read reads a file that a host need not have.
func read(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	return b, err
}
