package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/bench/apart"
)

func (e *engine) shell(command string, m *bimage) *exec.Cmd {
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), "W="+e.dir)
	if m != nil {
		var digests, files []string
		for _, l := range m.layers {
			digests = append(digests, l.digest)
			files = append(files, l.file)
		}
		cmd.Env = append(cmd.Env, "REF="+m.ref(), "BLOBS="+strings.Join(digests, " "), "UNZIP="+m.unzip, "ARCHIVE="+m.archive, "TARS="+strings.Join(files, " "))
	}
	return cmd
}

// begin starts the engine's daemon, if it has one.
func (e *engine) begin(dir string) {
	e.dir = dir
	if _, err := exec.LookPath(e.needs); err != nil {
		e.unready = "not installed"
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		e.unready = err.Error()
		return
	}
	if e.daemon == "" {
		return
	}
	e.running = e.shell(e.daemon, nil)
	e.running.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.running.Start(); err != nil {
		e.unready, e.running = err.Error(), nil
		return
	}
	for range 300 {
		if e.shell(e.ready, nil).Run() == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	e.unready = "its daemon does not come up"
}

func (e *engine) end() {
	if e.running == nil {
		return
	}
	apart.EndGroup(e.running)
}

// measure pulls once into an empty store.
func (e *engine) measure(m *bimage, counts bool) {
	unix.Sync() // what the others have written is not this one's
	command := e.pull
	if m.archive != "" {
		command = e.load
	}
	cmd := e.shell(command, m)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begin).Seconds()
	if err != nil {
		l := strings.Split(strings.TrimSpace(string(out)), "\n")
		e.failed[m.tag] = l[len(l)-1]
		return
	}
	if counts {
		e.times[m.tag] = append(e.times[m.tag], took)
		if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok && e.daemon == "" {
			e.rss = max(e.rss, ru.Maxrss)
		}
	}
	if out, err := e.shell(e.clean, m).CombinedOutput(); err != nil {
		e.unready = "clean up: " + string(out)
	}
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return s[len(s)/2]
}

func report(images []*bimage, list []*engine, n int, dir string) {
	where := "tmpfs"
	if dir != "" {
		where = dir
	}
	fmt.Printf("Seconds, median of %d pulls into an empty store on %s, interleaved in random order.\n\n", n, where)
	fmt.Print("| engine |")
	for _, m := range images {
		total := int64(0)
		for _, l := range m.layers {
			total += l.size
		}
		fmt.Printf(" %s, %d MB |", m.tag, total/1e6)
	}
	fmt.Print(" peak RSS MiB |\n|---|" + strings.Repeat("---:|", len(images)+1) + "\n")
	for _, e := range list {
		fmt.Printf("| %s |", e.name)
		if e.unready != "" {
			fmt.Printf(" %s |\n", e.unready)
			continue
		}
		for _, m := range images {
			if e.failed[m.tag] != "" {
				fmt.Print(" – |")
				continue
			}
			fmt.Printf(" %.2f |", median(e.times[m.tag]))
		}
		if e.rss > 0 {
			fmt.Printf(" %d", e.rss>>10)
		}
		fmt.Print(" |\n")
	}
	for _, e := range list {
		for tag, why := range e.failed {
			fmt.Printf("\n%s, %s: %s\n", e.name, tag, why)
		}
	}
}
