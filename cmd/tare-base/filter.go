package main

import (
	"cmp"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func runGrep(p *proc, args []string) {
	extended := p.name == "egrep"
	fixed := p.name == "fgrep"
	o, rest := p.getopt(args, "EFGvinclLqoshHrRwxm:e:f:A:B:C: extended-regexp=E fixed-strings=F invert-match=v ignore-case=i line-number=n count=c files-with-matches=l quiet=q silent=q only-matching=o no-messages=s no-filename=h with-filename=H recursive=r word-regexp=w line-regexp=x max-count=m regexp=e")
	extended = extended || o.has('E')
	fixed = fixed || o.has('F')
	pats := o['e']
	for _, f := range o['f'] {
		b, err := os.ReadFile(f)
		if err != nil {
			p.fatalf(2, "%s: %s", f, reason(err))
		}
		pats = append(pats, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	}
	if !o.has('e') && !o.has('f') {
		if len(rest) == 0 {
			p.fatalf(2, "usage: grep [-EFvinclqosw] PATTERN [FILE...]")
		}
		pats, rest = strings.Split(rest[0], "\n"), rest[1:]
	}
	re, err := grepRegexp(pats, extended, fixed, o.has('i'), o.has('w'), o.has('x'))
	if err != nil {
		p.fatalf(2, "%s", err)
	}
	g := &grep{p: p, re: re, o: o, max: -1}
	if o.has('m') {
		g.max = p.count(o.get('m', ""))
	}
	g.after = int(p.count(o.get('A', o.get('C', "0"))))
	g.before = int(p.count(o.get('B', o.get('C', "0"))))
	if o.has('r') || o.has('R') {
		g.names = true
		if len(rest) == 0 {
			rest = []string{"."}
		}
		var files []string
		for _, r := range rest {
			walk(r, -1, func(e entry) bool {
				if e.err == nil && e.info.Mode().IsRegular() {
					files = append(files, e.path)
				}
				return true
			})
		}
		rest = files
	}
	g.names = !o.has('h') && (o.has('H') || g.names || len(rest) > 1)
	if (o.has('r') || o.has('R')) && len(rest) == 0 {
		p.exit(1)
	}
	errs := p.err
	if o.has('s') {
		p.err = io.Discard
	}
	p.each(rest, g.file)
	p.err = errs
	switch {
	case p.code != 0 && (!g.found || !o.has('q')):
		p.code = 2
	case g.found:
		p.code = 0
	default:
		p.code = 1
	}
}

type grep struct {
	p             *proc
	re            *regexp.Regexp
	o             options
	names         bool
	max           int64
	before, after int
	found         bool
}

func (g *grep) file(name string, r io.Reader) {
	if name == "-" {
		name = "(standard input)"
	}
	var n, hits int64
	var ring []string
	pending, last := 0, int64(0)
	show := func(no int64, sep, text string) {
		if g.before+g.after > 0 && last > 0 && no > last+1 {
			g.p.println("--")
		}
		last = no
		if g.names {
			g.p.printf("%s%s", name, sep)
		}
		if g.o.has('n') {
			g.p.printf("%d%s", no, sep)
		}
		g.p.println(text)
	}
	quiet := g.o.has('q') || g.o.has('c') || g.o.has('l') || g.o.has('L')
	err := lines(r, func(l string) bool {
		n++
		if g.re.MatchString(l) == g.o.has('v') {
			if pending > 0 && !quiet {
				pending--
				show(n, "-", l)
			} else if g.before > 0 {
				if ring = append(ring, l); len(ring) > g.before {
					ring = ring[1:]
				}
			}
			return true
		}
		hits++
		g.found = true
		switch {
		case g.o.has('q'):
			g.p.exit(0)
		case quiet:
		case g.o.has('o'):
			for _, m := range g.re.FindAllString(l, -1) {
				if m != "" {
					show(n, ":", m)
				}
			}
		default:
			for i, c := range ring {
				show(n-int64(len(ring)-i), "-", c)
			}
			show(n, ":", l)
		}
		ring, pending = nil, g.after
		return hits != g.max && (!g.o.has('l') || g.o.has('c'))
	})
	if err != nil {
		g.p.report(name, err)
	}
	switch {
	case g.o.has('l') && hits > 0, g.o.has('L') && hits == 0:
		g.p.println(name)
	case g.o.has('c'):
		if g.names {
			g.p.printf("%s:", name)
		}
		g.p.println(hits)
	}
}

// grepRegexp joins the patterns into one regular expression.
func grepRegexp(pats []string, extended, fixed, fold, word, line bool) (*regexp.Regexp, error) {
	alts := make([]string, len(pats))
	for i, s := range pats {
		switch {
		case fixed:
			s = regexp.QuoteMeta(s)
		case !extended:
			s = basicToExtended(s)
		}
		alts[i] = "(?:" + s + ")"
	}
	s := strings.Join(alts, "|")
	switch {
	case line:
		s = "^(?:" + s + ")$"
	case word:
		s = `\b(?:` + s + `)\b`
	}
	if fold {
		s = "(?i)" + s
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, errors.New("bad regular expression: " + err.Error())
	}
	return re, nil
}

// basicToExtended turns a POSIX basic regular expression, in which \( \) \{ \}
// \+ \? \| are the operators, into an extended one.
func basicToExtended(s string) string {
	const swapped = "(){}+?|"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			if !strings.ContainsRune(swapped, rune(s[i])) {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		case c == '[':
			j := bracketEnd(s, i)
			b.WriteString(s[i:j])
			i = j - 1
		case c == '*' && (b.Len() == 0 || b.String() == "^"):
			b.WriteString(`\*`)
		case strings.ContainsRune(swapped, rune(c)):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// bracketEnd returns the index after the bracket expression that begins at i.
func bracketEnd(s string, i int) int {
	j := i + 1
	if j < len(s) && s[j] == '^' {
		j++
	}
	if j < len(s) && s[j] == ']' {
		j++
	}
	for j < len(s) && s[j] != ']' {
		if strings.HasPrefix(s[j:], "[:") {
			if k := strings.Index(s[j:], ":]"); k > 0 {
				j += k + 1
			}
		}
		j++
	}
	return min(j+1, len(s))
}

func runSort(p *proc, args []string) {
	o, names := p.getopt(args, "nrufbhk:t:o:c numeric-sort=n reverse=r unique=u key=k field-separator=t output=o")
	var all []string
	p.each(names, func(name string, r io.Reader) {
		if err := lines(r, func(l string) bool { all = append(all, l); return true }); err != nil {
			p.report(name, err)
		}
	})
	byKey := func(a, b string) int { return sortCompare(o, a, b) }
	full := func(a, b string) int {
		c := byKey(a, b)
		if c == 0 && !o.has('u') {
			c = strings.Compare(a, b)
		}
		if o.has('r') {
			c = -c
		}
		return c
	}
	if o.has('c') {
		if !slices.IsSortedFunc(all, full) {
			p.code = 1
		}
		return
	}
	slices.SortStableFunc(all, full)
	if o.has('u') {
		all = slices.CompactFunc(all, func(a, b string) bool { return byKey(a, b) == 0 })
	}
	out := io.Writer(p.out)
	if o.has('o') {
		f, err := os.OpenFile(o.get('o', ""), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
		if err != nil {
			p.fatalf(2, "%s: %s", o.get('o', ""), reason(err))
		}
		defer f.Close()
		out = f
	}
	for _, l := range all {
		if _, err := io.WriteString(out, l+"\n"); err != nil {
			p.fatalf(2, "write: %s", reason(err))
		}
	}
}

// sortCompare compares by the key flags, without -r and the last resort.
func sortCompare(o options, a, b string) int {
	mode := o
	for _, k := range o['k'] {
		fa, fb := sortKey(a, k, o.get('t', "")), sortKey(b, k, o.get('t', ""))
		if i := strings.IndexAny(k, "nrh"); i >= 0 {
			mode = options{k[i]: {""}}
		}
		if c := compareBy(mode, fa, fb); c != 0 {
			return c
		}
	}
	if o.has('k') {
		return 0
	}
	return compareBy(o, a, b)
}

func compareBy(o options, a, b string) int {
	switch {
	case o.has('n'):
		return cmp.Compare(leadingNumber(a), leadingNumber(b))
	case o.has('h'):
		return cmp.Compare(humanNumber(a), humanNumber(b))
	case o.has('f'):
		return strings.Compare(strings.ToUpper(a), strings.ToUpper(b))
	}
	return strings.Compare(a, b)
}

// sortKey cuts key "F[,L]" out of a line.
func sortKey(l, key, sep string) string {
	from, to, ranged := strings.Cut(key, ",")
	num := func(s string) int {
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		n, _ := strconv.Atoi(s[:i])
		return n
	}
	var f []string
	if sep == "" {
		f = strings.Fields(l)
		sep = " "
	} else {
		f = strings.Split(l, sep)
	}
	lo, hi := max(num(from), 1), len(f)
	if ranged {
		hi = min(num(to), len(f))
	}
	if lo > hi {
		return ""
	}
	return strings.Join(f[lo-1:hi], sep)
}

func leadingNumber(s string) float64 {
	s = strings.TrimSpace(s)
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.' || i == 0 && s[i] == '-') {
		i++
	}
	n, _ := strconv.ParseFloat(s[:i], 64)
	return n
}

func humanNumber(s string) float64 {
	n := leadingNumber(s)
	unit := strings.TrimLeft(strings.TrimSpace(s), "-0123456789.")
	if unit == "" {
		return n
	}
	for range strings.IndexByte("KMGTP", unit[0]&^0x20) + 1 {
		n *= 1024
	}
	return n
}

func runUniq(p *proc, args []string) {
	o, names := p.getopt(args, "cdui count=c repeated=d unique=u ignore-case=i")
	prev, n := "", 0
	emit := func() {
		if n == 0 || o.has('d') && n < 2 || o.has('u') && n > 1 {
			return
		}
		if o.has('c') {
			p.printf("%7d ", n)
		}
		p.println(prev)
	}
	if len(names) > 1 {
		p.fatalf(1, "extra operand '%s'", names[1])
	}
	p.each(names, func(name string, r io.Reader) {
		err := lines(r, func(l string) bool {
			if n > 0 && (l == prev || o.has('i') && strings.EqualFold(l, prev)) {
				n++
				return true
			}
			emit()
			prev, n = l, 1
			return true
		})
		if err != nil {
			p.report(name, err)
		}
	})
	emit()
}
