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

// Further addresses, and those of containers that have both.
const (
	addr32   = "172.16.0.32"
	addr32v6 = "fd00:16::32"
	dual30   = addr30 + "," + addr30v6
	dual31   = addr31 + "," + addr31v6
	dual32   = addr32 + "," + addr32v6
)

// An isolated container knows nobody on its bridge, and nobody there knows it:
// not by the bridge, not by the host as a router, not by ARP. It is a stranger:
// what is published it reaches as one, and is reached.
func TestIsolated(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		host, outside := l.Host.Agent(), l.Outside.Agent()
		alone := l.Host.Container(t, words(both("80:8000"), []string{"-isolate", addr30})...)
		other := l.Host.Container(t, words(both("81:8000"), []string{"-isolate", addr31})...)
		open := l.Host.Container(t, words(both("82:8000"), []string{addr32})...)
		friend := l.Host.Container(t, "172.16.0.33")
		serve(t, outside, "0.0.0.0:7")
		for _, a := range []*lab.Agent{alone, other, open, friend} {
			serve(t, a, "0.0.0.0:8000")
			serve(t, a, "0.0.0.0:9000")
		}

		for _, port := range []string{":8000", ":9000"} {
			closed(t, "isolated to open", alone, addr32+port)
			closed(t, "open to isolated", open, addr30+port)
			closed(t, "isolated to isolated", alone, addr31+port)
			closed(t, "isolated to isolated, the other way", other, addr30+port)
			reaches(t, "open to open", open, "172.16.0.33"+port, addr32)
			reaches(t, "open to open, the other way", friend, addr32+port, "172.16.0.33")
		}

		serve(t, host, bridgeAddr+":7")
		reaches(t, "isolated to the gateway", alone, bridgeAddr+":7", addr30)
		reaches(t, "isolated to outside", alone, outsideAddr+":7", hostAddr)
		reaches(t, "host to isolated", host, addr30+":9000", bridgeAddr)

		for _, tt := range []struct {
			who  string
			from *lab.Agent
			port string
		}{
			{"isolated to itself", alone, ":80"},
			{"isolated to another isolated", alone, ":81"},
			{"isolated to open", alone, ":82"},
			{"open to isolated", open, ":80"},
		} {
			for _, to := range []string{hostAddr, bridgeAddr} {
				reaches(t, tt.who+", published", tt.from, to+tt.port, bridgeAddr)
			}
		}
		reaches(t, "outside to isolated, published", outside, hostAddr+":80", outsideAddr)
		reaches(t, "host to isolated, published", host, "127.0.0.1:80", bridgeAddr)
	})
}

// ARP does not pass either: nobody learns who is there. (Linux remembers whoever
// asks for its address.)
func TestIsolatedARP(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		alone := l.Host.Container(t, "-isolate", addr30)
		open := l.Host.Container(t, addr31)
		friend := l.Host.Container(t, addr32)
		for _, a := range []*lab.Agent{alone, open, friend} {
			serve(t, a, "0.0.0.0:8000")
		}
		closed(t, "isolated to open", alone, addr31+":8000")
		closed(t, "open to isolated", friend, addr30+":8000")
		reaches(t, "open to open", friend, addr31+":8000", addr32)

		if got := arpEntry(t, open, addr32); got != macOf(t, friend) {
			t.Errorf("a neighbour that asked is known as %q, want %s", got, macOf(t, friend))
		}
		for _, tt := range []struct {
			who   string
			a     *lab.Agent
			about string
		}{
			{"open, of the isolated one that asked", open, addr30},
			{"isolated, of the open one that asked", alone, addr32},
			{"isolated, of the open one that it asked", alone, addr31},
			{"open, of the isolated one that it asked", friend, addr30},
		} {
			if got := arpEntry(t, tt.a, tt.about); got != "" {
				t.Errorf("%s: it is known to be at %s", tt.who, got)
			}
		}
	})
}

// What an isolated container hands to the gateway itself, as if the neighbour
// were on another network, the host does not carry over either; nor what a
// neighbour hands it.
func TestIsolatedByTheHost(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		need.Tool(t, "ip")
		admin := []string{"-cap-add", "NET_ADMIN"}
		alone := l.Host.Container(t, words(admin, []string{"-isolate", addr30})...)
		open := l.Host.Container(t, words(admin, []string{addr31})...)
		friend := l.Host.Container(t, words(admin, []string{addr32})...)
		serve(t, l.Host.Agent(), bridgeAddr+":7")
		mac := l.Host.Link("br0").MAC.String()
		for _, tt := range []struct {
			from, to         *lab.Agent
			fromAddr, toAddr string
		}{
			{alone, open, addr30, addr31},
			{open, alone, addr31, addr30},
		} {
			serve(t, tt.to, "0.0.0.0:8000")
			if _, err := tt.from.Tell("packet", "veth1", mac, tt.fromAddr+":1000", tt.toAddr+":8000", "by the gateway"); err != nil {
				t.Fatal(err)
			}
			// What was sent before this answer has been dealt with.
			reaches(t, "container to the gateway", tt.from, bridgeAddr+":7", tt.fromAddr)
			tt.to.HeardNothing(t)
			// TCP too, by a route.
			says(t, l.Host.Main("exec", tt.fromAddr, "ip", "route", "add", tt.toAddr, "via", bridgeAddr))
			closed(t, "by the host as a router", tt.from, tt.toAddr+":8000")
		}
		// Others can go that way.
		says(t, l.Host.Main("exec", addr32, "ip", "route", "add", addr31, "via", bridgeAddr))
		reaches(t, "open to open by the host as a router", friend, addr31+":8000", addr32)
	})
}

