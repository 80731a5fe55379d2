package budget

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/test/verify/rig"
)

// reached is put into encoding/json: each call says who has made it.
const reached = `package json

import (
	"os"
	"runtime"
	"strings"
)

func reached() {
	f, err := os.OpenFile(os.Getenv("` + reachedEnv + `"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		panic("encoding/json is reached, and cannot say so: " + err.Error())
	}
	stack := make([]byte, 4096)
	stack = stack[:runtime.Stack(stack, false)]
	f.WriteString(strings.Join(os.Args, " ") + "\n" + string(stack) + "\n")
	f.Close()
}
`

const reachedEnv = "TARE_TEST_JSON_LOG"

// TestNoReflection executes the commands that a container's life consists of
// by programs whose encoding/json writes down that it is called: there it
// costs 0.3 to 0.8 ms of each process, for tables of the types that it meets
// (docs/dependencies.md). inspect and a few others may call it.
func TestNoReflection(t *testing.T) {
	r := imported(t)
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(reachedEnv, log)
	r.Bin = talkative(t)
	// calls returns what has been written since the last call of it.
	calls := func() string {
		b, err := os.ReadFile(log)
		if err == nil {
			err = os.WriteFile(log, nil, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Run("tare", func(t *testing.T) { quietTare(t, r, calls) })
	t.Run("tare-oci", func(t *testing.T) { quietOCI(t, r, calls) })
}

func quietTare(t *testing.T, r *rig.Rig, calls func() string) {
	sleep := []string{image, "/bin/sleep", "1000"}
	healthy := append([]string{"run", "-d", "--name", "probed", "--health-cmd", "true", "--health-interval", "50ms", "--label", "x=y"}, sleep...)
	for _, args := range [][]string{
		{"run", "--rm", image, "/bin/true"},
		{"run", "--name", "one", image, "/bin/true"},
		{"start", "one"},
		{"wait", "one"},
		{"rm", "one"},
		append([]string{"create", "--name", "two"}, sleep...),
		{"start", "two"},
		{"exec", "two", "/bin/true"},
		{"exec", "-d", "two", "/bin/true"},
		{"stop", "-t", "0", "two"},
		{"restart", "two"},
		{"kill", "two"},
		{"wait", "two"},
		{"rm", "two"},
		healthy,
		{"pause", "probed"},
		{"unpause", "probed"},
		{"ps", "-a"},
		{"rm", "-f", "probed"},
		{"run", "-d", "--name", "again", "--restart", "on-failure:1", image, "/bin/sleep", "x"},
		{"wait", "again"},
		{"rm", "-f", "again"},
	} {
		res := r.Run(t, args...)
		if res.Code != 0 {
			t.Errorf("tare %v: exit code %d: %s", args, res.Code, res.Err)
		}
		if args[1] == "-d" && args[3] == "probed" {
			for end := time.Now().Add(20 * time.Second); r.Must(t, "ps", "-q", "--filter", "health=healthy") == ""; {
				if time.Now().After(end) {
					t.Fatal("no health check has succeeded")
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		if said := calls(); said != "" {
			t.Errorf("tare %s calls encoding/json:\n%s", strings.Join(args, " "), said)
		}
	}
	r.Must(t, append([]string{"create", "--name", "last"}, sleep...)...)
	r.Must(t, "inspect", "last")
	if calls() == "" {
		t.Error("inspect does not call encoding/json, or nobody would know")
	}
	r.Must(t, "rm", "last")
}

func quietOCI(t *testing.T, r *rig.Rig, calls func() string) {
	bundle, root := t.TempDir(), t.TempDir()
	// What a container holds of these streams must not hold the test.
	oci := func(args ...string) {
		t.Helper()
		cmd := exec.Command(r.Bin+"/tare-oci", append([]string{"--root", root}, args...)...)
		if err := cmd.Run(); err != nil {
			t.Errorf("tare-oci %v: %v", args, err)
		}
	}
	if err := os.MkdirAll(bundle+"/rootfs/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"proc", "sys", "dev"} {
		if err := os.Mkdir(bundle+"/rootfs/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	box, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bundle+"/rootfs/bin/busybox", box, 0o755); err != nil {
		t.Fatal(err)
	}
	oci("spec", "-b", bundle)
	if calls() == "" {
		t.Error("spec does not call encoding/json, or nobody would know")
	}
	b, err := os.ReadFile(bundle + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, edit := range [][2]string{
		{`"terminal": true`, `"terminal": false`},
		{`"sh"`, `"/bin/busybox", "sleep", "1000"`},
		{`"linux": {`, `"hooks": {"createRuntime": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true"}]}, "linux": {"cgroupsPath": "` + r.Parent + `/oci",`},
	} {
		if !strings.Contains(text, edit[0]) {
			t.Fatalf("no %s in %s", edit[0], text)
		}
		text = strings.Replace(text, edit[0], edit[1], 1)
	}
	if err := os.WriteFile(bundle+"/config.json", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"create", "-b", bundle, "c"},
		{"start", "c"},
		{"exec", "c", "/bin/busybox", "true"},
		{"pause", "c"},
		{"resume", "c"},
		{"kill", "c", "KILL"},
		{"delete", "-f", "c"},
	} {
		oci(args...)
		if said := calls(); said != "" {
			t.Errorf("tare-oci %s calls encoding/json:\n%s", strings.Join(args, " "), said)
		}
	}
}

// talkative returns a directory with tare, its keeper and tare-oci, built with
// an encoding/json that says when it is called.
func talkative(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("needs Go: %v", err)
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src/encoding/json")
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	replace := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(src, name)] = filepath.Join(dir, name)
	}
	replace("reached.go", reached)
	for name, functions := range map[string][]string{
		"decode.go": {"func Unmarshal("},
		"encode.go": {"func Marshal("},
		"indent.go": {"func Compact(", "func Indent("},
		"stream.go": {"func NewDecoder(", "func NewEncoder("},
	} {
		b, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, f := range functions {
			before, after, found := strings.Cut(text, "\n"+f)
			signature, body, ok := strings.Cut(after, "{\n")
			if !found || !ok {
				t.Fatalf("%s has no %q: a new Go?", name, f)
			}
			text = before + "\n" + f + signature + "{\n\treached()\n" + body
		}
		replace(name, text)
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build(t, bin+"/", "-overlay="+filepath.Join(dir, "overlay.json"), "../../cmd/tare", "../../cmd/tare-keeper", "../../cmd/tare-oci")
	return bin
}
