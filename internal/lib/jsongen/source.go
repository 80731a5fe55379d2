package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// source knows packages by their text.
type source struct {
	dir   string                    // where imports are resolved
	named map[string]*types.Package // those that are read too: nil until they are
}

// load gives the types of the package in dir, whose path is path. It reads the source, not a
// compiled package: after a change of a type, what was generated before may
// not compile. So out is left out, function bodies are ignored, and imports
// are known only as far as Import goes.
func (s *source) load(path, dir, out string) (*types.Package, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, file := range paths {
		if strings.HasSuffix(file, "_test.go") || filepath.Base(file) == out {
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no Go files in %s: %w", dir, os.ErrNotExist)
	}
	conf := types.Config{
		Importer:         s,
		IgnoreFuncBodies: true,
		Error:            func(error) {}, // a type that matters is refused where it is met
	}
	pkg, _ := conf.Check(path, fset, files, nil)
	return pkg, nil
}

// Import gives the packages that are named, and of others the types that are
// known here.
func (s *source) Import(path string) (*types.Package, error) {
	switch path {
	case "time":
		return declare(path, "Time", types.NewStruct(nil, nil)), nil
	case "encoding/json":
		return declare(path, "RawMessage", types.NewSlice(types.Typ[types.Byte])), nil
	case "io/fs":
		return fsPackage, nil
	case "os":
		pkg := types.NewPackage(path, path)
		pkg.Scope().Insert(types.NewTypeName(token.NoPos, pkg, "FileMode", fsPackage.Scope().Lookup("FileMode").Type()))
		pkg.MarkComplete()
		return pkg, nil
	}
	pkg, ok := s.named[path]
	if !ok {
		return nil, errors.New("not needed")
	}
	if pkg != nil {
		return pkg, nil
	}
	cmd := exec.Command("go", "list", "-f", "{{.Dir}}", path)
	cmd.Dir = s.dir
	dir, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	if pkg, err = s.load(path, strings.TrimSuffix(string(dir), "\n"), ""); err != nil {
		return nil, err
	}
	s.named[path] = pkg
	return pkg, nil
}

var fsPackage = declare("io/fs", "FileMode", types.Typ[types.Uint32])

func declare(path, name string, typ types.Type) *types.Package {
	pkg := types.NewPackage(path, filepath.Base(path))
	obj := types.NewTypeName(token.NoPos, pkg, name, nil)
	types.NewNamed(obj, typ, nil)
	pkg.Scope().Insert(obj)
	pkg.MarkComplete()
	return pkg
}

// field is a member of an object, or an embedded struct whose members are.
type field struct {
	path      string // the Go field
	name      string // the member; "" if embedded
	typ       types.Type
	omit      string // "", omitempty or omitzero
	embedded  *types.Named
	elsewhere bool // it means nothing on Linux
}

// fields lists the members of s in encoding/json's order.
func fields(s *types.Struct) ([]field, error) {
	var list []field
	for i := range s.NumFields() {
		v := s.Field(i)
		tag, tagged := reflect.StructTag(s.Tag(i)).Lookup("json")
		if tag == "-" || !v.Exported() && !v.Embedded() {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		f := field{path: v.Name(), name: name, typ: types.Unalias(v.Type()), omit: options}
		if on := reflect.StructTag(s.Tag(i)).Get("platform"); on != "" { // the runtime-spec's
			f.elsewhere = !slices.Contains(strings.Split(on, ","), "linux")
		}
		if v.Embedded() {
			named, ok := f.typ.(*types.Named)
			if _, isStruct := f.typ.Underlying().(*types.Struct); !ok || !isStruct || tagged {
				return nil, fmt.Errorf("%s: only plain structs can be embedded", v.Name())
			}
			f.embedded = named
		} else if name == "" {
			f.name = v.Name()
		}
		switch options {
		case "", "omitempty", "omitzero":
		default:
			return nil, fmt.Errorf("%s: option %q is not known", v.Name(), options)
		}
		if strings.ContainsFunc(f.name, func(r rune) bool {
			return r != '_' && (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9')
		}) {
			return nil, fmt.Errorf("%s: name %q is not plain", v.Name(), f.name)
		}
		list = append(list, f)
	}
	return list, nil
}

// unique refuses a member that s has twice: encoding/json has rules for it,
// which nobody should have to know.
func unique(s *types.Struct, seen map[string]bool) error {
	list, err := fields(s)
	if err != nil {
		return err
	}
	for _, f := range list {
		if f.embedded != nil {
			if err := unique(f.embedded.Underlying().(*types.Struct), seen); err != nil {
				return err
			}
			continue
		}
		if seen[f.name] {
			return fmt.Errorf("two members are called %s", f.name)
		}
		seen[f.name] = true
	}
	return nil
}
