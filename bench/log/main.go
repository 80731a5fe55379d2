// Command log measures how fast engines take what a container writes, and how
// fast they give it back: megabytes a second of text in lines of 64 bytes, from
// the start of a detached container to its end, and of "logs" into a pipe.
//
//	go run ./bench/log -bin bin -mb 1000 -n 3
//
// It runs as root, in a mount namespace of its own with its stores below -dir;
// the daemon that it starts ends with it. Engines that are not installed are
// left out.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// engine is one way to run a container. Commands are for sh; $W is the
// engine's own directory, $ROOTFS the archive of the image, $CMD what runs.
type engine struct {
	name, needs   string
	daemon, ready string
	load          string
	run           string // with bounded logs, as the engine has them by default or by $BOUND
	keep          string // options under which all of the output is kept
	wait, logs    string
	remove        string

	dir     string
	running *exec.Cmd
	why     string // it is left out
	capture []float64
	replay  []float64
}

func engines(bin string) []*engine {
	tare := bin + "/tare --root $W/root --run-root $W/run "
	podman := "podman --root $W/root --runroot $W/run --cgroup-manager cgroupfs "
	docker := "docker -H unix://$W/sock "
	return []*engine{
		{
			name: "tare", needs: bin + "/tare", load: tare + "import $ROOTFS bench-log",
			run: tare + "run -d --name bench-log $KEEP bench-log $CMD", keep: "--log-opt max-size=-1",
			wait: tare + "wait bench-log", logs: tare + "logs bench-log", remove: tare + "rm -f bench-log",
		},
		{
			name: "podman", needs: "podman", load: podman + "import $ROOTFS bench-log",
			run:  podman + "run -d --name bench-log --network none $ULIMITS --log-driver k8s-file ${KEEP:---log-opt max-size=10m} bench-log $CMD",
			keep: "--log-opt max-size=100g",
			wait: podman + "wait bench-log", logs: podman + "logs bench-log", remove: podman + "rm -f bench-log",
		},
		{
			name: "docker", needs: "dockerd",
			daemon: "exec dockerd --data-root $W/root --exec-root $W/run --pidfile $W/pid -H unix://$W/sock --bridge none --iptables=false --ip6tables=false",
			ready:  docker + "info", load: docker + "import $ROOTFS bench-log",
			run:  docker + "run -d --name bench-log --network none --log-driver json-file ${KEEP:---log-opt max-size=10m --log-opt max-file=3} bench-log $CMD",
			keep: "--log-opt max-size=100g",
			wait: docker + "wait bench-log", logs: docker + "logs bench-log", remove: docker + "rm -f bench-log",
		},
	}
}

// fileMB is the size of the file that the container writes, many times over.
const fileMB = 10

func main() {
	bin := flag.String("bin", "bin", "directory of tare's programs")
	mb := flag.Int("mb", 1000, "megabytes of output")
	n := flag.Int("n", 3, "measured runs of each engine")
	dir := flag.String("dir", "/var/tmp", "where the stores are made")
	only := flag.String("engine", "", "only this engine")
	flag.Parse()
	if err := measure(*bin, *dir, *only, *mb, *n); err != nil {
		fmt.Fprintln(os.Stderr, "bench/log:", err)
		os.Exit(1)
	}
}

func measure(bin, dir, only string, mb, n int) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	if os.Getenv("BENCH_LOG") == "" { // again, in a mount namespace that nobody sees
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), "BENCH_LOG=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		return cmd.Run()
	}
	// crun 1.8 takes a hybrid hierarchy for a mistake.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	_ = unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH) // most machines have none
	work, err := os.MkdirTemp(dir, "bench-log-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := rootfs(work+"/rootfs.tar", bin+"/tare-base"); err != nil {
		return err
	}
	list := engines(bin)
	list = slices.DeleteFunc(list, func(e *engine) bool { return only != "" && e.name != only })
	for _, e := range list {
		e.begin(filepath.Join(work, e.name), work+"/rootfs.tar")
		defer e.end()
	}
	cmd := "/bin/cat" + strings.Repeat(" /lines", mb/fileMB)
	for round := range n + 1 {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for _, e := range list {
			if e.why == "" {
				e.once(cmd, mb, round > 0)
			}
		}
	}
	report(list, mb, n)
	return nil
}

