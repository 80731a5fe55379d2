package api

import (
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Filters are the values of --filter by name. Several values of one name are
// alternatives, except for labels, all of which must match.
type Filters map[string][]string

// Add takes name=value.
func (f *Filters) Add(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return fault.New(fault.Invalid, "bad format of filter (expected name=value)")
	}
	if *f == nil {
		*f = make(Filters)
	}
	name = strings.ToLower(strings.TrimSpace(name))
	(*f)[name] = append((*f)[name], strings.TrimSpace(value))
	return nil
}

// Only is an error if there is a filter of another name.
func (f Filters) Only(names ...string) error {
	for name := range f {
		if !slices.Contains(names, name) {
			return fault.New(fault.Invalid, "invalid filter '%s'", name)
		}
	}
	return nil
}

// Has reports whether there is a filter of this name.
func (f Filters) Has(name string) bool { return len(f[name]) > 0 }

// Exact reports whether v is one of the values, or none is asked for.
func (f Filters) Exact(name, v string) bool {
	return !f.Has(name) || slices.Contains(f[name], v)
}

// Prefix reports whether v begins with one of the values, or none is asked for.
func (f Filters) Prefix(name, v string) bool {
	return !f.Has(name) || slices.ContainsFunc(f[name], func(p string) bool { return strings.HasPrefix(v, p) })
}

// Labels reports whether the labels have all that are asked for under name,
// each as key or key=value.
func (f Filters) Labels(name string, labels map[string]string) bool {
	for _, want := range f[name] {
		key, value, given := strings.Cut(want, "=")
		if have, ok := labels[key]; !ok || given && have != value {
			return false
		}
	}
	return true
}

// Bool returns the value of a filter that is true or false; otherwise is what
// it is when nobody asked.
func (f Filters) Bool(name string, otherwise bool) (bool, error) {
	if !f.Has(name) {
		return otherwise, nil
	}
	is := [2]bool{}
	for _, v := range f[name] {
		switch strings.ToLower(v) {
		case "1", "true":
			is[1] = true
		case "0", "false":
			is[0] = true
		default:
			return false, fault.New(fault.Invalid, "invalid filter '%s=%s'", name, v)
		}
	}
	if is[0] == is[1] {
		return false, fault.New(fault.Invalid, "invalid filter '%s=%s'", name, strings.Join(f[name], ","))
	}
	return is[1], nil
}
