//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"container/nat"
)

// parsePorts reads [HOSTIP:]HOSTPORT[-END]:PORT[-END][/PROTO]. A port of the
// host that is left out, or 0, is one that is free (reserve).
func parsePorts(s string) ([]nat.Port, error) {
	p := nat.Port{Proto: unix.IPPROTO_TCP}
	rest, proto, given := strings.Cut(s, "/")
	if given {
		switch proto {
		case "tcp":
		case "udp":
			p.Proto = unix.IPPROTO_UDP
		case "sctp":
			p.Proto = unix.IPPROTO_SCTP
		default:
			return nil, fmt.Errorf("protocol %q: it takes tcp, udp or sctp", proto)
		}
	}
	host, inside := "", rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host, inside = rest[:i], rest[i+1:]
	}
	// What is left of the last colon but one is the address.
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		var err error
		if p.HostIP, err = parseHostIP(host[:i]); err != nil {
			return nil, err
		}
		host = host[i+1:]
	}
	first, last, err := parseRange(inside)
	if err != nil {
		return nil, err
	}
	var hostFirst, hostLast uint16
	if host != "" && host != "0" {
		if hostFirst, hostLast, err = parseRange(host); err != nil {
			return nil, err
		}
		if hostLast-hostFirst != last-first {
			return nil, fmt.Errorf("ranges of different lengths: %s has %d, %s has %d", host, int(hostLast-hostFirst)+1, inside, int(last-first)+1)
		}
	}
	all := make([]nat.Port, int(last-first)+1)
	for i := range all {
		p.Port = first + uint16(i)
		if hostFirst != 0 {
			p.HostPort = hostFirst + uint16(i)
		}
		all[i] = p
	}
	return all, nil
}

func parseHostIP(s string) (netip.Addr, error) {
	inner, ok := strings.CutPrefix(s, "[")
	if ok {
		inner, ok = strings.CutSuffix(inner, "]")
	}
	if !ok {
		inner = s
	}
	a, err := netip.ParseAddr(inner)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.Is6() != ok {
		return a, fmt.Errorf("%q is not an address of the host: it takes 127.0.0.1 or [::1]", s)
	}
	return a, nil
}

// parseRange reads PORT[-END].
func parseRange(s string) (first, last uint16, err error) {
	from, to, is := strings.Cut(s, "-")
	if first, err = parsePortNumber(from); err != nil || !is {
		return first, first, err
	}
	if last, err = parsePortNumber(to); err == nil && last < first {
		err = fmt.Errorf("%s: the range ends before it begins", s)
	}
	return first, last, err
}

func parsePortNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port: they go from 1 to 65535", s)
	}
	return uint16(n), nil
}

// checkPorts refuses a port that is published twice, or in a family that the
// container has no address of.
func (o *options) checkPorts() error {
	type number struct {
		port  uint16
		proto uint8
	}
	seen := make(map[number][]nat.Port, len(o.ports))
	for _, p := range o.ports {
		if p.HostIP.IsValid() && !o.gateway(p.HostIP).IsValid() || !o.auto && !o.has(p) {
			family := "IPv6"
			if p.HostIP.Is4() {
				family = "IPv4"
			}
			return fmt.Errorf("port %s: the container has no %s address", p, family)
		}
		if p.HostPort == 0 {
			continue
		}
		n := number{p.HostPort, p.Proto}
		for _, q := range seen[n] {
			if overlap(p, q) {
				return fmt.Errorf("port %s: %s publishes it already", p, q)
			}
		}
		seen[n] = append(seen[n], p)
	}
	return nil
}

// has tells whether the container has an address that a port can lead to.
func (o *options) has(p nat.Port) bool {
	for _, a := range o.addresses {
		if p.In(nat.FamilyOf(a.Addr())) {
			return true
		}
	}
	return false
}

// overlap tells whether two ports of one number and protocol are on a common
// address of the host.
func overlap(p, q nat.Port) bool {
	if !p.HostIP.IsValid() || !q.HostIP.IsValid() || p.HostIP == q.HostIP {
		return true
	}
	return p.HostIP.Is4() == q.HostIP.Is4() && (p.HostIP.IsUnspecified() || q.HostIP.IsUnspecified())
}
