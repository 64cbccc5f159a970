//go:build linux

package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// addrList is addresses with commas between, or none.
func addrList(s string) []netip.Addr {
	if s == "" {
		return nil
	}
	var all []netip.Addr
	for word := range strings.SplitSeq(s, ",") {
		all = append(all, netip.MustParseAddr(word))
	}
	return all
}

// prefixList is networks, or addresses with their prefix lengths, in the same
// way.
func prefixList(s string) []netip.Prefix {
	if s == "" {
		return nil
	}
	var all []netip.Prefix
	for word := range strings.SplitSeq(s, ",") {
		all = append(all, netip.MustParsePrefix(word))
	}
	return all
}

func TestParseAddresses(t *testing.T) {
	bare := func(s string) netip.Prefix { return netip.PrefixFrom(netip.MustParseAddr(s), -1) }
	for s, want := range map[string][]netip.Prefix{
		"172.16.0.30":                   {bare("172.16.0.30")},
		"172.16.0.30/16":                prefixList("172.16.0.30/16"),
		"fd00:16::30":                   {bare("fd00:16::30")},
		"FD00:16:0::30/48":              prefixList("fd00:16::30/48"),
		"172.16.0.30,fd00:16::30":       {bare("172.16.0.30"), bare("fd00:16::30")},
		"fd00:16::30,172.16.0.30":       {bare("172.16.0.30"), bare("fd00:16::30")},
		"fd00:16::30/64,172.16.0.30":    {bare("172.16.0.30"), netip.MustParsePrefix("fd00:16::30/64")},
		"172.16.0.30/16,fd00:16::30/48": prefixList("172.16.0.30/16,fd00:16::30/48"),
	} {
		if got, err := parseAddresses(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v (error %v), want %v", s, got, err, want)
		}
	}
	const one = ": it takes one, or an IPv4 and an IPv6 one"
	for s, want := range map[string]string{
		"":                            `"" is not an address`,
		"auto,fd00:16::30":            `"auto" is not an address`,
		"172.16.0":                    `"172.16.0" is not an address`,
		"172.16.0.256":                `"172.16.0.256" is not an address`,
		"172.16.0.030":                `"172.16.0.030" is not an address`,
		"172.16.0.30,":                `"" is not an address`,
		"172.16.0.30, fd00:16::30":    `" fd00:16::30" is not an address`,
		"[fd00:16::30]":               `"[fd00:16::30]" is not an address`,
		"fe80::1%eth0":                `"fe80::1%eth0" is not an address`,
		"::ffff:172.16.0.30":          `"::ffff:172.16.0.30" is not an address`,
		"::ffff:172.16.0.30/120":      `"::ffff:172.16.0.30/120" is not an address with a prefix length`,
		"172.16.0.30/":                `"172.16.0.30/" is not an address with a prefix length`,
		"172.16.0.30/33":              `"172.16.0.30/33" is not an address with a prefix length`,
		"fe80::1%eth0/64":             `"fe80::1%eth0/64" is not an address with a prefix length`,
		"172.16.0.30,172.16.0.31":     "addresses 172.16.0.30,172.16.0.31" + one,
		"fd00::1/64,fd00::2":          "addresses fd00::1/64,fd00::2" + one,
		"172.16.0.30,fd00::1,fd00::2": "addresses 172.16.0.30,fd00::1,fd00::2" + one,
	} {
		if got, err := parseAddresses(s); err == nil || err.Error() != want {
			t.Errorf("%q: got %v and the error %v, want %s", s, got, err, want)
		}
	}
}

