package compose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// pure is what a function that asks nobody may use.
var pure = map[string]bool{
	"io/fs": true, "maps": true, "path": true, "slices": true, "strconv": true, "strings": true, "bytes": true,
	"github.com/opencontainers/runtime-spec/specs-go": true,
	"api": true, "lib/fault": true, "spec/capability": true, "spec/oci": true, "spec/seccomp": true, "spec/userdb": true,
	"linux/host": true, // its type Facts alone
}

// TestPure: nothing here can find out anything by itself.
func TestPure(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !pure[strings.TrimPrefix(path, "github.com/tare-engine/tare/internal/")] {
				t.Errorf("%s imports %s", f, path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "host" && x.Obj == nil && s.Sel.Name != "Facts" {
					t.Errorf("%s uses host.%s", f, s.Sel.Name)
				}
			}
			return true
		})
	}
}