// rootfs writes an archive with cat and the file.
func rootfs(path, base string) error {
	program, err := os.ReadFile(base)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	line := []byte(strings.Repeat("0123456789abcdef", 4)[:63] + "\n")
	lines := bytes.Repeat(line, fileMB*1_000_000/len(line))
	for name, content := range map[string][]byte{"bin/cat": program, "lines": lines} {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}))
		_, werr := w.Write(content)
		err = errors.Join(err, werr)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

func (e *engine) shell(command string, env ...string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(append(os.Environ(), "W="+e.dir, "ULIMITS="+ulimits()), env...)
	return cmd
}

// ulimits are this process's own: podman asks for more than a caller without
// CAP_SYS_RESOURCE may have, and lowers its own process limit to 32768.
func ulimits() string {
	var nofile, nproc unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &nofile) != nil || unix.Getrlimit(unix.RLIMIT_NPROC, &nproc) != nil {
		return ""
	}
	procs := min(nproc.Max, 32768)
	return fmt.Sprintf("--ulimit nofile=%d:%d --ulimit nproc=%d:%d", nofile.Max, nofile.Max, procs, procs)
}

// begin starts the engine's daemon, if it has one, and loads the image.
func (e *engine) begin(dir, archive string) {
	e.dir = dir
	if _, err := exec.LookPath(e.needs); err != nil {
		e.why = "not installed"
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		e.why = err.Error()
		return
	}
	if e.daemon != "" {
		e.running = e.shell(e.daemon)
		e.running.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := e.running.Start(); err != nil {
			e.why, e.running = err.Error(), nil
			return
		}
		for range 300 {
			if e.shell(e.ready).Run() == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	e.must(e.load, "ROOTFS="+archive)
}

func (e *engine) end() {
	if e.running != nil {
		_ = e.running.Process.Signal(syscall.SIGTERM) // it has ended, or does now
		_ = e.running.Wait()
	}
}

// must runs a command; the engine is left out when it fails.
func (e *engine) must(command string, env ...string) {
	out, err := e.shell(command, env...).CombinedOutput()
	if err != nil && e.why == "" {
		e.why = fmt.Sprintf("%s: %v: %s", command, err, bytes.TrimSpace(out))
	}
}

// once measures a container with bounded logs, and the replay of one that
// keeps everything.
func (e *engine) once(cmd string, mb int, counts bool) {
	start := time.Now()
	e.must(e.run, "CMD="+cmd)
	e.must(e.wait)
	captured := float64(mb) / time.Since(start).Seconds()
	e.must(e.remove)
	e.must(e.run, "CMD="+cmd, "KEEP="+e.keep)
	e.must(e.wait)
	start = time.Now()
	replay := e.shell(e.logs + " 2>/dev/null")
	out, err := replay.StdoutPipe()
	if err == nil {
		err = replay.Start()
	}
	if err != nil {
		e.why = err.Error()
		return
	}
	n, err := io.Copy(struct{ io.Writer }{io.Discard}, out)
	err = errors.Join(err, replay.Wait())
	replayed := float64(n) / 1e6 / time.Since(start).Seconds()
	if e.why == "" && (err != nil || n < int64(mb)*999_000) {
		e.why = fmt.Sprintf("logs gave %d bytes of %d MB (%v)", n, mb, err)
	}
	e.must(e.remove)
	if counts {
		e.capture, e.replay = append(e.capture, captured), append(e.replay, replayed)
	}
}

func report(list []*engine, mb, n int) {
	slices.SortFunc(list, func(a, b *engine) int { return strings.Compare(b.name, a.name) })
	fmt.Printf("%d MB of lines, median of %d, MB/s\n\n| engine | capture | replay |\n|---|---:|---:|\n", mb, n)
	for _, e := range list {
		if e.why != "" {
			fmt.Printf("| %s | %s | |\n", e.name, e.why)
			continue
		}
		fmt.Printf("| %s | %.0f | %.0f |\n", e.name, median(e.capture), median(e.replay))
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
