//go:build linux

package main

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/nat"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions(strings.Fields("-p 80:8000 --p 127.0.0.1:53:5353/udp -bridge br7 -gateway 10.0.0.1/8 -hostname box -t=false 10.1.2.3 nc -l -p 8000"))
	if err != nil {
		t.Fatal(err)
	}
	if want := prefixList("10.1.2.3/8"); !slices.Equal(o.addresses, want) {
		t.Errorf("addresses %s, want %s", o.addresses, want)
	}
	if want := prefixList("10.0.0.1/8"); !slices.Equal(o.gateways, want) {
		t.Errorf("gateways %s, want %s", o.gateways, want)
	}
	if o.bridge != "br7" || o.hostname != "box" || o.terminal {
		t.Errorf("bridge %q, hostname %q, terminal %t; want br7, box, false", o.bridge, o.hostname, o.terminal)
	}
	// What stands behind the address is the command's, flags and all.
	if want := []string{"nc", "-l", "-p", "8000"}; !slices.Equal(o.argv, want) {
		t.Errorf("command %q, want %q", o.argv, want)
	}
	if o.network != bridged || o.auto || !o.nat || o.isolated {
		t.Errorf("network %s, auto %t, nat %t, isolated %t; want bridge, false, true, false", o.network, o.auto, o.nat, o.isolated)
	}
	want := []nat.Port{
		{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
		{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP},
	}
	if !slices.Equal(o.ports, want) {
		t.Errorf("ports %v, want %v", o.ports, want)
	}
}

func TestParseOptionsDefaults(t *testing.T) {
	o, err := parseOptions([]string{"172.16.0.30", "true"})
	if err != nil {
		t.Fatal(err)
	}
	if o.bridge != "br0" || !slices.Equal(o.gateways, prefixList("172.16.0.100/24")) || o.hostname != "container" || o.ports != nil {
		t.Errorf("bridge %q, gateways %s, hostname %q, ports %v; want br0, 172.16.0.100/24, container and none", o.bridge, o.gateways, o.hostname, o.ports)
	}
	if o.network != bridged || !o.nat || o.auto || o.isolated || o.mtu != 0 || o.mac != nil {
		t.Errorf("network %s, nat %t, auto %t, isolated %t, mtu %d, mac %s; want bridge, nat, and nothing of the rest", o.network, o.nat, o.auto, o.isolated, o.mtu, o.mac)
	}
}

