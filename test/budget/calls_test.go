package budget

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

const (
	runs      = 10 // of which the one with the fewest calls counts
	tolerance = 10 // in the total
)

// TestCalls counts the system calls of the commands that start something. A
// list in testdata holds how many there are of each, and for which machine:
// each cgroup hierarchy makes some, and each kernel can do other things.
func TestCalls(t *testing.T) {
	r := imported(t)
	needTracing(t)
	whole := func(t *testing.T, args ...string) func(log string) {
		return func(log string) {
			cmd := traced(r, log, args...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
			}
		}
	}
	t.Run("run-rm", func(t *testing.T) { calls(t, r, "/bin/true", whole(t, "run", "--rm", image, "/bin/true")) })
	t.Run("run-d", func(t *testing.T) { calls(t, r, "/bin/sleep", func(log string) { detached(t, r, log) }) })
	t.Run("exec", func(t *testing.T) {
		r.Must(t, "run", "-d", "--name", "running", image, "/bin/sleep", "1000")
		defer r.Must(t, "rm", "-f", "running")
		r.Must(t, "exec", "running", "/bin/true") // the first one makes a directory
		calls(t, r, "/bin/true", whole(t, "exec", "running", "/bin/true"))
	})
}

// detached runs a container with a keeper, which strace stays with: the
// command has ended when it has said what the container's ID is.
func detached(t *testing.T, r *rig.Rig, log string) {
	t.Helper()
	cmd := traced(r, log, "run", "-d", "--name", "detached", image, "/bin/sleep", "1000")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var id string
	if _, err := fmt.Fscanln(out, &id); err != nil {
		t.Errorf("%v: no ID: %v", cmd.Args, err)
	}
	r.Must(t, "rm", "-f", "detached")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %v", cmd.Args, err)
	}
}

// calls compares the calls of what once traces with the list of the test.
func calls(t *testing.T, r *rig.Rig, program string, once func(log string)) {
	fewProcessors(t)
	golden := "testdata/" + filepath.Base(t.Name()) + ".txt"
	b, err := os.ReadFile(golden)
	if err != nil && !*testkit.Update {
		t.Fatal(err)
	}
	head, want := parse(string(b))
	if here := machine(t, r); head != here && !*testkit.Update {
		t.Skipf("%s is of another machine (%s); this one is %s", golden, head, here)
	}
	var least map[string]int
	for i := range runs {
		log := fmt.Sprintf("%s/%d", t.TempDir(), i)
		once(log)
		if got := count(t, log, program); least == nil || sum(got) < sum(least) {
			least = got
		}
	}
	if *testkit.Update {
		if err := os.WriteFile(golden, []byte(list(machine(t, r), least)), 0o644); err != nil { //nolint:gosec // to be read
			t.Fatal(err)
		}
		return
	}
	t.Logf("%d system calls, budget %d±%d%s", sum(least), sum(want), tolerance, differences(want, least))
	if more := sum(least) - sum(want); more > tolerance || more < -tolerance {
		t.Errorf("%+d system calls: if that is meant, go test ./test/budget -run Calls -update", more)
	}
}

// machine is what the counts depend on.
func machine(t *testing.T, r *rig.Rig) string {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	release := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	var groups []string
	for i := range r.Layout.Hierarchies {
		h := &r.Layout.Hierarchies[i]
		groups = append(groups, filepath.Base(h.Mount))
	}
	slices.Sort(groups)
	return fmt.Sprintf("%s, Linux %s, cgroups %s", runtime.GOARCH, strings.Join(release[:min(2, len(release))], "."), strings.Join(groups, " "))
}

func sum(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

// list prints counts as they stand in testdata.
func list(head string, counts map[string]int) string {
	var b strings.Builder
	if head != "" {
		fmt.Fprintf(&b, "# %s\n", head)
	}
	fmt.Fprintf(&b, "total %d\n", sum(counts))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%s %d\n", name, counts[name])
	}
	return b.String()
}

// parse is the inverse of list.
func parse(text string) (head string, counts map[string]int) {
	counts = map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if h, ok := strings.CutPrefix(line, "# "); ok {
			head = h
			continue
		}
		var name string
		var n int
		if _, err := fmt.Sscan(line, &name, &n); err == nil && name != "total" {
			counts[name] = n
		}
	}
	return head, counts
}

// differences names what there is more or less of, a line each.
func differences(want, got map[string]int) string {
	all := maps.Clone(want)
	maps.Copy(all, got)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if d := got[name] - want[name]; d != 0 {
			fmt.Fprintf(&b, "\n\t%-18s %+d (%d, was %d)", name, d, got[name], want[name])
		}
	}
	return b.String()
}
