//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/nat"
)

// procAddr is an address as /proc/net/tcp and tcp6 print it on this host.
func procAddr(a string) string {
	s := ""
	for word := range slices.Chunk(netip.MustParseAddr(a).AsSlice(), 4) {
		s += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(word))
	}
	return s
}

// procNet is a /proc/net/tcp of sockets "address port state inode", the port
// in hexadecimal.
func procNet(sockets ...string) string {
	s := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	for i, socket := range sockets {
		f := strings.Fields(socket)
		s += fmt.Sprintf("%4d: %s:%s 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 %s 1 0000000000000000 100 0 0 10 0\n", i, f[0], f[1], f[2], f[3])
	}
	return s
}

func TestFindSocket(t *testing.T) {
	everywhere, loopback, other := procAddr("0.0.0.0"), procAddr("127.0.0.1"), procAddr("10.0.0.1")
	everywhere6, loopback6, other6 := procAddr("::"), procAddr("::1"), procAddr("fd00::1")
	all := nat.Port{HostPort: 80, Proto: unix.IPPROTO_TCP}
	at := func(a string) nat.Port {
		return nat.Port{HostIP: netip.MustParseAddr(a), HostPort: 80, Proto: unix.IPPROTO_TCP}
	}
	one, one6 := at("10.0.0.1"), at("fd00::1")
	for _, c := range []struct {
		name    string
		port    nat.Port
		sockets []string
		want    string
	}{
		{"nobody", all, nil, ""},
		{"another port", all, []string{everywhere + " 0051 0A 7"}, ""},
		{"listens everywhere", all, []string{everywhere + " 0051 0A 7", everywhere + " 0050 0A 8"}, "8"},
		{"listens on one address", all, []string{loopback + " 0050 0A 9"}, "9"},
		{"a connection", all, []string{everywhere + " 0050 01 7", everywhere + " 0050 06 0"}, ""},
		{"a bound UDP socket", all, []string{everywhere + " 0050 07 7"}, "7"},
		{"another address", one, []string{loopback + " 0050 0A 7"}, ""},
		{"the address", one, []string{loopback + " 0050 0A 7", other + " 0050 0A 8"}, "8"},
		{"every address", one, []string{everywhere + " 0050 0A 8"}, "8"},
		{"every IPv6 address", one, []string{everywhere6 + " 0050 0A 8"}, "8"},
		{"an IPv6 address", one, []string{loopback6 + " 0050 0A 8"}, ""},
		{"the address, of an IPv6 socket", one, []string{loopback6 + " 0050 0A 7", procAddr("::ffff:10.0.0.1") + " 0050 0A 8"}, "8"},
		{"an IPv6 address will do", all, []string{loopback6 + " 0050 0A 8"}, "8"},
		{"another IPv6 address", one6, []string{loopback6 + " 0050 0A 7", procAddr("fd00::100") + " 0050 0A 7"}, ""},
		{"the IPv6 address", one6, []string{loopback6 + " 0050 0A 7", other6 + " 0050 0A 8"}, "8"},
		{"every IPv6 address, asked for one", one6, []string{everywhere6 + " 0050 0A 8"}, "8"},
		{"every IPv4 address, asked for an IPv6 one", one6, []string{everywhere + " 0050 0A 7"}, ""},
		{"all IPv4 addresses", at("0.0.0.0"), []string{loopback6 + " 0050 0A 7", loopback + " 0050 0A 8"}, "8"},
		{"all IPv4 addresses, and an IPv6 socket for all", at("0.0.0.0"), []string{everywhere6 + " 0050 0A 8"}, "8"},
		{"all IPv6 addresses", at("::"), []string{everywhere + " 0050 0A 7", loopback + " 0050 0A 7", other6 + " 0050 0A 8"}, "8"},
		{"no address", one, []string{"10 0050 0A 7", "XYZXYZXY 0050 0A 7", procAddr("::") + "0 0050 0A 7"}, ""},
	} {
		text := procNet(c.sockets...)
		if got := findSocket(text, c.port); got != c.want {
			t.Errorf("%s: got the inode %q, want %q in\n%s", c.name, got, c.want, text)
		}
	}
}

