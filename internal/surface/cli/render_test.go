package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *testkit.Update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run go test -update and look at git diff. Got:\n%s", file, got)
	}
}

func TestHelpGolden(t *testing.T) {
	global := Global()
	golden(t, "help.txt", help(&global, 0))
	for _, c := range Commands() {
		if !c.Hidden {
			golden(t, "help-"+c.Name+".txt", help(&c, 0))
		}
	}
	run := runCommand()
	text := help(&run, 80)
	golden(t, "help-run-80.txt", text)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "   ") && len(line) > 81 {
			t.Errorf("wider than the terminal: %q", line)
		}
	}
}

var testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func testContainers() []api.ContainerSummary {
	return []api.ContainerSummary{
		{
			ID: strings.Repeat("4f1d2c3b", 8), Name: "web", Image: "debian", Command: []string{"sh", "-c", "echo \"quoted\" and long"},
			Created: testNow.Add(-5 * time.Minute), Status: api.StatusRunning, Started: testNow.Add(-3 * time.Second),
			Labels: map[string]string{"b": "2", "a": "1"},
		},
		{
			ID: strings.Repeat("aa11bb22", 8), Name: "büro", Image: "tare/base", Command: []string{"true"},
			Created: testNow.Add(-50 * time.Hour), Status: api.StatusExited, ExitCode: 137, Finished: testNow.Add(-49 * time.Hour),
		},
		{ID: strings.Repeat("cc", 32), Name: "new", Image: "/srv/root", Command: []string{"sh"}, Created: testNow, Status: api.StatusCreated},
	}
}

func TestPsGolden(t *testing.T) {
	var b strings.Builder
	for _, p := range []psAction{
		{},
		{full: true},
		{quiet: true},
		{format: "{{.ID}}\\t{{ .Names }} {{.Status}}"},
		{format: "table {{.Names}}\\t{{.State}}"},
		{format: "{{json .}}"},
	} {
		text, err := p.render(New(), testContainers(), testNow)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(text + "\n")
	}
	// The local zone is the machine's.
	golden(t, "ps.txt", dropTimes(b.String()))
	if _, err := (&psAction{format: "{{range .}}"}).render(New(), testContainers(), testNow); err == nil {
		t.Error("a template with a range was taken")
	}
	if _, err := (&psAction{format: "{{.Nothing}}"}).render(New(), testContainers(), testNow); err == nil {
		t.Error("an unknown field was taken")
	}
}

func dropTimes(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, `"CreatedAt":"`)
		if i < 0 {
			return b.String() + s
		}
		i += len(`"CreatedAt":"`)
		b.WriteString(s[:i])
		s = s[i+strings.IndexByte(s[i:], '"'):]
	}
}

func TestPsJSON(t *testing.T) {
	text, err := (&psAction{format: "json"}).render(New(), testContainers(), testNow)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines([]byte(text)) {
		var row map[string]string
		if err := json.Unmarshal(line, &row); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if row["Names"] == "" || row["ID"] == "" {
			t.Errorf("%s lacks a name or an ID", line)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d lines, want 3", n)
	}
}

func TestImagesGolden(t *testing.T) {
	list := []api.ImageSummary{
		{ID: "sha256:" + strings.Repeat("0123456789abcdef", 4), Name: "debian", Tag: "bookworm", Created: testNow.Add(-15 * 24 * time.Hour), Size: 123_456_789},
		{ID: "sha256:" + strings.Repeat("ffee", 16), Size: 999},
	}
	var b strings.Builder
	for _, a := range []imagesAction{{}, {digests: true, full: true}, {quiet: true}, {quiet: true, full: true}, {format: "{{.Repository}}:{{.Tag}}"}} {
		text, err := a.render(New(), list, testNow)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(text + "\n")
	}
	golden(t, "images.txt", b.String())
}

func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{500 * time.Millisecond, "Less than a second"},
		{time.Second, "1 second"},
		{59 * time.Second, "59 seconds"},
		{61 * time.Second, "About a minute"},
		{59 * time.Minute, "59 minutes"},
		{65 * time.Minute, "About an hour"},
		{47 * time.Hour, "47 hours"},
		{13 * 24 * time.Hour, "13 days"},
		{15 * 24 * time.Hour, "2 weeks"},
		{70 * 24 * time.Hour, "2 months"},
		{800 * 24 * time.Hour, "2 years"},
	} {
		if got := duration(tt.d); got != tt.want {
			t.Errorf("duration(%v) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestSize(t *testing.T) {
	for _, tt := range []struct {
		n    int64
		want string
	}{{0, "0B"}, {999, "999B"}, {1000, "1kB"}, {123_456_789, "123MB"}, {1_234_567, "1.23MB"}, {5e9, "5GB"}} {
		if got := Size(tt.n); got != tt.want {
			t.Errorf("Size(%d) = %q, want %q", tt.n, got, tt.want)
		}
	}
}

func TestInfoGolden(t *testing.T) {
	golden(t, "info.txt", strings.Replace(infoText(&api.Info{
		Root: "/var/lib/tare", RunRoot: "/run/tare", Containers: 2, Running: 1, Images: 3, Kernel: "6.18.44", Arch: "amd64",
		OS: "Debian GNU/Linux 12 (bookworm)", NCPU: 2, MemTotal: 8 << 30, Cgroup: "hybrid", Controllers: []string{"cpu", "hugetlb(v2)"},
		StorageDriver: "overlay", Security: []string{"seccomp", "cgroupns"},
		Missing: []string{"CAP_SYS_RESOURCE: limits above the hard limit are clamped"},
	}), Version, "VERSION", 1))
}
