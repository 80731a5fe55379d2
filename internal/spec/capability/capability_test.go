package capability

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

func TestNumbers(t *testing.T) {
	// A few numbers of linux/capability.h, and the last one.
	for c, want := range map[Cap]string{
		unix.CAP_CHOWN:              "CAP_CHOWN",
		unix.CAP_NET_ADMIN:          "CAP_NET_ADMIN",
		unix.CAP_SYS_ADMIN:          "CAP_SYS_ADMIN",
		unix.CAP_SYS_RESOURCE:       "CAP_SYS_RESOURCE",
		unix.CAP_SETFCAP:            "CAP_SETFCAP",
		unix.CAP_AUDIT_READ:         "CAP_AUDIT_READ",
		unix.CAP_BPF:                "CAP_BPF",
		unix.CAP_CHECKPOINT_RESTORE: "CAP_CHECKPOINT_RESTORE",
		41:                          "CAP_41",
		163:                         "CAP_163",
	} {
		if got := c.String(); got != want {
			t.Errorf("Cap(%d) = %q, want %q", c, got, want)
		}
	}
	if Last != unix.CAP_LAST_CAP {
		t.Errorf("Last = %d, want %d", Last, unix.CAP_LAST_CAP)
	}
}

func TestSortedTable(t *testing.T) {
	if !slices.IsSortedFunc(sorted[:], func(a, b Cap) int { return strings.Compare(names[a], names[b]) }) {
		want := sorted
		slices.SortFunc(want[:], func(a, b Cap) int { return strings.Compare(names[a], names[b]) })
		t.Fatalf("sorted is not in order, want %v", want)
	}
	for c := Cap(0); c <= Last; c++ {
		if !slices.Contains(sorted[:], c) {
			t.Errorf("%v is missing from sorted", c)
		}
	}
}

