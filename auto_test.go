//go:build linux

package main

import (
	"net/netip"
	"slices"
	"testing"
)

// takenOf is a set of addresses.
func takenOf(s string) map[netip.Addr]bool {
	taken := make(map[netip.Addr]bool)
	for _, a := range addrList(s) {
		taken[a] = true
	}
	return taken
}

func TestFree(t *testing.T) {
	for _, c := range []struct {
		network, taken string
		want           string // none: there is none
	}{
		{"172.16.0.100/24", "172.16.0.100", "172.16.0.1"},
		{"172.16.0.100/24", "172.16.0.100,172.16.0.1,172.16.0.2,172.16.0.4", "172.16.0.3"},
		{"172.16.0.1/24", "172.16.0.1", "172.16.0.2"},
		{"10.1.2.3/8", "", "10.0.0.1"},
		{"172.16.0.1/30", "172.16.0.1", "172.16.0.2"},
		{"172.16.0.1/30", "172.16.0.1,172.16.0.2", ""},
		{"255.255.255.254/30", "255.255.255.254", "255.255.255.253"},
		{"255.255.255.254/30", "255.255.255.254,255.255.255.253", ""},
		{"fd00:16::100/64", "fd00:16::100", "fd00:16::1"},
		{"fd00:16::1/126", "fd00:16::1,fd00:16::2,fd00:16::3", ""},
	} {
		got, ok := free(netip.MustParsePrefix(c.network), takenOf(c.taken))
		switch {
		case c.want == "":
			if ok {
				t.Errorf("%s less %s: got %s, and there is none", c.network, c.taken, got)
			}
		case !ok || got != netip.MustParseAddr(c.want):
			t.Errorf("%s less %s: got %s (%t), want %s", c.network, c.taken, got, ok, c.want)
		}
	}
}

// One after the other, a network's addresses are all given away, in their order.
func TestFreeAll(t *testing.T) {
	network := netip.MustParsePrefix("10.0.0.5/29")
	taken := takenOf("10.0.0.5")
	var got []netip.Addr
	for {
		a, ok := free(network, taken)
		if !ok {
			break
		}
		if taken[a] {
			t.Fatalf("%s a second time", a)
		}
		taken[a] = true
		got = append(got, a)
	}
	if want := addrList("10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.6"); !slices.Equal(got, want) {
		t.Errorf("got %s, want %s", joined(got), joined(want))
	}
}

func TestPick(t *testing.T) {
	pick := func(gateways, taken string) ([]netip.Prefix, error) {
		n := &network{o: &options{auto: true, gateways: prefixList(gateways)}}
		err := n.pick(takenOf(taken))
		return n.addresses, err
	}
	const both = "172.16.0.100/24,fd00:16::100/64"
	for _, c := range []struct{ gateways, taken, want string }{
		{"172.16.0.100/24", "172.16.0.100", "172.16.0.1/24"},
		{"fd00:16::100/48", "fd00:16::100", "fd00:16::1/48"},
		{both, "172.16.0.100,fd00:16::100", "172.16.0.1/24,fd00:16::1/64"},
		{both, "172.16.0.1,fd00:16::1,fd00:16::2", "172.16.0.2/24,fd00:16::3/64"},
	} {
		if got, err := pick(c.gateways, c.taken); err != nil || !slices.Equal(got, prefixList(c.want)) {
			t.Errorf("of %s less %s: got %s (error %v), want %s", c.gateways, c.taken, got, err, c.want)
		}
	}

	for _, c := range []struct{ gateways, taken, want string }{
		{"172.16.0.1/30", "172.16.0.1,172.16.0.2", "auto: no free address in 172.16.0.0/30"},
		{"172.16.0.100/24,fd00:16::1/126", "fd00:16::1,fd00:16::2,fd00:16::3", "auto: no free address in fd00:16::/126"},
	} {
		if got, err := pick(c.gateways, c.taken); err == nil || err.Error() != c.want {
			t.Errorf("got %s and the error %v, want %s", got, err, c.want)
		}
	}
}
