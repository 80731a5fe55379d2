package cgroup

import (
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Hierarchy is one mounted cgroup hierarchy.
type Hierarchy struct {
	Mount       string   // absolute mount point
	Root        string   // what of the hierarchy the mount shows (mountinfo field 4), mostly "/"
	Self        string   // the caller's cgroup relative to Mount, "/"-rooted; "" when the mount does not show it
	Controllers []string // v1: "cpu", "cpuacct" or "name=systemd"; v2: the controllers that the mount can hand out
	Unified     bool     // cgroup v2
	ReadOnly    bool     // mounted read-only: no group can be made here
}

// Layout says where each hierarchy is mounted. Controllers may be spread over
// v1 hierarchies and the unified one; each controller lives in at most one.
type Layout struct {
	Hierarchies []Hierarchy // in mount order
}

// Find returns the index of the hierarchy that has the controller ("memory",
// "name=systemd"), or -1.
func (l Layout) Find(controller string) int {
	for i := range l.Hierarchies {
		if slices.Contains(l.Hierarchies[i].Controllers, controller) {
			return i
		}
	}
	return -1
}

// Unified returns the index of the v2 hierarchy, or -1.
func (l Layout) Unified() int {
	for i := range l.Hierarchies {
		if l.Hierarchies[i].Unified {
			return i
		}
	}
	return -1
}

// pure tells whether there is nothing but v2.
func (l Layout) pure() bool { return len(l.Hierarchies) == 1 && l.Hierarchies[0].Unified }

// Mount is one entry of a container's /sys/fs/cgroup.
type Mount struct {
	Target string   // below /sys/fs/cgroup, "" for the directory itself
	FSType string   // "cgroup" or "cgroup2"
	Data   string   // "cpu,cpuacct", "none,name=systemd"; "" on v2
	Links  []string // names beside Target that are symlinks to it ("cpu" to "cpu,cpuacct")
}

// Mounts lists what a container's /sys/fs/cgroup consists of, seen from a new
// cgroup namespace. One mount with an empty Target means pure v2; otherwise
// /sys/fs/cgroup is a tmpfs that holds the mounts.
func (l Layout) Mounts() []Mount {
	out := make([]Mount, 0, len(l.Hierarchies))
	for _, h := range l.Hierarchies {
		switch {
		case h.Unified && l.pure():
			out = append(out, Mount{FSType: "cgroup2"})
		case h.Unified:
			out = append(out, Mount{Target: "unified", FSType: "cgroup2"})
		default:
			out = append(out, v1Mount(h.Controllers))
		}
	}
	return out
}

func v1Mount(controllers []string) Mount {
	m := Mount{FSType: "cgroup", Data: strings.Join(controllers, ",")}
	m.Target = strings.ReplaceAll(m.Data, "name=", "")
	if len(controllers) > 1 {
		m.Links = controllers
	} else if m.Target != m.Data {
		m.Data = "none," + m.Data // a named hierarchy without controllers asks for "none"
	}
	return m
}

// ParseLayout reads the three texts mountinfo (/proc/self/mountinfo),
// selfCgroup (/proc/self/cgroup) and unifiedControllers (cgroup.controllers
// at the root of the cgroup2 mount, "" where there is none). A host without
// any cgroup mount gives an empty Layout and no error. Where a hierarchy is
// mounted several times, the first mount that shows the caller's own cgroup
// and is writable is taken.
func ParseLayout(mountinfo, selfCgroup, unifiedControllers string) (Layout, error) {
	l := Layout{Hierarchies: make([]Hierarchy, 0, 16)}
	for m, rest, ok, err := nextMount(mountinfo); ok || err != nil; m, rest, ok, err = nextMount(rest) {
		if err != nil {
			return Layout{}, err
		}
		h := Hierarchy{Mount: unescape(m.point), Root: unescape(m.root), Unified: m.unified, ReadOnly: m.readOnly}
		path, found := "", false
		if m.unified {
			_, path, found = selfLine(selfCgroup, "")
		} else {
			var list string
			for opt := range strings.SplitSeq(m.options, ",") {
				if list, path, found = selfLine(selfCgroup, opt); found {
					break
				}
			}
			h.Controllers = strings.Split(list, ",")
		}
		if !found && !m.unified {
			continue // a mount with nothing in it for this process
		}
		if found {
			h.Self = below(h.Root, path)
		}
		l.add(h)
	}
	if i := l.Unified(); i >= 0 {
		l.Hierarchies[i].Controllers = strings.Fields(unifiedControllers)
	}
	return l, nil
}

// add appends h, or lets it replace an earlier mount of the same hierarchy
// that is worth less.
func (l *Layout) add(h Hierarchy) {
	for i := range l.Hierarchies {
		o := &l.Hierarchies[i]
		if o.Unified == h.Unified && slices.Equal(o.Controllers, h.Controllers) {
			if h.worth() > o.worth() {
				*o = h
			}
			return
		}
	}
	l.Hierarchies = append(l.Hierarchies, h)
}

func (h *Hierarchy) worth() int {
	n := 0
	if h.Self != "" {
		n++
	}
	if !h.ReadOnly {
		n += 2
	}
	return n
}

type mountLine struct {
	root, point, options string
	unified, readOnly    bool
}

// nextMount finds the next cgroup line. Hosts have thousands of mounts, so the
// text is searched for the type instead of being split.
func nextMount(text string) (m mountLine, rest string, ok bool, err error) {
	for {
		i := strings.Index(text, " - cgroup")
		if i < 0 {
			return m, "", false, nil
		}
		start := strings.LastIndexByte(text[:i], '\n') + 1
		end := len(text)
		if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
			end = i + n
		}
		line, tail := text[start:i], text[i+3:end]
		rest, text = text[end:], text[end:]
		fstype, tail, _ := strings.Cut(tail, " ")
		if fstype != "cgroup" && fstype != "cgroup2" {
			continue
		}
		m.unified = fstype == "cgroup2"
		_, m.options, _ = strings.Cut(tail, " ") // after the source
		var f [6]string                          // id parent major:minor root point options
		n := 0
		for field := range strings.FieldsSeq(line) {
			if n < len(f) {
				f[n] = field
			}
			n++
		}
		if n < len(f) || f[3][0] != '/' || f[4][0] != '/' {
			return m, "", false, fault.New(fault.Invalid, "parse mountinfo: malformed cgroup mount %q", line)
		}
		m.root, m.point = f[3], f[4]
		m.readOnly = f[5] == "ro" || strings.HasPrefix(f[5], "ro,")
		return m, rest, true, nil
	}
}

