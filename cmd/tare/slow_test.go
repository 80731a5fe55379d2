package main

import (
	"bufio"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestSlowReader: a caller that reads nothing for a while holds the container
// up, and loses nothing.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	const lines = 300000
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := r.Command("run", "--name", "slow", "tare/base", "seq", "300000")
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	// Full: what the caller has not taken is in the keeper's hands now.
	for full, last := 0, -1; full < 3; {
		n, err := unix.IoctlGetInt(int(out.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		if n == last && n > 0 {
			full++
		}
		last = n
		_, _ = unix.Poll(nil, 100) // nothing tells that a pipe is full
	}
	n := 0
	for s := bufio.NewScanner(out); s.Scan(); {
		n++
	}
	if err := cmd.Wait(); err != nil || n != lines {
		t.Errorf("%d lines of %d, %v", n, lines, err)
	}
	r.Must(t, "rm", "slow")
}
