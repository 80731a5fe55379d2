package containers

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// ports lists what a container publishes and what it, or its image, exposes.
func ports(c *api.ContainerConfig, exposed []string) []api.Port {
	var list []api.Port
	known := map[api.Port]bool{}
	for spec, bindings := range c.HostConfig.PortBindings {
		number, proto, ok := splitPort(spec)
		if !ok {
			continue
		}
		for _, b := range bindings {
			public, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err != nil || public == 0 {
				continue // any: the network says which
			}
			for _, ip := range hostIPs(b.HostIP) {
				list = append(list, api.Port{IP: ip, PrivatePort: number, PublicPort: uint16(public), Type: proto})
				known[api.Port{PrivatePort: number, Type: proto}] = true
			}
		}
	}
	for spec := range c.ExposedPorts {
		exposed = append(exposed, spec)
	}
	for _, spec := range exposed {
		ranges, err := portRanges([]string{spec})
		if err != nil {
			continue // an image may say anything
		}
		for n := uint32(ranges[0].first); n <= uint32(ranges[0].last); n++ {
			number, proto := uint16(n), ranges[0].proto
			if p := (api.Port{PrivatePort: number, Type: proto}); !known[p] {
				known[p] = true
				list = append(list, p)
			}
		}
	}
	slices.SortFunc(list, func(a, b api.Port) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.IP, b.IP), cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.Type, b.Type))
	})
	return list
}

func hostIPs(ip string) []string {
	if ip == "" {
		return []string{"0.0.0.0", "::"}
	}
	return []string{ip}
}

// splitPort reads "80/tcp" or "80".
func splitPort(s string) (number uint16, proto string, ok bool) {
	text, proto, given := strings.Cut(s, "/")
	if !given {
		proto = "tcp"
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), proto, err == nil
}

// portRange is a value of the filters publish and expose: 80, 80/udp, 80-90/tcp.
type portRange struct {
	first, last uint16
	proto       string
}

func portRanges(list []string) ([]portRange, error) {
	var out []portRange
	for _, s := range list {
		text, proto, given := strings.Cut(s, "/")
		if !given {
			proto = "tcp"
		}
		from, to, span := strings.Cut(text, "-")
		if !span {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err != nil || err2 != nil || first > last || proto != "tcp" && proto != "udp" && proto != "sctp" {
			return nil, fault.New(fault.Invalid, "invalid port or range: %q", s)
		}
		out = append(out, portRange{uint16(first), uint16(last), proto})
	}
	return out, nil
}

func inRanges(list []portRange, number uint16, proto string) bool {
	return slices.ContainsFunc(list, func(r portRange) bool { return r.proto == proto && r.first <= number && number <= r.last })
}
