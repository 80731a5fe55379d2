package main

import (
	"errors"
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// value returns the expression that appends x, of type t, to dst.
func (g *generator) value(dst, x string, t types.Type) (string, error) {
	t = types.Unalias(t)
	switch {
	case isForeign(t, "time.Time"):
		return fmt.Sprintf("jsonappend.Time(%s, %s)", dst, x), nil
	case isForeign(t, "encoding/json.RawMessage"):
		return fmt.Sprintf("jsonappend.Raw(%s, %s)", dst, x), nil
	}
	if err := g.plain(t); err != nil {
		return "", err
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return g.basic(dst, x, t, u)
	case *types.Struct:
		if named, ok := t.(*types.Named); ok {
			return fmt.Sprintf("%s(%s, %s)", g.call(function{object, named}), dst, address(x)), nil
		}
		if u.NumFields() == 0 {
			return fmt.Sprintf("append(%s, `{}`...)", dst), nil
		}
	case *types.Pointer:
		return g.each("Pointer", dst, x, u.Elem())
	case *types.Slice:
		if types.Identical(u.Elem(), types.Typ[types.String]) {
			return fmt.Sprintf("jsonappend.Strings(%s, %s)", dst, x), nil
		}
		return g.list(dst, x, u.Elem())
	case *types.Array:
		return g.list(dst, x+"[:]", u.Elem())
	case *types.Map:
		if !types.Identical(u.Key(), types.Typ[types.String]) {
			return "", fmt.Errorf("%s: keys are not strings", t)
		}
		if types.Identical(u.Elem(), types.Typ[types.String]) {
			return fmt.Sprintf("jsonappend.StringMap(%s, %s)", dst, x), nil
		}
		return g.each("Map", dst, x, u.Elem())
	}
	return "", fmt.Errorf("%s is not known", t)
}

// plain refuses types of packages that are not known, and those that say
// themselves how they are encoded.
func (g *generator) plain(t types.Type) error {
	named, ok := t.(*types.Named)
	if !ok {
		return nil
	}
	if !slices.Contains(g.own, named.Obj().Pkg()) {
		return fmt.Errorf("%s is of another package", t)
	}
	for _, method := range []string{"MarshalJSON", "MarshalText", "UnmarshalJSON", "UnmarshalText"} {
		if obj, _, _ := types.LookupFieldOrMethod(t, true, g.pkg, method); obj != nil {
			return fmt.Errorf("%s has %s", t, method)
		}
	}
	return nil
}

func (g *generator) basic(dst, x string, t types.Type, u *types.Basic) (string, error) {
	convert := func(to types.BasicKind) string {
		if types.Identical(t, types.Typ[to]) {
			return x
		}
		return fmt.Sprintf("%s(%s)", types.Typ[to], x)
	}
	info := u.Info()
	switch {
	case info&types.IsString != 0:
		return fmt.Sprintf("jsonappend.String(%s, %s)", dst, convert(types.String)), nil
	case info&types.IsBoolean != 0:
		g.uses["strconv"] = true
		return fmt.Sprintf("strconv.AppendBool(%s, %s)", dst, convert(types.Bool)), nil
	case info&types.IsUnsigned != 0:
		g.uses["strconv"] = true
		return fmt.Sprintf("strconv.AppendUint(%s, %s, 10)", dst, convert(types.Uint64)), nil
	case info&types.IsInteger != 0:
		g.uses["strconv"] = true
		return fmt.Sprintf("strconv.AppendInt(%s, %s, 10)", dst, convert(types.Int64)), nil
	}
	return "", fmt.Errorf("%s is not known", t)
}

// list is an array, but for bytes, which encoding/json writes in base64.
func (g *generator) list(dst, x string, elem types.Type) (string, error) {
	if err := notBytes(elem); err != nil {
		return "", err
	}
	return g.each("Slice", dst, x, elem)
}

func notBytes(elem types.Type) error {
	if b, ok := elem.Underlying().(*types.Basic); ok && b.Kind() == types.Byte {
		return errors.New("bytes are not known")
	}
	return nil
}

// each returns a call of a function of jsonappend that takes one for its
// elements.
func (g *generator) each(helper, dst, x string, elem types.Type) (string, error) {
	inner, err := g.value("b", "*v", elem)
	if err != nil {
		return "", err
	}
	name, direct := strings.CutSuffix(inner, "(b, v)")
	if !direct {
		param := "v"
		if !strings.Contains(inner, "*v") {
			param = "_"
		}
		name = fmt.Sprintf("func(b []byte, %s *%s) []byte { return %s }", param, g.typeName(elem), inner)
	}
	return fmt.Sprintf("jsonappend.%s(%s, %s, %s)", helper, dst, x, name), nil
}

// address is &x, for an x that may be *y.
func address(x string) string {
	if p, ok := strings.CutPrefix(x, "*"); ok {
		return p
	}
	return "&" + x
}

func isForeign(t types.Type, name string) bool {
	named, ok := t.(*types.Named)
	return ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path()+"."+named.Obj().Name() == name
}
