package engine

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/fault"
)

// blanks could hide in the zone of an address and add lines to a file.
const blanks = " \t\r\n"

// networkFiles computes /etc/hosts, /etc/hostname and /etc/resolv.conf, and
// their mounts. A mount of the user's over one of them wins.
func networkFiles(in *ComposeInput, hostname string, hostNet bool) ([]File, []specs.Mount, error) {
	h := &in.Config.HostConfig
	hosts, err := hostsFile(in, hostname, hostNet)
	if err != nil {
		return nil, nil, err
	}
	resolv, err := resolvFile(h, in.Resolv, hostNet)
	if err != nil {
		return nil, nil, err
	}
	files := []File{
		{"resolv.conf", resolv},
		{"hostname", []byte(hostname + "\n")},
		{"hosts", hosts},
	}
	mounts := make([]specs.Mount, len(files))
	for i, f := range files {
		options := []string{"rbind", "rprivate"}
		if h.ReadonlyRootfs {
			options = append(options, "ro")
		}
		mounts[i] = specs.Mount{Destination: "/etc/" + f.Name, Type: "bind", Source: in.FilesDir + "/" + f.Name, Options: options}
	}
	return files, mounts, nil
}

func hostsFile(in *ComposeInput, hostname string, hostNet bool) ([]byte, error) {
	var b []byte
	if hostNet && len(in.Hosts) > 0 {
		b = append(b, in.Hosts...)
		if b[len(b)-1] != '\n' {
			b = append(b, '\n')
		}
	} else {
		b = append(b, "127.0.0.1\tlocalhost\n"+
			"::1\tlocalhost ip6-localhost ip6-loopback\n"+
			"fe00::\tip6-localnet\n"+
			"ff00::\tip6-mcastprefix\n"+
			"ff02::1\tip6-allnodes\n"+
			"ff02::2\tip6-allrouters\n"...)
		if hostname != "" && !hostNet {
			// Docker writes the address on the bridge here. Without a network
			// the name is the container itself all the same.
			b = append(b, "127.0.0.1\t"...)
			if in.Config.Domainname != "" {
				b = append(b, hostname+"."+in.Config.Domainname+" "...)
			}
			b = append(b, hostname+"\n"...)
		}
	}
	for _, e := range in.Config.HostConfig.ExtraHosts {
		name, addr, err := ParseExtraHost(e)
		if err != nil {
			return nil, err
		}
		if addr == "host-gateway" {
			return nil, fault.New(fault.Unsupported, "add-host %q: host-gateway needs a bridge network", e)
		}
		b = append(b, addr+"\t"+name+"\n"...)
	}
	return b, nil
}

// ParseExtraHost splits name:address or name=address. The address may stand
// in brackets; host-gateway is a word for the host's.
func ParseExtraHost(s string) (name, addr string, err error) {
	name, addr, ok := strings.Cut(s, "=")
	if !ok {
		name, addr, ok = strings.Cut(s, ":")
	}
	if !ok || name == "" || strings.ContainsAny(name, blanks+"#") {
		return "", "", fault.New(fault.Invalid, "bad format for add-host: %q", s)
	}
	if len(addr) > 2 && addr[0] == '[' && addr[len(addr)-1] == ']' {
		addr = addr[1 : len(addr)-1]
	}
	if addr == "host-gateway" {
		return name, addr, nil
	}
	if !validIP(addr) || strings.ContainsAny(addr, blanks) {
		return "", "", fault.New(fault.Invalid, "invalid IP address in add-host: %q", addr)
	}
	return name, addr, nil
}

// resolvFile is the host's with the host's network, where nothing else was
// asked for; else what was asked for.
func resolvFile(h *HostConfig, host []byte, hostNet bool) ([]byte, error) {
	if len(h.DNS)+len(h.DNSSearch)+len(h.DNSOptions) == 0 {
		if hostNet {
			return host, nil
		}
		return nil, nil
	}
	var b []byte
	servers := h.DNS
	if len(servers) == 0 && hostNet {
		for line := range strings.Lines(string(host)) {
			if strings.HasPrefix(line, "nameserver") {
				b = append(b, strings.TrimRight(line, "\n")+"\n"...)
			}
		}
	}
	for _, s := range servers {
		if !validIP(s) || strings.ContainsAny(s, blanks) {
			return nil, fault.New(fault.Invalid, "dns %q: not an IP address", s)
		}
		b = append(b, "nameserver "+s+"\n"...)
	}
	for _, s := range h.DNSSearch {
		if s == "" || strings.ContainsAny(s, blanks) {
			return nil, fault.New(fault.Invalid, "dns search %q: not a domain", s)
		}
	}
	if len(h.DNSSearch) > 0 && (len(h.DNSSearch) != 1 || h.DNSSearch[0] != ".") {
		b = append(b, "search "+strings.Join(h.DNSSearch, " ")+"\n"...)
	}
	for _, s := range h.DNSOptions {
		if s == "" || strings.ContainsAny(s, blanks) {
			return nil, fault.New(fault.Invalid, "dns option %q: not an option", s)
		}
	}
	if len(h.DNSOptions) > 0 {
		b = append(b, "options "+strings.Join(h.DNSOptions, " ")+"\n"...)
	}
	return b, nil
}
