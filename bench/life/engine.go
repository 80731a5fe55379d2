package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/bench/apart"
)

func (e *engine) shell(command string, n, i int) *exec.Cmd {
	// sh expands what $X holds in words, so the directory is put in here.
	prefix := strings.ReplaceAll(e.command, "$W", e.dir)
	command = strings.NewReplacer("$X", prefix, "$RUN", e.run, "$W", e.dir).Replace(command)
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), "N="+strconv.Itoa(n), "I="+strconv.Itoa(i))
	return cmd
}

// begin starts the engine's daemon, if it has one, and brings the image in.
func (e *engine) begin(work string, n int) {
	e.times, e.failed = map[string][]float64{}, map[string]string{}
	e.dir = work + "/" + e.name
	if _, err := exec.LookPath(e.needs); err != nil {
		e.unready = "not installed"
		return
	}
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		e.unready = err.Error()
		return
	}
	if e.daemon != "" && !e.startDaemon() {
		return
	}
	if out, err := e.shell("$X import "+work+"/rootfs.tar "+image, n, 0).CombinedOutput(); err != nil {
		e.unready = "import: " + lastLine(out)
	}
}

func (e *engine) startDaemon() bool {
	e.running = e.shell(e.daemon, 0, 0)
	e.running.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.running.Start(); err != nil {
		e.unready, e.running = err.Error(), nil
		return false
	}
	for range 300 {
		if e.shell(e.ready, 0, 0).Run() == nil {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	e.unready = "its daemon does not come up"
	return false
}

func (e *engine) end() {
	if e.dir != "" && e.unready == "" {
		_ = e.shell("$X rm -f $($X ps -aq)", 0, 0).Run() // what a row that failed has left
	}
	if e.running != nil {
		apart.EndGroup(e.running)
	}
	if e.dir != "" {
		_ = unix.Unmount(e.dir+"/root/overlay", unix.MNT_DETACH) // podman's
	}
}

// live makes all containers, does everything with them, and removes them.
func (e *engine) live(n int) {
	unix.Sync() // what the others have written is not this one's
	for _, r := range rows() {
		for i := range r.each {
			cmd := e.shell(r.command, n, i+1)
			begin := time.Now()
			out, err := cmd.CombinedOutput()
			took := since(begin)
			if err != nil {
				e.failed[r.name] = lastLine(out)
				break
			}
			e.times[r.name] = append(e.times[r.name], took)
		}
		if strings.HasPrefix(r.name, "run") {
			e.times[memoryRow] = append(e.times[memoryRow], float64(pss(e.helpers))/1024/float64(n))
		}
	}
}

const memoryRow = "memory of the helpers, MiB for each container (PSS)"

// pss is the proportional set size in KiB of all processes of these names.
func pss(names []string) int64 {
	sum := int64(0)
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0
	}
	for _, dir := range dirs {
		comm, err := os.ReadFile(dir + "/comm")
		if err != nil || !slices.ContainsFunc(names, func(n string) bool { return n[:min(15, len(n))] == string(bytes.TrimSpace(comm)) }) {
			continue
		}
		text, err := os.ReadFile(dir + "/smaps_rollup")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					sum += kib
				}
			}
		}
	}
	return sum
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
