package structure

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// against are beginnings of error texts that say less than "verb object: cause":
// that something has failed is what an error is.
var against = regexp.MustCompile(`^(failed to|failure|unable to|could not|can't|couldn't|error |.* failed$)|[.!:,;\n ]$|\n|: : `)

// foreign are texts that Docker, runc or a library has, and that their users
// search for.
var foreign = map[string]string{
	"unable to find user %s: no matching entries in passwd file":    "Docker's",
	"unable to find group %s: no matching entries in group file":    "Docker's",
	"could not find the file %s":                                    "Docker's",
	"error gathering device information while adding device %s: %w": "Docker's",
	"ps: couldn't find PID field in ps output":                      "runc's",
	"intel rdt schema %q: does not begin with MB:":                  "the kernel's name has the colon",
	"couldn't find PID field in ps output":                          "Docker's",
	"exec failed: %w":                                               "runc's",
	"seccomp_init failed":                                           "libseccomp's function, in tests",
}

// TestErrors: an error text is "verb object: cause" in lower case, on one line and
// without a full stop. What a program may say is in the linter too (revive's
// error-strings); it does not know fault.New.
func TestErrors(t *testing.T) {
	used := map[string]bool{}
	files := 0
	for _, top := range []string{root + "/internal", root + "/cmd"} {
		err := filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "cmd/tare-base/") {
				return err // the userland's commands say what those of others say
			}
			files++
			return errorTexts(path, func(at token.Position, text string) {
				switch {
				case foreign[text] != "":
					used[text] = true
				case against.MatchString(text) || upper(text):
					t.Errorf("%s:%d: %q", strings.TrimPrefix(at.Filename, root+"/"), at.Line, text)
				}
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("%d files looked at", files)
	}
	for text := range foreign {
		if !used[text] {
			t.Errorf("nobody says %q", text)
		}
	}
}

// errorTexts calls f with each format that an error is made of in a file.
func errorTexts(path string, f func(token.Position, string)) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		arg, ok := makers[types.ExprString(call.Fun)]
		if !ok || arg >= len(call.Args) {
			return true
		}
		if lit, ok := call.Args[arg].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				f(fset.Position(lit.Pos()), text)
			}
		}
		return true
	})
	return nil
}

// makers are the functions that make an error of a format, and which of their
// arguments it is.
var makers = map[string]int{"errors.New": 0, "fmt.Errorf": 0, "fault.New": 1}

// upper says that a text begins with a capital that is no abbreviation's or
// name's: "Cannot", but not "CPU", "NUL" or "LISTEN_FDS".
func upper(text string) bool {
	return len(text) > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z'
}
