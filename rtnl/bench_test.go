//go:build linux

package rtnl

import (
	"net"
	"net/netip"
	"testing"

	"container/nl"
)

// What the messages of a container's link cost to build: "go test -bench Link
// -benchmem ./rtnl".
func BenchmarkLink(b *testing.B) {
	mac := net.HardwareAddr{2, 0x42, 172, 16, 0, 100}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = len(nl.Marshal([]nl.Request{
			Bridge("br0", mac),
			Veth("veth0", mac, "an alias", 1500, 1, VethPeer{Name: "veth1", PID: 1}),
			Address(2, "veth1", netip.MustParsePrefix("172.16.0.30/24")),
		}))
	}
	b.ReportMetric(float64(n), "message-bytes")
}