// Whatever can be known to be wrong from the words alone is refused in words
// that say which one, and why.
func TestParseOptionsRefuses(t *testing.T) {
	const cidr = "not an address with a prefix length, as 172.16.0.100/24"
	mtu := func(value string) string {
		return `invalid value "` + value + `" for flag -mtu: it takes a number from 68 to 65535`
	}
	port := func(value, why string) [2]string {
		return [2]string{"-p " + value + " 172.16.0.30 true", `invalid value "` + value + `" for flag -p: ` + why}
	}
	gateway := func(value, why string) [2]string {
		return [2]string{"-gateway " + value + " 172.16.0.30 true", `invalid value "` + value + `" for flag -gateway: ` + why}
	}
	for _, c := range [][2]string{
		{"", "an ADDRESS and a COMMAND are missing: main 172.16.0.30 bash"},
		{"-t", "an ADDRESS and a COMMAND are missing: main 172.16.0.30 bash"},
		{"-network bridge", "an ADDRESS and a COMMAND are missing: main 172.16.0.30 bash"},
		{"172.16.0.30", "a COMMAND is missing: main 172.16.0.30 bash"},
		{"auto", "a COMMAND is missing: main auto bash"},
		{"-network none", "a COMMAND is missing: main -network none bash"},
		{"-network host -t", "a COMMAND is missing: main -network host bash"},

		{"-network none 172.16.0.30 true", "-network none: there is no ADDRESS: leave 172.16.0.30 out"},
		{"-network none 172.16.0.30/24,fd00::1 true", "-network none: there is no ADDRESS: leave 172.16.0.30/24,fd00::1 out"},
		{"-network host auto true", "-network host: there is no ADDRESS: leave auto out"},
		{"-network none -p 80:80 true", "-p: with -network none the container has no link of its own"},
		{"-network host -p 80 true", "-p: with -network host the container has no link of its own"},
		{"-network none -isolate true", "-isolate: with -network none the container has no link of its own"},
		{"-network host -isolate true", "-isolate: with -network host the container has no link of its own"},
		{"-network none -mtu 1400 true", "-mtu: with -network none the container has no link of its own"},
		{"-network host -mtu 1400 true", "-mtu: with -network host the container has no link of its own"},
		{"-network none -mac 02:00:00:00:00:05 true", "-mac: with -network none the container has no link of its own"},
		{"-network host -mac 02:00:00:00:00:05 true", "-mac: with -network host the container has no link of its own"},
		{"-network none -hostname a/b true", `hostname "a/b": it takes 1 to 64 bytes without slashes and spaces`},
		{"-network br0 172.16.0.30 true", `invalid value "br0" for flag -network: it takes bridge, none or host`},
		{"-network= 172.16.0.30 true", `invalid value "" for flag -network: it takes bridge, none or host`},

		{"-nat=false -p 80:80 172.16.0.30 true", "-p 80:80/tcp: publishing a port takes nf_tables, which -nat=false leaves alone"},
		{"-nat=false -p :80-81 auto true", "-p 0:80/tcp: publishing a port takes nf_tables, which -nat=false leaves alone"},
		{"-nat=false -isolate 172.16.0.30 true", "-isolate takes nf_tables, which -nat=false leaves alone"},

		{"-mtu 67 172.16.0.30 true", mtu("67")},
		{"-mtu 65536 172.16.0.30 true", mtu("65536")},
		{"-mtu 0 172.16.0.30 true", mtu("0")},
		{"-mtu -1 172.16.0.30 true", mtu("-1")},
		{"-mtu +1400 172.16.0.30 true", mtu("+1400")},
		{"-mtu 1400b 172.16.0.30 true", mtu("1400b")},
		{"-mtu 1279 -gateway fd00:16::100/64 fd00:16::30 true", "-mtu 1279: IPv6 takes 1280 at least"},
		{"-mtu 1279 -gateway fd00:16::100/64,172.16.0.100/24 172.16.0.30,fd00:16::30 true", "-mtu 1279: IPv6 takes 1280 at least"},
		{"-mtu 1279 -gateway fd00:16::100/64,172.16.0.100/24 auto true", "-mtu 1279: IPv6 takes 1280 at least"},
		{"-mac 01:00:00:00:00:05 172.16.0.30 true", `invalid value "01:00:00:00:00:05" for flag -mac: not the address of one host`},
		{"-mac 5 172.16.0.30 true", `invalid value "5" for flag -mac: not a hardware address, as 02:00:00:00:00:05`},

		{"bash", `"bash" is not an address`},
		{"172.16.0 true", `"172.16.0" is not an address`},
		{"172.16.0.256 true", `"172.16.0.256" is not an address`},
		{"172.16.0.030 true", `"172.16.0.030" is not an address`},
		{"172.16.0.30/33 true", `"172.16.0.30/33" is not an address with a prefix length`},
		{"::ffff:172.16.0.30 true", `"::ffff:172.16.0.30" is not an address`},
		{"172.16.0.30,172.16.0.31 true", "addresses 172.16.0.30,172.16.0.31: it takes one, or an IPv4 and an IPv6 one"},
		{"fd00:16::30 true", "address fd00:16::30: -gateway names no IPv6 network (as -gateway 172.16.0.100/24,fd00:16::100/64 does)"},
		{"172.16.0.30,fd00:16::30 true", "address fd00:16::30: -gateway names no IPv6 network (as -gateway 172.16.0.100/24,fd00:16::100/64 does)"},
		{"-gateway fd00:16::100/64 172.16.0.30 true", "address 172.16.0.30: -gateway names no IPv4 network (as -gateway 172.16.0.100/24 does)"},
		{"-gateway 172.16.0.100/24,fd00:16::100/64 172.16.0.30,fd00:17::30 true", "address fd00:17::30 is outside the bridge's network fd00:16::/64"},
		{"172.16.0.127/25 true", "address 172.16.0.127/25 is that network's broadcast address"},
		{"172.17.0.30 true", "address 172.17.0.30 is outside the bridge's network 172.16.0.0/24"},
		{"172.16.0.100 true", "address 172.16.0.100 is the gateway's own"},
		{"172.16.0.0 true", "address 172.16.0.0 is the network's own address"},
		{"172.16.0.255 true", "address 172.16.0.255 is the network's broadcast address"},
		{"-gateway 10.0.0.1/30 10.0.0.3 true", "address 10.0.0.3 is the network's broadcast address"},
		{"-gateway 255.255.255.1/24 255.255.255.255 true", "address 255.255.255.255 is the network's broadcast address"},

		gateway("172.16.0.100", cidr),
		gateway("172.16.0.100/33", cidr),
		gateway("auto", cidr),
		gateway("172.16.0.100/24,", cidr),
		gateway("::ffff:172.16.0.100/120", cidr),
		gateway("fe80::1%eth0/64", cidr),
		gateway("172.16.0.100/24,172.17.0.100/24", "it takes one network, or an IPv4 and an IPv6 one"),
		gateway("fd00::1/64,fd01::1/64", "it takes one network, or an IPv4 and an IPv6 one"),
		gateway("172.16.0.100/24,fd00::1/64,fd01::1/64", "it takes one network, or an IPv4 and an IPv6 one"),
		gateway("fd00::1/127", "no room for a container beside the gateway: /126 is the smallest network"),
		gateway("fd00::1/128", "no room for a container beside the gateway: /126 is the smallest network"),
		gateway("fd00::1/0", "not the address of a network of hosts"),
		gateway("::1/64", "not the address of a network of hosts"),
		gateway("::/64", "not the address of a network of hosts"),
		gateway("ff02::1/64", "not the address of a network of hosts"),
		gateway("fe80::1/64", "not the address of a network of hosts"),
		gateway("0.0.0.0/8", "not the address of a network of hosts"),
		gateway("fd00:16::/64", "it is the network's own address"),
		gateway("172.16.0.100/31", "no room for a container beside the gateway: /30 is the smallest network"),
		gateway("172.16.0.100/32", "no room for a container beside the gateway: /30 is the smallest network"),
		gateway("172.16.0.100/0", "not the address of a network of hosts"),
		gateway("127.0.0.1/8", "not the address of a network of hosts"),
		gateway("224.0.0.1/8", "not the address of a network of hosts"),
		gateway("172.16.0.0/24", "it is the network's own address"),
		gateway("172.16.0.255/24", "it is the network's broadcast address"),

		port("80:", `"" is not a port: they go from 1 to 65535`),
		port(":", `"" is not a port: they go from 1 to 65535`),
		port("0", `"0" is not a port: they go from 1 to 65535`),
		port("0:0", `"0" is not a port: they go from 1 to 65535`),
		port("a:b:c:d", `"a:b" is not an address of the host: it takes 127.0.0.1 or [::1]`),
		port("80:80-", `"" is not a port: they go from 1 to 65535`),
		port("80-:80", `"" is not a port: they go from 1 to 65535`),
		port("1-2-3:1-2", `"2-3" is not a port: they go from 1 to 65535`),
		port("0-5:0-5", `"0" is not a port: they go from 1 to 65535`),
		port("0-5:1-6", `"0" is not a port: they go from 1 to 65535`),
		port("65530-65536:1-7", `"65536" is not a port: they go from 1 to 65535`),
		port("81-80:81-80", "81-80: the range ends before it begins"),
		port("8001-8000:80", "8001-8000: the range ends before it begins"),
		port("8000-8001:80", "ranges of different lengths: 8000-8001 has 2, 80 has 1"),
		port("8000:80-81", "ranges of different lengths: 8000 has 1, 80-81 has 2"),
		port("8000-8009:80-88", "ranges of different lengths: 8000-8009 has 10, 80-88 has 9"),
		port("1-65535:1-65534", "ranges of different lengths: 1-65535 has 65535, 1-65534 has 65534"),
		port("[::1]:80", `"[::1]" is not a port: they go from 1 to 65535`),
		port("127.0.0.1:80", `"127.0.0.1" is not a port: they go from 1 to 65535`),
		port("fd00::1:80:80", `"fd00::1" is not an address of the host: it takes 127.0.0.1 or [::1]`),
		port("[127.0.0.1]:80:80", `"[127.0.0.1]" is not an address of the host: it takes 127.0.0.1 or [::1]`),
		port("[::1:80:80", `"[::1" is not an address of the host: it takes 127.0.0.1 or [::1]`),
		port("[fe80::1%eth0]:80:80", `"[fe80::1%eth0]" is not an address of the host: it takes 127.0.0.1 or [::1]`),
		port("[::ffff:127.0.0.1]:80:80", `"[::ffff:127.0.0.1]" is not an address of the host: it takes 127.0.0.1 or [::1]`),
		port("127.0.0.1:80:80:80", `"127.0.0.1:80" is not an address of the host: it takes 127.0.0.1 or [::1]`),
		port("80:0", `"0" is not a port: they go from 1 to 65535`),
		port("65536:80", `"65536" is not a port: they go from 1 to 65535`),
		port("80:65536", `"65536" is not a port: they go from 1 to 65535`),
		port("-1:80", `"" is not a port: they go from 1 to 65535`),
		port("+80:80", `"+80" is not a port: they go from 1 to 65535`),
		port("http:80", `"http" is not a port: they go from 1 to 65535`),
		port("80:80/icmp", `protocol "icmp": it takes tcp, udp or sctp`),
		port("80:80/TCP", `protocol "TCP": it takes tcp, udp or sctp`),
		port("80:80/", `protocol "": it takes tcp, udp or sctp`),
		port("host:80:80", `"host" is not an address of the host: it takes 127.0.0.1 or [::1]`),
		port(":80:80", `"" is not an address of the host: it takes 127.0.0.1 or [::1]`),

		{"-p 80:1 -p 80:2 172.16.0.30 true", "port 80:2/tcp: 80:1/tcp publishes it already"},
		{"-p 80:1 -p 127.0.0.1:80:2 172.16.0.30 true", "port 127.0.0.1:80:2/tcp: 80:1/tcp publishes it already"},
		{"-p 127.0.0.1:80:1 -p 0.0.0.0:80:2 172.16.0.30 true", "port 0.0.0.0:80:2/tcp: 127.0.0.1:80:1/tcp publishes it already"},

		{"-p 80:1 -p [::1]:80:2 172.16.0.30 true", "port [::1]:80:2/tcp: the container has no IPv6 address"},
		{"-p 0.0.0.0:80:1 -gateway fd00:16::100/64 auto true", "port 0.0.0.0:80:1/tcp: the container has no IPv4 address"},
		{"-p 8000-8009:1-10 -p 8009:1 172.16.0.30 true", "port 8009:1/tcp: 8009:10/tcp publishes it already"},

		{"-bridge . 172.16.0.30 true", `bridge ".": not a name of a link`},
		{"-bridge a/b 172.16.0.30 true", `bridge "a/b": a link's name has no slash, colon or space in it`},
		{"-bridge all 172.16.0.30 true", `bridge "all": the kernel keeps this name for itself`},
		{"-bridge sixteen.letters. 172.16.0.30 true", `bridge "sixteen.letters.": a link's name has at most 15 bytes, and this has 16`},
		{"-hostname a/b 172.16.0.30 true", `hostname "a/b": it takes 1 to 64 bytes without slashes and spaces`},

		{"-q 172.16.0.30 true", "flag provided but not defined: -q"},
		{"-p", "flag needs an argument: -p"},
		{"-t=perhaps 172.16.0.30 true", `invalid boolean value "perhaps" for -t: parse error`},
	} {
		o, err := parseOptions(strings.Fields(c[0]))
		if err == nil {
			t.Errorf("main %s: got %+v and no error, want %q", c[0], *o, c[1])
		} else if err.Error() != c[1] {
			t.Errorf("main %s:\n got %s\nwant %s", c[0], err, c[1])
		}
	}
	if _, err := parseOptions([]string{"172.16.0.30", ""}); err == nil || err.Error() != "a COMMAND is missing: main 172.16.0.30 bash" {
		t.Errorf("an empty command: got the error %v", err)
	}
	if _, err := parseOptions([]string{"-network", "none", ""}); err == nil || err.Error() != "a COMMAND is missing: main -network none bash" {
		t.Errorf("an empty command: got the error %v", err)
	}
	if _, err := parseOptions([]string{"-p", "", "auto", "true"}); err == nil || err.Error() != `invalid value "" for flag -p: "" is not a port: they go from 1 to 65535` {
		t.Errorf("an empty port: got the error %v", err)
	}
	if _, err := parseOptions([]string{"-help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: got the error %v, want flag.ErrHelp", err)
	}
}

