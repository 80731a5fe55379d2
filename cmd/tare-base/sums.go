package main

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"os"
	"strings"
)

func newHash(name string) hash.Hash {
	switch name {
	case "md5sum":
		return md5.New()
	case "sha1sum":
		return sha1.New()
	case "sha512sum":
		return sha512.New()
	default:
		return sha256.New()
	}
}

func runSum(p *proc, args []string) {
	o, names := p.getopt(args, "cbts check=c binary=b text=t status=s")
	if o.has('c') {
		p.each(names, func(_ string, r io.Reader) {
			_ = lines(r, func(l string) bool { checkSum(p, l, o.has('s')); return true })
		})
		return
	}
	p.each(names, func(name string, r io.Reader) {
		h := newHash(p.name)
		if _, err := io.Copy(h, r); err != nil {
			p.report(name, err)
			return
		}
		p.printf("%s  %s\n", hex.EncodeToString(h.Sum(nil)), name)
	})
}

func checkSum(p *proc, line string, quiet bool) {
	want, name, ok := strings.Cut(line, " ")
	if !ok {
		return
	}
	name = strings.TrimLeft(name, " *")
	verdict := "OK"
	b, err := os.ReadFile(name)
	switch h := newHash(p.name); {
	case err != nil:
		verdict = "FAILED open or read"
	default:
		_, _ = h.Write(b)
		if hex.EncodeToString(h.Sum(nil)) != want {
			verdict = "FAILED"
		}
	}
	if verdict != "OK" {
		p.code = 1
	}
	if !quiet {
		p.printf("%s: %s\n", name, verdict)
	}
}

func runBase64(p *proc, args []string) {
	o, names := p.getopt(args, "dw: decode=d wrap=w")
	wrap := int(p.count(o.get('w', "76")))
	p.each(names, func(name string, r io.Reader) {
		b, err := io.ReadAll(r)
		if err != nil {
			p.report(name, err)
			return
		}
		if o.has('d') {
			out, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(b)), ""))
			_, _ = p.out.Write(out)
			if err != nil {
				p.failf("invalid input")
			}
			return
		}
		s := base64.StdEncoding.EncodeToString(b)
		for wrap > 0 && len(s) > wrap {
			p.println(s[:wrap])
			s = s[wrap:]
		}
		if p.printf("%s", s); wrap > 0 && s != "" {
			p.println()
		}
	})
}

// runHexdump prints as hexdump -C does.
func runHexdump(p *proc, args []string) {
	_, names := p.getopt(args, "C canonical=C")
	p.each(names, func(name string, r io.Reader) {
		d := hex.Dumper(p.out)
		n, err := io.Copy(d, r)
		if err != nil {
			p.report(name, err)
		}
		_ = d.Close()
		p.printf("%08x\n", n)
	})
}