func TestPortWords(t *testing.T) {
	for want, p := range map[string]nat.Port{
		"80/tcp":            {HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
		"127.0.0.1:53/udp":  {HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP},
		"[::1]:53/udp":      {HostIP: netip.MustParseAddr("::1"), HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP},
		"0.0.0.0:80/tcp":    {HostIP: netip.MustParseAddr("0.0.0.0"), HostPort: 80, Port: 80, Proto: unix.IPPROTO_TCP},
		"10.0.0.1:443/sctp": {HostIP: netip.MustParseAddr("10.0.0.1"), HostPort: 443, Port: 443, Proto: unix.IPPROTO_SCTP},
	} {
		if got := portWords(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestParseProcAddr(t *testing.T) {
	for _, a := range []string{"0.0.0.0", "127.0.0.1", "10.1.2.3", "::", "::1", "fd00::1", "2001:db8:1234:5678:9abc:def0:1234:5678"} {
		if got, ok := parseProcAddr(procAddr(a)); !ok || got != netip.MustParseAddr(a) {
			t.Errorf("%s: %s is read as %s, %t", a, procAddr(a), got, ok)
		}
	}
	// What an IPv6 socket has of IPv4 is told as IPv4.
	if got, ok := parseProcAddr(procAddr("::ffff:10.1.2.3")); !ok || got != netip.MustParseAddr("10.1.2.3") {
		t.Errorf("an IPv4 address of an IPv6 socket is read as %s, %t", got, ok)
	}
	for _, s := range []string{"", "0", "0100007", "0100007F0", "0100007G", "0100007F0100007F", procAddr("::1") + "00000000", "+100007F"} {
		if got, ok := parseProcAddr(s); ok {
			t.Errorf("%q is read as %s", s, got)
		}
	}
}

// In which families a port is published, and whether the relay serves it.
func TestFamiliesOfPort(t *testing.T) {
	const v4, v6, both = "172.16.0.30/24", "fd00:16::30/64", "172.16.0.30/24,fd00:16::30/64"
	for _, c := range []struct {
		addresses, port   string
		want4, want6, rel bool
	}{
		{v4, "80:1", true, false, false},
		{v4, "0.0.0.0:80:1", true, false, false},
		{v4, "127.0.0.1:80:1", true, false, false},
		{v6, "80:1", false, true, true},
		{v6, "[::]:80:1/udp", false, true, true},
		{v6, "[::1]:80:1", false, true, true},
		{v6, "[fd00::1]:80:1", false, true, false},
		{v6, "80:1/sctp", false, true, false}, // it goes to ::1 in no way
		{both, "80:1", true, true, true},
		{both, "80:1/udp", true, true, true},
		{both, "80:1/sctp", true, true, false},
		{both, "0.0.0.0:80:1", true, false, false},
		{both, "127.0.0.1:80:1", true, false, false},
		{both, "[::]:80:1", false, true, true},
		{both, "[::1]:80:1/udp", false, true, true},
		{both, "[::1]:80:1/sctp", false, true, false},
	} {
		p := ports(t, c.port)[0]
		for _, o := range []*options{
			{addresses: prefixList(c.addresses), gateways: prefixList("172.16.0.100/24,fd00:16::100/64")},
			{auto: true, gateways: prefixList(c.addresses)},
		} {
			v4, v6 := o.families(p)
			if v4 != c.want4 || v6 != c.want6 {
				t.Errorf("%s, -p %s (auto %t): in IPv4 %t, in IPv6 %t; want %t and %t", c.addresses, c.port, o.auto, v4, v6, c.want4, c.want6)
			}
			if got := relays(p, v6); got != c.rel {
				t.Errorf("%s, -p %s (auto %t): relayed %t, want %t", c.addresses, c.port, o.auto, got, c.rel)
			}
		}
	}
}

// The relay has those of the sockets that are held at ::1, and leads to the
// container's IPv6 address.
func TestRelayed(t *testing.T) {
	r := &holding{
		ports: ports(t, "80:8000", "127.0.0.1:81:8001", "[::1]:53:5353/udp", "[fd00::1]:82:1", "9:9/sctp", "[::]:83:8003"),
		fds:   []int{10, 11, 12, 13, 14, 15},
	}
	to := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	for addresses, want := range map[string][]relayed{
		"172.16.0.30/24": nil,
		"172.16.0.30/24,fd00:16::30/64": {
			{10, unix.IPPROTO_TCP, to("[fd00:16::30]:8000")}, {12, unix.IPPROTO_UDP, to("[fd00:16::30]:5353")}, {15, unix.IPPROTO_TCP, to("[fd00:16::30]:8003")},
		},
		"fd00:16::31/64": {
			{10, unix.IPPROTO_TCP, to("[fd00:16::31]:8000")}, {12, unix.IPPROTO_UDP, to("[fd00:16::31]:5353")}, {15, unix.IPPROTO_TCP, to("[fd00:16::31]:8003")},
		},
	} {
		if got := r.relayed(&options{addresses: prefixList(addresses)}); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", addresses, got, want)
		}
	}
}

// What was chosen is told, and nothing else.
func TestTell(t *testing.T) {
	for _, c := range []struct {
		auto      bool
		addresses string
		chosen    []string
		want      string
	}{
		{false, "172.16.0.30/24", nil, ""},
		{true, "172.16.0.1/24", nil, "main: address 172.16.0.1\n"},
		{true, "172.16.0.1/24,fd00:16::1/64", nil, "main: address 172.16.0.1,fd00:16::1\n"},
		{false, "172.16.0.30/24", []string{"40321:80", "127.0.0.1:40322:80", "[::1]:40323:53/udp"},
			"main: published 40321:80/tcp\nmain: published 127.0.0.1:40322:80/tcp\nmain: published [::1]:40323:53/udp\n"},
		{true, "fd00:16::1/64", []string{"40321:80"}, "main: address fd00:16::1\nmain: published 40321:80/tcp\n"},
	} {
		var b strings.Builder
		r := &holding{ports: ports(t, "80:80"), chosen: ports(t, c.chosen...)}
		r.tell(&options{auto: c.auto, addresses: prefixList(c.addresses)}, &b)
		if b.String() != c.want {
			t.Errorf("got %q, want %q", b.String(), c.want)
		}
	}
}

// boundTo is the address and port of a socket.
func boundTo(t *testing.T, fd int) string {
	t.Helper()
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)).String()
	}
	t.Fatalf("bound to %+v", sa)
	return ""
}

