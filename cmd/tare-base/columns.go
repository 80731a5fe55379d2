package main

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func runCut(p *proc, args []string) {
	o, names := p.getopt(args, "d:f:c:b:s delimiter=d fields=f characters=c bytes=b only-delimited=s")
	spec := o.get('f', o.get('c', o.get('b', "")))
	if spec == "" {
		p.fatalf(1, "you must specify a list of bytes, characters, or fields")
	}
	in, err := ranges(spec)
	if err != nil {
		p.fatalf(1, "invalid list '%s'", spec)
	}
	d := o.get('d', "\t")
	p.each(names, func(_ string, r io.Reader) {
		_ = lines(r, func(l string) bool {
			parts, sep := []string(nil), ""
			switch {
			case !o.has('f'):
				parts = splitChars(l, o.has('b'))
			case !strings.Contains(l, d):
				if !o.has('s') {
					p.println(l)
				}
				return true
			default:
				parts, sep = strings.Split(l, d), d
			}
			var keep []string
			for i, s := range parts {
				if in(i + 1) {
					keep = append(keep, s)
				}
			}
			p.println(strings.Join(keep, sep))
			return true
		})
	})
}

func splitChars(s string, bytes bool) []string {
	var out []string
	for len(s) > 0 {
		n := 1
		if !bytes {
			_, n = utf8.DecodeRuneInString(s)
		}
		out = append(out, s[:n])
		s = s[n:]
	}
	return out
}

// ranges parses "1,3-5,7-" into a predicate.
func ranges(s string) (func(int) bool, error) {
	type span struct{ lo, hi int }
	var all []span
	for _, part := range strings.Split(s, ",") {
		a, b, ranged := strings.Cut(part, "-")
		r := span{1, 1 << 30}
		var err error
		if a != "" {
			if r.lo, err = strconv.Atoi(a); err != nil || r.lo < 1 {
				return nil, strconv.ErrSyntax
			}
		}
		switch {
		case !ranged:
			r.hi = r.lo
		case b != "":
			if r.hi, err = strconv.Atoi(b); err != nil {
				return nil, err
			}
		}
		if a == "" && b == "" || r.hi < r.lo {
			return nil, strconv.ErrSyntax
		}
		all = append(all, r)
	}
	return func(n int) bool {
		return slices.ContainsFunc(all, func(r span) bool { return n >= r.lo && n <= r.hi })
	}, nil
}

func runTr(p *proc, args []string) {
	o, rest := p.getopt(args, "+cCds complement=c delete=d squeeze-repeats=s")
	if len(rest) == 0 || len(rest) < 2 && !o.has('d') && !o.has('s') {
		p.fatalf(1, "usage: tr [-cds] SET1 [SET2]")
	}
	set1 := trSet(rest[0])
	var set2 []byte
	if len(rest) > 1 {
		set2 = trSet(rest[1])
	}
	if o.has('c') || o.has('C') {
		var inv []byte
		for c := 0; c < 256; c++ {
			if !slices.Contains(set1, byte(c)) {
				inv = append(inv, byte(c))
			}
		}
		set1 = inv
	}
	squeeze := set1
	if len(set2) > 0 {
		squeeze = set2
	}
	var to [256]int
	for c := range to {
		to[c] = c
	}
	for i, c := range set1 {
		switch {
		case o.has('d'):
			to[c] = -1
		case len(set2) > 0:
			to[c] = int(set2[min(i, len(set2)-1)])
		}
	}
	last := -1
	buf := make([]byte, 32<<10)
	for {
		n, err := p.in.Read(buf)
		for _, c := range buf[:n] {
			t := to[c]
			if t < 0 || o.has('s') && t == last && slices.Contains(squeeze, byte(t)) {
				continue
			}
			last = t
			_ = p.out.WriteByte(byte(t))
		}
		_ = p.out.Flush()
		if err != nil {
			return
		}
	}
}

// trSet expands ranges, classes and escapes.
func trSet(s string) []byte {
	classes := [...]struct{ name, members string }{
		{"[:upper:]", "A-Z"},
		{"[:lower:]", "a-z"},
		{"[:digit:]", "0-9"},
		{"[:alpha:]", "A-Za-z"},
		{"[:alnum:]", "0-9A-Za-z"},
		{"[:space:]", "\t-\r "},
		{"[:blank:]", "\t "},
		{"[:punct:]", "!-/:-@[-`{-~"},
		{"[:xdigit:]", "0-9A-Fa-f"},
		{"[:cntrl:]", "\x00-\x1f\x7f"},
		{"[:print:]", " -~"},
		{"[:graph:]", "!-~"},
	}
	for _, c := range classes {
		s = strings.ReplaceAll(s, c.name, c.members)
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			switch e := s[i]; {
			case e >= '0' && e <= '7':
				j := i
				for j < len(s) && j < i+3 && s[j] >= '0' && s[j] <= '7' {
					j++
				}
				n, _ := strconv.ParseUint(s[i:j], 8, 16)
				c, i = byte(n), j-1
			default:
				c = e
				if k := strings.IndexByte("abfnrtv", e); k >= 0 {
					c = "\a\b\f\n\r\t\v"[k]
				}
			}
		}
		if i+2 < len(s) && s[i+1] == '-' && s[i+2] >= c {
			for b := int(c); b <= int(s[i+2]); b++ {
				out = append(out, byte(b))
			}
			i += 2
			continue
		}
		out = append(out, c)
	}
	return out
}
