// Validate runs the validation programs of opencontainers/runtime-tools
// against several OCI runtimes in turn and prints a table of what came out.
//
// It exits with 1 when a program that at least one other runtime passes fails
// with the first one.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const tools = "github.com/opencontainers/runtime-tools"

// stage says which of the three processes this one is: the caller's, the
// first of a pid namespace, or the worker in it.
const stage = "TARE_VALIDATE_STAGE"

func main() {
	o := options{}
	flag.StringVar(&o.runtimes, "runtimes", "tare-oci,crun,runc", "runtimes, the judged one first; a name or a path")
	flag.StringVar(&o.only, "run", "", "programs to run, separated by commas; all when empty")
	flag.BoolVar(&o.markdown, "md", false, "print the table of docs/conformance.md")
	flag.BoolVar(&o.verbose, "v", false, "print what programs that fail print")
	flag.DurationVar(&o.timeout, "timeout", 2*time.Minute, "time for one program")
	flag.Parse()
	var code int
	var err error
	switch os.Getenv(stage) {
	case "":
		code, err = enter()
	case "init":
		code, err = reap()
	default:
		code, err = o.judge()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "validate:", err)
		os.Exit(2)
	}
	os.Exit(code)
}

// enter runs this program again in mount, pid and ipc namespaces of its own,
// so that whatever a runtime leaves behind ends with it.
func enter() (int, error) {
	cmd := again("init")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	return exitCode(cmd.Run())
}

// reap is process 1: it waits for the worker, and for every orphan.
func reap() (int, error) {
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"tmpfs", "/run", "tmpfs", syscall.MS_NOSUID}, // the runtimes' states
	} {
		if err := syscall.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return 0, fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	// crun 1.8 gives /dev/null to the container's user when it is stdin.
	if err := errors.Join(
		syscall.Mknod("/run/null", syscall.S_IFCHR|0o666, 1<<8|3),
		os.Chmod("/run/null", 0o666),
		syscall.Mount("/run/null", "/dev/null", "", syscall.MS_BIND, ""),
	); err != nil {
		return 0, err
	}
	// crun 1.8 refuses a v2 hierarchy beside those of v1: nobody gets it.
	if err := syscall.Unmount("/sys/fs/cgroup/unified", syscall.MNT_DETACH); err != nil &&
		!errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
		return 0, err
	}
	cmd := again("worker")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return 0, err
		}
		if pid == cmd.Process.Pid {
			return status.ExitStatus(), nil
		}
	}
}

func again(as string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), stage+"="+as)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

func exitCode(err error) (int, error) {
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		return ee.ExitCode(), nil
	}
	return 0, err
}

type options struct {
	runtimes, only    string
	markdown, verbose bool
	timeout           time.Duration
}

// judge runs everything and prints the table.
func (o *options) judge() (int, error) {
	before := cgroups()
	defer func() { sweep(before) }()
	dir, err := os.MkdirTemp("", "validate")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	programs, err := build(dir)
	if err != nil {
		return 0, err
	}
	if o.only != "" {
		wanted := strings.Split(o.only, ",")
		programs = slices.DeleteFunc(programs, func(p string) bool { return !slices.Contains(wanted, p) })
	}
	var runtimes []string
	for r := range strings.SplitSeq(o.runtimes, ",") {
		path, err := exec.LookPath(r)
		if err != nil {
			fmt.Fprintf(os.Stderr, "validate: SKIP %s: %v\n", r, err)
			continue
		}
		if path, err = filepath.Abs(path); err != nil {
			return 0, err
		}
		runtimes = append(runtimes, path)
	}
	if len(runtimes) == 0 {
		return 0, errors.New("no runtime to judge")
	}
	t := &table{runtimes: runtimes}
	for _, p := range programs {
		row := row{program: p}
		for _, r := range runtimes {
			row.results = append(row.results, o.run(dir, p, r))
			sweep(before)
		}
		t.rows = append(t.rows, row)
		if !o.markdown {
			fmt.Println(row.line(runtimes))
		}
	}
	if o.markdown {
		t.markdown(os.Stdout)
	}
	return t.verdict(os.Stdout), nil
}

// build compiles the validation programs and returns their names.
func build(dir string) ([]string, error) {
	list, err := command("go", "list", "-f", "{{.ImportPath}}", "tool").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	cmd := command("go", "build", "-o", dir+"/", "tool")
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0") // runtimetest runs in the container
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	out, err := command("go", "list", "-m", "-f", "{{.Dir}}", tools).Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	roots, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "rootfs-*.tar.gz"))
	if err != nil {
		return nil, err
	}
	for _, r := range roots {
		if err := os.Symlink(r, filepath.Join(dir, filepath.Base(r))); err != nil {
			return nil, err
		}
	}
	var programs []string
	for p := range strings.FieldsSeq(string(list)) {
		if name, ok := strings.CutPrefix(p, tools+"/validation/"); ok {
			programs = append(programs, name)
		}
	}
	return programs, nil
}

func command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, stage) })
	return cmd
}

// run runs one program with one runtime.
func (o *options) run(dir, program, runtime string) result {
	tmp, err := os.MkdirTemp(dir, "run")
	if err != nil {
		return result{err: err.Error()}
	}
	defer os.RemoveAll(tmp)
	cmd := command(filepath.Join(dir, program))
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "RUNTIME="+runtime, "TMPDIR="+tmp)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // a container may hold the pipe
	if err := cmd.Start(); err != nil {
		return result{err: err.Error()}
	}
	timer := time.AfterFunc(o.timeout, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err = cmd.Wait()
	r := parse(out.String())
	switch {
	case !timer.Stop():
		r.err = "no end within " + o.timeout.String()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		r.err = err.Error()
		if len(r.failed) == 0 {
			r.err = lastLine(out.String())
		}
	}
	if o.verbose && r.status() == fail {
		fmt.Printf("--- %s with %s\n%s\n", program, runtime, out.String())
	}
	endContainers(runtime)
	return r
}

// endContainers removes what a program left.
func endContainers(runtime string) {
	out, err := command(runtime, "list", "--format", "json").Output()
	if err != nil {
		return
	}
	var list []struct{ ID string }
	if json.Unmarshal(out, &list) != nil {
		return
	}
	for _, c := range list {
		_ = command(runtime, "delete", "--force", c.ID).Run() // the namespace's end takes the rest
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
