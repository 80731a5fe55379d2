package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// ociRuntimes are the programs that take a bundle, and what is in front of
// their commands.
func (w *world) ociRuntimes() [][2]string {
	return [][2]string{
		{"tare-oci", filepath.Join(w.bin, "tare-oci") + " --root " + w.dir + "/oci"},
		{"crun", "crun --root " + w.dir + "/crun"},
		{"runc", "runc --root " + w.dir + "/runc"},
	}
}

// lifecycle is a create, a start and a delete, as engines call them.
const lifecycle = `#!/bin/sh
id=$1 bundle=$2
shift 2
"$@" create --bundle "$bundle" "$id" && "$@" start "$id" && exec "$@" delete --force "$id"
`

// prepareOCI makes for each runtime a container that sleeps, for exec.
func (w *world) prepareOCI() error {
	w.vars["lifecycle"] = filepath.Join(w.dir, "lifecycle")
	if err := os.WriteFile(w.vars["lifecycle"], []byte(lifecycle), 0o700); err != nil { //nolint:gosec // a program
		return err
	}
	for _, rt := range w.ociRuntimes() {
		name, command := rt[0], rt[1]
		w.vars[name] = command
		dir := filepath.Join(w.dir, "sleep-"+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		s, err := benchSpec([]string{"/bin/sleep", "100000"}, w.vars["rootfs"], "/tare-bench-"+strconv.Itoa(os.Getpid())+"-"+name)
		if err != nil {
			return err
		}
		b, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600); err != nil {
			return err
		}
		// Its streams are /dev/null: nobody would see the end of a pipe.
		if err := w.oci(command, "run", "--detach", "--bundle", dir, "sleeper").Run(); err != nil {
			w.unready[name] = fmt.Sprintf("not ready: %v", err)
		}
	}
	return nil
}

func (w *world) oci(command string, args ...string) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{"-c", command + ` "$@"`, "sh"}, args...)...)
}

func (w *world) cleanUpOCI() {
	for _, rt := range w.ociRuntimes() {
		_ = w.oci(rt[1], "delete", "--force", "sleeper").Run()
	}
}
