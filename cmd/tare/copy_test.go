package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

// TestCopyRace: a container swaps directories of the path that is copied for
// links to the host, as fast as it can. Nothing of the host is read or written
// (CVE-2018-15664).
func TestCopyRace(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	host := t.TempDir()
	victim := filepath.Join(host, "victim")
	secret := filepath.Join(victim, "f")
	for _, d := range []string{victim, filepath.Join(host, "in")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{secret: "secret", filepath.Join(host, "in", "f"): "mine"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	climb := strings.Repeat("../", 30) + victim
	script := "mkdir -p /w/d && echo theirs >/w/d/f && ln -s " + victim + " /w/abs && ln -s " + climb + " /w/rel && echo ready && sleep 1000" // no exec: a zombie first thread has no root
	c := r.Start(t, "run", "--rm", "tare/base", "sh", "-c", script)

	w, err := unix.Open(fmt.Sprintf("/proc/%d/root/w", c.Init()), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(w)
	var stop atomic.Bool
	swapped := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			link := []string{"abs", "rel"}[n/2%2]
			_ = unix.Renameat2(w, "d", w, link, unix.RENAME_EXCHANGE) // a copy may have replaced one
		}
		swapped <- n
	}()
	rounds := 40
	if os.Getenv("TARE_SOAK") != "" {
		rounds = 1000
	}
	for i := range rounds {
		out := filepath.Join(host, "out"+strconv.Itoa(i))
		for _, args := range [][]string{
			{"cp", c.ID + ":/w/d/f", out},
			{"cp", "-L", c.ID + ":/w/d", out + "d"},
			{"cp", filepath.Join(host, "in", "f"), c.ID + ":/w/d/f"},
			{"cp", filepath.Join(host, "in") + "/.", c.ID + ":/w/d"},
		} {
			_ = r.Run(t, args...) // may well fail
		}
		for _, name := range []string{out, out + "d/f"} {
			if b, err := os.ReadFile(name); err == nil && string(b) == "secret" {
				t.Fatalf("round %d: a file of the host was copied", i)
			}
		}
		entries, err := os.ReadDir(victim)
		if b, rerr := os.ReadFile(secret); err != nil || rerr != nil || len(entries) != 1 || string(b) != "secret" {
			t.Fatalf("round %d: the host's directory holds %v, its file %q", i, entries, b)
		}
	}
	stop.Store(true)
	t.Logf("%d swaps in %d rounds", <-swapped, rounds)
	r.Must(t, "rm", "-f", c.ID)
}
