//go:build linux

package main

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// describeNet is the interfaces with their addresses, and the routes as
// /proc/net/route has them: a line each.
//
//	interface veth1 up 172.16.0.30/24
//	route 0.0.0.0/0 via 172.16.0.100 dev veth1
func describeNet() (string, error) {
	var lines []string
	ifaces, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range ifaces {
		words := []string{"interface", i.Name, "down"}
		if i.Flags&net.FlagUp != 0 {
			words[2] = "up"
		}
		addrs, err := i.Addrs()
		if err != nil {
			return "", err
		}
		for _, a := range addrs {
			words = append(words, a.String())
		}
		lines = append(lines, strings.Join(words, " "))
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(routes)), "\n")[1:] {
		f := strings.Fields(line)
		to, via, mask := addr(f[1]), addr(f[2]), net.IPMask(addr(f[7]))
		ones, _ := mask.Size()
		text := fmt.Sprintf("route %s/%d", to, ones)
		if !via.IsUnspecified() {
			text += " via " + via.String()
		}
		lines = append(lines, text+" dev "+f[0])
	}
	return strings.Join(lines, "\n"), nil
}

// Flags in /proc/net/if_inet6 (linux/if_addr.h) and /proc/net/ipv6_route
// (linux/ipv6_route.h, linux/route.h).
const (
	ifaTentative = 0x40
	rtfGateway   = 0x2
	rtfReject    = 0x200
	rtfAnycast   = 0x100000
	rtfLocal     = 0x80000000
)

// describeNet6 is the IPv6 addresses, and the routes that lead anywhere; but
// for what every link has, in fe80::/10 and ff00::/8. A line each.
//
//	address ::1/128 dev lo
//	address fd00:16::30/64 dev veth1
//	route fd00:16::/64 dev veth1
//	route ::/0 via fd00:16::100 dev veth1
func describeNet6() (string, error) {
	var lines []string
	addrs, err := os.ReadFile("/proc/net/if_inet6")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(addrs)) {
		f := strings.Fields(line)
		p, err := prefix6(f[0], f[2])
		if err != nil {
			return "", err
		}
		if p.Addr().IsLinkLocalUnicast() {
			continue
		}
		flags, err := strconv.ParseUint(f[4], 16, 32)
		if err != nil {
			return "", err
		}
		text := "address " + p.String() + " dev " + f[5]
		if flags&ifaTentative != 0 {
			text += " tentative"
		}
		lines = append(lines, text)
	}
	routes, err := os.ReadFile("/proc/net/ipv6_route")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(routes)) {
		f := strings.Fields(line)
		to, err := prefix6(f[0], f[1])
		if err != nil {
			return "", err
		}
		via, err := prefix6(f[4], "80")
		if err != nil {
			return "", err
		}
		flags, err := strconv.ParseUint(f[8], 16, 32)
		if err != nil {
			return "", err
		}
		if flags&(rtfReject|rtfAnycast|rtfLocal) != 0 || to.Addr().IsLinkLocalUnicast() || to.Addr().IsMulticast() || f[9] == "lo" {
			continue
		}
		text := "route " + to.String()
		if flags&rtfGateway != 0 {
			text += " via " + via.Addr().String()
		}
		lines = append(lines, text+" dev "+f[9])
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), nil
}

// prefix6 reads an IPv6 address and a prefix length, both in hexadecimal.
func prefix6(addr, bits string) (netip.Prefix, error) {
	b, err := hex.DecodeString(addr)
	if err != nil {
		return netip.Prefix{}, err
	}
	a, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(bits, 16, 8)
	if err != nil || !ok {
		return netip.Prefix{}, fmt.Errorf("%s/%s is no prefix", addr, bits)
	}
	return netip.PrefixFrom(a, int(n)), nil
}
