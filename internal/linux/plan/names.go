package plan

import "golang.org/x/sys/unix"

// call says how a system call prints: its name, and a letter for each
// operand: d number, o octal, x hexadecimal, p pointer, s string, f
// descriptor, v device number, t file type and mode, i signal; the others
// name a table.
type call struct {
	nr   uint32
	name string
	args string
}

var calls = [...]call{
	{unix.SYS_CAPSET, "capset", "pp"},
	{unix.SYS_CHDIR, "chdir", "s"},
	{unix.SYS_CHROOT, "chroot", "s"},
	{unix.SYS_CLONE3, "clone3", "pd"},
	{unix.SYS_CLOSE, "close", "f"},
	{unix.SYS_CLOSE_RANGE, "close_range", "ddL"},
	{unix.SYS_DUP3, "dup3", "fdD"},
	{unix.SYS_EXECVE, "execve", "spp"},
	{unix.SYS_EXIT_GROUP, "exit_group", "d"},
	{unix.SYS_FACCESSAT, "faccessat", "fsx"},
	{unix.SYS_FCHDIR, "fchdir", "f"},
	{unix.SYS_FCHMOD, "fchmod", "fo"},
	{unix.SYS_FCHMODAT, "fchmodat", "fso"},
	{unix.SYS_FCHOWN, "fchown", "fdd"},
	{unix.SYS_FCHOWNAT, "fchownat", "fsddA"},
	{unix.SYS_FCNTL, "fcntl", "fcd"},
	{unix.SYS_FSCONFIG, "fsconfig", "fCspf"},
	{unix.SYS_FSMOUNT, "fsmount", "fFM"},
	{unix.SYS_FSOPEN, "fsopen", "sO"},
	{unix.SYS_GETPID, "getpid", ""},
	{unix.SYS_IOCTL, "ioctl", "fIx"},
	{unix.SYS_KEYCTL, "keyctl", "ds"},
	{unix.SYS_KILL, "kill", "fi"},
	{unix.SYS_MKDIRAT, "mkdirat", "fso"},
	{unix.SYS_MKNODAT, "mknodat", "fstv"},
	{unix.SYS_MOUNT, "mount", "sssmp"},
	{unix.SYS_MOUNT_SETATTR, "mount_setattr", "fsApd"},
	{unix.SYS_MOVE_MOUNT, "move_mount", "fsfsV"},
	{unix.SYS_OPENAT, "openat", "fsBo"},
	{unix.SYS_OPENAT2, "openat2", "fspd"},
	{unix.SYS_OPEN_TREE, "open_tree", "fsT"},
	{unix.SYS_PERSONALITY, "personality", "x"},
	{unix.SYS_PIVOT_ROOT, "pivot_root", "ss"},
	{unix.SYS_PRCTL, "prctl", "Pdddd"},
	{unix.SYS_PRLIMIT64, "prlimit64", "dRpp"},
	{unix.SYS_READ, "read", "fpd"},
	{unix.SYS_RT_SIGACTION, "rt_sigaction", "ippd"},
	{unix.SYS_RT_SIGPROCMASK, "rt_sigprocmask", "Sppd"},
	{unix.SYS_SCHED_SETAFFINITY, "sched_setaffinity", "ddp"},
	{unix.SYS_SCHED_SETATTR, "sched_setattr", "dpd"},
	{unix.SYS_SET_MEMPOLICY, "set_mempolicy", "xpd"},
	{unix.SYS_IOPRIO_SET, "ioprio_set", "ddx"},
	{unix.SYS_SECCOMP, "seccomp", "Eep"},
	{unix.SYS_SENDFILE, "sendfile", "ffpd"},
	{unix.SYS_SENDMSG, "sendmsg", "fpG"},
	{unix.SYS_SETDOMAINNAME, "setdomainname", "sd"},
	{unix.SYS_SETGROUPS, "setgroups", "dp"},
	{unix.SYS_SETHOSTNAME, "sethostname", "sd"},
	{unix.SYS_SETNS, "setns", "fN"},
	{unix.SYS_SETRESGID, "setresgid", "ddd"},
	{unix.SYS_SETRESUID, "setresuid", "ddd"},
	{unix.SYS_SETSID, "setsid", ""},
	{unix.SYS_SOCKET, "socket", "HYx"},
	{unix.SYS_SYMLINKAT, "symlinkat", "sfs"},
	{unix.SYS_UMASK, "umask", "o"},
	{unix.SYS_UMOUNT2, "umount2", "sU"},
	{unix.SYS_UNSHARE, "unshare", "N"},
	{unix.SYS_UTIMENSAT, "utimensat", "fspA"},
	{unix.SYS_FSPICK, "fspick", "fsx"},
	{unix.SYS_WRITE, "write", "fpd"},
	{unix.SYS_STATX, "statx", "fsAxp"},
	{Store, "store", "pd"},
	{Load, "load", "p"},
}

func callOf(nr uint32) call {
	for _, c := range calls {
		if c.nr == nr {
			return c
		}
	}
	return call{nr, "", "xxxxxx"}
}

// named is one named bit or, in an enumeration, a named value.
type named struct {
	bits uint64
	name string
}