func TestParseOptionsFamilies(t *testing.T) {
	const v4, v6 = "172.16.0.100/24", "fd00:16::100/64"
	for _, c := range []struct {
		args                string
		addresses, gateways string
	}{
		{"172.16.0.30 true", "172.16.0.30/24", v4},
		{"172.16.0.30/16 true", "172.16.0.30/16", v4},
		{"-gateway fd00:16::100/64 fd00:16::30 true", "fd00:16::30/64", v6},
		{"-gateway fd00:16::100/64,172.16.0.100/24 fd00:16::30/48,172.16.0.30 true", "172.16.0.30/24,fd00:16::30/48", v4 + "," + v6},
		{"-gateway 172.16.0.100/24,fd00:16::100/64 fd00:16::30 true", "fd00:16::30/64", v4 + "," + v6},
		{"auto true", "", v4},
		{"-gateway 172.16.0.100/24,fd00:16::100/64 auto true", "", v4 + "," + v6},
		// The last -gateway is the one.
		{"-gateway fd00:16::100/64 -gateway 172.16.0.100/24 auto true", "", v4},
	} {
		o, err := parseOptions(strings.Fields(c.args))
		if err != nil {
			t.Errorf("main %s: %v", c.args, err)
			continue
		}
		if !slices.Equal(o.addresses, prefixList(c.addresses)) || !slices.Equal(o.gateways, prefixList(c.gateways)) {
			t.Errorf("main %s: addresses %s behind %s, want %q behind %q", c.args, o.addresses, o.gateways, c.addresses, c.gateways)
		}
		if o.auto != (c.addresses == "") || !slices.Equal(o.argv, []string{"true"}) {
			t.Errorf("main %s: auto %t, command %q", c.args, o.auto, o.argv)
		}
	}
}

