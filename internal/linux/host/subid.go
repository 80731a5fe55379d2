package host

import (
	"os"
	"strconv"
	"strings"
)

// IDRange is a range of user or group ids that is set aside for somebody.
type IDRange struct{ First, Count uint32 }

// SubIDs returns the ranges that /etc/subuid and /etc/subgid give to the
// first of names that has any, as useradd(8) and usermod(8) write them.
func SubIDs(names ...string) (uids, gids []IDRange) {
	for _, n := range names {
		uids, gids = subIDs("/etc/subuid", n), subIDs("/etc/subgid", n)
		if len(uids) > 0 && len(gids) > 0 {
			return uids, gids
		}
	}
	return nil, nil
}

func subIDs(file, name string) []IDRange {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return parseSubIDs(string(b), name)
}

func parseSubIDs(text, name string) []IDRange {
	var list []IDRange
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] != name {
			continue
		}
		first, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil && count > 0 && first+count <= 1<<32 {
			list = append(list, IDRange{uint32(first), uint32(count)})
		}
	}
	return list
}
