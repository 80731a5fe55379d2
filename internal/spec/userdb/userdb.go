// Package userdb reads passwd and group files: those of an image or of a
// container, never the host's.
package userdb

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// maxID is the largest user or group ID that is accepted, as in Docker:
// numbers above it are negative to programs that take an int.
const maxID = 1<<31 - 1

// maxGroups is NGROUPS_MAX of Linux.
const maxGroups = 65536

// User is what a user string stands for in a given root.
type User struct {
	specs.User
	Home string // of its first process
}

// Lookup resolves user[:group], names or numbers, with the contents of
// passwd and group, either of which may be nil. The rules are those of
// moby/sys/user that Docker uses: an empty user is 0; a number need not be
// listed, a name must; without a group the user's own and the supplementary
// groups that list the user's name apply, with one only that one. Extra are
// the names or numbers of further groups.
//
// Digits are always a number, also where a line has them for a name (moby takes
// the line): a container that writes its own passwd file must not choose what
// "1000" means to the host.
func Lookup(passwd, group []byte, user string, extra []string) (User, error) {
	name, groupName, withGroup := strings.Cut(user, ":")
	withGroup = withGroup && groupName != ""
	u := User{Home: "/"}

	uid, isNumber := parseID(name)
	if isNumber && uid > maxID {
		return u, fault.New(fault.Invalid, "user %q: ids must be in range 0-%d", user, maxID)
	}
	login := "" // the name that /etc/group may list
	entry, listed := FindPasswd(passwd, func(e *PasswdEntry) bool {
		if name == "" {
			return e.UID == 0
		}
		if isNumber {
			return e.UID == uint32(uid)
		}
		return e.Name == name
	})
	switch {
	case listed:
		u.UID, u.GID, login = entry.UID, entry.GID, entry.Name
		if entry.Home != "" {
			u.Home = entry.Home
		}
	case name == "":
	case isNumber:
		u.UID = uint32(uid)
	default:
		return u, fault.New(fault.NotFound, "unable to find user %s: no matching entries in passwd file", name)
	}

	if withGroup {
		gid, err := lookupGroup(group, groupName)
		if err != nil {
			return u, err
		}
		u.GID = gid
	}
	u.AdditionalGids = []uint32{u.GID}
	add := func(gid uint32) {
		if !slices.Contains(u.AdditionalGids, gid) {
			u.AdditionalGids = append(u.AdditionalGids, gid)
		}
	}
	if !withGroup && login != "" {
		EachGroup(group, func(g *GroupEntry) bool {
			if g.has(login) {
				add(g.GID)
			}
			return len(u.AdditionalGids) < maxGroups
		})
	}
	for _, g := range extra {
		gid, err := lookupGroup(group, g)
		if err != nil {
			return u, err
		}
		add(gid)
	}
	return u, nil
}

func lookupGroup(group []byte, name string) (uint32, error) {
	gid, isNumber := parseID(name)
	if isNumber && gid > maxID {
		return 0, fault.New(fault.Invalid, "group %q: ids must be in range 0-%d", name, maxID)
	}
	if isNumber {
		return uint32(gid), nil
	}
	found := false
	EachGroup(group, func(g *GroupEntry) bool {
		if g.Name == name {
			gid, found = int64(g.GID), true
		}
		return !found
	})
	if !found {
		return 0, fault.New(fault.NotFound, "unable to find group %s: no matching entries in group file", name)
	}
	return uint32(gid), nil
}

// parseID reads a number of digits only. Numbers beyond the range come back
// as one that is out of it.
func parseID(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return maxID + 1, true
	}
	return n, true
}

// PasswdEntry is a line of a passwd file.
type PasswdEntry struct {
	Name     string
	UID, GID uint32
	Home     string
}

// FindPasswd returns the first entry of a passwd file that match accepts.
// Lines that are no entry are skipped, as in every C library.
func FindPasswd(file []byte, match func(*PasswdEntry) bool) (PasswdEntry, bool) {
	for line := range bytes.Lines(file) {
		f, ok := fields(line, 7)
		if !ok {
			continue
		}
		uid, ok1 := parseID(f[2])
		gid, ok2 := parseID(f[3])
		if !ok1 || !ok2 || uid > maxID || gid > maxID {
			continue
		}
		if e := (PasswdEntry{f[0], uint32(uid), uint32(gid), f[5]}); match(&e) {
			return e, true
		}
	}
	return PasswdEntry{}, false
}

// GroupEntry is a line of a group file.
type GroupEntry struct {
	Name    string
	GID     uint32
	members string // comma-separated
}

func (g *GroupEntry) has(login string) bool {
	for m := range strings.SplitSeq(g.members, ",") {
		if m == login {
			return true
		}
	}
	return false
}

// EachGroup calls f for each entry of a group file until it returns false.
func EachGroup(file []byte, f func(*GroupEntry) bool) {
	for line := range bytes.Lines(file) {
		v, ok := fields(line, 4)
		if !ok {
			continue
		}
		gid, ok := parseID(v[2])
		if !ok || gid > maxID {
			continue
		}
		if !f(&GroupEntry{v[0], uint32(gid), v[3]}) {
			return
		}
	}
}

// maxLine bounds a line of passwd or group: what is longer is no entry.
const maxLine = 64 << 10

// fields splits a line at its colons into at least three and at most n
// fields; the missing ones are empty.
func fields(line []byte, n int) ([7]string, bool) {
	var f [7]string
	line = bytes.TrimSpace(line)
	if len(line) == 0 || len(line) > maxLine || line[0] == '#' {
		return f, false
	}
	rest, more, i := string(line), true, 0
	for ; more && i < n; i++ {
		f[i], rest, more = strings.Cut(rest, ":")
	}
	return f, i >= 3 && f[0] != ""
}