func TestParseOptionsLink(t *testing.T) {
	for args, want := range map[string]struct {
		mtu      uint32
		mac      string
		isolated bool
		nat      bool
	}{
		"auto x":                         {nat: true},
		"-mtu 68 -isolate 172.16.0.30 x": {mtu: 68, isolated: true, nat: true},
		"-mtu 65535 -mac 02:00:00:00:00:05 auto x":            {mtu: 65535, mac: "02:00:00:00:00:05", nat: true},
		"-mtu 1280 -gateway fd00:16::100/64 auto x":           {mtu: 1280, nat: true},
		"-mtu 68 -gateway 10.0.0.1/8,fd00::1/64 10.0.0.30 x":  {mtu: 68, nat: true}, // its link has no IPv6
		"-nat=false -mac 02:00:00:00:00:05 -mtu 1400 auto -p": {mtu: 1400, mac: "02:00:00:00:00:05"},
	} {
		o, err := parseOptions(strings.Fields(args))
		if err != nil {
			t.Errorf("main %s: %v", args, err)
		} else if o.mtu != want.mtu || o.mac.String() != want.mac || o.isolated != want.isolated || o.nat != want.nat {
			t.Errorf("main %s: mtu %d, mac %s, isolated %t, nat %t; want %+v", args, o.mtu, o.mac, o.isolated, o.nat, want)
		}
	}
}

