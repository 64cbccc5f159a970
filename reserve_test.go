//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/nat"
)

// procAddr is an address as /proc/net/tcp prints it on this host.
func procAddr(a string) string {
	b := netip.MustParseAddr(a).As4()
	return fmt.Sprintf("%08X", binary.NativeEndian.Uint32(b[:]))
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
	all := nat.Port{HostPort: 80, Proto: unix.IPPROTO_TCP}
	one := nat.Port{HostIP: netip.MustParseAddr("10.0.0.1"), HostPort: 80, Proto: unix.IPPROTO_TCP}
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
		{"every IPv6 address", one, []string{strings.Repeat("0", 32) + " 0050 0A 8"}, "8"},
		{"an IPv6 address", one, []string{strings.Repeat("0", 31) + "1 0050 0A 8"}, ""},
		{"an IPv6 address will do", all, []string{strings.Repeat("0", 31) + "1 0050 0A 8"}, "8"},
	} {
		text := procNet(c.sockets...)
		if got := findSocket(bufio.NewScanner(strings.NewReader(text)), c.port); got != c.want {
			t.Errorf("%s: got the inode %q, want %q in\n%s", c.name, got, c.want, text)
		}
	}
}

func TestPortWords(t *testing.T) {
	for want, p := range map[string]nat.Port{
		"80/tcp":            {HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
		"127.0.0.1:53/udp":  {HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP},
		"10.0.0.1:443/sctp": {HostIP: netip.MustParseAddr("10.0.0.1"), HostPort: 443, Port: 443, Proto: unix.IPPROTO_SCTP},
	} {
		if got := portWords(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
