package layer

import (
	"archive/tar"
	"errors"
	"math"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// attr is what is set on an entry after it was made.
type attr struct {
	mode     uint32
	uid, gid int
	times    [2]unix.Timespec // access, modification
	xattrs   map[string]string
}

const paxXattr = "SCHILY.xattr."

func attrOf(hdr *tar.Header) (attr, error) {
	if !validID(hdr.Uid) || !validID(hdr.Gid) {
		return attr{}, invalid(hdr.Name, "owner out of range")
	}
	a := attr{mode: uint32(hdr.Mode & 0o7777), uid: hdr.Uid, gid: hdr.Gid}
	atime := hdr.AccessTime
	if atime.IsZero() {
		atime = hdr.ModTime
	}
	a.times = [2]unix.Timespec{timespec(atime), timespec(hdr.ModTime)}
	for k, v := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(k, paxXattr); ok && wantXattr(name) {
			if a.xattrs == nil {
				a.xattrs = make(map[string]string)
			}
			a.xattrs[name] = v
		}
	}
	return a, nil
}

// validID leaves out (uid_t)-1, which means "no change" to chown(2).
func validID(id int) bool { return id >= 0 && int64(id) < math.MaxUint32 }

// timespec is exact for any time; UnixNano would overflow for some.
func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// wantXattr leaves out what belongs to the host: labels of its policy, and
// overlay's own marks, with which a layer could redirect lookups.
func wantXattr(name string) bool {
	switch {
	case strings.HasPrefix(name, trustedOverlay), strings.HasPrefix(name, userOverlay):
		return false
	case strings.HasPrefix(name, "security."):
		return name == capabilityXattr
	}
	return !strings.Contains(name, "=") // PAX cannot hold it
}

const capabilityXattr = "security.capability"

// fresh is what a new file gets by itself: most entries want nothing else, and
// two system calls a file are a tenth of the time.
type fresh struct {
	uid, gid uint32
	mask     uint32 // permission bits that are lost
	setgid   bool   // a directory may give its group to what is made in it
	acl      bool   // a directory may have a default ACL
}

// probe makes a file to see.
func probe(root int) (fresh, error) {
	name := fsatomic.TempName()
	fd, err := unix.Openat(root, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o777)
	if err != nil {
		return fresh{}, err
	}
	var st, dir unix.Stat_t
	err = errors.Join(unix.Fstat(fd, &st), unix.Fstat(root, &dir), unix.Close(fd), unix.Unlinkat(root, name, 0))
	return fresh{uid: st.Uid, gid: st.Gid, mask: 0o777 &^ st.Mode, setgid: dir.Mode&unix.S_ISGID != 0}, err
}

// owns reports whether a new file has the owner that a wants.
func (f *fresh) owns(a *attr) bool {
	return !f.setgid && a.uid == int(f.uid) && a.gid == int(f.gid)
}

// permits reports whether an entry made with the mode that a wants has it. A
// directory gets the setgid bit of the one above.
func (f *fresh) permits(a *attr) bool {
	return !f.acl && !f.setgid && a.mode&(f.mask|^uint32(0o777)) == 0
}

// settle sets all but the times on a new entry that was made with the mode of
// a. The order matters: chown clears setuid bits and file capabilities.
func (u *unpacker) settle(fd int, a *attr) error {
	if !u.fresh.owns(a) {
		if err := unix.Fchown(fd, a.uid, a.gid); err != nil {
			return ownerError(a, err)
		}
	}
	if !u.fresh.permits(a) {
		if err := unix.Fchmod(fd, a.mode); err != nil {
			return err
		}
	}
	return u.setXattrs(fd, a)
}

// apply sets all but the times on an entry that was there.
func (u *unpacker) apply(fd int, a *attr) error {
	if err := unix.Fchown(fd, a.uid, a.gid); err != nil {
		return ownerError(a, err)
	}
	if err := unix.Fchmod(fd, a.mode); err != nil {
		return err
	}
	return u.setXattrs(fd, a)
}

func (u *unpacker) setXattrs(fd int, a *attr) error {
	for name, value := range a.xattrs {
		u.fresh.acl = u.fresh.acl || strings.HasPrefix(name, "system.")
		if err := u.xattrError(name, unix.Fsetxattr(fd, name, []byte(value), 0)); err != nil {
			return err
		}
	}
	return nil
}

// applyAt is apply and the times for what cannot be opened. The entry was made
// by us in a tree that nobody else reaches, so that its name is still it.
func (u *unpacker) applyAt(parent int, base string, a *attr, symlink bool) error {
	if !u.fresh.owns(a) {
		if err := unix.Fchownat(parent, base, a.uid, a.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return ownerError(a, err)
		}
	}
	if !symlink {
		if err := unix.Fchmodat(parent, base, a.mode, 0); err != nil {
			return err
		}
	}
	for name, value := range a.xattrs {
		if err := u.xattrError(name, unix.Lsetxattr(procPath(parent, base), name, []byte(value), 0)); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(parent, base, a.times[:], unix.AT_SYMLINK_NOFOLLOW)
}

// ownerError explains chown's EINVAL: the id is not mapped.
func ownerError(a *attr, err error) error {
	if errors.Is(err, unix.EINVAL) {
		return fault.WithHint(fault.New(fault.Unsupported, "unpack layer: owner %d:%d is outside of the ids of this user namespace", a.uid, a.gid),
			"give the user more ids in /etc/subuid and /etc/subgid")
	}
	return err
}

// xattrError forgives attributes that the file system or the kind of file does
// not take, as GNU tar does with a warning; lost file capabilities would break
// the programs that need them.
func (u *unpacker) xattrError(name string, err error) error {
	if err == nil || name == capabilityXattr || !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
		return err
	}
	u.res.Skipped++
	return nil
}