// What is refused stands in TestParseOptionsRefuses.
func TestParseGateways(t *testing.T) {
	for s, want := range map[string]string{
		"10.0.0.1/8":                       "10.0.0.1/8",
		"10.0.0.1/30":                      "10.0.0.1/30",
		"192.168.7.254/24":                 "192.168.7.254/24",
		"169.254.1.1/16":                   "169.254.1.1/16",
		"fd00:16::100/64":                  "fd00:16::100/64",
		"fd00:16::1/126":                   "fd00:16::1/126",
		"fd00:16::3/126":                   "fd00:16::3/126", // IPv6 has no broadcast address
		"172.16.0.100/24,fd00:16::100/64":  "172.16.0.100/24,fd00:16::100/64",
		"fd00:16::100/64,172.16.0.100/24":  "172.16.0.100/24,fd00:16::100/64",
		"2001:DB8::1/48,198.51.100.129/25": "198.51.100.129/25,2001:db8::1/48",
	} {
		if got, err := parseGateways(s); err != nil || !slices.Equal(got, prefixList(want)) {
			t.Errorf("-gateway %s: got %v (error %v), want %s", s, got, err, want)
		}
	}
}

func TestReserved(t *testing.T) {
	for _, c := range []struct{ network, address, want string }{
		{"10.0.0.5/29", "10.0.0.0", "own address"},
		{"10.0.0.5/29", "10.0.0.1", ""},
		{"10.0.0.5/29", "10.0.0.5", ""},
		{"10.0.0.5/29", "10.0.0.6", ""},
		{"10.0.0.5/29", "10.0.0.7", "broadcast address"},
		{"255.255.255.1/24", "255.255.255.255", "broadcast address"},
		{"fd00::1/126", "fd00::", "own address"},
		{"fd00::1/126", "fd00::3", ""},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/126", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
	} {
		if got := reserved(netip.MustParseAddr(c.address), netip.MustParsePrefix(c.network)); got != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.address, c.network, got, c.want)
		}
	}
}

