//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// parseAddresses reads ADDRESS: one address, or an IPv4 and an IPv6 one with a
// comma between, each with its own prefix length or without (Bits -1).
func parseAddresses(s string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for word := range strings.SplitSeq(s, ",") {
		p, err := parseAddress(word)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(all) > 2 || len(all) == 2 && all[0].Addr().Is4() == all[1].Addr().Is4() {
		return nil, fmt.Errorf("addresses %s: it takes one, or an IPv4 and an IPv6 one", s)
	}
	return v4First(all), nil
}

func parseAddress(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4In6() {
			return p, fmt.Errorf("%q is not an address with a prefix length", s)
		}
		return p, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not an address", s)
	}
	return netip.PrefixFrom(a, -1), nil
}

// parseGateways reads CIDR[,CIDR6].
func parseGateways(s string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for word := range strings.SplitSeq(s, ",") {
		p, err := parseGateway(word)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(all) > 2 || len(all) == 2 && all[0].Addr().Is4() == all[1].Addr().Is4() {
		return nil, errors.New("it takes one network, or an IPv4 and an IPv6 one")
	}
	return v4First(all), nil
}

func v4First(all []netip.Prefix) []netip.Prefix {
	if len(all) == 2 && all[0].Addr().Is6() {
		all[0], all[1] = all[1], all[0]
	}
	return all
}

func parseGateway(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("not an address with a prefix length, as 172.16.0.100/24")
	}
	smallest := p.Addr().BitLen() - 2
	if p.Bits() > smallest {
		return netip.Prefix{}, fmt.Errorf("no room for a container beside the gateway: /%d is the smallest network", smallest)
	}
	a := p.Addr()
	if p.Bits() == 0 || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || a.Is6() && a.IsLinkLocalUnicast() {
		return netip.Prefix{}, errors.New("not the address of a network of hosts")
	}
	if what := reserved(p.Addr(), p); what != "" {
		return netip.Prefix{}, fmt.Errorf("it is the network's %s", what)
	}
	return p, nil
}

// reserved says what an address of a network is if it can't be a host's. (In
// IPv6 the first is any router's, RFC 4291 2.6.1, and the last a host's.)
func reserved(a netip.Addr, p netip.Prefix) string {
	switch {
	case a == p.Masked().Addr():
		return "own address"
	case a.Is4() && !p.Contains(a.Next()):
		return "broadcast address"
	}
	return ""
}

// gateway is the -gateway of an address's family; invalid if there is none.
func (o *options) gateway(a netip.Addr) netip.Prefix {
	for _, g := range o.gateways {
		if g.Addr().Is4() == a.Is4() {
			return g
		}
	}
	return netip.Prefix{}
}

// checkAddress refuses an address that a container can't have, and gives it the
// prefix length of its gateway's network if it has none of its own.
func (o *options) checkAddress(p netip.Prefix) (netip.Prefix, error) {
	a, gateway := p.Addr(), o.gateway(p.Addr())
	if !gateway.IsValid() {
		family, example := "IPv6", "172.16.0.100/24,fd00:16::100/64"
		if a.Is4() {
			family, example = "IPv4", "172.16.0.100/24"
		}
		return p, fmt.Errorf("address %s: -gateway names no %s network (as -gateway %s does)", a, family, example)
	}
	if !gateway.Contains(a) {
		return p, fmt.Errorf("address %s is outside the bridge's network %s", a, gateway.Masked())
	}
	if a == gateway.Addr() {
		return p, fmt.Errorf("address %s is the gateway's own", a)
	}
	if p.Bits() < 0 {
		p = netip.PrefixFrom(a, gateway.Bits())
	}
	if what := reserved(a, gateway); what != "" {
		return p, fmt.Errorf("address %s is the network's %s", a, what)
	}
	if p.Bits() == 0 {
		return p, fmt.Errorf("address %s: that is not a network of hosts", p)
	}
	if !p.Contains(gateway.Addr()) {
		return p, fmt.Errorf("address %s: the gateway %s is outside that network", p, gateway.Addr())
	}
	// A prefix length of its own makes other addresses special.
	if what := reserved(a, p); what != "" {
		return p, fmt.Errorf("address %s is that network's %s", p, what)
	}
	if what := reserved(gateway.Addr(), p); what != "" {
		return p, fmt.Errorf("address %s: the gateway %s is that network's %s", p, gateway.Addr(), what)
	}
	return p, nil
}

// hasIPv6 tells whether the container is to have an IPv6 address.
func (o *options) hasIPv6() bool {
	of := o.addresses
	if o.auto {
		of = o.gateways
	}
	return of[len(of)-1].Addr().Is6()
}

// addrs is addresses without their prefix lengths.
func addrs(of []netip.Prefix) []netip.Addr {
	all := make([]netip.Addr, len(of))
	for i, p := range of {
		all[i] = p.Addr()
	}
	return all
}

// joined is addresses as ADDRESS takes them: "172.16.0.30,fd00:16::30".
func joined(of []netip.Addr) string {
	words := make([]string, len(of))
	for i, a := range of {
		words[i] = a.String()
	}
	return strings.Join(words, ",")
}

// addressEnv tells a container its addresses: CONTAINER_IP is the IPv4 one, if
// there is one, and CONTAINER_IP6 the IPv6 one.
func addressEnv(of []netip.Addr) []string {
	var env []string
	for i, a := range of {
		if i == 0 {
			env = append(env, "CONTAINER_IP="+a.String())
		}
		if a.Is6() {
			env = append(env, "CONTAINER_IP6="+a.String())
		}
	}
	return env
}

// withAddresses is an environment with the addresses that are known only now,
// unless -e has given those names.
func withAddresses(env []string, of []netip.Addr, given []string) []string {
	for _, e := range addressEnv(of) {
		name, _, _ := strings.Cut(e, "=")
		if !slices.ContainsFunc(given, func(g string) bool { return g == name || strings.HasPrefix(g, name+"=") }) {
			env = setEnv(env, name, e)
		}
	}
	return env
}

// parseMAC reads a hardware address that a link can have (is_valid_ether_addr,
// linux/etherdevice.h).
func parseMAC(s string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 {
		return nil, errors.New("not a hardware address, as 02:00:00:00:00:05")
	}
	if mac[0]&1 != 0 || string(mac) == string(make([]byte, 6)) {
		return nil, errors.New("not the address of one host")
	}
	return mac, nil
}
