package budget

import (
	"os/exec"
	"strings"
	"testing"
)

// TestTablesAreStatic: the tables of commands and flags are laid out by the
// linker. A setter that a call returns would be enough to have a package build
// its whole table at each start.
func TestTablesAreStatic(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "../../cmd/tare", "../../cmd/tare-oci")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for program, packages := range map[string][]string{"tare": {"internal/lib/flags", "internal/surface/cli"}, "tare-oci": {"internal/lib/flags", "internal/surface/runc"}} {
		symbols, err := exec.Command("go", "tool", "nm", dir+"/"+program).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packages {
			name := " github.com/tare-engine/tare/" + p
			if !strings.Contains(string(symbols), name+".") {
				t.Errorf("%s has nothing of package %s", program, p)
			}
			if strings.Contains(string(symbols), name+".init\n") {
				t.Errorf("%s: package %s has variables that are made at each start", program, p)
			}
		}
	}
}
