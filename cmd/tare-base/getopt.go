package main

import (
	"strings"
)

// options are the flags of one call: a short letter and its values.
type options map[byte][]string

func (o options) has(c byte) bool { return len(o[c]) > 0 }

// get returns the last value of flag c, or def.
func (o options) get(c byte, def string) string {
	if v := o[c]; len(v) > 0 {
		return v[len(v)-1]
	}
	return def
}

// getopt parses args by spec, in the notation of getopt(3): a letter is a
// flag, a letter with a colon takes a value. Words after a blank name long
// forms: "rp: recursive=r parents=p". Flags and operands may be mixed, except
// with a leading "+". An unknown flag ends the applet with code 2.
func (p *proc) getopt(args []string, spec string) (options, []string) {
	o, rest, bad := parseOptions(args, spec)
	if bad != "" {
		p.fatalf(2, "%s", bad)
	}
	return o, rest
}

func parseOptions(args []string, spec string) (o options, rest []string, bad string) {
	words := strings.Fields(spec)
	short := ""
	if len(words) > 0 && !strings.Contains(words[0], "=") {
		short, words = words[0], words[1:]
	}
	stop := strings.HasPrefix(short, "+")
	short = strings.TrimPrefix(short, "+")
	takes := func(c byte) (known, value bool) {
		i := strings.IndexByte(short, c)
		if i < 0 || c == ':' {
			return false, false
		}
		return true, i+1 < len(short) && short[i+1] == ':'
	}
	o = options{}
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		switch {
		case a == "--":
			return o, append(rest, args...), ""
		case strings.HasPrefix(a, "--"):
			name, val, has := strings.Cut(a[2:], "=")
			c := long(words, name)
			if c == 0 {
				return nil, nil, "unrecognized option '" + a + "'"
			}
			if _, value := takes(c); value && !has {
				if len(args) == 0 {
					return nil, nil, "option '" + a + "' requires an argument"
				}
				val, args = args[0], args[1:]
			}
			o[c] = append(o[c], val)
		case len(a) > 1 && a[0] == '-':
			for i := 1; i < len(a); i++ {
				known, value := takes(a[i])
				if !known {
					return nil, nil, "invalid option -- '" + a[i:i+1] + "'"
				}
				if !value {
					o[a[i]] = append(o[a[i]], "")
					continue
				}
				v := a[i+1:]
				if v == "" {
					if len(args) == 0 {
						return nil, nil, "option requires an argument -- '" + a[i:i+1] + "'"
					}
					v, args = args[0], args[1:]
				}
				o[a[i]] = append(o[a[i]], v)
				break
			}
		default:
			rest = append(rest, a)
			if stop {
				return o, append(rest, args...), ""
			}
		}
	}
	return o, rest, ""
}

// long returns the letter of a long flag, 0 if there is none.
func long(words []string, name string) byte {
	for _, w := range words {
		n, c, ok := strings.Cut(w, "=")
		if ok && n == name && c != "" {
			return c[0]
		}
	}
	return 0
}
