package plan

import "golang.org/x/sys/unix"

// call says how a system call prints: its name, and a letter for each
// operand: f descriptor, d number, o octal, x hexadecimal, p pointer, s
// string; the others name a table of flags.
type call struct {
	nr   uint32
	name string
	args string
}

var calls = []call{
	{unix.SYS_CAPSET, "capset", "pp"},
	{unix.SYS_CHDIR, "chdir", "s"},
	{unix.SYS_CLONE3, "clone3", "pd"},
	{unix.SYS_CLOSE, "close", "f"},
	{unix.SYS_CLOSE_RANGE, "close_range", "ddd"},
	{unix.SYS_DUP3, "dup3", "fdd"},
	{unix.SYS_EXECVE, "execve", "spp"},
	{unix.SYS_FCHDIR, "fchdir", "f"},
	{unix.SYS_FCHOWN, "fchown", "fdd"},
	{unix.SYS_FCHOWNAT, "fchownat", "fsddA"},
	{unix.SYS_FSCONFIG, "fsconfig", "fCppf"},
	{unix.SYS_FSMOUNT, "fsmount", "fFM"},
	{unix.SYS_FSOPEN, "fsopen", "sO"},
	{unix.SYS_IOCTL, "ioctl", "fIp"},
	{unix.SYS_MKDIRAT, "mkdirat", "fso"},
	{unix.SYS_MKNODAT, "mknodat", "fsox"},
	{unix.SYS_MOUNT, "mount", "sssmp"},
	{unix.SYS_MOUNT_SETATTR, "mount_setattr", "fsApd"},
	{unix.SYS_MOVE_MOUNT, "move_mount", "fsfsV"},
	{unix.SYS_OPENAT, "openat", "fsoo"},
	{unix.SYS_OPENAT2, "openat2", "fspd"},
	{unix.SYS_OPEN_TREE, "open_tree", "fsT"},
	{unix.SYS_PERSONALITY, "personality", "x"},
	{unix.SYS_PIVOT_ROOT, "pivot_root", "ss"},
	{unix.SYS_PRCTL, "prctl", "Pdddd"},
	{unix.SYS_PRLIMIT64, "prlimit64", "dRpp"},
	{unix.SYS_READ, "read", "fpd"},
	{unix.SYS_RT_SIGPROCMASK, "rt_sigprocmask", "Sppd"},
	{unix.SYS_SECCOMP, "seccomp", "Eep"},
	{unix.SYS_SENDMSG, "sendmsg", "fpx"},
	{unix.SYS_SETDOMAINNAME, "setdomainname", "sd"},
	{unix.SYS_SETGROUPS, "setgroups", "dp"},
	{unix.SYS_SETHOSTNAME, "sethostname", "sd"},
	{unix.SYS_SETNS, "setns", "fN"},
	{unix.SYS_SETRESGID, "setresgid", "ddd"},
	{unix.SYS_SETRESUID, "setresuid", "ddd"},
	{unix.SYS_SETSID, "setsid", ""},
	{unix.SYS_SOCKET, "socket", "ddx"},
	{unix.SYS_SYMLINKAT, "symlinkat", "sfs"},
	{unix.SYS_UMASK, "umask", "o"},
	{unix.SYS_UMOUNT2, "umount2", "sU"},
	{unix.SYS_UNSHARE, "unshare", "N"},
	{unix.SYS_WRITE, "write", "fpd"},
	{unix.SYS_FCNTL, "fcntl", "fdd"},
	{Store, "store", "pd"},
}

func callOf(nr uint32) call {
	for _, c := range calls {
		if c.nr == nr {
			return c
		}
	}
	return call{nr, "syscall_" + uitoa(nr), "xxxxxx"}
}

func uitoa(n uint32) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return uitoa(n/10) + string(rune('0'+n%10))
}

