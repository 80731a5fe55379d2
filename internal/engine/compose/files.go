package compose

import (
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// networkFiles computes /etc/hosts, /etc/hostname and /etc/resolv.conf, and
// their mounts. A mount that was asked for over one of them wins.
func networkFiles(in *Inputs, asked []specs.Mount, hostname string, hostNet bool) ([]File, []specs.Mount, error) {
	h := &in.Config.HostConfig
	hosts, err := hostsFile(in, hostname, hostNet)
	if err != nil {
		return nil, nil, err
	}
	resolv, err := resolvFile(h, in.Resolv, hostNet)
	if err != nil {
		return nil, nil, err
	}
	var files []File
	var mounts []specs.Mount
	for _, f := range [...]File{
		{"resolv.conf", resolv},
		{"hostname", []byte(hostname + "\n")},
		{"hosts", hosts},
	} {
		if slices.ContainsFunc(asked, func(m specs.Mount) bool { return m.Destination == "/etc/"+f.Name }) {
			continue
		}
		options := []string{"rbind", "rprivate"}
		if h.ReadonlyRootfs {
			options = append(options, "ro")
		}
		files = append(files, f)
		mounts = append(mounts, specs.Mount{Destination: "/etc/" + f.Name, Type: "bind", Source: in.FilesDir + "/" + f.Name, Options: options})
	}
	return files, mounts, nil
}

func hostsFile(in *Inputs, hostname string, hostNet bool) ([]byte, error) {
	var b []byte
	if len(in.Hosts) > 0 {
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
		name, addr, err := api.ParseExtraHost(e)
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

// resolvFile is what the network has prepared, where nothing else was asked
// for; else what was asked for.
func resolvFile(h *api.HostConfig, host []byte, hostNet bool) ([]byte, error) {
	if len(h.DNS)+len(h.DNSSearch)+len(h.DNSOptions) == 0 {
		return host, nil
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
		if !api.ValidIP(s) || strings.ContainsAny(s, api.Blanks) {
			return nil, fault.New(fault.Invalid, "dns %q: not an IP address", s)
		}
		b = append(b, "nameserver "+s+"\n"...)
	}
	for _, s := range h.DNSSearch {
		if s == "" || strings.ContainsAny(s, api.Blanks) {
			return nil, fault.New(fault.Invalid, "dns search %q: not a domain", s)
		}
	}
	if len(h.DNSSearch) > 0 && (len(h.DNSSearch) != 1 || h.DNSSearch[0] != ".") {
		b = append(b, "search "+strings.Join(h.DNSSearch, " ")+"\n"...)
	}
	for _, s := range h.DNSOptions {
		if s == "" || strings.ContainsAny(s, api.Blanks) {
			return nil, fault.New(fault.Invalid, "dns option %q: not an option", s)
		}
	}
	if len(h.DNSOptions) > 0 {
		b = append(b, "options "+strings.Join(h.DNSOptions, " ")+"\n"...)
	}
	return b, nil
}
