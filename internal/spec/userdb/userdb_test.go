package userdb

import (
	"slices"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
)

const testPasswd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
web:x:1000:1001:Web:/home/web:/bin/sh
`

const testGroup = `root:x:0:
daemon:x:1:
web:x:1001:
video:x:44:web,daemon
docker:x:999:web
`

func TestLookupUser(t *testing.T) {
	for _, tt := range []struct {
		user     string
		extra    []string
		uid, gid uint32
		groups   []uint32
		home     string
		err      string
	}{
		{user: "", uid: 0, gid: 0, groups: []uint32{0}, home: "/root"},
		{user: "0", uid: 0, gid: 0, groups: []uint32{0}, home: "/root"},
		{user: "web", uid: 1000, gid: 1001, groups: []uint32{1001, 44, 999}, home: "/home/web"},
		{user: "1000", uid: 1000, gid: 1001, groups: []uint32{1001, 44, 999}, home: "/home/web"},
		{user: "web:video", uid: 1000, gid: 44, groups: []uint32{44}, home: "/home/web"},
		{user: "web:7", uid: 1000, gid: 7, groups: []uint32{7}, home: "/home/web"},
		{user: "web:", uid: 1000, gid: 1001, groups: []uint32{1001, 44, 999}, home: "/home/web"},
		{user: ":video", uid: 0, gid: 44, groups: []uint32{44}, home: "/root"},
		{user: "4242", uid: 4242, gid: 0, groups: []uint32{0}, home: "/"},
		{user: "4242:4343", uid: 4242, gid: 4343, groups: []uint32{4343}, home: "/"},
		{user: "daemon", extra: []string{"video", "docker", "77", "77"}, uid: 1, gid: 1, groups: []uint32{1, 44, 999, 77}, home: "/usr/sbin"},
		{user: "nobody", err: "unable to find user nobody: no matching entries in passwd file"},
		{user: "web:nogroup", err: "unable to find group nogroup: no matching entries in group file"},
		{user: "web", extra: []string{"nogroup"}, err: "unable to find group nogroup"},
		{user: "2147483648", err: "ids must be in range 0-2147483647"},
		{user: "99999999999999999999", err: "ids must be in range"},
		{user: "0:2147483648", err: "ids must be in range"},
		{user: "-1", err: "unable to find user -1"},
	} {
		u, err := Lookup([]byte(testPasswd), []byte(testGroup), tt.user, tt.extra)
		if err != nil || tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || tt.err == "" {
				t.Errorf("%q: error %v, want %q", tt.user, err, tt.err)
			}
			continue
		}
		if u.UID != tt.uid || u.GID != tt.gid || u.Home != tt.home || !slices.Equal(u.AdditionalGids, tt.groups) {
			t.Errorf("%q: got %d:%d %v %s", tt.user, u.UID, u.GID, u.AdditionalGids, u.Home)
		}
	}
}

// TestLookupNumber: digits are a number, also where a line has them for a name.
func TestLookupNumber(t *testing.T) {
	passwd := []byte("1234:x:0:0::/root:/bin/sh\n1000:x:2000:2001::/a:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n")
	group := []byte("44:x:0:\nvideo:x:44:\n")
	u, err := Lookup(passwd, group, "1234", []string{"44"})
	if err != nil || u.UID != 1234 || u.GID != 0 || !slices.Equal(u.AdditionalGids, []uint32{0, 44}) {
		t.Errorf("1234: %+v, %v", u, err)
	}
	if u, err := Lookup(passwd, group, "1000:44", nil); err != nil || u.UID != 1000 || u.GID != 44 || u.Home != "/home/web" {
		t.Errorf("1000:44: %+v, %v", u, err)
	}
}

func TestLookupUserWithoutFiles(t *testing.T) {
	u, err := Lookup(nil, nil, "", nil)
	if err != nil || u.UID != 0 || u.Home != "/" {
		t.Errorf("root without files: %+v, %v", u, err)
	}
	if _, err := Lookup(nil, nil, "5:6", []string{"7"}); err != nil {
		t.Errorf("numbers without files: %v", err)
	}
	if _, err := Lookup(nil, nil, "web", nil); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a name without files: %v", err)
	}
}

// TestPasswdOddities: lines that are no entry are passed over, as by a C
// library, and the first entry of a name counts.
func TestPasswdOddities(t *testing.T) {
	passwd := "# comment\n\nbroken\nbad:x:nan:1::/bad:\nbig:x:4294967296:1::/big:\n" +
		"short:x:7\nweb:x:5:6:g:/first:sh:extra:fields\nweb:x:8:9::/second:\r\n+::::::\n" + strings.Repeat("a", 1<<17) + ":x:1:1\nlast:x:11:12"
	for _, tt := range []struct {
		name string
		uid  uint32
		home string
	}{{"web", 5, "/first"}, {"last", 11, "/"}} {
		u, err := Lookup([]byte(passwd), nil, tt.name, nil)
		if err != nil || u.UID != tt.uid || u.Home != tt.home {
			t.Errorf("%s: %+v, %v", tt.name, u, err)
		}
	}
	for _, name := range []string{"bad", "big", "broken", "short"} {
		if _, err := Lookup([]byte(passwd), nil, name, nil); err == nil {
			t.Errorf("%s was found", name)
		}
	}
}

// FuzzLookupUser: no input crashes it, no ID is out of range, and the group
// list is bounded and has no group twice.
func FuzzLookupUser(f *testing.F) {
	f.Add([]byte(testPasswd), []byte(testGroup), "web:video", "docker")
	f.Add([]byte("a:::::"), []byte("a:x:1:a,a,"), "a", "1")
	f.Fuzz(func(t *testing.T, passwd, group []byte, user, extra string) {
		u, err := Lookup(passwd, group, user, []string{extra})
		if err != nil {
			return
		}
		if u.UID > maxID || u.GID > maxID || u.Home == "" {
			t.Fatalf("%+v", u)
		}
		seen := make(map[uint32]bool)
		for _, g := range u.AdditionalGids {
			if seen[g] || g > maxID {
				t.Fatalf("groups %v", u.AdditionalGids)
			}
			seen[g] = true
		}
		if len(seen) > maxGroups+1 {
			t.Fatalf("%d groups", len(seen))
		}
	})
}
