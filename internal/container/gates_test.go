package container

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// TestGates: what a caller does at its gates is done before the container's
// program runs, and where the gate is a meeting, with the child in its
// namespaces.
func TestGates(t *testing.T) {
	testkit.Containers(t)
	var done []string
	gate := func(name string, meet bool, work func(spawn.Process) error) Gate {
		return Gate{Name: name, Meet: meet, Work: func(p spawn.Process) error {
			done = append(done, name)
			return work(p)
		}}
	}
	nothing := func(spawn.Process) error { return nil }
	look := func(p spawn.Process) error {
		netns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", p.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(netns)
		r, err := openRtnlIn(netns)
		if err != nil {
			return err
		}
		defer r.close()
		links, err := r.links()
		if err != nil || len(links) == 0 {
			return fmt.Errorf("no links: %w", err)
		}
		// The loopback device is up by then, and the namespace a new one.
		for _, l := range links {
			if l.name == "lo" && l.flags&unix.IFF_UP == 0 {
				return errors.New("lo is not up")
			}
		}
		if host := readlink(t, "/proc/self/ns/net"); host == readlink(t, fmt.Sprintf("/proc/%d/ns/net", p.Pid)) {
			return errors.New("in the host's network namespace")
		}
		return nil
	}
	for _, edits := range [][]edit{nil, {withUserNS}} {
		done = nil
		cfg := newConfig(t, shell("true"), edits...)
		cfg.Gates = []Gate{gate("first", false, nothing), gate("network", true, look), gate("last", false, nothing)}
		c, err := Make(cfg, func(*Container) error {
			done = append(done, "recorded")
			return nil
		})
		must(t, err)
		must(t, c.Start())
		if code := finish(t, c); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if got := strings.Join(done, " "); got != "first network last recorded" {
			t.Errorf("done: %s", got)
		}
	}
}

// TestGateFails: the error of a gate's work is the start's, and nothing is left.
func TestGateFails(t *testing.T) {
	testkit.Containers(t)
	for _, meet := range []bool{false, true} {
		cfg := newConfig(t, shell("true"))
		cfg.Gates = []Gate{{Name: "network", Meet: meet, Work: func(spawn.Process) error { return os.ErrExist }}}
		noTraces(t, func() {
			if _, err := Make(cfg, nil); !errors.Is(err, os.ErrExist) {
				t.Errorf("meet %v: %v", meet, err)
			}
		})
	}
}
