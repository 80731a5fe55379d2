package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func runDf(p *proc, args []string) {
	o, names := p.getopt(args, "hkmTaiP human-readable=h print-type=T all=a inodes=i portability=P")
	list := mounts()
	if len(names) > 0 {
		var picked []mountLine
		for _, n := range names {
			abs, err := realpath(n, true, false)
			if err != nil {
				p.report(n, err)
				continue
			}
			best := mountLine{}
			for _, m := range list {
				if abs == m.target || strings.HasPrefix(abs, strings.TrimSuffix(m.target, "/")+"/") {
					if len(m.target) >= len(best.target) {
						best = m
					}
				}
			}
			picked = append(picked, best)
		}
		list = picked
	}
	size, unit := "1K-blocks", uint64(1024)
	switch {
	case o.has('i'):
		size = "Inodes"
	case o.has('h'):
		size = "Size"
	case o.has('m'):
		size, unit = "1M-blocks", 1<<20
	}
	rows := [][]string{{"Filesystem", "Type", size, "Used", "Available", "Use%", "Mounted on"}}
	for _, m := range list {
		var st unix.Statfs_t
		if err := unix.Statfs(m.target, &st); err != nil || st.Blocks == 0 && !o.has('a') && len(names) == 0 {
			continue
		}
		bs := uint64(st.Frsize)
		total, free, avail := st.Blocks*bs, st.Bfree*bs, st.Bavail*bs
		show := func(n uint64) string { return strconv.FormatUint(n/unit, 10) }
		switch {
		case o.has('i'):
			total, free, avail = st.Files, st.Ffree, st.Ffree
			show = func(n uint64) string { return strconv.FormatUint(n, 10) }
		case o.has('h'):
			show = human
		}
		used := total - free
		use := "-"
		if used+avail > 0 {
			use = strconv.FormatUint((used*100+used+avail-1)/(used+avail), 10) + "%"
		}
		rows = append(rows, []string{m.source, m.fstype, show(total), show(used), show(avail), use, m.target})
	}
	var width [7]int
	for _, r := range rows {
		for i, s := range r {
			width[i] = max(width[i], len(s))
		}
	}
	for _, r := range rows {
		p.printf("%-*s ", width[0], r[0])
		if o.has('T') {
			p.printf("%-*s ", width[1], r[1])
		}
		p.printf("%*s %*s %*s %*s %s\n", width[2], r[2], width[3], r[3], width[4], r[4], width[5], r[5], r[6])
	}
}

func runDu(p *proc, args []string) {
	o, names := p.getopt(args, "shkmabcxd: summarize=s human-readable=h all=a total=c max-depth=d bytes=b one-file-system=x")
	if len(names) == 0 {
		names = []string{"."}
	}
	depth := 1 << 30
	if o.has('d') {
		depth = int(p.count(o.get('d', "")))
	}
	if o.has('s') {
		depth = 0
	}
	d := &diskUsage{p: p, o: o, depth: depth, seen: map[[2]uint64]bool{}}
	var total int64
	for _, n := range names {
		total += d.count(n, 0, 0)
	}
	if o.has('c') {
		d.show(total, "total")
	}
}

type diskUsage struct {
	p     *proc
	o     options
	depth int
	seen  map[[2]uint64]bool // hard links count once
}

func (d *diskUsage) show(n int64, path string) {
	switch {
	case d.o.has('h'):
		d.p.printf("%s\t%s\n", human(uint64(n)), path)
	case d.o.has('b'):
		d.p.printf("%d\t%s\n", n, path)
	case d.o.has('m'):
		d.p.printf("%d\t%s\n", (n+1<<20-1)>>20, path)
	default:
		d.p.printf("%d\t%s\n", (n+1023)/1024, path)
	}
}

func (d *diskUsage) count(path string, depth int, dev uint64) int64 {
	fi, err := os.Lstat(path)
	if err != nil {
		d.p.failf("cannot access '%s': %s", path, reason(err))
		return 0
	}
	st := statOf(fi)
	if d.o.has('x') && depth > 0 && st.Dev != dev {
		return 0
	}
	if st.Nlink > 1 && !fi.IsDir() {
		key := [2]uint64{st.Dev, st.Ino}
		if d.seen[key] {
			return 0
		}
		d.seen[key] = true
	}
	n := st.Blocks * 512
	if d.o.has('b') {
		n = st.Size
	}
	if fi.IsDir() {
		list, err := os.ReadDir(path)
		if err != nil {
			d.p.failf("cannot read directory '%s': %s", path, reason(err))
		}
		for _, e := range list {
			n += d.count(join(path, e.Name()), depth+1, st.Dev)
		}
	}
	if depth <= d.depth && (fi.IsDir() || depth == 0 || d.o.has('a')) {
		d.show(n, path)
	}
	return n
}

