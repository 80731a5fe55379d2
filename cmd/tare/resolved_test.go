package main

import (
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// versionTree is a root file system whose /version says which it is.
func versionTree(t *testing.T, version string) string {
	t.Helper()
	dir := plainRoot(t)
	for _, applet := range []string{"cat", "sh", "sleep"} {
		if err := os.Symlink("busybox", dir+"/bin/"+applet); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/version", []byte(version+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// versions returns what a container has logged: the version that each of its
// runs was of.
func versions(t *testing.T, r *rig.Rig, name string) string {
	t.Helper()
	return strings.Join(strings.Fields(r.Must(t, "logs", name)), " ")
}

// TestMovedTag: a container is of the image that it was made from, whatever
// the image's name means by now and whether it means anything at all.
func TestMovedTag(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, "import", versionTree(t, "first"), "app:1")
	id := strings.TrimSpace(r.Must(t, "images", "-q", "--no-trunc", "app:1"))
	sleep := func(name string, flags ...string) {
		r.Must(t, append(append([]string{"run", "-d", "--name", name}, flags...), "app:1", "sh", "-c", "cat /version; exec sleep 1000")...)
	}
	sleep("web")
	sleep("always", "--restart", "always")
	r.Must(t, "create", "--name", "later", "app:1", "cat", "/version")
	r.Must(t, "import", versionTree(t, "second"), "app:1")

	r.Must(t, "restart", "-t", "0", "web")
	eventually(t, "a second run", func() bool { return versions(t, r, "web") == "first first" })
	// The policy's own start, after a kill that tare did not send.
	for pid := range strings.FieldsSeq(r.Must(t, "inspect", "-f", "{{.State.Pid}}", "always")) {
		p, err := os.FindProcess(atoi(t, pid))
		if err != nil || p.Kill() != nil {
			t.Fatalf("kill %s: %v", pid, err)
		}
	}
	eventually(t, "the policy's start", func() bool { return versions(t, r, "always") == "first first" })
	if out := r.Must(t, "start", "-a", "later"); out != "first\n" {
		t.Errorf("a container that was created ran on %q", out)
	}

	// The image is in use: it stays, whatever is asked for, and the commands
	// that read its layers find them.
	if res := r.Run(t, "rmi", id); res.Code == 0 {
		t.Error("an image was removed under containers that run")
	}
	r.Must(t, "image", "prune", "-a", "-f") // the name goes, and with it the other image
	r.Must(t, "image", "gc", "--dangling", "1ns", "--unused", "1ns")
	r.Must(t, "exec", "web", "sh", "-c", "echo new >/new")
	if out := r.Must(t, "diff", "web"); out != "A /new\n" {
		t.Errorf("diff: %q", out)
	}
	r.Must(t, "commit", "web", "made:1")
	if out := r.Must(t, "run", "--rm", "made:1", "cat", "/version", "/new"); out != "first\nnew\n" {
		t.Errorf("committed: %q", out)
	}
	tar := t.TempDir() + "/web.tar"
	r.Must(t, "export", "-o", tar, "web")
	if b, err := os.ReadFile(tar); err != nil || !strings.Contains(string(b), "first\n") {
		t.Errorf("exported: no version, %v", err)
	}
	r.Must(t, "restart", "-t", "0", "web")
	r.Must(t, "start", "later")
	r.Must(t, "wait", "later")

	reboot(t, r)
	r.Must(t, "system", "boot")
	eventually(t, "a start at boot", func() bool { return versions(t, r, "always") == "first first first" })
	if out := r.Must(t, "cp", "later:/version", "-"); !strings.Contains(out, "first\n") {
		t.Errorf("copied out of a stopped container: %q", out)
	}
	r.Must(t, "rm", "-f", "web", "always", "later")
	r.Must(t, "rmi", "made:1")
}

// TestMovedName: what a container joins, takes volumes from, or requires is
// the container that had the name when it was made.
func TestMovedName(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, "run", "-d", "--name", "db", "-v", "/data", "--ipc", "shareable", "tare/base", "sh", "-c", "echo first >/data/v; exec sleep 1000")
	r.Must(t, "exec", "db", "sh", "-c", "until [ -s /data/v ]; do :; done")
	r.Must(t, "create", "--name", "web", "--requires", "db", "--volumes-from", "db", "--ipc", "container:db", "--network", "container:db",
		"tare/base", "sh", "-c", "cat /data/v; readlink /proc/self/ns/net")
	r.Must(t, "rename", "db", "old")
	r.Must(t, "create", "--name", "db", "tare/base", "true")
	want := "first\n" + r.Must(t, "exec", "old", "readlink", "/proc/self/ns/net")
	if out := r.Must(t, "start", "-a", "web"); out != want {
		t.Errorf("web has %q, want %q", out, want)
	}
	r.Must(t, "stop", "-t", "0", "old")
	if out := r.Must(t, "start", "-a", "web"); !strings.HasPrefix(out, "first\n") {
		t.Errorf("web has %q", out)
	}
	if got := state(t, r, "old"); got != "running 0" {
		t.Errorf("what web requires was not started: %s", got)
	}
	if got := state(t, r, "db"); got != "created 0" {
		t.Errorf("another container was started: %s", got)
	}
	// Its volumes are there when the other container is not.
	if res := r.Run(t, "create", "--requires", "nobody", "tare/base", "true"); res.Code == 0 || !strings.Contains(res.Err, "nobody") {
		t.Errorf("made with what is not there: %+v", res)
	}
	r.Must(t, "rm", "-f", "web", "old", "db")
}

// TestMovedIDMap: a container's files keep their owners when other ids are set
// aside for containers.
func TestMovedIDMap(t *testing.T) {
	r := keptRig(t) // not parallel: the tests share /etc/subuid
	if res := r.Run(t, "run", "--rm", "--userns", "private", "tare/base", "true"); res.Code != 0 {
		t.Skipf("no user namespace here: %s", res.Err)
	}
	r.Must(t, "run", "-d", "--name", "web", "--userns", "private", "tare/base", "sh", "-c", "touch /mine; stat -c %u /mine; cat /proc/self/uid_map; exec sleep 1000")
	eventually(t, "its first run", func() bool { return strings.Count(r.Must(t, "logs", "web"), "\n") == 2 })
	first := versions(t, r, "web")
	subIDs(t, "tare:300000:65536\n")
	defer subIDs(t, "tare:100000:65536\n")
	r.Must(t, "restart", "-t", "0", "web")
	eventually(t, "its second run", func() bool { return versions(t, r, "web") == first+" "+first })
	r.Must(t, "rm", "-f", "web")
}

// subIDs rewrites the ids that are set aside, as these tests see them.
func subIDs(t *testing.T, text string) {
	t.Helper()
	for _, f := range []string{"/etc/subuid", "/etc/subgid"} {
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
