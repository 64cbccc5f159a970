//go:build linux

package integration

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
	"container/rtnl"
)

// A second bridge, with the longest of names, a dot in it, and a network whose
// size is no multiple of a byte. Containers on the two are strangers: they meet
// at published ports alone.
func TestTwoBridges(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		const addr, gateway, name = "192.168.77.75", "192.168.77.126", "a.bridge-of-15b"
		outside := l.Outside.Agent()
		serve(t, outside, "0.0.0.0:7")
		first := l.Host.Container(t, words(both("80:8000"), []string{addr30})...)
		second := l.Host.Container(t, words(both("81:8000"), []string{"-bridge", name, "-gateway", gateway + "/26", addr})...)
		third := l.Host.Container(t, "-bridge", name, "-gateway", gateway+"/26", "192.168.77.76")
		for _, a := range []*lab.Agent{first, second, third} {
			serve(t, a, "0.0.0.0:8000")
			serve(t, a, "0.0.0.0:9000")
		}

		reaches(t, "the second bridge to outside", second, outsideAddr+":7", hostAddr)
		reaches(t, "outside to the second bridge", outside, hostAddr+":81", outsideAddr)
		reaches(t, "host to the second bridge", l.Host.Agent(), "127.0.0.1:81", gateway)
		reaches(t, "neighbours on the second bridge", second, "192.168.77.76:9000", addr)

		closed(t, "first to second", first, addr+":9000")
		closed(t, "second to first", second, addr30+":9000")
		closed(t, "first to second, a published port's inner number", first, addr+":8000")
		closed(t, "second to first, a published port's inner number", second, addr30+":8000")

		reaches(t, "first to second, published", first, hostAddr+":81", gateway)
		reaches(t, "second to first, published", second, hostAddr+":80", bridgeAddr)
		reaches(t, "second to itself, published", second, hostAddr+":81", gateway)
		if got := l.Host.Sysctl("net/ipv4/conf/" + name + "/route_localnet"); got != "1" {
			t.Errorf("route_localnet of the second bridge is %s", got)
		}
	})
}

// The bridge has an address of its own from its making, made of its IPv4
// address, and keeps it: neighbours know the gateway by it.
func TestBridgeMAC(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	const want = "02:42:ac:10:00:64"
	check := func(when string) {
		t.Helper()
		if got := l.Host.Link("br0").MAC.String(); got != want {
			t.Errorf("%s the bridge's MAC is %s, want %s", when, got, want)
		}
	}
	first := l.Host.Container(t, addr30)
	check("with one container")
	second := l.Host.Container(t, addr31)
	check("with two containers")
	first.Stop(t)
	check("when the first has ended")
	second.Stop(t)
	lab.Eventually(t, noPorts(l.Host))
	check("without containers")
}

// A bridge that somebody made before is used as it is, and stays.
func TestBridgeOfOthers(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		l.Host.Bridge("br7", netip.MustParsePrefix("172.16.0.100/24"))
		mac := l.Host.Link("br7").MAC.String()
		server := l.Host.Container(t, words(both("80:8000"), []string{"-bridge", "br7", addr30})...)
		serve(t, server, "0.0.0.0:8000")
		reaches(t, "outside", l.Outside.Agent(), hostAddr+":80", outsideAddr)
		reaches(t, "host", l.Host.Agent(), "127.0.0.1:80", bridgeAddr)
		reaches(t, "container itself", server, hostAddr+":80", bridgeAddr)
		server.Stop(t)
		lab.Eventually(t, noPorts(l.Host))

		if _, stderr, status := l.Host.Main("down").Result(); status != 0 {
			t.Errorf("down: status %d: %s", status, stderr)
		}
		if got := l.Host.Link("br7").MAC.String(); got != mac {
			t.Errorf("the bridge's MAC was %s and is %s", mac, got)
		}
		if got := l.Host.Sysctl("net/ipv4/conf/br7/route_localnet"); got != "0" {
			t.Errorf("after down, route_localnet of somebody else's bridge is %s", got)
		}
	})
}

// A bridge whose maker was killed before it could give it an alias is known by
// its group. One that has somebody else's alias, or just the hardware address
// that ours would have, is not ours.
func TestBridgeHalfMade(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	const ours = 0x6d61696e // "main"
	mac := net.HardwareAddr{0x02, 0x42, 172, 16, 0, 100}
	l.Host.Apply(
		rtnl.GroupedBridge("br0", mac, ours),
		rtnl.GroupedBridge("br1", mac, ours), rtnl.SetAlias("br1", "the office"),
		rtnl.Bridge("br2", mac),
	)
	succeed(t, l.Host.Main("down"))
	for name, want := range map[string]bool{"br0": false, "br1": true, "br2": true} {
		if got := l.Host.HasLink(name); got != want {
			t.Errorf("%s is there: %t, want %t", name, got, want)
		}
	}

	// The next run completes it.
	l.Host.Apply(rtnl.GroupedBridge("br0", mac, ours))
	succeed(t, l.Host.Main(addr30, "true"))
	if got := l.Host.Link("br0").Alias; !strings.HasPrefix(got, "container: made by main") {
		t.Errorf("the alias of the bridge is %q", got)
	}
}

// A bridge that an administrator made without an address has that of its lowest
// port: it doesn't change as containers come and go.
func TestBridgeMACOfOthers(t *testing.T) {
	t.Parallel()
	need.Tool(t, "ip")
	l := lab.New(t)
	for _, line := range []string{
		"link add br7 type bridge", "link add port7 address e2:00:00:00:00:77 type veth peer name far7", "link set dev port7 master br7 up", "link set dev far7 up",
		"addr add 172.16.0.100/24 dev br7", "link set dev br7 up",
	} {
		iproute(t, l.Host, line)
	}
	want := l.Host.Link("br7").MAC.String()
	for i := range 8 {
		c := l.Host.Container(t, "-bridge", "br7", "172.16.0."+strconv.Itoa(30+i))
		if got := l.Host.Link("br7").MAC.String(); got != want {
			t.Fatalf("with container %d the bridge's MAC is %s, and was %s", i, got, want)
		}
		c.Stop(t)
	}
}
