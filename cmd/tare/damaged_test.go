package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestDamagedRecord: a container whose record cannot be read is in the list and
// can be removed, with what runs of it, wherever its cgroup is; others are not
// touched.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	damage := map[string]func(b []byte) []byte{
		"empty":   func([]byte) []byte { return nil }, // by a power cut
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"flipped": func(b []byte) []byte { b[len(b)/3] ^= 0x81; return b },
		"zeros":   func(b []byte) []byte { return make([]byte, len(b)) },
		"another": func([]byte) []byte { return []byte("[]") },
	}
	r.Must(t, "run", "-d", "--name", "other", "tare/base", "sleep", "1000")
	for what, f := range damage {
		if testing.Short() && what != "empty" && what != "cut" {
			continue
		}
		for _, flags := range [][]string{
			{"run", "-d"}, {"run", "-d", "--rm"}, {"create"}, // each below the cgroup of the test
		} {
			r.Must(t, append(append(flags[:len(flags):len(flags)], "--name", "hurt"), "tare/base", "sleep", "1000")...)
			id := inspected(t, r, "{{.Id}}")
			pid, err := strconv.Atoi(inspected(t, r, "{{.State.Pid}}"))
			if err != nil {
				t.Fatal(err)
			}
			damageFile(t, r, id, f)
			if got := r.Must(t, "ps", "-a", "--format", "{{.Names}} {{.State}}"); !strings.Contains(got, "hurt dead\n") || !strings.Contains(got, "other running\n") {
				t.Errorf("%s %v: %s", what, flags, got)
			}
			if res := r.Run(t, "rm", "hurt"); res.Code == 0 {
				t.Errorf("%s %v: removed without -f", what, flags)
			}
			r.Must(t, "rm", "-f", "hurt")
			if pid != 0 {
				gone(t, pid)
			}
			if got := r.Must(t, "ps", "-a", "--format", "{{.Names}} {{.State}}"); got != "other running\n" {
				t.Errorf("%s %v: left %s", what, flags, got)
			}
		}
	}
	r.Must(t, "rm", "-f", "other")
}

func inspected(t *testing.T, r *rig.Rig, format string) string {
	t.Helper()
	return strings.TrimSpace(r.Must(t, "inspect", "-f", format, "hurt"))
}

// damageFile replaces the record of a container.
func damageFile(t *testing.T, r *rig.Rig, id string, f func([]byte) []byte) {
	t.Helper()
	for _, dir := range []string{r.Root, r.RunRoot} {
		path := dir + "/containers/" + id + ".json"
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if err := os.WriteFile(path, f(bytes.Clone(b)), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no record of " + id)
}

// gone waits for the end of a process.
func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, "the end of its process", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
}
