package archive

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/image/store"
)

// peer finds a program that tare has to get on with.
func peer(t *testing.T, name string) string {
	t.Helper()
	bin, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (test/setup.sh)", name)
	}
	return bin
}

func run(t *testing.T, bin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	// Mounts that storage drivers leave end with the namespace.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(bin), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// savedFiles saves the images of [docker] and an imported one in both forms.
func savedFiles(t *testing.T) (s *store.Store, dir string) {
	t.Helper()
	s, dir = newStore(t), t.TempDir()
	if _, err := Load(context.Background(), s, bytes.NewReader(docker(t)), LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	tree := tarOf(t, entry{"etc/", ""}, entry{"etc/motd", "hello"})
	if _, err := s.Import(context.Background(), store.Source{Reader: bytes.NewReader(tree)}, "imported:1", store.ImportOptions{Changes: []string{"CMD x"}}); err != nil {
		t.Fatal(err)
	}
	both := []string{"one:1", "imported:1"}
	for name, f := range map[string]struct {
		o    SaveOptions
		refs []string
	}{"docker.tar": {SaveOptions{}, both}, "oci.tar": {SaveOptions{OCI: true}, both}, "one.tar": {SaveOptions{OCI: true}, both[:1]}} {
		var b bytes.Buffer
		if err := Save(context.Background(), s, &b, f.refs, f.o); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s, dir
}

func loadFile(t *testing.T, path string) []Loaded {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := Load(context.Background(), newStore(t), f, LoadOptions{})
	if err != nil {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
	return list
}

// same fails unless the one image of an archive has the layers and the command
// of img. (skopeo writes a config anew when it changes the kind of manifest.)
func same(t *testing.T, list []Loaded, img store.Image) {
	t.Helper()
	if len(list) != 1 || !slices.Equal(list[0].Image.Layers, img.Layers) || !slices.Equal(list[0].Image.Config.Cmd, img.Config.Cmd) {
		t.Errorf("got %+v, want %+v", list, img)
	}
}

// TestSkopeo: skopeo reads what tare saves, and tare what skopeo writes.
func TestSkopeo(t *testing.T) {
	bin := peer(t, "skopeo")
	s, dir := savedFiles(t)
	for _, ref := range []string{"one:1", "imported:1"} {
		img, err := s.Resolve(ref, store.Platform{})
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range []string{"docker-archive:" + dir + "/docker.tar:" + ref, "oci-archive:" + dir + "/oci.tar:docker.io/library/" + ref} {
			for _, dst := range []string{"docker-archive:" + dir + "/out.tar:back:1", "oci-archive:" + dir + "/out.tar:back:1", "oci:" + dir + "/layout:back", "dir:" + dir + "/plain"} {
				_ = os.Remove(dir + "/out.tar")
				_ = os.RemoveAll(dir + "/layout")
				run(t, bin, "--insecure-policy", "copy", "-q", src, dst)
				switch kind, _, _ := strings.Cut(dst, ":"); kind {
				case "oci":
					list, err := LoadDir(context.Background(), newStore(t), dir+"/layout", LoadOptions{})
					if err != nil {
						t.Fatal(err)
					}
					same(t, list, img)
				case "dir": // skopeo's own; it verifies digests and diff ids
				default:
					list := loadFile(t, dir+"/out.tar")
					same(t, list, img)
					if got := names(list); got != "back:1" {
						t.Errorf("%s: name %s", dst, got)
					}
				}
			}
		}
	}
}

// TestPodman: podman loads what tare saves, and tare what podman saves.
func TestPodman(t *testing.T) {
	bin := peer(t, "podman")
	s, dir := savedFiles(t)
	global := []string{"--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"}
	podman := func(args ...string) string { return run(t, bin, append(global[:len(global):len(global)], args...)...) }
	for _, file := range []string{"docker.tar", "one.tar"} {
		podman("load", "-q", "-i", dir+"/"+file)
		got := podman("images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}")
		// podman refuses OCI archives with several images.
		refs := []string{"one:1", "imported:1"}
		if file == "one.tar" {
			refs = refs[:1]
		}
		for _, ref := range refs {
			img, err := s.Resolve(ref, store.Platform{})
			if err != nil {
				t.Fatal(err)
			}
			// Short names of docker's archives are local ones for podman.
			if !strings.Contains(got, img.ID+" docker.io/library/"+ref) && !strings.Contains(got, img.ID+" localhost/"+ref) {
				t.Errorf("%s: podman has\n%swant %s %s", file, got, img.ID, ref)
			}
		}
		if file == "one.tar" {
			podman("rmi", "-a", "-f")
			continue
		}
		for _, format := range []string{"docker-archive", "oci-archive"} {
			out := dir + "/podman-" + format
			podman("save", "-q", "--format", format, "-o", out, "localhost/imported:1")
			img, err := s.Resolve("imported:1", store.Platform{})
			if err != nil {
				t.Fatal(err)
			}
			list := loadFile(t, out)
			same(t, list, img)
			if names(list) != "localhost/imported:1" {
				t.Errorf("%s: loaded %s", format, names(list))
			}
		}
		podman("save", "-q", "-m", "-o", dir+"/multi", "localhost/imported:1", "localhost/one:1")
		if got := names(loadFile(t, dir+"/multi")); !strings.Contains(got, "imported:1") || !strings.Contains(got, "one:1") {
			t.Errorf("several: loaded %s", got)
		}
		podman("rmi", "-a", "-f")
	}
}

// TestDocker: docker loads what tare saves, and tare what docker saves. The
// daemon has namespaces and directories of its own.
func TestDocker(t *testing.T) {
	daemon, client := peer(t, "dockerd"), peer(t, "docker")
	peer(t, "containerd")
	s, dir := savedFiles(t)
	sock := "unix://" + dir + "/sock"
	cmd := exec.Command(daemon, "--data-root", dir+"/data", "--exec-root", dir+"/exec", "-H", sock, "-p", dir+"/pid",
		"--bridge", "none", "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Skipf("dockerd does not start: %v", err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	}()
	docker := func(args ...string) string { return run(t, client, append([]string{"-H", sock}, args...)...) }
	up := false
	for range 300 {
		if exec.Command(client, "-H", sock, "version").Run() == nil {
			up = true
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !up {
		t.Skipf("dockerd does not come up here:\n%s", log.String())
	}
	docker("load", "-i", dir+"/docker.tar")
	for _, ref := range []string{"one:1", "imported:1"} {
		img, err := s.Resolve(ref, store.Platform{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(docker("inspect", "--format", "{{.Id}}", ref)); got != img.ID {
			t.Errorf("docker has %s as %s, want %s", ref, got, img.ID)
		}
	}
	docker("save", "-o", dir+"/back.tar", "one:1", "imported:1")
	list := loadFile(t, dir+"/back.tar")
	if got := names(list); !strings.Contains(got, "one:1") || !strings.Contains(got, "imported:1") {
		t.Errorf("loaded %s", got)
	}
	for i := range list {
		if img, err := s.Resolve(list[i].Names[0], store.Platform{}); err != nil || img.ID != list[i].Image.ID {
			t.Errorf("%v came back as %s (%v)", list[i].Names, list[i].Image.ID, err)
		}
	}
}
