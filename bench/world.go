package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/bench/apart"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/spec/seccomp"
)

// world is what the engines need: a root directory, a bundle, images.
type world struct {
	dir, bin string
	bare     bool // no container is made, and no other engine asked
	vars     map[string]string
	unready  map[string]string // engine → why it cannot run
	foreign  []string          // podman's cgroups that were there before
}

func (w *world) expand(s string, round int) string {
	s = strings.ReplaceAll(s, "{id}", "tare-bench-"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(round))
	for k, v := range w.vars {
		s = strings.ReplaceAll(s, "{"+k+"}", v)
	}
	return s
}

func (w *world) prepare() error {
	w.unready = map[string]string{}
	if w.bare {
		return w.makePrograms()
	}
	w.foreign = podmanCgroups()
	w.vars["bundle"] = filepath.Join(w.dir, "bundle")
	w.vars["rootfs"] = filepath.Join(w.dir, "bundle", "rootfs")
	w.vars["podman"] = fmt.Sprintf("--root %s/podman --runroot %s/podman-run --cgroup-manager cgroupfs", w.dir, w.dir)
	var nofile, nproc unix.Rlimit
	if err := errors.Join(unix.Getrlimit(unix.RLIMIT_NOFILE, &nofile), unix.Getrlimit(unix.RLIMIT_NPROC, &nproc)); err != nil {
		return err
	}
	// podman lowers its own process limit to 32768 and could not raise it again
	procs := min(nproc.Max, 32768)
	w.vars["ulimits"] = fmt.Sprintf("--ulimit nofile=%d:%d --ulimit nproc=%d:%d", nofile.Max, nofile.Max, procs, procs)
	if err := w.makeRoot(); err != nil {
		return err
	}
	if err := w.makeBundle(); err != nil {
		return err
	}
	if err := w.makePrograms(); err != nil {
		return err
	}
	if err := w.prepareOCI(); err != nil {
		return err
	}
	w.try("podman", "podman "+w.vars["podman"]+" import -q {work}/rootfs.tar {image}")
	w.try("docker", "docker import {work}/rootfs.tar {image}")
	w.try("tare", "{bin}/tare --root {work}/tare --run-root {work}/tare-run import {work}/rootfs.tar {image}")
	return nil
}

// try runs a preparation; where it fails the engine is left out.
func (w *world) try(engine, command string) {
	args := strings.Fields(w.expand(command, 0))
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l := strings.Split(strings.TrimSpace(string(out)), "\n")
		w.unready[engine] = "not ready: " + l[len(l)-1]
	}
}

// makeRoot is a tree of the machine's static busybox, as a directory and as
// an archive.
func (w *world) makeRoot() error {
	root := w.vars["rootfs"]
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "root", "run"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	src, err := exec.LookPath("busybox")
	if err != nil {
		return errors.New("busybox-static is not installed")
	}
	b, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), b, 0o755); err != nil {
		return err
	}
	for _, a := range []string{"true", "sh", "sleep", "cat"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", a)); err != nil {
			return err
		}
	}
	files := map[string]string{"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n", "hosts": "", "resolv.conf": ""}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return exec.Command("tar", "-C", root, "-cf", filepath.Join(w.dir, "rootfs.tar"), ".").Run()
}

// makeBundle writes the bundle for the OCI runtimes, equal to what Docker
// gives a container that nothing is asked of.
func (w *world) makeBundle() error {
	s, err := benchSpec([]string{"/bin/true"}, "rootfs", "/tare-bench-"+strconv.Itoa(os.Getpid()))
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.vars["bundle"], "config.json"), b, 0o600)
}

func benchSpec(args []string, root, cgroup string) (*specs.Spec, error) {
	caps := capability.Default().Names()
	s, err := oci.Compose(oci.Default(nil),
		oci.Root(root, false),
		oci.Process(args, []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, "/", specs.User{}, false),
		oci.Capabilities(caps),
		oci.Hostname("bench", ""),
		oci.CgroupsPath(cgroup),
	)
	if err != nil {
		return nil, err
	}
	s.Linux.Seccomp = seccomp.Default(seccomp.Host{Caps: caps, Kernel: kernel()})
	return s, nil
}

// makePrograms builds the programs that do nothing.
func (w *world) makePrograms() error {
	src := filepath.Join(w.dir, "empty.go")
	if err := os.WriteFile(src, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return err
	}
	c := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(w.dir, "empty-go"), src)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build an empty program: %s", out)
	}
	for name, text := range map[string]string{"launch": launchSource, "floor": floorSource, "empty-c": "int main(void) { return 0; }\n"} {
		src := filepath.Join(w.dir, name+".c")
		if err := os.WriteFile(src, []byte(text), 0o600); err != nil {
			return err
		}
		out, err := exec.Command("gcc", "-O2", "-static", "-o", filepath.Join(w.dir, name), src).CombinedOutput()
		if err != nil {
			return fmt.Errorf("build %s.c (gcc and libc6-dev are needed): %w\n%s", name, err, out)
		}
	}
	return nil
}

// cgroups that podman leaves behind, one in every hierarchy.
const podmanCgroup = "libpod_parent"

// podmanCgroups lists those that are there.
func podmanCgroups() []string { return apart.Cgroups(podmanCgroup) }

func (w *world) cleanUp() {
	if !w.bare {
		w.cleanUpEngines()
	}
	if err := os.RemoveAll(w.dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

func (w *world) cleanUpEngines() {
	w.cleanUpOCI()
	if _, err := exec.LookPath("podman"); err == nil {
		for _, verb := range []string{"rm -af", "rmi -af"} {
			_ = exec.Command("podman", strings.Fields(w.vars["podman"]+" "+verb)...).Run()
		}
		for _, dir := range podmanCgroups() {
			if !slices.Contains(w.foreign, dir) {
				apart.RemoveCgroup(dir)
			}
		}
		// its storage is a bind mount on itself while it is used
		_ = unix.Unmount(filepath.Join(w.dir, "podman/overlay"), unix.MNT_DETACH)
	}
	if w.unready["docker"] == "" {
		_ = exec.Command("docker", "rmi", w.vars["image"]).Run()
	}
}
