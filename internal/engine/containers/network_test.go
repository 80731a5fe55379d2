package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/engine/sandboxes"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/network"
	"golang.org/x/sys/unix"
)

// fakeNetwork is a driver whose leases and links are files: a test sees what is
// there of an owner, and after a kill what is left.
type fakeNetwork struct {
	network.None
	dir string
}

func fakeDir(o *options) string { return o.RunRoot + "/fake" }

func fakeNetworks(o *options) map[string]network.Driver {
	return map[string]network.Driver{"fake": fakeNetwork{dir: fakeDir(o)}}
}

const fakeAddress = "10.9.8.7/24"

func (f fakeNetwork) Prepare(_ context.Context, w *network.Want) (*network.Prepared, error) {
	p := &network.Prepared{
		Owner: w.Owner, Addresses: []string{fakeAddress}, Links: true,
		Hosts: []byte("10.9.8.7\tinside\n"), Resolv: []byte("nameserver 10.9.8.1\n"),
	}
	if w.Preview {
		return p, nil
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, err
	}
	return p, os.WriteFile(f.dir+"/"+w.Owner+".lease", nil, 0o600)
}

func (f fakeNetwork) Attach(_ context.Context, p *network.Prepared, netns int) error {
	var ours, theirs unix.Stat_t
	if err := errors.Join(unix.Stat("/proc/self/ns/net", &ours), unix.Fstat(netns, &theirs)); err != nil {
		return err
	}
	if ours.Ino == theirs.Ino {
		return errors.New("the namespace is the host's")
	}
	if _, err := os.Stat(f.dir + "/" + p.Owner + ".lease"); err != nil {
		return err
	}
	// A second one would be of a namespace that has its links.
	file, err := os.OpenFile(f.dir+"/"+p.Owner+".link", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// Update tells of a neighbour.
func (f fakeNetwork) Update(_ context.Context, w *network.Want) (*network.Prepared, error) {
	return &network.Prepared{
		Owner: w.Owner, Addresses: w.Addresses, Hosts: []byte("10.9.8.7\tinside\n10.9.8.8\tneighbour\n"), Resolv: []byte("nameserver 10.9.8.1\n"),
	}, nil
}

func (f fakeNetwork) Release(_ context.Context, owner string) error {
	for _, kind := range []string{".link", ".lease"} {
		if err := os.Remove(f.dir + "/" + owner + kind); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func (f fakeNetwork) Recover(ctx context.Context, gone func(string, func() error) error) error {
	entries, err := os.ReadDir(f.dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		owner, _, _ := strings.Cut(e.Name(), ".")
		if err := gone(owner, func() error { return f.Release(ctx, owner) }); err != nil {
			return err
		}
	}
	return nil
}

// state is what there is of an owner: "", "lease" or "lease link".
func (f fakeNetwork) state(owner string) string {
	var have []string
	for _, kind := range []string{"lease", "link"} {
		if _, err := os.Stat(f.dir + "/" + owner + "." + kind); err == nil {
			have = append(have, kind)
		}
	}
	return strings.Join(have, " ")
}

// TestNetworkSeam: addresses are known when the container is composed, links are
// made before its program runs, and what it had is given back by its end.
func TestNetworkSeam(t *testing.T) {
	e := testEngine(t)
	f := fakeNetwork{dir: fakeDir(&e.opt)}
	for _, rm := range []bool{true, false} {
		c := testContainer("sh", "-c", "cat /etc/hosts /etc/resolv.conf")
		c.Name, c.HostConfig.NetworkMode, c.HostConfig.AutoRemove = "web", "fake", rm
		c.HostConfig.ExtraHosts = []string{"db:10.0.0.2"}
		seen := map[string]string{}
		e.watch = func(where string, s *start) { seen[where] = f.state(s.id) }
		out, code, err := runContainer(t, e, c)
		e.watch = nil
		if err != nil || code != 0 || out != "10.9.8.7\tinside\n10.0.0.2\tdb\nnameserver 10.9.8.1\n" {
			t.Errorf("exit code %d, %v: %q", code, err, out)
		}
		if got := fmt.Sprint(seen); got != "map[clone:lease link compose:lease recorded:lease link]" {
			t.Errorf("there was %s", got)
		}
		if !rm {
			r, err := e.State.Find("web")
			if err != nil {
				t.Fatal(err)
			}
			rec, err := e.State.Get(r)
			if err != nil || rec.Network == nil || rec.Network.Addresses[0] != fakeAddress {
				t.Errorf("recorded %+v, %v", rec, err)
			}
			if _, err := e.Remove(t.Context(), "web", false, false); err != nil {
				t.Error(err)
			}
		}
		assertEmpty(t, e)
	}
}

// TestNetworkFails: an error of a driver is the start's, with nothing left.
func TestNetworkFails(t *testing.T) {
	e := testEngine(t)
	for _, at := range []string{"prepare", "attach"} {
		e.Sandboxes = sandboxes.New(e.Ground, map[string]network.Driver{"fake": failingNetwork{fakeNetwork{dir: fakeDir(&e.opt)}, at}})
		c := testContainer("true")
		c.HostConfig.NetworkMode = "fake"
		if _, code, err := runContainer(t, e, c); code != exit.Engine || err == nil || err.Error() != at+" network: no such thing" {
			t.Errorf("%s: exit code %d, %v", at, code, err)
		}
		assertEmpty(t, e)
	}
}

type failingNetwork struct {
	fakeNetwork
	at string
}

func (f failingNetwork) Prepare(ctx context.Context, w *network.Want) (*network.Prepared, error) {
	if f.at == "prepare" {
		return nil, errors.New("no such thing")
	}
	return f.fakeNetwork.Prepare(ctx, w)
}

func (f failingNetwork) Attach(context.Context, *network.Prepared, int) error {
	return errors.New("no such thing")
}