// flagsOf returns the table of an operand's letter. Enumerations are tables
// whose values do not overlap once the larger ones have been tried first.
func flagsOf(k byte, _ *Op) []flag {
	switch k {
	case 'A':
		return atFlags
	case 'C':
		return []flag{{unix.FSCONFIG_CMD_RECONFIGURE, "FSCONFIG_CMD_RECONFIGURE"}, {unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"}, {unix.FSCONFIG_SET_FD, "FSCONFIG_SET_FD"}, {unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING"}}
	case 'E':
		return []flag{{unix.SECCOMP_SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER"}}
	case 'F':
		return []flag{{unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"}}
	case 'I':
		return []flag{{unix.SIOCSIFFLAGS, "SIOCSIFFLAGS"}, {unix.TIOCSPTLCK, "TIOCSPTLCK"}, {unix.TIOCGPTPEER, "TIOCGPTPEER"}, {unix.TIOCSCTTY, "TIOCSCTTY"}, {0xb703, "NS_GET_NSTYPE"}}
	case 'M':
		return mountAttrs
	case 'N':
		return namespaceFlags
	case 'O':
		return []flag{{unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC"}}
	case 'P':
		return []flag{{unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"}, {unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"}, {unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP"}, {unix.PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS"}, {unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"}}
	case 'R':
		return []flag{{unix.RLIMIT_NOFILE, "RLIMIT_NOFILE"}, {unix.RLIMIT_CORE, "RLIMIT_CORE"}}
	case 'S':
		return []flag{{unix.SIG_SETMASK, "SIG_SETMASK"}}
	case 'T':
		return []flag{{unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLOEXEC"}, {unix.OPEN_TREE_CLONE, "OPEN_TREE_CLONE"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"}, {unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}}
	case 'U':
		return []flag{{unix.MNT_DETACH, "MNT_DETACH"}}
	case 'V':
		return []flag{{unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"}, {unix.MOVE_MOUNT_T_EMPTY_PATH, "MOVE_MOUNT_T_EMPTY_PATH"}}
	case 'm':
		return mountFlags
	case 'e':
		return []flag{{unix.SECCOMP_FILTER_FLAG_LOG, "SECCOMP_FILTER_FLAG_LOG"}, {unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"}, {unix.SECCOMP_FILTER_FLAG_TSYNC, "SECCOMP_FILTER_FLAG_TSYNC"}}
	default:
		return nil
	}
}

var (
	openFlags = []flag{
		{unix.O_PATH, "O_PATH"}, {unix.O_CLOEXEC, "O_CLOEXEC"}, {unix.O_DIRECTORY, "O_DIRECTORY"},
		{unix.O_NOFOLLOW, "O_NOFOLLOW"}, {unix.O_NOCTTY, "O_NOCTTY"}, {unix.O_CREAT, "O_CREAT"}, {unix.O_EXCL, "O_EXCL"},
		{unix.O_RDWR, "O_RDWR"}, {unix.O_WRONLY, "O_WRONLY"},
	}
	resolveFlags = []flag{
		{unix.RESOLVE_IN_ROOT, "RESOLVE_IN_ROOT"}, {unix.RESOLVE_BENEATH, "RESOLVE_BENEATH"},
		{unix.RESOLVE_NO_MAGICLINKS, "RESOLVE_NO_MAGICLINKS"}, {unix.RESOLVE_NO_SYMLINKS, "RESOLVE_NO_SYMLINKS"},
	}
	mountAttrs = []flag{
		{unix.MOUNT_ATTR__ATIME, "MOUNT_ATTR__ATIME"},
		{unix.MOUNT_ATTR_RDONLY, "MOUNT_ATTR_RDONLY"}, {unix.MOUNT_ATTR_NOSUID, "MOUNT_ATTR_NOSUID"},
		{unix.MOUNT_ATTR_NODEV, "MOUNT_ATTR_NODEV"}, {unix.MOUNT_ATTR_NOEXEC, "MOUNT_ATTR_NOEXEC"},
		{unix.MOUNT_ATTR_NOATIME, "MOUNT_ATTR_NOATIME"}, {unix.MOUNT_ATTR_STRICTATIME, "MOUNT_ATTR_STRICTATIME"},
		{unix.MOUNT_ATTR_NODIRATIME, "MOUNT_ATTR_NODIRATIME"}, {unix.MOUNT_ATTR_NOSYMFOLLOW, "MOUNT_ATTR_NOSYMFOLLOW"},
		{unix.MOUNT_ATTR_IDMAP, "MOUNT_ATTR_IDMAP"},
	}
	mountFlags = []flag{
		{unix.MS_PRIVATE, "MS_PRIVATE"}, {unix.MS_SLAVE, "MS_SLAVE"}, {unix.MS_SHARED, "MS_SHARED"}, {unix.MS_UNBINDABLE, "MS_UNBINDABLE"},
	}
	namespaceFlags = []flag{
		{unix.CLONE_NEWNS, "CLONE_NEWNS"}, {unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"}, {unix.CLONE_NEWUTS, "CLONE_NEWUTS"},
		{unix.CLONE_NEWIPC, "CLONE_NEWIPC"}, {unix.CLONE_NEWUSER, "CLONE_NEWUSER"}, {unix.CLONE_NEWPID, "CLONE_NEWPID"},
		{unix.CLONE_NEWNET, "CLONE_NEWNET"}, {unix.CLONE_NEWTIME, "CLONE_NEWTIME"},
	}
	atFlags = []flag{
		{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"}, {unix.AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"},
	}
)
