//go:build linux

package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/nat"
)

// ports is what -p makes of several.
func ports(t *testing.T, all ...string) []nat.Port {
	t.Helper()
	var list []nat.Port
	for _, s := range all {
		p, err := parsePorts(s)
		if err != nil {
			t.Fatalf("-p %s: %v", s, err)
		}
		list = append(list, p...)
	}
	return list
}

// What is refused stands in TestParseOptionsRefuses.
func TestParsePorts(t *testing.T) {
	const tcp, udp, sctp = unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP
	ip := netip.MustParseAddr
	for s, want := range map[string][]nat.Port{
		"80:8000":                {{HostPort: 80, Port: 8000, Proto: tcp}},
		"80:8000/tcp":            {{HostPort: 80, Port: 8000, Proto: tcp}},
		"53:5353/udp":            {{HostPort: 53, Port: 5353, Proto: udp}},
		"9:9/sctp":               {{HostPort: 9, Port: 9, Proto: sctp}},
		"65535:1":                {{HostPort: 65535, Port: 1, Proto: tcp}},
		"127.0.0.1:80:8000":      {{HostIP: ip("127.0.0.1"), HostPort: 80, Port: 8000, Proto: tcp}},
		"0.0.0.0:80:8000/udp":    {{HostIP: ip("0.0.0.0"), HostPort: 80, Port: 8000, Proto: udp}},
		"[::]:80:8000":           {{HostIP: ip("::"), HostPort: 80, Port: 8000, Proto: tcp}},
		"[::1]:53:5353/udp":      {{HostIP: ip("::1"), HostPort: 53, Port: 5353, Proto: udp}},
		"[FD00:0::1]:80:8000":    {{HostIP: ip("fd00::1"), HostPort: 80, Port: 8000, Proto: tcp}},
		"[fe80::1]:80:8000/sctp": {{HostIP: ip("fe80::1"), HostPort: 80, Port: 8000, Proto: sctp}},

		// One that is free.
		"80":                {{Port: 80, Proto: tcp}},
		"80/udp":            {{Port: 80, Proto: udp}},
		":80":               {{Port: 80, Proto: tcp}},
		"0:80/tcp":          {{Port: 80, Proto: tcp}},
		"127.0.0.1::80":     {{HostIP: ip("127.0.0.1"), Port: 80, Proto: tcp}},
		"127.0.0.1:0:80":    {{HostIP: ip("127.0.0.1"), Port: 80, Proto: tcp}},
		"[::1]::80":         {{HostIP: ip("::1"), Port: 80, Proto: tcp}},
		"[::1]:0:80":        {{HostIP: ip("::1"), Port: 80, Proto: tcp}},
		"80-81":             {{Port: 80, Proto: tcp}, {Port: 81, Proto: tcp}},
		"0:80-81/udp":       {{Port: 80, Proto: udp}, {Port: 81, Proto: udp}},
		"127.0.0.1::80-81":  {{HostIP: ip("127.0.0.1"), Port: 80, Proto: tcp}, {HostIP: ip("127.0.0.1"), Port: 81, Proto: tcp}},
		"[::]::80-80/sctp":  {{HostIP: ip("::"), Port: 80, Proto: sctp}},
		"8000-8000:80-80":   {{HostPort: 8000, Port: 80, Proto: tcp}},
		"8000-8000:80":      {{HostPort: 8000, Port: 80, Proto: tcp}},
		"65534-65535:80-81": {{HostPort: 65534, Port: 80, Proto: tcp}, {HostPort: 65535, Port: 81, Proto: tcp}},
		"[::1]:8000-8002:65533-65535/udp": {
			{HostIP: ip("::1"), HostPort: 8000, Port: 65533, Proto: udp},
			{HostIP: ip("::1"), HostPort: 8001, Port: 65534, Proto: udp},
			{HostIP: ip("::1"), HostPort: 8002, Port: 65535, Proto: udp},
		},
	} {
		if got, err := parsePorts(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("-p %s: got %v (error %v), want %v", s, got, err, want)
		}
	}
}

// The longest range there is, one to one.
func TestParsePortsAll(t *testing.T) {
	all := ports(t, "1-65535:1-65535/udp")
	if len(all) != 65535 {
		t.Fatalf("got %d ports", len(all))
	}
	for i, p := range all {
		if want := (nat.Port{HostPort: uint16(i + 1), Port: uint16(i + 1), Proto: unix.IPPROTO_UDP}); p != want {
			t.Fatalf("the %dth is %s, want %s", i+1, p, want)
		}
	}
	all = ports(t, "10000-19999:20000-29999")
	if first, last := all[0].String(), all[len(all)-1].String(); len(all) != 10000 || first != "10000:20000/tcp" || last != "19999:29999/tcp" {
		t.Errorf("got %d ports from %s to %s", len(all), first, last)
	}
}

