//go:build linux

package nat

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"container/nl"
)

// What the messages of a table cost to build: "go test -bench Ruleset -benchmem
// ./nat".
func BenchmarkRuleset(b *testing.B) {
	for _, f := range Families {
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n = len(nl.Marshal(f.Ruleset()))
			}
			b.ReportMetric(float64(n), "message-bytes")
		})
	}
}

// What a container's claim with one published port costs to build, to take and
// to release.
func BenchmarkClaim(b *testing.B) {
	c := Claim{
		Bridge:    "br0",
		Networks:  []netip.Prefix{netip.MustParsePrefix("172.16.0.100/24")},
		Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.30")},
		Index:     7,
		MAC:       net.HardwareAddr{2, 0x42, 172, 16, 0, 30},
		Ports:     []Port{{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP}},
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = len(nl.Marshal(c.Take())) + len(nl.Marshal(c.Release()))
	}
	b.ReportMetric(float64(n), "message-bytes")
}