// Of the addresses around a network, those that a container can have.
func TestCheckAddress(t *testing.T) {
	for _, c := range []struct{ gateway, first, last, want string }{
		{"10.0.0.5/29", "9.255.255.254", "10.0.0.10", "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.6"},
		{"10.0.0.1/30", "9.255.255.254", "10.0.0.10", "10.0.0.2"},
		{"fd00::2/126", "fcff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "fd00::9", "fd00::1,fd00::3"},
	} {
		o := &options{gateways: prefixList(c.gateway)}
		var fit []netip.Addr
		for a := netip.MustParseAddr(c.first); a.Less(netip.MustParseAddr(c.last)); a = a.Next() {
			p, err := o.checkAddress(netip.PrefixFrom(a, -1))
			if err != nil {
				continue
			}
			fit = append(fit, a)
			if want := netip.PrefixFrom(a, o.gateways[0].Bits()); p != want {
				t.Errorf("%s becomes %s behind %s, want %s", a, p, c.gateway, want)
			}
		}
		if got := joined(fit); got != c.want {
			t.Errorf("a container behind %s can have %s, want %s", c.gateway, got, c.want)
		}
	}
}

// Each address is set against the gateway of its own family, and its own prefix
// length, if it has one, is the container's view of the network.
func TestCheckAddressFamilies(t *testing.T) {
	const v4, v6, both = "172.16.0.100/24", "fd00:16::100/64", "172.16.0.100/24,fd00:16::100/64"
	for _, c := range []struct{ gateways, address, want, err string }{
		{gateways: v4, address: "172.16.0.30/24", want: "172.16.0.30/24"},
		{gateways: both, address: "172.16.0.30/16", want: "172.16.0.30/16"},
		{gateways: both, address: "172.16.0.30/1", want: "172.16.0.30/1"},
		{gateways: v4, address: "172.16.0.97/28", want: "172.16.0.97/28"},
		{gateways: both, address: "fd00:16::30/48", want: "fd00:16::30/48"},
		{gateways: v6, address: "fd00:16::101/126", err: "address fd00:16::101/126: the gateway fd00:16::100 is that network's own address"},
		{gateways: v6, address: "fd00:16::102/120", err: "address fd00:16::102/120: the gateway fd00:16::100 is that network's own address"},
		{gateways: v6, address: "fd00:16::30/119", want: "fd00:16::30/119"},

		{gateways: v4, address: "172.16.0.30/25", want: "172.16.0.30/25"},
		{gateways: v4, address: "172.16.0.200/25", err: "address 172.16.0.200/25: the gateway 172.16.0.100 is outside that network"},
		{gateways: v4, address: "172.16.0.30/32", err: "address 172.16.0.30/32: the gateway 172.16.0.100 is outside that network"},
		{gateways: v4, address: "172.16.0.30/0", err: "address 172.16.0.30/0: that is not a network of hosts"},
		{gateways: v6, address: "fd00:16::30/0", err: "address fd00:16::30/0: that is not a network of hosts"},
		{gateways: v4, address: "172.16.0.64/26", err: "address 172.16.0.64/26 is that network's own address"},
		{gateways: v4, address: "172.16.0.127/25", err: "address 172.16.0.127/25 is that network's broadcast address"},
		{gateways: "172.16.0.64/24", address: "172.16.0.70/26", err: "address 172.16.0.70/26: the gateway 172.16.0.64 is that network's own address"},
		{gateways: "172.16.0.127/24", address: "172.16.0.70/26", err: "address 172.16.0.70/26: the gateway 172.16.0.127 is that network's broadcast address"},
		// What the bridge's network has reserved stays so.
		{gateways: v4, address: "172.16.0.255/16", err: "address 172.16.0.255 is the network's broadcast address"},
		{gateways: v4, address: "172.16.1.30/16", err: "address 172.16.1.30 is outside the bridge's network 172.16.0.0/24"},
		{gateways: v6, address: "fd00:16::/48", err: "address fd00:16:: is the network's own address"},

		{gateways: v4, address: "fd00:16::30/64", err: "address fd00:16::30: -gateway names no IPv6 network (as -gateway 172.16.0.100/24,fd00:16::100/64 does)"},
		{gateways: v6, address: "172.16.0.30/24", err: "address 172.16.0.30: -gateway names no IPv4 network (as -gateway 172.16.0.100/24 does)"},
		{gateways: both, address: "fd00:17::30/64", err: "address fd00:17::30 is outside the bridge's network fd00:16::/64"},
		{gateways: both, address: "fd00:16::100/64", err: "address fd00:16::100 is the gateway's own"},
	} {
		o := &options{gateways: prefixList(c.gateways)}
		got, err := o.checkAddress(netip.MustParsePrefix(c.address))
		switch {
		case c.err != "":
			if err == nil || err.Error() != c.err {
				t.Errorf("%s behind %s: got %s and the error %v, want %s", c.address, c.gateways, got, err, c.err)
			}
		case err != nil || got.String() != c.want:
			t.Errorf("%s behind %s: got %s (error %v), want %s", c.address, c.gateways, got, err, c.want)
		}
	}
}

func TestGateway(t *testing.T) {
	o := &options{gateways: prefixList("172.16.0.100/24,fd00:16::100/64")}
	for i, a := range addrList("9.9.9.9,fd99::9") {
		if got := o.gateway(a); got != o.gateways[i] {
			t.Errorf("%s: got the gateway %s, want %s", a, got, o.gateways[i])
		}
	}
	o.gateways = o.gateways[1:]
	if got := o.gateway(netip.MustParseAddr("9.9.9.9")); got.IsValid() {
		t.Errorf("of a family without a gateway: got %s", got)
	}
}

func TestHasIPv6(t *testing.T) {
	const both = "172.16.0.100/24,fd00:16::100/64"
	for _, c := range []struct {
		addresses, gateways string
		want                bool
	}{
		{"172.16.0.30/24", both, false},
		{"fd00:16::30/64", both, true},
		{"172.16.0.30/24,fd00:16::30/64", both, true},
		{"", "172.16.0.100/24", false}, // auto has one of each gateway's family
		{"", "fd00:16::100/64", true},
		{"", both, true},
	} {
		o := &options{addresses: prefixList(c.addresses), auto: c.addresses == "", gateways: prefixList(c.gateways)}
		if got := o.hasIPv6(); got != c.want {
			t.Errorf("%q behind %s: got %t", c.addresses, c.gateways, got)
		}
	}
}

func TestJoined(t *testing.T) {
	for _, s := range []string{"", "172.16.0.30", "172.16.0.30,fd00:16::30"} {
		if got := joined(addrList(s)); got != s {
			t.Errorf("got %q, want %q", got, s)
		}
	}
	if got := joined(addrs(prefixList("172.16.0.30/24,fd00:16::30/64"))); got != "172.16.0.30,fd00:16::30" {
		t.Errorf("without their prefix lengths: got %q", got)
	}
}

func TestAddressEnv(t *testing.T) {
	for addresses, want := range map[string][]string{
		"":                        nil,
		"172.16.0.30":             {"CONTAINER_IP=172.16.0.30"},
		"fd00:16::30":             {"CONTAINER_IP=fd00:16::30", "CONTAINER_IP6=fd00:16::30"},
		"172.16.0.30,fd00:16::30": {"CONTAINER_IP=172.16.0.30", "CONTAINER_IP6=fd00:16::30"},
	} {
		if got := addressEnv(addrList(addresses)); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", addresses, got, want)
		}
	}
}

