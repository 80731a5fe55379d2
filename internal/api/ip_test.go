package api

import (
	"net/netip"
	"testing"
)

var ipSeeds = []string{
	"1.2.3.4", "255.255.255.255", "256.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "", "::", "::1", "1::", "fe80::1%eth0", "fe80::1%", "1.2.3.4%eth0",
	"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::2::3", ":::", "12345::", "g::", "::ffff:1.2.3.4", "1.2.3.4::", "1:2:3:4:5:6:1.2.3.4",
	"1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "1:", ":1", "::1:", "::1.2.3.4:5",
}

func TestValidIP(t *testing.T) {
	for _, s := range ipSeeds {
		_, err := netip.ParseAddr(s)
		if got := ValidIP(s); got != (err == nil) {
			t.Errorf("validIP(%q) = %v, netip: %v", s, got, err)
		}
	}
}

// FuzzValidIP compares with net/netip.
func FuzzValidIP(f *testing.F) {
	for _, s := range ipSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, err := netip.ParseAddr(s)
		if got := ValidIP(s); got != (err == nil) {
			t.Errorf("validIP(%q) = %v, netip: %v", s, got, err)
		}
	})
}