// The same with IPv6.
func TestIsolatedIPv6(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		alone := l.Host.Container(t, words(both("80:8000"), []string{"-isolate", "-gateway", dualGateway, dual30})...)
		open := l.Host.Container(t, words(both("81:8000"), []string{"-gateway", dualGateway, dual31})...)
		friend := l.Host.Container(t, "-gateway", dualGateway, dual32)
		serve(t, l.Host.Agent(), at(bridgeAddr6, 7))
		for _, a := range []*lab.Agent{alone, open, friend} {
			serve(t, a, "[::]:8000")
		}
		closed(t, "isolated to open", alone, at(addr31v6, 8000))
		closed(t, "open to isolated", open, at(addr30v6, 8000))
		closed(t, "isolated to open", alone, addr31+":8000")
		closed(t, "open to isolated", open, addr30+":8000")
		reaches(t, "open to open", open, at(addr32v6, 8000), addr31v6)
		reaches(t, "isolated to the gateway", alone, at(bridgeAddr6, 7), addr30v6)
		reaches(t, "host to isolated", l.Host.Agent(), at(addr30v6, 8000), bridgeAddr6)
		reaches(t, "isolated to open, published", alone, at(bridgeAddr6, 81), bridgeAddr6)
		reaches(t, "open to isolated, published", open, at(bridgeAddr6, 80), bridgeAddr6)
	})
}

// That one is isolated can be seen, and is over with it: the address's next
// container is isolated if it asks for that.
func TestIsolatedIsOver(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	open := l.Host.Container(t, addr31)
	serve(t, open, "0.0.0.0:8000")
	for i, args := range [][]string{{"-isolate", addr30}, {addr30}, {"-isolate", addr30}} {
		c := l.Host.Container(t, args...)
		if i == 1 {
			reaches(t, "an open one after an isolated one", c, addr31+":8000", addr30)
		} else {
			closed(t, "isolated", c, addr31+":8000")
		}
		isolated := map[string]bool{}
		for _, one := range listed(t, l.Host) {
			isolated[one.Address] = told(one.Isolated)
		}
		if want := i != 1; isolated[addr30] != want || isolated[addr31] {
			t.Errorf("listed as isolated is %v; want %s %t and %s false", isolated, addr30, want, addr31)
		}
		c.Stop(t)
	}
}

// told is what "main ls -json" says, if it says so.
func told(b *bool) bool { return b != nil && *b }

// adminBridge makes a bridge as an administrator does with ip(8): without a word
// of ours about it. Its MAC is its own, or it would be its first port's.
func adminBridge(t *testing.T, n *lab.Node, name string, addrs ...string) {
	t.Helper()
	iproute(t, n, "link add "+name+" address 02:00:5e:00:00:01 type bridge")
	for _, a := range addrs {
		iproute(t, n, "addr add "+a+" dev "+name+nodad(a))
	}
	iproute(t, n, "link set "+name+" up")
}

// plugged makes a machine, and lays a cable from its eth0 to a new port of a
// bridge.
func plugged(t *testing.T, l *lab.Lab, n *lab.Node, bridge, port string, addrs ...string) *lab.Node {
	t.Helper()
	m := l.Machine(port)
	iproute(t, n, fmt.Sprintf("link add %s up master %s type veth peer name eth0 netns %d", port, bridge, m.Agent().Process.Pid))
	iproute(t, m, "link set eth0 up")
	for _, a := range addrs {
		m.Address("eth0", netip.MustParsePrefix(a))
	}
	m.AwaitUp("eth0")
	n.AwaitUp(port)
	n.AwaitUp(bridge)
	return m
}

// nodad spares an IPv6 address the second in which it can't be used.
func nodad(addr string) string {
	if strings.Contains(addr, ":") {
		return " nodad"
	}
	return ""
}

// iproute runs ip(8), which must have nothing to complain about.
func iproute(t *testing.T, n *lab.Node, line string) string {
	t.Helper()
	need.Tool(t, "ip")
	return dumped(t, func() *lab.Cmd { return n.Command("ip", strings.Fields(line)...) })
}

// dumped is says for ip(8), again where what it lists has changed meanwhile: then
// it has said so, and may have left something out.
func dumped(t *testing.T, command func() *lab.Cmd) string {
	t.Helper()
	for {
		c := command()
		stdout, stderr, status := c.Result()
		if stderr == interrupted {
			continue
		}
		if status != 0 || stderr != "" {
			t.Fatalf("%s: status %d, error %q; want 0 and nothing\n%s", strings.Join(c.Args[1:], " "), status, stderr, stdout)
		}
		return stdout
	}
}

// interrupted is what ip(8) says then.
const interrupted = "Dump was interrupted and may be inconsistent.\n"

// Addresses that are nobody's.
const (
	nobody    = "172.16.0.77"
	nobody6   = "fd00:16::77"
	nobodyMAC = "02:00:5e:00:00:77"
)

// Where the router is elsewhere on the bridge, it is not one of the containers
// that an isolated one is apart from.
func TestIsolatedRouterElsewhere(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		n := newLAN(t, l)
		serve(t, n.client.Agent(), "0.0.0.0:7")
		alone := l.Host.Container(t, words([]string{"-isolate"}, lanFlags, []string{lan30})...)
		open := l.Host.Container(t, words(lanFlags, []string{lan31})...)
		for _, a := range []*lab.Agent{alone, open} {
			serve(t, a, "0.0.0.0:8000")
		}
		closed(t, "isolated to open", alone, lan31+":8000")
		closed(t, "open to isolated", open, lan30+":8000")
		reaches(t, "isolated to the client", alone, lanClient+":7", lan30)
		reaches(t, "client to isolated", n.client.Agent(), lan30+":8000", lanClient)
	})
}