// What -e says stays, as a value or as that there is none.
func TestWithAddresses(t *testing.T) {
	both := addrList("172.16.0.30,fd00:16::30")
	for _, c := range []struct {
		name             string
		env, given, want []string
	}{
		{"nothing", nil, nil, []string{"CONTAINER_IP=172.16.0.30", "CONTAINER_IP6=fd00:16::30"}},
		{"behind what is there", []string{"A=b"}, []string{"A=b"}, []string{"A=b", "CONTAINER_IP=172.16.0.30", "CONTAINER_IP6=fd00:16::30"}},
		{"given one", []string{"CONTAINER_IP=x"}, []string{"CONTAINER_IP=x"}, []string{"CONTAINER_IP=x", "CONTAINER_IP6=fd00:16::30"}},
		{"given the other", []string{"CONTAINER_IP6="}, []string{"CONTAINER_IP6="}, []string{"CONTAINER_IP6=", "CONTAINER_IP=172.16.0.30"}},
		{"the caller's, which has none", nil, []string{"CONTAINER_IP", "CONTAINER_IP6"}, nil},
		{"of an exec's container", []string{"CONTAINER_IP=172.16.0.1"}, nil, []string{"CONTAINER_IP=172.16.0.30", "CONTAINER_IP6=fd00:16::30"}},
	} {
		if got := withAddresses(slices.Clone(c.env), both, c.given); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestParseMAC(t *testing.T) {
	for s, want := range map[string]string{
		"02:00:00:00:00:05": "02:00:00:00:00:05",
		"02-00-5E-00-00-FF": "02:00:5e:00:00:ff",
		"fe:ff:ff:ff:ff:ff": "fe:ff:ff:ff:ff:ff",
	} {
		if got, err := parseMAC(s); err != nil || got.String() != want {
			t.Errorf("-mac %s: got %s (error %v), want %s", s, got, err, want)
		}
	}
	const form, host = "not a hardware address, as 02:00:00:00:00:05", "not the address of one host"
	for s, want := range map[string]string{
		"":                        form,
		"02:00:00:00:00":          form,
		"02:00:00:00:00:00:00:05": form, // EUI-64
		"02:00:00:00:00:0g":       form,
		"2:0:0:0:0:5":             form,
		"01:00:5e:00:00:05":       host,
		"ff:ff:ff:ff:ff:ff":       host,
		"03:00:00:00:00:05":       host,
		"00:00:00:00:00:00":       host,
	} {
		if got, err := parseMAC(s); err == nil || err.Error() != want {
			t.Errorf("-mac %q: got %s and the error %v, want %s", s, got, err, want)
		}
	}
}