func TestParse(t *testing.T) {
	for c := Cap(0); c <= Last; c++ {
		full := c.String()
		for _, in := range []string{full, strings.ToLower(full), full[4:], strings.ToLower(full[4:]), "Cap_" + full[4:]} {
			if got, err := Parse(in); err != nil || got != c {
				t.Errorf("Parse(%q) = %v, %v; want %v", in, got, err, c)
			}
		}
	}
	for _, in := range []string{"", "CAP_", "CAP_CAP_CHOWN", "NET", "NET_ADMINS", "ALL", "CAP_41", " CHOWN", "\xff"} {
		_, err := Parse(in)
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("Parse(%q): %v, want an invalid error", in, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("cap_sys_admin")
	f.Add("ALL")
	f.Fuzz(func(t *testing.T, in string) {
		c, err := Parse(in)
		if err != nil {
			return
		}
		up := strings.ToUpper(in)
		if up != c.String() && "CAP_"+up != c.String() {
			t.Errorf("Parse(%q) = %v", in, c)
		}
	})
}

func TestSet(t *testing.T) {
	s := Of(unix.CAP_SETUID, unix.CAP_CHOWN)
	if got, want := s.Names(), []string{"CAP_CHOWN", "CAP_SETUID"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Names = %v, want %v", got, want)
	}
	if got := s.String(); got != "CAP_CHOWN,CAP_SETUID" {
		t.Errorf("String = %q", got)
	}
	if got := Set(0).String(); got != "none" {
		t.Errorf("empty String = %q", got)
	}
	if !s.Has(unix.CAP_SETUID) || s.Has(unix.CAP_KILL) || s.Has(200) || s.Len() != 2 {
		t.Errorf("Has or Len is wrong for %v", s)
	}
	if got := UpTo(Last).Len(); got != 41 {
		t.Errorf("UpTo(Last) has %d", got)
	}
	if UpTo(63) != ^Set(0) {
		t.Error("UpTo(63) is not full")
	}
	got, unknown := ParseSet([]string{"CAP_CHOWN", "CAP_FUTURE", "setuid"})
	if got != s || !reflect.DeepEqual(unknown, []string{"CAP_FUTURE"}) {
		t.Errorf("ParseSet = %v, %v", got, unknown)
	}
}

func TestCompute(t *testing.T) {
	const last = Last
	full := UpTo(last)
	def := Default()
	if def.Len() != 14 {
		t.Fatalf("Default has %d, want 14", def.Len())
	}
	noRes := full &^ Of(unix.CAP_SYS_RESOURCE)
	for _, tt := range []struct {
		name      string
		add, drop []string
		priv      bool
		bounding  Set
		last      Cap
		want      Set
		warn      []string
		err       string
	}{
		{name: "defaults", want: def},
		{name: "add", add: []string{"net_admin"}, want: def | Of(unix.CAP_NET_ADMIN)},
		{name: "drop", drop: []string{"CAP_CHOWN", "mknod"}, want: def &^ Of(unix.CAP_CHOWN, unix.CAP_MKNOD)},
		{name: "add beats drop", add: []string{"CHOWN"}, drop: []string{"CHOWN"}, want: def},
		{name: "add all", add: []string{"all"}, want: full},
		{name: "add all drop one", add: []string{"ALL"}, drop: []string{"SYS_ADMIN"}, want: full &^ Of(unix.CAP_SYS_ADMIN)},
		{name: "add all drop all", add: []string{"ALL"}, drop: []string{"ALL"}, want: full},
		{name: "add all and a dropped one", add: []string{"ALL", "CHOWN"}, drop: []string{"CHOWN"}, want: full &^ Of(unix.CAP_CHOWN)},
		{name: "drop all", drop: []string{"ALL"}, want: 0},
		{name: "drop all add one", add: []string{"CHOWN"}, drop: []string{"ALL"}, want: Of(unix.CAP_CHOWN)},
		{name: "drop all and one, add it", add: []string{"CHOWN"}, drop: []string{"ALL", "CHOWN"}, want: Of(unix.CAP_CHOWN)},
		{name: "privileged", priv: true, want: full},
		{name: "privileged ignores lists", priv: true, add: []string{"CHOWN"}, drop: []string{"ALL"}, want: full},
		{
			name: "privileged in a bounded engine", priv: true, bounding: noRes, want: noRes,
			warn: []string{"privileged without CAP_SYS_RESOURCE: not in the engine's own bounding set"},
		},
		{
			name: "named but bounded", add: []string{"SYS_RESOURCE", "sys_resource"}, bounding: noRes, want: def,
			warn: []string{"capability CAP_SYS_RESOURCE is not given: not in the engine's own bounding set"},
		},
		{name: "all is bounded silently", add: []string{"ALL"}, bounding: noRes, want: noRes},
		{name: "defaults are bounded silently", bounding: Of(unix.CAP_CHOWN), want: Of(unix.CAP_CHOWN)},
		{
			name: "all and a bounded name", add: []string{"ALL", "SYS_RESOURCE"}, bounding: noRes, want: noRes,
			warn: []string{"capability CAP_SYS_RESOURCE is not given: not in the engine's own bounding set"},
		},
		{
			name: "old kernel", add: []string{"CAP_BPF"}, last: unix.CAP_AUDIT_READ, want: def,
			warn: []string{"capability CAP_BPF is not given: not known to this kernel"},
		},
		{name: "newer kernel", add: []string{"ALL"}, last: Last + 2, bounding: UpTo(Last + 2), want: full},
		{name: "newer kernel, privileged", priv: true, last: Last + 2, bounding: UpTo(Last + 2), want: full},
		{name: "unknown add", add: []string{"CAP_FOO"}, err: `cap-add: unknown capability "CAP_FOO"`},
		{name: "unknown drop", drop: []string{"bar"}, err: `cap-drop: unknown capability "bar"`},
		{name: "unknown with privileged", priv: true, add: []string{"bar"}, err: `cap-add: unknown capability "bar"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bounding, last := tt.bounding, tt.last
			if bounding == 0 {
				bounding = full
			}
			if last == 0 {
				last = Last
			}
			got, warn, err := Compute(def, tt.add, tt.drop, tt.priv, bounding, last)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err || fault.KindOf(err) != fault.Invalid {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %v\nwant %v", got, tt.want)
			}
			if !reflect.DeepEqual(warn, tt.warn) {
				t.Errorf("warnings %q, want %q", warn, tt.warn)
			}
		})
	}
}
