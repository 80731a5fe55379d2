package budget

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// needTracing skips the test where strace is missing or may not trace.
func needTracing(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	if out, err := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "/bin/true").CombinedOutput(); err != nil {
		t.Skipf("needs ptrace: %v: %s", err, out)
	}
}

// traced prepares tare below strace, which prints nothing but calls, and no
// strings but paths.
func traced(r *rig.Rig, log string, args ...string) *exec.Cmd {
	tare := r.Command(args...)
	cmd := exec.Command("strace", append([]string{"-f", "-qq", "-s", "0", "-o", log, tare.Path}, tare.Args[1:]...)...)
	cmd.Env = tare.Env
	return cmd
}

// reader counts the system calls of a trace.
type reader struct {
	program string // of the container: a process that has executed it counts no more
	counts  map[string]int

	group  map[string]string // thread → its process
	thread map[string]bool   // threads inside a clone that makes a thread
	done   map[string]bool   // processes that count no more
	keeper map[string]bool   // processes that do when they wait
}

// count reads a strace log: the calls of every process of a command, by name,
// up to the container's own program and to the first time that a keeper
// waits, and without the Go runtime's.
func count(t *testing.T, log, program string) map[string]int {
	t.Helper()
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := reader{
		program: program, counts: map[string]int{},
		group: map[string]string{}, thread: map[string]bool{}, done: map[string]bool{}, keeper: map[string]bool{},
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r.line(lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return r.counts
}

// line takes one line, "TID call(arguments) = result", or the two halves of a
// call that another thread's has come between: "TID call(arguments
// <unfinished ...>" and "TID <... call resumed>rest) = result".
func (r *reader) line(s string) {
	tid, s, _ := strings.Cut(s, " ")
	s = strings.TrimLeft(s, " ")
	pid := tid
	if g := r.group[tid]; g != "" {
		pid = g
	}
	name, args, call := strings.Cut(s, "(")
	if strings.HasPrefix(s, "<... ") {
		call = false
		name, _, _ = strings.Cut(s[len("<... "):], " ")
	}
	if name == "clone" || name == "clone3" {
		if call {
			r.thread[tid] = strings.Contains(args, "CLONE_THREAD")
		}
		if made := s[strings.LastIndex(s, " ")+1:]; r.thread[tid] && !strings.HasSuffix(s, "<unfinished ...>") {
			r.group[made] = pid
		}
	}
	if !call || r.done[pid] {
		return
	}
	if r.keeper[pid] && (name == "poll" || name == "ppoll") {
		r.done[pid] = true
		return
	}
	if !goRuntime(name, args) {
		r.counts[name]++
	}
	if path, ok := strings.CutPrefix(args, `"`); ok && name == "execve" {
		path, _, _ = strings.Cut(path, `"`)
		r.done[pid] = path == r.program
		r.keeper[pid] = strings.HasSuffix(path, "/tare-keeper")
	}
}

// goRuntime tells whether a call is the Go runtime's own, of which there are
// more or fewer from run to run: of its scheduler and its threads, of signals
// that it sends to itself to switch goroutines (getpid and tgkill), of its
// poller, of its heap, and the kernel's own after a stop (restart_syscall).
// The few calls of those names that tare makes are not counted either.
func goRuntime(name, args string) bool {
	switch name {
	case "futex", "madvise", "nanosleep", "sched_yield", "tgkill", "getpid", "gettid", "sigaltstack", "restart_syscall":
		return true
	case "clone", "clone3":
		return strings.Contains(args, "CLONE_THREAD")
	case "mmap":
		return strings.Contains(args, "MAP_PRIVATE") && strings.Contains(args, "MAP_ANONYMOUS")
	case "prctl":
		return strings.HasPrefix(args, "PR_SET_VMA,") // names of mmaps, where the kernel takes them
	}
	return strings.HasPrefix(name, "rt_sig") || strings.HasPrefix(name, "epoll_")
}

func TestTrace(t *testing.T) {
	log := t.TempDir() + "/log"
	text := strings.Join([]string{
		`10    execve("/bin/tare", [""...], 0x7ff /* 2 vars */) = 0`,
		`10    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f`,
		`10    mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3, 0) = 0x7f`,
		`10    clone(child_stack=0xc0, flags=CLONE_VM|CLONE_THREAD <unfinished ...>`,
		`11    gettid( <unfinished ...>`,
		`10    <... clone resumed>, tls=0xc0) = 11`,
		`11    <... gettid resumed>)                  = 11`,
		`11    clone3({flags=CLONE_NEWPID, exit_signal=SIGCHLD}, 88) = 12`,
		`12    close(4)                          = 0`,
		`12    execve("/bin/true", [""...], 0x7ff <unfinished ...>`,
		`11    read(3,  <unfinished ...>`,
		`12    <... execve resumed>)             = 0`,
		`12    close(5)                          = 0`,
		`11    <... read resumed>"", 1)          = 0`,
		`11    execve("/bin/tare-keeper", [""...], 0x7ff /* 2 vars */) = 0`,
		`10    <... execve resumed>)             = 0`,
		`10    openat(AT_FDCWD, "/x", O_RDONLY)  = -1 ENOENT (No such file or directory)`,
		`10    ppoll([], 0, NULL, NULL, 8)       = 1`,
		`10    close(6)                          = 0`,
	}, "\n")
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := list("", count(t, log, "/bin/true"))
	if want := "total 8\nclone3 1\nclose 1\nexecve 3\nmmap 1\nopenat 1\nread 1\n"; got != want {
		t.Errorf("counted\n%swant\n%s", got, want)
	}
}
