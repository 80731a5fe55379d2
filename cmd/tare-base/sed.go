package main

import (
	"errors"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// sedCmd is one command of the subset that sed has here: s, d, p, q with an
// optional address (N, $, /re/, or two of them).
type sedCmd struct {
	from, to *sedAddr
	negate   bool
	active   bool // inside from,to
	op       byte
	re       *regexp.Regexp
	with     string
	global   bool
	print    bool
	nth      int
}

type sedAddr struct {
	line int // 0: by re; -1: the last one
	re   *regexp.Regexp
}

func runSed(p *proc, args []string) {
	o, rest := p.getopt(args, "nEre:i quiet=n silent=n regexp-extended=E expression=e in-place=i")
	scripts := o['e']
	if len(scripts) == 0 {
		if len(rest) == 0 {
			p.fatalf(1, "usage: sed [-nEi] SCRIPT [FILE...]")
		}
		scripts, rest = rest[:1], rest[1:]
	}
	cmds, err := parseSed(strings.Join(scripts, "\n"), o.has('E') || o.has('r'))
	if err != nil {
		p.fatalf(1, "%s", err)
	}
	if !o.has('i') {
		var all []string
		p.each(rest, func(_ string, r io.Reader) {
			_ = lines(r, func(l string) bool { all = append(all, l); return true })
		})
		sedRun(cmds, all, o.has('n'), func(s string) { p.println(s) })
		return
	}
	for _, name := range rest {
		b, err := os.ReadFile(name)
		if err != nil {
			p.report(name, err)
			continue
		}
		var out strings.Builder
		sedRun(cmds, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"), o.has('n'),
			func(s string) { out.WriteString(s + "\n") })
		if err := os.WriteFile(name, []byte(out.String()), 0o666); err != nil {
			p.report(name, err)
		}
	}
}

func sedRun(cmds []*sedCmd, in []string, quiet bool, print func(string)) {
	for i, l := range in {
		deleted, quit := false, false
		for _, c := range cmds {
			if c.selects(i+1, i+1 == len(in), l) == c.negate {
				continue
			}
			switch c.op {
			case 's':
				if s, ok := c.replace(l); ok {
					l = s
					if c.print {
						print(l)
					}
				}
			case 'p':
				print(l)
			case 'd':
				deleted = true
			case 'q':
				quit = true
			}
			if deleted || quit {
				break
			}
		}
		if !deleted && !quiet {
			print(l)
		}
		if quit {
			return
		}
	}
}

func (a *sedAddr) match(n int, last bool, l string) bool {
	switch {
	case a.re != nil:
		return a.re.MatchString(l)
	case a.line < 0:
		return last
	}
	return a.line == n
}

func (c *sedCmd) selects(n int, last bool, l string) bool {
	switch {
	case c.from == nil:
		return true
	case c.to == nil:
		return c.from.match(n, last, l)
	case !c.active:
		c.active = c.from.match(n, last, l)
		if c.active && c.to.re == nil && c.to.line > 0 && c.to.line <= n {
			c.active = false
			return true
		}
		return c.active
	}
	c.active = !c.to.match(n, last, l)
	return true
}

func (c *sedCmd) replace(l string) (string, bool) {
	var b strings.Builder
	at, n := 0, 0
	for _, m := range c.re.FindAllStringSubmatchIndex(l, -1) {
		n++
		if n < c.nth {
			continue
		}
		b.WriteString(l[at:m[0]])
		for i := 0; i < len(c.with); i++ {
			ch := c.with[i]
			switch {
			case ch == '&':
				b.WriteString(l[m[0]:m[1]])
			case ch == '\\' && i+1 < len(c.with):
				i++
				g := int(c.with[i]) - '0'
				switch {
				case g >= 0 && g <= 9:
					if 2*g+1 < len(m) && m[2*g] >= 0 {
						b.WriteString(l[m[2*g]:m[2*g+1]])
					}
				case c.with[i] == 'n':
					b.WriteByte('\n')
				case c.with[i] == 't':
					b.WriteByte('\t')
				default:
					b.WriteByte(c.with[i])
				}
			default:
				b.WriteByte(ch)
			}
		}
		at = m[1]
		if !c.global {
			break
		}
	}
	if n < max(c.nth, 1) {
		return l, false
	}
	b.WriteString(l[at:])
	return b.String(), true
}

func parseSed(s string, extended bool) ([]*sedCmd, error) {
	q := &sedParser{s: s, extended: extended}
	var out []*sedCmd
	for {
		q.s = strings.TrimLeft(q.s, " \t\n;")
		if q.s == "" {
			return out, nil
		}
		c, err := q.command()
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
}

type sedParser struct {
	s        string
	extended bool
}

func (q *sedParser) address() (*sedAddr, error) {
	switch {
	case q.s == "":
	case q.s[0] == '$':
		q.s = q.s[1:]
		return &sedAddr{line: -1}, nil
	case q.s[0] == '/':
		pat, ok := q.pattern()
		if !ok {
			return nil, errors.New("unterminated address regex")
		}
		re, err := q.regexp(pat, false)
		return &sedAddr{re: re}, err
	case q.s[0] >= '0' && q.s[0] <= '9':
		i := 0
		for i < len(q.s) && q.s[i] >= '0' && q.s[i] <= '9' {
			i++
		}
		n, err := strconv.Atoi(q.s[:i])
		q.s = q.s[i:]
		return &sedAddr{line: n}, err
	}
	return nil, nil
}

// pattern takes the /…/ at the front.
func (q *sedParser) pattern() (string, bool) {
	for i := 1; i < len(q.s); i++ {
		switch q.s[i] {
		case '\\':
			i++
		case '/':
			pat := strings.ReplaceAll(q.s[1:i], `\/`, "/")
			q.s = q.s[i+1:]
			return pat, true
		}
	}
	return "", false
}

func (q *sedParser) regexp(pat string, fold bool) (*regexp.Regexp, error) {
	return grepRegexp([]string{pat}, q.extended, false, fold, false, false)
}

func (q *sedParser) command() (*sedCmd, error) {
	c := &sedCmd{}
	var err error
	if c.from, err = q.address(); err != nil {
		return nil, err
	}
	if c.from != nil && strings.HasPrefix(q.s, ",") {
		q.s = q.s[1:]
		if c.to, err = q.address(); err != nil || c.to == nil {
			return nil, errors.New("unexpected ','")
		}
	}
	q.s = strings.TrimLeft(q.s, " ")
	if strings.HasPrefix(q.s, "!") {
		c.negate = true
		q.s = strings.TrimLeft(q.s[1:], " ")
	}
	if q.s == "" {
		return nil, errors.New("missing command")
	}
	c.op = q.s[0]
	q.s = q.s[1:]
	switch c.op {
	case 'd', 'p', 'q':
		return c, nil
	case 's':
		return c, q.substitute(c)
	}
	return nil, errors.New("unsupported command '" + string(c.op) + "': this sed knows s, d, p and q")
}

func (q *sedParser) substitute(c *sedCmd) error {
	bad := errors.New("unterminated 's' command")
	if q.s == "" {
		return bad
	}
	parts := splitEscaped(q.s[1:], q.s[0])
	if len(parts) < 3 {
		return bad
	}
	c.with = parts[1]
	end := strings.IndexAny(parts[2], "; \n")
	if end < 0 {
		end = len(parts[2])
	}
	q.s = parts[2][end:]
	fold := false
	for _, f := range parts[2][:end] {
		switch {
		case f == 'g':
			c.global = true
		case f == 'p':
			c.print = true
		case f == 'i' || f == 'I':
			fold = true
		case f >= '1' && f <= '9':
			c.nth = c.nth*10 + int(f-'0')
		default:
			return errors.New("unknown option to 's'")
		}
	}
	var err error
	c.re, err = q.regexp(parts[0], fold)
	return err
}

// splitEscaped splits s at the first two d that have no backslash before
// them; "\d" becomes "d".
func splitEscaped(s string, d byte) []string {
	var out []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			if s[i+1] != d {
				b.WriteByte('\\')
			}
			i++
			b.WriteByte(s[i])
		case s[i] == d:
			out = append(out, b.String())
			b.Reset()
			if len(out) == 2 {
				return append(out, s[i+1:])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return out
}
