package runtime

import (
	"slices"

	"github.com/tare-engine/tare/host"
	"github.com/tare-engine/tare/spawn/nofile"
)

// FactsOf turns what the host package has found into what a plan depends on.
func FactsOf(h *host.Facts) Facts {
	f := Facts{
		Bounding: uint64(h.Bounding), LastCap: int(h.LastCap),
		NoFile: [2]uint64{nofile.Soft, nofile.Hard}, Rlimit: host.Rlimit,
		AppArmor: h.AppArmor, SELinux: h.SELinux, GOARCH: h.Arch,
	}
	if h.UserNS {
		gids, deny := host.IDs()
		f.UserNS, f.NoSetgroups = true, deny
		f.HasGID = func(gid uint32) bool {
			return slices.ContainsFunc(gids, func(r host.IDRange) bool { return gid >= r.First && gid-r.First < r.Count })
		}
	}
	return f
}
