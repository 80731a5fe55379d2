package structure

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// endFields are what tells of an end, by type; nil is every field.
var endFields = map[string][]string{
	"lib/exit.Outcome":              nil,
	"lib/exit.Seen":                 nil,
	"state.Record":                  {"Exited", "ExitCode", "ExitSignal", "OOM", "Cause", "Error", "Finished", "Receipt"},
	"state.Exec":                    {"Exited", "ExitCode", "Error", "Finished"},
	"engine/containers.Receipt":     nil,
	"engine/containers.ReceiptExit": nil,
	"attribute":                     {"exitCode", "execDuration"}, // of an event, by its text
}

// endWriters are the files, or packages, that write them.
var endWriters = map[string]string{
	"lib/exit.Outcome in lib/exit/":                                  "exit.Of",
	"lib/exit.Seen in lib/exit/":                                     "a wait status, and the note of an end that is read",
	"lib/exit.Seen in keeper/end.go":                                 "the keeper has seen it",
	"lib/exit.Seen in engine/containers/foreground.go":               "the command in the foreground has seen it",
	"lib/exit.Seen in engine/containers/mend.go":                     "who waits for a container in the foreground of another command",
	"lib/exit.Seen in engine/containers/remove.go":                   "it has been removed, and so killed",
	"lib/exit.Seen in state/load.go":                                 "nobody has seen it",
	"state.Record in state/outcome.go":                               "what exit.Of has made of it",
	"state.Record in state/record_json.go":                           "as it was written",
	"state.Record in engine/containers/end.go":                       "the receipt, once it is computed",
	"state.Exec in state/record_json.go":                             "as it was written",
	"state.Exec in engine/execs/":                                    "an exec ends in one function of its room",
	"engine/containers.Receipt in engine/containers/receipt.go":      "of the record and the cgroup",
	"engine/containers.Receipt in engine/containers/receipt_json.go": "as it was written",
	"engine/containers.ReceiptExit in engine/containers/receipt.go":  "of the record",
	"attribute in engine/containers/journal.go":                      "of the record",
	"attribute in engine/execs/":                                     "of a command in a container",
}

// TestWriters: an end is told by one function, and everything else is a view of
// it. Every assignment to what tells of one, every literal with it and every
// address that is taken of it has to be in the list, and the list has no more.
func TestWriters(t *testing.T) {
	exports := map[string]string{}
	for line := range strings.Lines(goList(t, "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./...")) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	used := map[string]bool{}
	wd, err := filepath.Abs(root + "/internal")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(goList(t, "-f", "{{.ImportPath}} {{.Dir}}{{range .GoFiles}} {{.}}{{end}}", "./cmd/...", "./internal/...")) {
		f := strings.Fields(line)
		var files []*ast.File
		for _, name := range f[2:] {
			file, err := parser.ParseFile(fset, f[1]+"/"+name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		w := &writers{t: t, fset: fset, root: wd, used: used, events: strings.HasPrefix(f[0], inside+"engine/")}
		w.info = types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
		conf := types.Config{Importer: imp, FakeImportC: true, Sizes: types.SizesFor("gc", "amd64")}
		if _, err := conf.Check(f[0], fset, files, &w.info); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			ast.Inspect(file, w.look)
		}
	}
	for what := range endWriters {
		if !used[what] {
			t.Errorf("%s: it writes nothing of an end", what)
		}
	}
}

type writers struct {
	t      *testing.T
	fset   *token.FileSet
	info   types.Info
	root   string
	events bool // the package writes some
	used   map[string]bool
}

func (w *writers) look(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, e := range n.Lhs {
			w.selected(e)
		}
	case *ast.IncDecStmt:
		w.selected(n.X)
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			w.selected(n.X)
		}
	case *ast.CompositeLit:
		w.literal(n)
	case *ast.BasicLit:
		if text := strings.Trim(n.Value, `"`); w.events && slices.Contains(endFields["attribute"], text) {
			w.writes(n, "attribute", text)
		}
	}
	return true
}

// selected looks at what is assigned to: x.F, and what is in it.
func (w *writers) selected(e ast.Expr) {
	for {
		switch x := e.(type) {
		case *ast.IndexExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SelectorExpr:
			if s := w.info.Selections[x]; s != nil && s.Kind() == types.FieldVal {
				w.field(x, s.Recv(), x.Sel.Name)
			}
			e = x.X
		default:
			return
		}
	}
}

func (w *writers) literal(n *ast.CompositeLit) {
	of := w.info.Types[n].Type
	s, ok := types.Unalias(of).Underlying().(*types.Struct)
	if !ok {
		return
	}
	for i, e := range n.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			w.field(n, of, kv.Key.(*ast.Ident).Name)
		} else {
			w.field(n, of, s.Field(i).Name())
		}
	}
}

func (w *writers) field(n ast.Node, of types.Type, name string) {
	of = types.Unalias(of)
	if p, ok := of.(*types.Pointer); ok {
		of = types.Unalias(p.Elem())
	}
	typ := strings.TrimPrefix(types.TypeString(of, nil), inside)
	if fields, ok := endFields[typ]; ok && (fields == nil || slices.Contains(fields, name)) {
		w.writes(n, typ, name)
	}
}

func (w *writers) writes(n ast.Node, typ, name string) {
	at := w.fset.Position(n.Pos())
	file, err := filepath.Rel(w.root, at.Filename)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, where := range []string{file, filepath.Dir(file) + "/"} {
		if what := fmt.Sprintf("%s in %s", typ, where); endWriters[what] != "" {
			w.used[what] = true
			return
		}
	}
	w.t.Errorf("%s:%d writes %s of %s", file, at.Line, name, typ)
}
