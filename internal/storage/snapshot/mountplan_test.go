package snapshot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func layers(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("/var/lib/tare/layers/%020d/fs", n-i)
	}
	return list
}

func (m Mount) print() string {
	var b strings.Builder
	if m.Bind != "" {
		fmt.Fprintf(&b, "bind %s\n", m.Bind)
	}
	for _, c := range m.Config {
		fmt.Fprintf(&b, "%s %s", c.Cmd, c.Key)
		if c.Value != "" {
			fmt.Fprintf(&b, " %q", c.Value)
		}
		if c.Open != "" {
			fmt.Fprintf(&b, " <%s>", c.Open)
		}
		b.WriteByte('\n')
	}
	if m.Base != "" {
		fmt.Fprintf(&b, "cd %s\nmount -o %s\n", m.Base, m.Options)
	}
	if m.ReadOnly {
		b.WriteString("read-only\n")
	}
	return b.String()
}

func TestMountPlanGolden(t *testing.T) {
	rw := func(n int) Snapshot { return Open("/var/lib/tare").At("c1", Parent{Lower: layers(n)}, false) }
	volatile := rw(2)
	volatile.Volatile = true
	view := Snapshot{Lower: layers(2), ReadOnly: true}
	odd := Snapshot{Lower: []string{`/a:b/c,d\e`, "/a:b/f"}, Upper: "/x,y/u", Work: "/x,y/w"}
	long := rw(2)
	long.Lower = []string{"/" + strings.Repeat("l", 255), "/b"}
	for _, tt := range []struct {
		name string
		s    Snapshot
		f    Features
	}{
		{"fd", volatile, FeaturesOf(6, 13)},
		{"path", volatile, FeaturesOf(6, 12)},
		{"legacy", volatile, FeaturesOf(5, 15)},
		{"rootless", volatile, Features{LayerFD: true, UserXattr: true}},
		{"view", view, FeaturesOf(6, 18)},
		{"view-legacy", view, FeaturesOf(5, 15)},
		{"view-one", Snapshot{Lower: layers(1), ReadOnly: true}, FeaturesOf(6, 18)},
		{"dir", Snapshot{Dir: "/srv/root"}, FeaturesOf(6, 18)},
		{"odd-names", odd, FeaturesOf(6, 8)},
		{"odd-names-fd", odd, FeaturesOf(7, 0)},
		{"long-path", long, FeaturesOf(6, 8)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := MountPlan(tt.s, tt.f)
			if err != nil {
				t.Fatal(err)
			}
			got := m.print()
			path := filepath.Join("testdata", tt.name+".golden")
			if *testkit.Update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || got != string(want) {
				t.Errorf("%v\ngot:\n%s\nwant:\n%s", err, got, want)
			}
		})
	}
}

func TestMountPlanLimits(t *testing.T) {
	snap := func(n int) Snapshot {
		return Open("/var/lib/tare").At(strings.Repeat("c", 64), Parent{Lower: layers(n)}, true)
	}
	m, err := MountPlan(snap(128), FeaturesOf(5, 15))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Options) > maxOptions {
		t.Errorf("128 layers take %d bytes", len(m.Options))
	}
	for _, tt := range []struct {
		n    int
		f    Features
		want string
	}{
		{200, FeaturesOf(5, 15), "mount overlay: 200 layers need 5037 bytes of options, mount takes 4095; Linux 6.8 has no such limit"},
		{501, FeaturesOf(6, 18), "mount overlay: 501 layers, the kernel takes 500"},
	} {
		_, err := MountPlan(snap(tt.n), tt.f)
		if err == nil || err.Error() != tt.want || fault.KindOf(err) != fault.Unsupported {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	if _, err := MountPlan(Snapshot{}, Features{}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no layers: %v", err)
	}
}
