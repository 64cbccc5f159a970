//go:build linux

package main

import (
	"errors"
	"flag"
	"net/netip"
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
	if want := netip.MustParseAddr("10.1.2.3"); o.address != want {
		t.Errorf("address %s, want %s", o.address, want)
	}
	if want := netip.MustParsePrefix("10.0.0.1/8"); o.gateway != want {
		t.Errorf("gateway %s, want %s", o.gateway, want)
	}
	if o.bridge != "br7" || o.hostname != "box" || o.terminal {
		t.Errorf("bridge %q, hostname %q, terminal %t; want br7, box, false", o.bridge, o.hostname, o.terminal)
	}
	// What stands behind the address is the command's, flags and all.
	if want := []string{"nc", "-l", "-p", "8000"}; !slices.Equal(o.argv, want) {
		t.Errorf("command %q, want %q", o.argv, want)
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
	if o.bridge != "br0" || o.gateway.String() != "172.16.0.100/24" || o.hostname != "container" || o.ports != nil {
		t.Errorf("bridge %q, gateway %s, hostname %q, ports %v; want br0, 172.16.0.100/24, container and none", o.bridge, o.gateway, o.hostname, o.ports)
	}
}

// Whatever can be known to be wrong from the words alone is refused in words
// that say which one, and why.
func TestParseOptionsRefuses(t *testing.T) {
	const takes = "it takes [HOSTIP:]HOSTPORT:PORT[/tcp|udp|sctp]"
	const cidr = "not an IPv4 address with a prefix length, as 172.16.0.100/24"
	port := func(value, why string) [2]string {
		return [2]string{"-p " + value + " 172.16.0.30 true", `invalid value "` + value + `" for flag -p: ` + why}
	}
	gateway := func(value, why string) [2]string {
		return [2]string{"-gateway " + value + " 172.16.0.30 true", `invalid value "` + value + `" for flag -gateway: ` + why}
	}
	for _, c := range [][2]string{
		{"", "an ADDRESS and a COMMAND are missing: main 172.16.0.30 bash"},
		{"-t", "an ADDRESS and a COMMAND are missing: main 172.16.0.30 bash"},
		{"172.16.0.30", "a COMMAND is missing: main 172.16.0.30 bash"},

		{"bash", `"bash" is not an address`},
		{"172.16.0 true", `"172.16.0" is not an address`},
		{"172.16.0.256 true", `"172.16.0.256" is not an address`},
		{"172.16.0.030 true", `"172.16.0.030" is not an address`},
		{"172.16.0.30/24 true", `"172.16.0.30/24" is not an address`},
		{"::1 true", "address ::1: containers have IPv4 addresses here"},
		{"::ffff:172.16.0.30 true", "address ::ffff:172.16.0.30: containers have IPv4 addresses here"},
		{"172.17.0.30 true", "address 172.17.0.30 is outside the bridge's network 172.16.0.0/24"},
		{"172.16.0.100 true", "address 172.16.0.100 is the gateway's own"},
		{"172.16.0.0 true", "address 172.16.0.0 is the network's own address"},
		{"172.16.0.255 true", "address 172.16.0.255 is the network's broadcast address"},
		{"-gateway 10.0.0.1/30 10.0.0.3 true", "address 10.0.0.3 is the network's broadcast address"},
		{"-gateway 255.255.255.1/24 255.255.255.255 true", "address 255.255.255.255 is the network's broadcast address"},

		gateway("172.16.0.100", cidr),
		gateway("172.16.0.100/33", cidr),
		gateway("fd00::1/64", cidr),
		gateway("172.16.0.100/31", "no room for a container beside the gateway: /30 is the smallest network"),
		gateway("172.16.0.100/32", "no room for a container beside the gateway: /30 is the smallest network"),
		gateway("172.16.0.100/0", "not the address of a network of hosts"),
		gateway("127.0.0.1/8", "not the address of a network of hosts"),
		gateway("224.0.0.1/8", "not the address of a network of hosts"),
		gateway("172.16.0.0/24", "it is the network's own address"),
		gateway("172.16.0.255/24", "it is the network's broadcast address"),

		port("80", takes),
		port("80:", `"" is not a port: they go from 1 to 65535`),
		port(":80", `"" is not a port: they go from 1 to 65535`),
		port("a:b:c:d", takes),
		port("[::1]:80:80", takes),
		port("0:80", `"0" is not a port: they go from 1 to 65535`),
		port("80:0", `"0" is not a port: they go from 1 to 65535`),
		port("65536:80", `"65536" is not a port: they go from 1 to 65535`),
		port("80:65536", `"65536" is not a port: they go from 1 to 65535`),
		port("-1:80", `"-1" is not a port: they go from 1 to 65535`),
		port("+80:80", `"+80" is not a port: they go from 1 to 65535`),
		port("http:80", `"http" is not a port: they go from 1 to 65535`),
		port("80:80/icmp", `protocol "icmp": it takes tcp, udp or sctp`),
		port("80:80/TCP", `protocol "TCP": it takes tcp, udp or sctp`),
		port("80:80/", `protocol "": it takes tcp, udp or sctp`),
		port("host:80:80", `"host" is not an IPv4 address of the host`),
		port(":80:80", `"" is not an IPv4 address of the host`),

		{"-p 80:1 -p 80:2 172.16.0.30 true", "port 80:2/tcp: 80:1/tcp publishes it already"},
		{"-p 80:1 -p 127.0.0.1:80:2 172.16.0.30 true", "port 127.0.0.1:80:2/tcp: 80:1/tcp publishes it already"},
		{"-p 127.0.0.1:80:1 -p 0.0.0.0:80:2 172.16.0.30 true", "port 80:2/tcp: 127.0.0.1:80:1/tcp publishes it already"},

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
	if _, err := parseOptions([]string{"-help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: got the error %v, want flag.ErrHelp", err)
	}
}

// One port may be published by several protocols, and on several addresses.
func TestPortsThatDoNotOverlap(t *testing.T) {
	args := "-p 80:1/tcp -p 80:1/udp -p 80:1/sctp -p 127.0.0.1:81:1 -p 127.0.0.2:81:1 172.16.0.30 true"
	if _, err := parseOptions(strings.Fields(args)); err != nil {
		t.Errorf("main %s: %v", args, err)
	}
}

// All addresses of the host is what no address says as well.
func TestParsePortWildcard(t *testing.T) {
	for _, s := range []string{"80:8000", "80:8000/tcp", "0.0.0.0:80:8000"} {
		if p, err := parsePort(s); err != nil || p != (nat.Port{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP}) {
			t.Errorf("-p %s: got %v (error %v), want 80:8000/tcp", s, p, err)
		}
	}
}

func TestCheckAddress(t *testing.T) {
	gateway := netip.MustParsePrefix("10.0.0.5/29")
	var fit []string
	for a := netip.MustParseAddr("9.255.255.254"); a.Less(netip.MustParseAddr("10.0.0.10")); a = a.Next() {
		if checkAddress(a, gateway) == nil {
			fit = append(fit, a.String())
		}
	}
	if want := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.6"}; !slices.Equal(fit, want) {
		t.Errorf("a container behind %s can have %v, want %v", gateway, fit, want)
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
