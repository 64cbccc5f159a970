//go:build linux

package main

import (
	"net/netip"
	"testing"

	"container/rtnl"
)

// The name tells the address, whole if it is an IPv4 one, and is one that a
// link can have.
func TestLeasedName(t *testing.T) {
	for address, want := range map[string]string{
		"172.16.0.30":                            "vethac10001e",
		"0.0.0.1":                                "veth00000001",
		"255.255.255.254":                        "vethfffffffe",
		"fd00:16::30":                            "veth0000000030",
		"fd00:16::1:2:30":                        "veth0100020030",
		"2001:db8:1234:5678:9abc:def0:1234:5678": "vethf012345678",
	} {
		got := leasedName(netip.MustParseAddr(address))
		if got != want || len(got) > rtnl.MaxName {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
		if err := checkBridgeName(got); err != nil {
			t.Error(err)
		}
	}
}
