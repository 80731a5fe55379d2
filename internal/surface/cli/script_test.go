package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tare": func() { os.Exit(New().Main(os.Args[1:])) },
	})
}

// TestScript runs the command lines of testdata/script. None of them gets as
// far as starting a container, so none needs root.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("TARE_ROOT", e.WorkDir+"/root")
			e.Setenv("TARE_RUN_ROOT", e.WorkDir+"/run")
			return nil
		},
		UpdateScripts: *testkit.Update,
		Condition:     func(string) (bool, error) { return false, nil },
	})
}