// A port is held in the families that it is published in, and no further.
func TestReserve(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	const v4, v6, both = "172.16.0.30/24", "fd00:16::30/64", "172.16.0.30/24,fd00:16::30/64"
	for _, c := range []struct {
		addresses, port, want string
		free                  []string // what others can have beside it
		taken                 []string
	}{
		{v4, "80:1", "0.0.0.0:80", []string{"[::]:80"}, []string{"127.0.0.1:80", "0.0.0.0:80"}},
		{v6, "80:1", "[::]:80", []string{"0.0.0.0:80"}, []string{"[::1]:80", "[::]:80"}},
		{both, "80:1", "[::]:80", nil, []string{"0.0.0.0:80", "127.0.0.1:80", "[::1]:80"}},
		{both, "0.0.0.0:80:1", "0.0.0.0:80", []string{"[::]:80"}, []string{"127.0.0.1:80"}},
		{both, "[::]:80:1", "[::]:80", []string{"0.0.0.0:80"}, []string{"[::1]:80"}},
		{both, "[::1]:80:1", "[::1]:80", []string{"0.0.0.0:80", "[fd00::1]:80"}, []string{"[::1]:80", "[::]:80"}},
		{both, "127.0.0.2:80:1", "127.0.0.2:80", []string{"127.0.0.1:80", "[::1]:80"}, []string{"127.0.0.2:80", "0.0.0.0:80"}},
		// The bridge, and its addresses, may be made later.
		{both, "172.16.0.100:80:1", "172.16.0.100:80", []string{"127.0.0.1:80"}, nil},
		{both, "[fd00:16::100]:80:1", "[fd00:16::100]:80", []string{"[::1]:80"}, nil},
	} {
		o := &options{addresses: prefixList(c.addresses), gateways: prefixList("172.16.0.100/24,fd00:16::100/64"), ports: ports(t, c.port)}
		r, err := reserve(o)
		if err != nil {
			t.Errorf("%s, -p %s: %v", c.addresses, c.port, err)
			continue
		}
		if got := boundTo(t, r.fds[0]); got != c.want || len(r.fds) != 1 || r.chosen != nil {
			t.Errorf("%s, -p %s: %d sockets, the first at %s; want one at %s, and nothing chosen (%v)", c.addresses, c.port, len(r.fds), got, c.want, r.chosen)
		}
		if err := r.listen(o); err != nil {
			t.Errorf("%s, -p %s: %v", c.addresses, c.port, err)
		}
		for _, where := range c.free {
			if err := tryListen(where); err != nil {
				t.Errorf("%s, -p %s: %v", c.addresses, c.port, err)
			}
		}
		for _, where := range c.taken {
			if err := tryListen(where); !errors.Is(err, unix.EADDRINUSE) {
				t.Errorf("%s, -p %s: somebody else listens at %s (error %v)", c.addresses, c.port, where, err)
			}
		}
		r.release()
		for _, where := range c.taken {
			if err := tryListen(where); err != nil {
				t.Errorf("%s, -p %s, released: %v", c.addresses, c.port, err)
			}
		}
	}
}