// A port is refused that is published twice on one address of the host, or has
// nowhere to lead to. A range is no more than its ports.
func TestCheckPorts(t *testing.T) {
	const v4, v6, both = "172.16.0.30/24", "fd00:16::30/64", "172.16.0.30/24,fd00:16::30/64"
	for _, c := range []struct {
		addresses, ports, want string
	}{
		{both, "80:1/tcp 80:1/udp 80:1/sctp", ""},
		{both, "80:1 81:1 82:1", ""},
		{both, "127.0.0.1:80:1 127.0.0.2:80:1 [::1]:80:1 [fd00::1]:80:1", ""},
		{both, "0.0.0.0:80:1 [::]:80:2", ""},
		{both, "0.0.0.0:80:1 [::1]:80:2", ""},
		{both, "127.0.0.1:80:1 [::]:80:2", ""},
		{both, ":80 :80 0:80 80", ""}, // each is another
		{both, "127.0.0.1:80:1 127.0.0.1::80", ""},
		{both, "8000-8009:1-10 8010-8019:1-10", ""},
		{both, "8000-8009:1-10 8000-8009:1-10/udp", ""},

		{both, "80:1 80:2", "port 80:2/tcp: 80:1/tcp publishes it already"},
		{both, "80:1 80:1", "port 80:1/tcp: 80:1/tcp publishes it already"},
		{both, "80:1 127.0.0.1:80:2", "port 127.0.0.1:80:2/tcp: 80:1/tcp publishes it already"},
		{both, "80:1 [::1]:80:2", "port [::1]:80:2/tcp: 80:1/tcp publishes it already"},
		{both, "127.0.0.1:80:1 80:2", "port 80:2/tcp: 127.0.0.1:80:1/tcp publishes it already"},
		{both, "127.0.0.1:80:1/udp 0.0.0.0:80:2/udp", "port 0.0.0.0:80:2/udp: 127.0.0.1:80:1/udp publishes it already"},
		{both, "[fd00::1]:80:1 [::]:80:2", "port [::]:80:2/tcp: [fd00::1]:80:1/tcp publishes it already"},
		{both, "127.0.0.1:80:1 [::1]:80:1 127.0.0.2:80:1 [::1]:80:2", "port [::1]:80:2/tcp: [::1]:80:1/tcp publishes it already"},
		{both, "8000-8009:1-10 8009-8010:1-2", "port 8009:1/tcp: 8009:10/tcp publishes it already"},

		{v4, "80:1 0.0.0.0:81:1 127.0.0.1:82:1", ""},
		{v4, "[::1]:80:1", "port [::1]:80:1/tcp: the container has no IPv6 address"},
		{v4, "[::]:80:1", "port [::]:80:1/tcp: the container has no IPv6 address"},
		{v6, "80:1 [::]:81:1 [::1]:82:1", ""},
		{v6, "0.0.0.0:80:1", "port 0.0.0.0:80:1/tcp: the container has no IPv4 address"},
		{v6, "127.0.0.1::1/udp", "port 127.0.0.1:0:1/udp: the container has no IPv4 address"},
	} {
		// Given and chosen addresses are alike, where the gateways have the
		// same families and where they have more.
		for _, gateways := range []string{c.addresses, both} {
			for _, auto := range []bool{false, true} {
				if auto && gateways != c.addresses {
					continue
				}
				o := &options{auto: auto, gateways: prefixList(gateways), ports: ports(t, strings.Fields(c.ports)...)}
				if !auto {
					o.addresses = prefixList(c.addresses)
				}
				got := ""
				if err := o.checkPorts(); err != nil {
					got = err.Error()
				}
				if got != c.want {
					t.Errorf("-p %s to %s behind %s (auto %t):\n got %q\nwant %q", c.ports, c.addresses, gateways, auto, got, c.want)
				}
			}
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string // the host's addresses; none: all of them
		want bool
	}{
		{"", "", true}, {"", "0.0.0.0", true}, {"", "127.0.0.1", true}, {"", "::", true}, {"", "::1", true},
		{"0.0.0.0", "0.0.0.0", true}, {"0.0.0.0", "127.0.0.1", true}, {"0.0.0.0", "::", false}, {"0.0.0.0", "::1", false},
		{"127.0.0.1", "127.0.0.1", true}, {"127.0.0.1", "127.0.0.2", false}, {"127.0.0.1", "::", false}, {"127.0.0.1", "::1", false},
		{"::", "::", true}, {"::", "::1", true}, {"::1", "::1", true}, {"::1", "fd00::1", false},
	} {
		port := func(ip string) (p nat.Port) {
			if ip != "" {
				p.HostIP = netip.MustParseAddr(ip)
			}
			return p
		}
		for range 2 {
			if got := overlap(port(c.a), port(c.b)); got != c.want {
				t.Errorf("%q and %q: got %t, want %t", c.a, c.b, got, c.want)
			}
			c.a, c.b = c.b, c.a
		}
	}
}

func TestOptionsHas(t *testing.T) {
	for _, c := range []struct {
		addresses, port string
		want            bool
	}{
		{"172.16.0.30/24", "80:1", true},
		{"172.16.0.30/24", "0.0.0.0:80:1", true},
		{"172.16.0.30/24", "[::]:80:1", false},
		{"fd00:16::30/64", "80:1", true},
		{"fd00:16::30/64", "[::1]:80:1", true},
		{"fd00:16::30/64", "127.0.0.1:80:1", false},
		{"172.16.0.30/24,fd00:16::30/64", "[::1]:80:1", true},
		{"172.16.0.30/24,fd00:16::30/64", "127.0.0.1:80:1", true},
	} {
		o := &options{addresses: prefixList(c.addresses)}
		if got := o.has(ports(t, c.port)[0]); got != c.want {
			t.Errorf("%s, -p %s: got %t, want %t", c.addresses, c.port, got, c.want)
		}
	}
}
