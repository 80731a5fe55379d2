package main

import (
	"fmt"
	"go/types"
	"strings"
)

// writeReader writes readT. Members of embedded structs are read where they
// stand in the text: among the others.
func (g *generator) writeReader(f function, s *types.Struct) error {
	g.uses[lib+"jsonread"] = true
	g.printf("\nfunc %s(r *jsonread.Reader, v *%s) {\nif r.Null() {\nreturn\n}\n", f.name(), g.typeName(f.typ))
	g.printf("for r.Begin('{'); r.More('}'); {\nswitch r.Key() {\n")
	if err := g.cases(s); err != nil {
		return err
	}
	g.printf("default:\nr.Skip()\n}\n}\n}\n")
	return nil
}

func (g *generator) cases(s *types.Struct) error {
	list, err := fields(s)
	if err != nil {
		return err
	}
	for _, f := range list {
		if f.embedded != nil {
			if err := g.plain(f.embedded); err != nil {
				return err
			}
			if err := g.cases(f.embedded.Underlying().(*types.Struct)); err != nil {
				return err
			}
			continue
		}
		g.printf("case %q:\n", f.name)
		if p, ok := f.typ.(*types.Pointer); ok && f.elsewhere {
			// It is refused, whatever is in it.
			g.printf("jsonread.Pointer(r, &v.%s, jsonread.Ignore[%s])\n", f.path, g.typeName(p.Elem()))
			continue
		}
		call, err := g.read("&v."+f.path, f.typ)
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		g.printf("%s\n", call)
	}
	return nil
}

// read returns the call that reads into p, the address of a value of type t.
func (g *generator) read(p string, t types.Type) (string, error) {
	t = types.Unalias(t)
	switch {
	case isForeign(t, "time.Time"):
		return fmt.Sprintf("jsonread.Time(r, %s)", p), nil
	case isForeign(t, "encoding/json.RawMessage"):
		return fmt.Sprintf("jsonread.Raw(r, %s)", p), nil
	}
	if err := g.plain(t); err != nil {
		return "", err
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch info := u.Info(); {
		case info&types.IsString != 0:
			return fmt.Sprintf("jsonread.String(r, %s)", p), nil
		case info&types.IsBoolean != 0:
			return fmt.Sprintf("jsonread.Bool(r, %s)", p), nil
		case info&types.IsUnsigned != 0:
			return fmt.Sprintf("jsonread.Uint(r, %s)", p), nil
		case info&types.IsInteger != 0:
			return fmt.Sprintf("jsonread.Int(r, %s)", p), nil
		}
	case *types.Struct:
		if named, ok := t.(*types.Named); ok {
			return fmt.Sprintf("%s(r, %s)", g.call(function{reader, named}), p), nil
		}
		if u.NumFields() == 0 {
			return fmt.Sprintf("jsonread.Empty(r, %s)", p), nil
		}
	case *types.Pointer:
		return g.readEach("Pointer", p, u.Elem())
	case *types.Slice:
		if types.Identical(t, types.NewSlice(types.Typ[types.String])) {
			return fmt.Sprintf("jsonread.Strings(r, %s)", p), nil
		}
		if err := notBytes(u.Elem()); err != nil {
			return "", err
		}
		return g.readEach("Slice", p, u.Elem())
	case *types.Array:
		if x, ok := strings.CutPrefix(p, "&"); ok {
			p = x
		}
		return g.readEach("Array", p+"[:]", u.Elem())
	case *types.Map:
		str := types.Typ[types.String]
		if types.Identical(t, types.NewMap(str, str)) {
			return fmt.Sprintf("jsonread.StringMap(r, %s)", p), nil
		}
		if !types.Identical(u.Key(), str) {
			return "", fmt.Errorf("%s: keys are not strings", t)
		}
		return g.readEach("Map", p, u.Elem())
	}
	return "", fmt.Errorf("%s is not known", t)
}

// readEach returns a call of a function of jsonread that takes one for its
// elements.
func (g *generator) readEach(helper, p string, elem types.Type) (string, error) {
	inner, err := g.read("v", elem)
	if err != nil {
		return "", err
	}
	name, direct := strings.CutSuffix(inner, "(r, v)")
	if !direct {
		name = fmt.Sprintf("func(r *jsonread.Reader, v *%s) { %s }", g.typeName(elem), inner)
	}
	return fmt.Sprintf("jsonread.%s(r, %s, %s)", helper, p, name), nil
}