// tryListen listens at an address for a moment, IPv6 alone if it is one.
func tryListen(at string) error {
	network := "tcp4"
	if at[0] == '[' {
		network = "tcp6"
	}
	l, err := net.Listen(network, at)
	if err != nil {
		return err
	}
	return l.Close()
}

// Ports that are left out get numbers, each its own; those that were given keep
// theirs.
func TestReserveChooses(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	o := &options{
		addresses: prefixList("172.16.0.30/24,fd00:16::30/64"),
		gateways:  prefixList("172.16.0.100/24,fd00:16::100/64"),
		ports:     ports(t, "80", "127.0.0.1::80-81", "[::1]::53/udp", "8080:80", "0.0.0.0:0:90/udp"),
	}
	asked := slices.Clone(o.ports)
	r, err := reserve(o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.release()
	if !slices.Equal(o.ports, asked) {
		t.Errorf("what was asked for has become %s", o.ports)
	}
	var chosen []nat.Port
	for i, p := range r.ports {
		want := asked[i]
		if want.HostPort == 0 {
			chosen = append(chosen, p)
			want.HostPort = p.HostPort
		}
		if p != want || p.HostPort == 0 {
			t.Errorf("%s has become %s", asked[i], p)
		}
		host := netip.IPv6Unspecified()
		if p.HostIP.IsValid() {
			host = p.HostIP
		}
		if got := boundTo(t, r.fds[i]); got != netip.AddrPortFrom(host, p.HostPort).String() {
			t.Errorf("%s is held at %s", p, got)
		}
		for _, q := range r.ports[:i] {
			if q.HostPort == p.HostPort && q.Proto == p.Proto && overlap(p, q) {
				t.Errorf("%s and %s", p, q)
			}
		}
	}
	if !slices.Equal(r.chosen, chosen) || len(chosen) != 5 {
		t.Errorf("chosen are said to be %s, and were %s", r.chosen, chosen)
	}
}

// Who has a port is named, and nothing is held of a list that can't be whole.
func TestReserveRefuses(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	for _, at := range []string{"127.0.0.1:80", "[::1]:81"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	by := fmt.Sprintf("it is in use by pid %d, %s", os.Getpid(), strings.TrimSpace(string(comm)))
	before := openFiles(t)
	for _, c := range [][3]string{
		{"172.16.0.30/24", "79:1 80:1", "port 80/tcp: " + by},
		{"172.16.0.30/24", "79:1 127.0.0.1:80:1", "port 127.0.0.1:80/tcp: " + by},
		{"172.16.0.30/24,fd00:16::30/64", "79:1 81:1", "port 81/tcp: " + by},
		{"fd00:16::30/64", "[::1]:81:1", "port [::1]:81/tcp: " + by},
		{"172.16.0.30/24", "79:1 10.9.9.9:80:1", "port 10.9.9.9:80/tcp: bind: cannot assign requested address"},
		{"fd00:16::30/64", "79:1 [fd09::9]::1", "port [fd09::9]:0/tcp: bind: cannot assign requested address"},
	} {
		o := &options{addresses: prefixList(c[0]), gateways: prefixList("172.16.0.100/24,fd00:16::100/64"), ports: ports(t, strings.Fields(c[1])...)}
		r, err := reserve(o)
		if err == nil {
			r.release()
		}
		if err == nil || err.Error() != c[2] {
			t.Errorf("%s, -p %s: got the error %v, want %s", c[0], c[1], err, c[2])
		}
		if strings.Contains(c[2], "in use") && !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%s, -p %s: %v is not EADDRINUSE", c[0], c[1], err)
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors were open before, and %d after", before, after)
	}
}