// Without a link of its own a container has no ADDRESS, and the words are its
// command's from the first on.
func TestParseOptionsWithout(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]struct {
		network, hostname string
		argv              []string
	}{
		"-network none true":                          {noNetwork, "container", []string{"true"}},
		"-network none -hostname box nc -l -p 80":     {noNetwork, "box", []string{"nc", "-l", "-p", "80"}},
		"-network none true 172.16.0.30":              {noNetwork, "container", []string{"true", "172.16.0.30"}},
		"-network host true":                          {hostNetwork, host, []string{"true"}},
		"-network host -hostname box ./auto":          {hostNetwork, "box", []string{"./auto"}},
		"-network host -nat=false -bridge br7 true":   {hostNetwork, host, []string{"true"}},
		"-network bridge -hostname box auto true":     {bridged, "box", []string{"true"}},
		"-network none -network bridge auto true":     {bridged, "container", []string{"true"}},
		"-network none -dns 10.0.0.53 -- true --help": {noNetwork, "container", []string{"true", "--help"}},
	} {
		o, err := parseOptions(strings.Fields(args))
		if err != nil {
			t.Errorf("main %s: %v", args, err)
			continue
		}
		if o.network != want.network || o.hostname != want.hostname || !slices.Equal(o.argv, want.argv) {
			t.Errorf("main %s: network %s, hostname %s, command %q; want %+v", args, o.network, o.hostname, o.argv, want)
		}
		if o.network != bridged && (o.auto || o.addresses != nil) {
			t.Errorf("main %s: auto %t, addresses %s", args, o.auto, o.addresses)
		}
	}
}

