package main

import (
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/ipc.h and linux/sem.h.
const (
	ipcCreat = 0o1000
	ipcExcl  = 0o2000
	ipcRmid  = 0
)

// runIpcs prints the System V objects of this IPC namespace.
func runIpcs(p *proc, args []string) {
	o, _ := p.getopt(args, "qmsa queues=q shmems=m semaphores=s all=a")
	for _, t := range []struct {
		flag              byte
		title, file       string
		columns, headings []string
	}{
		{
			'q', "Message Queues", "msg",
			[]string{"key", "msqid", "uid", "perms", "cbytes", "qnum"},
			[]string{"key", "msqid", "owner", "perms", "used-bytes", "messages"},
		},
		{
			'm', "Shared Memory Segments", "shm",
			[]string{"key", "shmid", "uid", "perms", "size", "nattch"},
			[]string{"key", "shmid", "owner", "perms", "bytes", "nattch"},
		},
		{
			's', "Semaphore Arrays", "sem",
			[]string{"key", "semid", "uid", "perms", "nsems"},
			[]string{"key", "semid", "owner", "perms", "nsems"},
		},
	} {
		if len(o) > 0 && !o.has('a') && !o.has(t.flag) {
			continue
		}
		p.printf("\n------ %s --------\n", t.title)
		for _, h := range t.headings {
			p.printf("%-10s ", h)
		}
		p.println()
		for _, row := range sysvipc(t.file) {
			for _, c := range t.columns {
				v := row[c]
				switch c {
				case "key":
					n, _ := strconv.ParseInt(v, 10, 64)
					v = "0x" + hex8(uint32(n))
				case "uid":
					n, _ := strconv.Atoi(v)
					v = userName(n)
				}
				p.printf("%-10s ", v)
			}
			p.println()
		}
	}
	p.println()
}

func hex8(n uint32) string {
	s := strconv.FormatUint(uint64(n), 16)
	return strings.Repeat("0", 8-len(s)) + s
}

// sysvipc reads a table of /proc/sysvipc by its heading.
func sysvipc(name string) []map[string]string {
	b, _ := os.ReadFile("/proc/sysvipc/" + name)
	rows := strings.Split(strings.TrimSpace(string(b)), "\n")
	head := strings.Fields(rows[0])
	var out []map[string]string
	for _, r := range rows[1:] {
		m := map[string]string{}
		for i, f := range strings.Fields(r) {
			if i < len(head) {
				m[head[i]] = f
			}
		}
		out = append(out, m)
	}
	return out
}

// runIpccheck makes, lists and removes one object of each kind that an IPC
// namespace separates, all named by NAME: what one side makes, the other must
// not see. "list" ends with 0 if all are there, 1 if none is, 2 between.
func runIpccheck(p *proc, args []string) {
	if len(args) != 2 {
		p.fatalf(125, "usage: ipccheck make|list|remove NAME")
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(args[1]))
	key := uintptr(h.Sum32()&0x7fffffff | 1)
	name, err := unix.BytePtrFromString(args[1])
	if err != nil || strings.Contains(args[1], "/") {
		p.fatalf(125, "bad name '%s'", args[1])
	}
	found, kinds := 0, ipcKinds(key, name)
	for _, k := range kinds {
		switch args[0] {
		case "make":
			if _, err := k.get(ipcCreat | ipcExcl | 0o600); err != 0 {
				p.failf("make %s: %s", k.name, reason(err))
			}
		case "list":
			_, err := k.get(0)
			word := "none"
			if err == 0 {
				word = "present"
				found++
			}
			p.printf("%s %s\n", k.name, word)
		case "remove":
			id, err := k.get(0)
			if err == 0 {
				err = k.remove(id)
			}
			if err != 0 {
				p.failf("remove %s: %s", k.name, reason(err))
			}
		default:
			p.fatalf(125, "unknown verb '%s'", args[0])
		}
	}
	if args[0] == "list" {
		p.code = 2
		switch found {
		case len(kinds):
			p.code = 0
		case 0:
			p.code = 1
		}
	}
}

type ipcKind struct {
	name   string
	get    func(flags uintptr) (uintptr, unix.Errno)
	remove func(id uintptr) unix.Errno
}

func ipcKinds(key uintptr, name *byte) []ipcKind {
	call := func(nr, a, b, c uintptr) (uintptr, unix.Errno) {
		r, _, e := unix.Syscall6(nr, a, b, c, 0, 0, 0)
		return r, e
	}
	return []ipcKind{
		{
			"msg", func(f uintptr) (uintptr, unix.Errno) { return call(unix.SYS_MSGGET, key, f, 0) },
			func(id uintptr) unix.Errno { _, e := call(unix.SYS_MSGCTL, id, ipcRmid, 0); return e },
		},
		{
			"sem", func(f uintptr) (uintptr, unix.Errno) {
				n := uintptr(0)
				if f != 0 {
					n = 1
				}
				return call(unix.SYS_SEMGET, key, n, f)
			},
			func(id uintptr) unix.Errno { _, e := call(unix.SYS_SEMCTL, id, 0, ipcRmid); return e },
		},
		{
			"shm", func(f uintptr) (uintptr, unix.Errno) {
				n := uintptr(0)
				if f != 0 {
					n = 4096
				}
				return call(unix.SYS_SHMGET, key, n, f)
			},
			func(id uintptr) unix.Errno { _, e := call(unix.SYS_SHMCTL, id, ipcRmid, 0); return e },
		},
		{
			"mqueue", func(f uintptr) (uintptr, unix.Errno) {
				flags := uintptr(unix.O_RDWR | unix.O_CLOEXEC)
				if f != 0 {
					flags |= unix.O_CREAT | unix.O_EXCL
				}
				r, _, e := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), flags, 0o600, 0, 0, 0)
				return r, e
			},
			func(uintptr) unix.Errno {
				_, _, e := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0)
				return e
			},
		},
	}
}
