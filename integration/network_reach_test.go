//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// The container's own view: its links, its address, its way out.
func TestContainerNetwork(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	stdout, stderr, status := l.Host.Main(addr30, lab.Probe(t), "net").Result()
	want := strings.Join([]string{
		"interface lo up 127.0.0.1/8 ::1/128",
		"interface veth1 up 172.16.0.30/24",
		"route 0.0.0.0/0 via 172.16.0.100 dev veth1",
		"route 172.16.0.0/24 dev veth1",
		"",
	}, "\n")
	if got := withoutLinkLocal(stdout); status != 0 || got != want {
		t.Errorf("status %d, %s\ngot:\n%swant:\n%s", status, stderr, got, want)
	}
}

// withoutLinkLocal leaves out the IPv6 addresses that the kernel makes of a
// link's MAC, and the ones of lo where IPv6 is off.
func withoutLinkLocal(s string) string {
	var lines []string
	for _, line := range strings.Split(s, "\n") {
		words := strings.Fields(line)
		for i, w := range words {
			if strings.HasPrefix(w, "fe80:") {
				words = words[:i]
				break
			}
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(lines, "\n")
}

// Whatever leaves for the world does so with the host's address; what stays on
// the bridge, and what the host itself says, is as it was.
func TestMasquerade(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		first := l.Host.Container(t, addr30)
		second := l.Host.Container(t, addr31)
		host, outside := l.Host.Agent(), l.Outside.Agent()
		for _, a := range []*lab.Agent{first, second, outside} {
			serve(t, a, "0.0.0.0:7")
		}
		// One socket for each address: a UDP socket for all of them answers
		// with the address that is nearest to the asker.
		serve(t, host, hostAddr+":7")
		serve(t, host, bridgeAddr+":7")

		reaches(t, "container to outside", first, outsideAddr+":7", hostAddr)
		reaches(t, "container to container", first, addr31+":7", addr30)
		reaches(t, "and back", second, addr30+":7", addr31)
		reaches(t, "container to host", first, hostAddr+":7", addr30)
		reaches(t, "container to gateway", first, bridgeAddr+":7", addr30)
		reaches(t, "host to container", host, addr30+":7", bridgeAddr)
		reaches(t, "host to itself by the bridge's address", host, bridgeAddr+":7", bridgeAddr)
		reaches(t, "host to outside", host, outsideAddr+":7", hostAddr)
		reaches(t, "outside to host", outside, hostAddr+":7", outsideAddr)
	})
}

// A machine that knows the way to the containers' network, by the host as a
// router, gets no further than the published ports: not to other ports, and
// not to a published one by the container's own address.
func TestUnpublishedClosed(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		l.Outside.Route(netip.MustParsePrefix("172.16.0.0/24"), netip.MustParseAddr(hostAddr))
		outside := l.Outside.Agent()
		serve(t, outside, "0.0.0.0:7")
		server := l.Host.Container(t, words(both("80:8000"), []string{addr30})...)
		serve(t, server, "0.0.0.0:8000")
		serve(t, server, "0.0.0.0:9000")

		closed(t, "outside to a port", outside, addr30+":9000")
		closed(t, "outside to a published port's inner number", outside, addr30+":8000")
		closed(t, "outside to a published port's outer number", outside, addr30+":80")
		closed(t, "outside to the host, a port that is not published", outside, hostAddr+":9000")
		server.HeardNothing(t)

		// What the container begins itself is answered, before and after.
		reaches(t, "container to outside", server, outsideAddr+":7", hostAddr)
		closed(t, "outside to a port, once the two have talked", outside, addr30+":9000")
		reaches(t, "outside to the published port", outside, hostAddr+":80", outsideAddr)
	})
}

// A run that ends takes what it published along, and leaves alone what others
// have.
func TestOthersStay(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	outside := l.Outside.Agent()
	serve(t, outside, "0.0.0.0:7")
	stays := l.Host.Container(t, words(both("80:8000"), []string{addr30})...)
	goes := l.Host.Container(t, words(both("81:8000"), []string{addr31})...)
	for _, a := range []*lab.Agent{stays, goes} {
		serve(t, a, "0.0.0.0:8000")
	}
	reaches(t, "outside to the one that goes", outside, hostAddr+":81", outsideAddr)
	goes.Stop(t)

	closed(t, "outside to the one that went", outside, hostAddr+":81")
	reaches(t, "outside to the one that stays", outside, hostAddr+":80", outsideAddr)
	reaches(t, "the one that stays to outside", stays, outsideAddr+":7", hostAddr)

	// The port is the host's again.
	serve(t, l.Host.Agent(), "0.0.0.0:81")
	reaches(t, "outside to the host itself", outside, hostAddr+":81", outsideAddr)
}

// What a host must be, for all this to work, and no more: it forwards, and
// lets loopback addresses through on its bridge alone.
func TestHostSettings(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Host.SetSysctl("net/ipv4/ip_forward", "0")
	l.Host.Container(t, addr30)
	for name, want := range map[string]string{
		"net/ipv4/ip_forward":                  "1",
		"net/ipv4/conf/br0/route_localnet":     "1",
		"net/ipv4/conf/all/route_localnet":     "0",
		"net/ipv4/conf/default/route_localnet": "0",
		"net/ipv4/conf/eth0/route_localnet":    "0",
		"net/ipv4/conf/lo/route_localnet":      "0",
	} {
		if got := l.Host.Sysctl(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// Containers and ports are elements, never rules: chains stay what they were,
// however many there are.
func TestNoRulePerContainer(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	l := lab.New(t)
	l.Host.Container(t, addr30)
	before := chains(l.Host.Ruleset())
	if !strings.Contains(before, "chain forward {") {
		t.Fatalf("no rules are there:\n%s", before)
	}
	for i := range 3 {
		args := []string{"-bridge", "br0"}
		for p := range 5 {
			args = append(args, "-p", fmt.Sprintf("%d:8000", 1000+10*i+p))
		}
		l.Host.Container(t, append(args, fmt.Sprintf("172.16.0.%d", 40+i))...)
	}
	ruleset := l.Host.Ruleset()
	if after := chains(ruleset); after != before {
		t.Errorf("the rules changed from\n%s\nto\n%s", before, after)
	}
	for _, element := range []string{"172.16.0.41", "tcp . 1014"} {
		if !strings.Contains(ruleset, element) {
			t.Errorf("no element %s in\n%s", element, ruleset)
		}
	}
}

// chains is the part of a listed ruleset that is no set and no map.
func chains(ruleset string) string {
	var kept strings.Builder
	in := false
	for _, line := range strings.SplitAfter(ruleset, "\n") {
		in = in || strings.HasPrefix(line, "\tchain ")
		if in {
			kept.WriteString(line)
		}
		in = in && !strings.HasPrefix(line, "\t}")
	}
	return kept.String()
}
