package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func runStat(p *proc, args []string) {
	o, names := p.getopt(args, "c:Lft format=c dereference=L")
	for _, n := range names {
		stat := os.Lstat
		if o.has('L') {
			stat = os.Stat
		}
		fi, err := stat(n)
		if err != nil {
			p.failf("cannot stat '%s': %s", n, reason(err))
			continue
		}
		st := statOf(fi)
		if o.has('c') {
			p.println(statFormat(o.get('c', ""), n, st))
			continue
		}
		p.println(statFormat("  File: %N\n  Size: %s\tBlocks: %b\tIO Block: %o  %F\nDevice: %D\tInode: %i\tLinks: %h\n"+
			"Access: (%04a/%A)  Uid: (%u/%U)  Gid: (%g/%G)\nAccess: %x\nModify: %y\nChange: %z", n, st))
	}
}

func statFormat(f, name string, st *syscall.Stat_t) string {
	var b strings.Builder
	stamp := func(t syscall.Timespec) string {
		return time.Unix(t.Unix()).Format("2006-01-02 15:04:05.000000000 -0700")
	}
	u := func(n uint64) string { return strconv.FormatUint(n, 10) }
	for i := 0; i < len(f); i++ {
		if f[i] != '%' || i+1 == len(f) {
			b.WriteByte(f[i])
			continue
		}
		pad := 0
		if strings.HasPrefix(f[i:], "%04") && i+3 < len(f) {
			pad, i = 4, i+2
		}
		i++
		s := ""
		switch f[i] {
		case 'a':
			s = fmt.Sprintf("%0*o", pad, st.Mode&0o7777)
		case 'A':
			s = modeString(st.Mode)
		case 'f':
			s = strconv.FormatUint(uint64(st.Mode), 16)
		case 'F':
			s = typeName(st)
		case 'n':
			s = name
		case 'N':
			s = name
			if to, err := os.Readlink(name); err == nil {
				s += " -> " + to
			}
		case 's':
			s = strconv.FormatInt(st.Size, 10)
		case 'b':
			s = strconv.FormatInt(st.Blocks, 10)
		case 'B':
			s = "512"
		case 'o':
			s = strconv.FormatInt(int64(st.Blksize), 10)
		case 'i':
			s = u(st.Ino)
		case 'h':
			s = u(uint64(st.Nlink))
		case 'd':
			s = u(st.Dev)
		case 'D':
			s = strconv.FormatUint(st.Dev, 16)
		case 't':
			s = strconv.FormatUint(major(st.Rdev), 16)
		case 'T':
			s = strconv.FormatUint(minor(st.Rdev), 16)
		case 'u':
			s = u(uint64(st.Uid))
		case 'U':
			s = userName(int(st.Uid))
		case 'g':
			s = u(uint64(st.Gid))
		case 'G':
			s = groupName(int(st.Gid))
		case 'x':
			s = stamp(st.Atim)
		case 'y':
			s = stamp(st.Mtim)
		case 'z':
			s = stamp(st.Ctim)
		case 'X':
			s = strconv.FormatInt(st.Atim.Sec, 10)
		case 'Y':
			s = strconv.FormatInt(st.Mtim.Sec, 10)
		case 'Z':
			s = strconv.FormatInt(st.Ctim.Sec, 10)
		case '%':
			s = "%"
		default:
			s = "%" + f[i:i+1]
		}
		b.WriteString(s)
	}
	return b.String()
}

func typeName(st *syscall.Stat_t) string {
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return "directory"
	case syscall.S_IFLNK:
		return "symbolic link"
	case syscall.S_IFCHR:
		return "character special file"
	case syscall.S_IFBLK:
		return "block special file"
	case syscall.S_IFIFO:
		return "fifo"
	case syscall.S_IFSOCK:
		return "socket"
	}
	if st.Size == 0 {
		return "regular empty file"
	}
	return "regular file"
}
