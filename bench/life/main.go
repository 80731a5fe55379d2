// Command life measures the life of many containers: starting them eight at a
// time, listing them, a command in one, stopping, removing, and the memory of
// the processes that look after them.
//
//	go run ./bench/life -bin bin -n 100 -rounds 3
//
// It runs as root, in mount, network and pid namespaces of its own; the daemons
// that it starts end with it. Needs busybox; engines that are not installed are
// left out.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/bench/apart"
)

// engine is one to be measured. Commands are for sh; $W is its own directory,
// $N the number of containers, $I the number of one of them.
type engine struct {
	name, needs string
	daemon      string // is running meanwhile
	ready       string // succeeds when the daemon is up
	command     string // what a command line begins with
	run         string // flags of run
	helpers     []string

	dir     string
	running *exec.Cmd
	unready string
	times   map[string][]float64 // seconds, by row
	failed  map[string]string    // by row
}

func engines(bin string) []*engine {
	return []*engine{
		{
			name: "tare", needs: bin + "/tare", helpers: []string{"tare-keeper"},
			command: bin + "/tare --root $W/root --run-root $W/run", run: "--network none --cgroup-parent tare-bench-life",
		},
		{
			name: "podman", needs: "podman", helpers: []string{"conmon"},
			command: "podman --root $W/root --runroot $W/run --cgroup-manager cgroupfs",
			run:     "--network none --ulimit nofile=1024:1024 --ulimit nproc=4096:4096",
		},
		{
			name: "docker", needs: "dockerd", helpers: []string{"dockerd", "containerd", "containerd-shim"},
			daemon:  "exec dockerd --data-root $W/root --exec-root $W/run --pidfile $W/pid -H unix://$W/sock --bridge none --iptables=false --ip6tables=false --cgroup-parent tare-bench-life",
			ready:   "docker -H unix://$W/sock info",
			command: "docker -H unix://$W/sock", run: "--network none",
		},
	}
}

const image = "bench:1"

// row is one thing to measure: once a round for all containers, or for each of
// some.
type row struct {
	name    string
	command string
	each    int // how often; $I counts from 1
}

// loop answers its stop signal at once.
const loop = `sh -c 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'`

func rows() []row {
	return []row{
		{"run -d of all, 8 at once", "seq $N | xargs -P8 -I{} $X run -d --name c{} $RUN " + image + " " + loop, 1},
		{"ps", "$X ps", 15},
		{"ps -a --format json", "$X ps -a --format '{{json .}}'", 15},
		{"inspect", "$X inspect c$I", 15},
		{"exec", "$X exec c$I true", 15},
		{"stop", "$X stop c$I", 10},
		{"kill", "$X kill c1$I", 9},
		{"rm -f of all", "$X rm -f $(seq -f c%g $N)", 1},
	}
}

func main() {
	n := flag.Int("n", 100, "containers")
	rounds := flag.Int("rounds", 3, "rounds; in each, every engine does everything once")
	bin := flag.String("bin", "bin", "directory of tare's programs")
	only := flag.String("engines", "", "only those, with commas between")
	flag.Parse()
	if err := run(*n, *rounds, *bin, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench/life:", err)
		os.Exit(1)
	}
}

func run(n, rounds int, bin, only string) (err error) {
	if !apart.Inside() {
		return apart.Enter()
	}
	if n < 20 {
		return errors.New("want at least 20 containers")
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	work, err := workDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := rootfs(work); err != nil {
		return err
	}
	before := cgroups()
	list := engines(bin)
	if only != "" {
		list = slices.DeleteFunc(list, func(e *engine) bool { return !slices.Contains(strings.Split(only, ","), e.name) })
	}
	defer func() {
		for _, e := range list {
			e.end()
		}
		for range 50 { // helpers end a moment after their command
			left := slices.DeleteFunc(cgroups(), func(dir string) bool { return slices.Contains(before, dir) })
			if len(left) == 0 {
				break
			}
			for _, dir := range left {
				apart.RemoveCgroup(dir)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	for _, e := range list {
		e.begin(work, n)
	}
	for range rounds {
		for _, i := range rand.Perm(len(list)) {
			if list[i].unready == "" {
				list[i].live(n)
			}
		}
	}
	report(list, n, rounds)
	return nil
}

func workDir() (string, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return "", err
	}
	// crun refuses a machine with both versions of cgroups.
	if err := unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return "", err
	}
	return os.MkdirTemp("/var/tmp", "tare-bench-life-")
}

// rootfs makes an archive of a root with busybox in it.
func rootfs(work string) error {
	script := `set -e; mkdir -p $W/r/bin $W/r/tmp; cp /bin/busybox $W/r/bin/
for a in sh true sleep seq; do ln -s busybox $W/r/bin/$a; done; tar -C $W/r -cf $W/rootfs.tar .`
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append(os.Environ(), "W="+work)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a root file system: %w: %s", err, out)
	}
	return nil
}

// cgroups lists those at the top that engines leave behind.
func cgroups() []string { return apart.Cgroups("libpod_parent", "tare-bench-life", "tare", "conmon") }

func report(list []*engine, n, rounds int) {
	fmt.Printf("Milliseconds, median; %d containers, %d rounds, engines in random order.\n\n| |", n, rounds)
	for _, e := range list {
		fmt.Printf(" %s |", e.name)
	}
	fmt.Print("\n|---|" + strings.Repeat("---:|", len(list)) + "\n")
	names := []string{}
	for _, r := range rows() {
		names = append(names, r.name)
	}
	for _, name := range append(names, memoryRow) {
		fmt.Printf("| %s |", name)
		for _, e := range list {
			switch {
			case e.unready != "" || e.failed[name] != "" || len(e.times[name]) == 0:
				fmt.Print(" – |")
			case name == memoryRow:
				fmt.Printf(" %.2f |", median(e.times[name]))
			default:
				fmt.Print(" " + strconv.FormatFloat(median(e.times[name])*1000, 'f', 1, 64) + " |")
			}
		}
		fmt.Println()
	}
	for _, e := range list {
		if e.unready != "" {
			fmt.Printf("\n%s: %s\n", e.name, e.unready)
		}
		for name, why := range e.failed {
			fmt.Printf("\n%s, %s: %s\n", e.name, name, why)
		}
	}
}

func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return s[len(s)/2]
}

// since is in seconds.
func since(begin time.Time) float64 { return time.Since(begin).Seconds() }