func runDd(p *proc, args []string) {
	v := map[string]string{"bs": "512"}
	for _, a := range args {
		k, val, ok := strings.Cut(a, "=")
		if !ok || !strings.Contains(" if of bs ibs obs count skip seek conv status iflag oflag ", " "+k+" ") {
			p.fatalf(1, "unrecognized operand '%s'", a)
		}
		v[k] = val
	}
	size := func(k, def string) int64 {
		if v[k] == "" {
			return p.count(def)
		}
		return p.count(v[k])
	}
	bs := size("bs", "512")
	if bs < 1 {
		p.fatalf(1, "invalid number '%s'", v["bs"])
	}
	in, out := os.Stdin, os.Stdout
	var err error
	if v["if"] != "" {
		if in, err = os.Open(v["if"]); err != nil {
			p.fatalf(1, "failed to open '%s': %s", v["if"], reason(err))
		}
	}
	if n := size("skip", "0") * bs; n > 0 {
		if _, err := in.Seek(n, io.SeekCurrent); err != nil {
			if _, err = io.CopyN(io.Discard, in, n); err != nil {
				p.fatalf(1, "cannot skip: %s", reason(err))
			}
		}
	}
	if v["of"] != "" {
		flags := os.O_WRONLY | os.O_CREATE
		if v["seek"] == "" && !strings.Contains(v["conv"], "notrunc") {
			flags |= os.O_TRUNC
		}
		if strings.Contains(v["oflag"], "append") {
			flags |= os.O_APPEND
		}
		if strings.Contains(v["oflag"], "direct") {
			flags |= unix.O_DIRECT
		}
		if out, err = os.OpenFile(v["of"], flags, 0o666); err != nil {
			p.fatalf(1, "failed to open '%s': %s", v["of"], reason(err))
		}
		if n := size("seek", "0") * bs; n > 0 {
			if _, err := out.Seek(n, io.SeekStart); err != nil {
				p.fatalf(1, "cannot seek: %s", reason(err))
			}
		}
	}
	count := int64(-1)
	if v["count"] != "" {
		count = size("count", "0")
	}
	ddCopy(p, in, out, bs, count, v)
}

func ddCopy(p *proc, in, out *os.File, bs, count int64, v map[string]string) {
	// page-aligned, as O_DIRECT wants it
	buf, err := unix.Mmap(-1, 0, int(bs), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		p.fatalf(1, "memory exhausted by a buffer of %d bytes: %s", bs, reason(err))
	}
	var full, part, wFull, wPart, total int64
	start := time.Now()
	for count < 0 || full+part < count {
		var n int
		if strings.Contains(v["iflag"], "fullblock") {
			n, err = io.ReadFull(in, buf)
		} else {
			n, err = in.Read(buf)
		}
		if n == 0 {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				p.failf("error reading: %s", reason(err))
			}
			break
		}
		if int64(n) == bs {
			full++
		} else {
			part++
		}
		w, err := out.Write(buf[:n])
		total += int64(w)
		switch {
		case err != nil:
			p.failf("error writing: %s", reason(err))
		case int64(w) == bs:
			wFull++
		default:
			wPart++
		}
		if p.code != 0 {
			break
		}
	}
	if strings.Contains(v["conv"], "sync") || strings.Contains(v["conv"], "fsync") {
		err = out.Sync()
	} else {
		err = nil
	}
	if err = errors.Join(err, out.Close()); err != nil {
		p.failf("error writing: %s", reason(err))
	}
	if v["status"] == "none" {
		return
	}
	fmt.Fprintf(p.err, "%d+%d records in\n%d+%d records out\n", full, part, wFull, wPart)
	if v["status"] != "noxfer" {
		s := time.Since(start).Seconds()
		fmt.Fprintf(p.err, "%d bytes (%s) copied, %.3f s, %.1f MB/s\n", total, human(uint64(total)), s, float64(total)/s/1e6)
	}
}
