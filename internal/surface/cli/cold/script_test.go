package cold

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/surface/cli"
	"github.com/tare-engine/tare/internal/surface/cli/cold/carriers"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tare": func() {
			app := cli.New()
			app.Cold, app.Template = Action, Template
			app.Carriers = carriers.Of(app)
			os.Exit(app.Main(os.Args[1:]))
		},
	})
}

// TestScript runs the command lines of testdata/script against a registry at
// $REG.
func TestScript(t *testing.T) {
	testkit.Root(t, "makes containers")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
			e.Defer(server.Close)
			e.Setenv("REG", strings.TrimPrefix(server.URL, "http://"))
			e.Setenv("TARE_ROOT", e.WorkDir+"/root")
			e.Setenv("TARE_RUN_ROOT", e.WorkDir+"/run")
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/home/.config")
			return nil
		},
	})
}