// tableOf returns the names behind an operand's letter, and whether they are
// values rather than bits.
func tableOf(letter byte) (table []named, enum bool) {
	switch letter {
	case 'A':
		return atFlags, false
	case 'B':
		return openFlags, false
	case 'C':
		return fsconfigCommands, true
	case 'D':
		return openFlags[:1], false
	case 'E':
		return []named{{unix.SECCOMP_SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER"}}, true
	case 'F':
		return []named{{unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"}}, false
	case 'G':
		return []named{{unix.MSG_NOSIGNAL, "MSG_NOSIGNAL"}}, false
	case 'H':
		return []named{{unix.AF_UNIX, "AF_UNIX"}, {unix.AF_INET, "AF_INET"}, {unix.AF_NETLINK, "AF_NETLINK"}}, true
	case 'I':
		return ioctls, true
	case 'L':
		return []named{{unix.CLOSE_RANGE_UNSHARE, "CLOSE_RANGE_UNSHARE"}, {unix.CLOSE_RANGE_CLOEXEC, "CLOSE_RANGE_CLOEXEC"}}, false
	case 'M':
		return mountAttrs, false
	case 'N':
		return cloneFlags, false
	case 'O':
		return []named{{unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC"}}, false
	case 'P':
		return prctls, true
	case 'R':
		return rlimits, true
	case 'S':
		return []named{{unix.SIG_BLOCK, "SIG_BLOCK"}, {unix.SIG_UNBLOCK, "SIG_UNBLOCK"}, {unix.SIG_SETMASK, "SIG_SETMASK"}}, true
	case 'T':
		return openTreeFlags, false
	case 'U':
		return []named{{unix.MNT_DETACH, "MNT_DETACH"}}, false
	case 'V':
		return []named{{unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"}, {unix.MOVE_MOUNT_T_EMPTY_PATH, "MOVE_MOUNT_T_EMPTY_PATH"}}, false
	case 'Y':
		// Types are values, but those of interest have no bit in common.
		return []named{{unix.SOCK_STREAM, "SOCK_STREAM"}, {unix.SOCK_DGRAM, "SOCK_DGRAM"}, {unix.SOCK_CLOEXEC, "SOCK_CLOEXEC"}}, false
	case 'c':
		return []named{{unix.F_DUPFD, "F_DUPFD"}, {unix.F_GETFD, "F_GETFD"}, {unix.F_SETFD, "F_SETFD"}, {unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"}}, true
	case 'e':
		return seccompFlags, false
	case 'm':
		return mountFlags, false
	default:
		return nil, false
	}
}

var (
	openFlags = []named{
		{unix.O_CLOEXEC, "O_CLOEXEC"},
		{unix.O_WRONLY, "O_WRONLY"},
		{unix.O_RDWR, "O_RDWR"},
		{unix.O_PATH, "O_PATH"},
		{unix.O_DIRECTORY, "O_DIRECTORY"},
		{unix.O_NOFOLLOW, "O_NOFOLLOW"},
		{unix.O_NOCTTY, "O_NOCTTY"},
		{unix.O_CREAT, "O_CREAT"},
		{unix.O_EXCL, "O_EXCL"},
		{unix.O_TRUNC, "O_TRUNC"},
		{unix.O_APPEND, "O_APPEND"},
		{unix.O_NONBLOCK, "O_NONBLOCK"},
	}
	resolveFlags = []named{
		{unix.RESOLVE_IN_ROOT, "RESOLVE_IN_ROOT"},
		{unix.RESOLVE_BENEATH, "RESOLVE_BENEATH"},
		{unix.RESOLVE_NO_XDEV, "RESOLVE_NO_XDEV"},
		{unix.RESOLVE_NO_MAGICLINKS, "RESOLVE_NO_MAGICLINKS"},
		{unix.RESOLVE_NO_SYMLINKS, "RESOLVE_NO_SYMLINKS"},
	}
	mountAttrs = []named{
		{unix.MOUNT_ATTR_RDONLY, "MOUNT_ATTR_RDONLY"},
		{unix.MOUNT_ATTR_NOSUID, "MOUNT_ATTR_NOSUID"},
		{unix.MOUNT_ATTR_NODEV, "MOUNT_ATTR_NODEV"},
		{unix.MOUNT_ATTR_NOEXEC, "MOUNT_ATTR_NOEXEC"},
		{unix.MOUNT_ATTR__ATIME, "MOUNT_ATTR__ATIME"}, // the mask, in attr_clr
		{unix.MOUNT_ATTR_NOATIME, "MOUNT_ATTR_NOATIME"},
		{unix.MOUNT_ATTR_STRICTATIME, "MOUNT_ATTR_STRICTATIME"},
		{unix.MOUNT_ATTR_NODIRATIME, "MOUNT_ATTR_NODIRATIME"},
		{unix.MOUNT_ATTR_NOSYMFOLLOW, "MOUNT_ATTR_NOSYMFOLLOW"},
		{unix.MOUNT_ATTR_IDMAP, "MOUNT_ATTR_IDMAP"},
	}
	mountFlags = []named{
		{unix.MS_RDONLY, "MS_RDONLY"},
		{unix.MS_NOSUID, "MS_NOSUID"},
		{unix.MS_NODEV, "MS_NODEV"},
		{unix.MS_NOEXEC, "MS_NOEXEC"},
		{unix.MS_REMOUNT, "MS_REMOUNT"},
		{unix.MS_BIND, "MS_BIND"},
		{unix.MS_REC, "MS_REC"},
		{unix.MS_PRIVATE, "MS_PRIVATE"},
		{unix.MS_SLAVE, "MS_SLAVE"},
		{unix.MS_SHARED, "MS_SHARED"},
		{unix.MS_UNBINDABLE, "MS_UNBINDABLE"},
	}
	cloneFlags = []named{
		{unix.CLONE_NEWUSER, "CLONE_NEWUSER"},
		{unix.CLONE_NEWNS, "CLONE_NEWNS"},
		{unix.CLONE_NEWPID, "CLONE_NEWPID"},
		{unix.CLONE_NEWNET, "CLONE_NEWNET"},
		{unix.CLONE_NEWIPC, "CLONE_NEWIPC"},
		{unix.CLONE_NEWUTS, "CLONE_NEWUTS"},
		{unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"},
		{unix.CLONE_NEWTIME, "CLONE_NEWTIME"},
		{unix.CLONE_PARENT, "CLONE_PARENT"},
		{unix.CLONE_PARENT_SETTID, "CLONE_PARENT_SETTID"},
		{unix.CLONE_PIDFD, "CLONE_PIDFD"},
		{unix.CLONE_CLEAR_SIGHAND, "CLONE_CLEAR_SIGHAND"},
		{unix.CLONE_INTO_CGROUP, "CLONE_INTO_CGROUP"},
	}
	atFlags = []named{
		{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"}, {unix.AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"},
	}
	openTreeFlags = []named{
		{unix.OPEN_TREE_CLONE, "OPEN_TREE_CLONE"},
		{unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLOEXEC"},
		{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"},
		{unix.AT_RECURSIVE, "AT_RECURSIVE"},
	}
	seccompFlags = []named{
		{unix.SECCOMP_FILTER_FLAG_TSYNC, "SECCOMP_FILTER_FLAG_TSYNC"},
		{unix.SECCOMP_FILTER_FLAG_LOG, "SECCOMP_FILTER_FLAG_LOG"},
		{unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"},
		{unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, "SECCOMP_FILTER_FLAG_NEW_LISTENER"},
		{unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH, "SECCOMP_FILTER_FLAG_TSYNC_ESRCH"},
		{0x20, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}, // Linux 5.19
	}
	fsconfigCommands = []named{
		{unix.FSCONFIG_SET_FLAG, "FSCONFIG_SET_FLAG"},
		{unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING"},
		{unix.FSCONFIG_SET_FD, "FSCONFIG_SET_FD"},
		{unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"},
		{unix.FSCONFIG_CMD_RECONFIGURE, "FSCONFIG_CMD_RECONFIGURE"},
	}
	ioctls = []named{
		{unix.SIOCSIFFLAGS, "SIOCSIFFLAGS"},
		{unix.TIOCSPTLCK, "TIOCSPTLCK"},
		{unix.TIOCGPTPEER, "TIOCGPTPEER"},
		{unix.TIOCSCTTY, "TIOCSCTTY"},
		{unix.TIOCSWINSZ, "TIOCSWINSZ"},
		{0xb703, "NS_GET_NSTYPE"},
	}
	prctls = []named{
		{unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"},
		{unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"},
		{unix.PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS"},
		{unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP"},
		{unix.PR_SET_SECUREBITS, "PR_SET_SECUREBITS"},
		{unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"},
		{unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"},
	}
	rlimits = []named{
		{unix.RLIMIT_CPU, "RLIMIT_CPU"},
		{unix.RLIMIT_FSIZE, "RLIMIT_FSIZE"},
		{unix.RLIMIT_DATA, "RLIMIT_DATA"},
		{unix.RLIMIT_STACK, "RLIMIT_STACK"},
		{unix.RLIMIT_CORE, "RLIMIT_CORE"},
		{unix.RLIMIT_RSS, "RLIMIT_RSS"},
		{unix.RLIMIT_NPROC, "RLIMIT_NPROC"},
		{unix.RLIMIT_NOFILE, "RLIMIT_NOFILE"},
		{unix.RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"},
		{unix.RLIMIT_AS, "RLIMIT_AS"},
		{unix.RLIMIT_LOCKS, "RLIMIT_LOCKS"},
		{unix.RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"},
		{unix.RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"},
		{unix.RLIMIT_NICE, "RLIMIT_NICE"},
		{unix.RLIMIT_RTPRIO, "RLIMIT_RTPRIO"},
		{unix.RLIMIT_RTTIME, "RLIMIT_RTTIME"},
	}
	fileTypes = []named{
		{unix.S_IFREG, "S_IFREG"}, {unix.S_IFCHR, "S_IFCHR"}, {unix.S_IFBLK, "S_IFBLK"}, {unix.S_IFIFO, "S_IFIFO"},
	}
)