// selfLine finds the line of /proc/self/cgroup whose list has the controller
// ("" is the unified line) and returns list and path.
func selfLine(text, controller string) (list, path string, ok bool) {
	for line := range strings.SplitSeq(text, "\n") {
		_, line, _ = strings.Cut(line, ":")
		list, path, ok = strings.Cut(line, ":")
		if !ok {
			continue
		}
		if controller == "" {
			if list == "" {
				return list, path, true
			}
			continue
		}
		for c := range strings.SplitSeq(list, ",") {
			if c == controller {
				return list, path, true
			}
		}
	}
	return "", "", false
}

// below returns path as seen through a mount of root, or "". Both may begin
// with "/.." where the cgroup namespace is below the mount or the caller.
func below(root, path string) string {
	if strings.HasSuffix(path, " (deleted)") || path == "/.." || strings.HasPrefix(path, "/../") {
		return ""
	}
	switch {
	case root == "/" && strings.HasPrefix(path, "/"):
		return path
	case path == root:
		return "/"
	case strings.HasPrefix(path, root) && path[len(root)] == '/':
		return path[len(root):]
	}
	return ""
}

// unescape undoes the octal escapes of mountinfo (\040 is a space).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			b = append(b, s[i+1]<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// MemoryOnV2 reports which of systemd's two sets of property names this host
// goes by: the one of v2 where that has the resource controllers.
func (l Layout) MemoryOnV2() bool {
	i := l.Find("memory")
	return i >= 0 && l.Hierarchies[i].Unified || i < 0 && l.pure()
}