// One port may be published by several protocols, and on several addresses.
func TestPortsThatDoNotOverlap(t *testing.T) {
	for _, args := range []string{
		"-p 80:1/tcp -p 80:1/udp -p 80:1/sctp -p 127.0.0.1:81:1 -p 127.0.0.2:81:1 172.16.0.30 true",
		"-p 0.0.0.0:80:1 -p [::]:80:2 -p 127.0.0.1:81:1 -p [::1]:81:2 -gateway 172.16.0.100/24,fd00:16::100/64 auto true",
		"-p 80 -p 80 -p :80-89 auto true",
	} {
		if _, err := parseOptions(strings.Fields(args)); err != nil {
			t.Errorf("main %s: %v", args, err)
		}
	}
}

func TestCheckBridgeName(t *testing.T) {
	for _, name := range []string{"b", "br0", "fifteen.letters", "br-x_y", "ü"} {
		if err := checkBridgeName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a:1", "a b", "a\tb", "a\nb", "a\x00b", "sixteen.letters.", "all", "default", "lo"} {
		if err := checkBridgeName(name); err == nil {
			t.Errorf("%q is taken for the name of a bridge", name)
		}
	}
}

func TestCheckHostname(t *testing.T) {
	for _, name := range []string{"a", strings.Repeat("a", maxHostname)} {
		if err := checkHostname(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("a", maxHostname+1), "a b", "a/b", "a\nb", "a\x00"} {
		if err := checkHostname(name); err == nil {
			t.Errorf("%q is taken for a host's name", name)
		}
	}
}
