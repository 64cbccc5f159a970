//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// ipLink is what "ip -d -j link" prints of a link, as far as it is looked at.
type ipLink struct {
	Name string `json:"ifname"`
	MTU  int    `json:"mtu"`
	MAC  string `json:"address"`
}

func linkOf(t *testing.T, n *lab.Node, name string) ipLink {
	t.Helper()
	var links []ipLink
	if err := json.Unmarshal([]byte(iproute(t, n, "-j link show dev "+name)), &links); err != nil || len(links) != 1 {
		t.Fatalf("link %s: %v, %+v", name, err, links)
	}
	return links[0]
}

// hostEndOf is the host's end of a container's veth: the one whose alias tells
// of the address.
func hostEndOf(t *testing.T, n *lab.Node, addr string) ipLink {
	t.Helper()
	for _, l := range n.Links() {
		if strings.HasPrefix(l.Alias, "container "+addr) {
			return linkOf(t, n, l.Name)
		}
	}
	t.Fatalf("no link is the container's at %s", addr)
	return ipLink{}
}

// insideMTU is the MTU of a container's own end.
func insideMTU(t *testing.T, a *lab.Agent) string {
	t.Helper()
	text, err := a.Tell("read", "/sys/class/net/veth1/mtu")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

func checkMTU(t *testing.T, n *lab.Node, a *lab.Agent, addr string, want int) {
	t.Helper()
	if got := insideMTU(t, a); got != fmt.Sprint(want) {
		t.Errorf("the MTU of %s is %s inside, want %d", addr, got, want)
	}
	if got := hostEndOf(t, n, addr).MTU; got != want {
		t.Errorf("the MTU of %s is %d at the host's end, want %d", addr, got, want)
	}
}

// What leaves by the uplink must fit it, or be lost where nobody tells: so the
// container's link has the uplink's MTU.
func TestMTUOfUplink(t *testing.T) {
	t.Parallel()
	need.Tool(t, "ip")
	for _, tt := range []struct {
		name  string
		setup []string // ip(8) on the host
		want  int
	}{
		{"the uplink's", []string{"link set eth0 mtu 1400"}, 1400},
		{"an uplink of jumbo frames", []string{"link set eth0 mtu 9000"}, 9000},
		{"not another link's", []string{"link add other mtu 1300 type veth peer name beyond", "link set other up", "link set beyond up", "addr add 10.9.9.1/24 dev other", "route add 10.9.0.0/16 via 10.9.9.9"}, 1500},
		{"that of the better of two default routes", []string{
			"link add other mtu 1300 type veth peer name beyond", "link set other up", "link set beyond up", "addr add 10.9.9.1/24 dev other",
			"route add default via 10.9.9.9 metric 50", "route del default via 10.0.0.2", "route add default via 10.0.0.2 metric 100",
		}, 1300},
		{"IPv6's, if there is none for IPv4", []string{"route del default", "link set eth0 mtu 1420"}, 1420},
		{"IPv4's before IPv6's", []string{
			"link set eth0 mtu 1400", "link add other mtu 1300 type veth peer name beyond", "link set other up", "link set beyond up", "addr add fd00:99::1/64 dev other nodad",
			"-6 route flush default", "-6 route add default via fd00:99::9",
		}, 1400},
		{"nowhere to go", []string{"route del default", "-6 route flush default", "link set eth0 mtu 1400"}, 1500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			for _, line := range tt.setup {
				iproute(t, l.Host, line)
			}
			c := l.Host.Container(t, addr30)
			checkMTU(t, l.Host, c, addr30, tt.want)
			if got := linkOf(t, l.Host, "br0").MTU; got != tt.want {
				t.Errorf("the bridge's MTU is %d, want %d", got, tt.want)
			}
		})
	}
}

// The MTU that is asked for is had, whatever the uplink's; the bridge has the
// least of its ports'.
func TestMTU(t *testing.T) {
	t.Parallel()
	need.Tool(t, "ip")
	l := lab.New(t)
	first := l.Host.Container(t, "-mtu", "1380", addr30)
	checkMTU(t, l.Host, first, addr30, 1380)
	second := l.Host.Container(t, addr31)
	checkMTU(t, l.Host, second, addr31, 1500)
	if got := linkOf(t, l.Host, "br0").MTU; got != 1380 {
		t.Errorf("the bridge's MTU is %d, want 1380", got)
	}
	for _, n := range []string{"68", "9000", "65535"} {
		got := says(t, l.Host.Main("-mtu", n, addr32, "cat", "/sys/class/net/veth1/mtu"))
		if got != n+"\n" {
			t.Errorf("with -mtu %s it is %q", n, got)
		}
	}
	untouched := lab.New(t).Host
	before := untouched.Snapshot()
	for _, n := range []string{"67", "0", "-1", "65536", "big", ""} {
		saysNo(t, untouched, []string{"-mtu"}, "-mtu", n, addr32)
	}
	same(t, untouched, before)
}

// The container's end has the MAC that is asked for, and the neighbours find it.
func TestMAC(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		const mac = "02:00:00:00:00:05"
		c := l.Host.Container(t, "-mac", mac, addr30)
		serve(t, c, "0.0.0.0:7")
		if got := macOf(t, c); got != mac {
			t.Errorf("the MAC is %s, want %s", got, mac)
		}
		if got := hostEndOf(t, l.Host, addr30).MAC; got == mac {
			t.Error("the host's end has the container's MAC")
		}
		neighbour := l.Host.Container(t, addr31)
		reaches(t, "neighbour", neighbour, addr30+":7", addr31)
		reaches(t, "host", l.Host.Agent(), addr30+":7", bridgeAddr)
		if got := arpEntry(t, neighbour, addr30); got != mac {
			t.Errorf("a neighbour knows it at %s, want %s", got, mac)
		}
	})
}

// What no link can have is refused before anything is touched.
func TestBadMAC(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	for _, mac := range []string{
		"01:00:5e:00:00:01",       // multicast
		"ff:ff:ff:ff:ff:ff",       // broadcast
		"00:00:00:00:00:00",       // none
		"02:00:00:00:00",          // too short
		"02:00:00:00:00:05:06:07", // EUI-64
		"nonsense", "",
	} {
		saysNo(t, n, []string{"-mac"}, "-mac", mac, addr30)
	}
	same(t, n, before)
}

// bridgeState is all that ip(8) shows of a bridge, less what ticks or counts and
// what its ports are.
func bridgeState(t *testing.T, n *lab.Node, name string) string {
	t.Helper()
	var s strings.Builder
	for _, line := range []string{"-d -j link show dev " + name, "-j addr show dev " + name, "-j route show table all dev " + name, "-j -6 route show table all dev " + name} {
		var things []map[string]any
		if err := json.Unmarshal([]byte(iproute(t, n, line)), &things); err != nil {
			t.Fatal(err)
		}
		for _, thing := range things {
			still(thing)
			b, err := json.Marshal(thing)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&s, "%s\n", b)
		}
	}
	settings := says(t, n.Command("sh", "-c", "cd /proc/sys/net && grep -rs . ipv4/conf/"+name+" ipv6/conf/"+name+" || :"))
	return sorted(s.String() + settings)
}

// sameBridges is same, but for how many MACs a bridge has learned (48,
// IFLA_BR_FDB_N_LEARNED), and how many groups are behind a port (41, 38,
// IFLA_BRPORT_MCAST_N_GROUPS and _EHT_HOSTS_CNT): who listens says so by and by.
func sameBridges(t *testing.T, n *lab.Node, before string) {
	t.Helper()
	if err := unchanged(learned.ReplaceAllString(before, ""), learned.ReplaceAllString(n.Snapshot(), "")); err != nil {
		t.Error(err)
	}
}

var learned = regexp.MustCompile(` (48|41|38)=[0-9a-f]{8}`)

// still takes the timers out of what ip(8) says.
func still(thing map[string]any) {
	for name, value := range thing {
		if strings.HasSuffix(name, "_timer") || name == "valid_life_time" || name == "preferred_life_time" || name == "expires" || name == "fdb_n_learned" {
			delete(thing, name)
		}
		if inner, ok := value.(map[string]any); ok {
			still(inner)
		}
	}
}

// An administrator's bridge is used as it is, also one that knows VLANs, whose ports
// are in one that is not 1; and nothing of it changes.
func TestBridgeOfOthersUnaltered(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		adminBridge(t, l.Host, "br7", bridgeAddr+"/24")
		// It is on all links, or on none.
		l.Host.SetSysctl("net/ipv4/ip_forward", "1")
		if _, stderr, status := l.Host.Command("ip", "link", "set", "br7", "type", "bridge", "vlan_filtering", "1", "vlan_default_pvid", "10").Result(); status != 0 {
			t.Logf("without VLANs: %s", stderr) // CONFIG_BRIDGE_VLAN_FILTERING
		}
		far := plugged(t, l, l.Host, "br7", "port0", "172.16.0.200/24")
		before := bridgeState(t, l.Host, "br7")
		snapshot := l.Host.Snapshot()
		outside := l.Outside.Agent()
		serve(t, outside, "0.0.0.0:7")
		server := l.Host.Container(t, words(both("80:8000"), []string{"-bridge", "br7", addr30})...)
		neighbour := l.Host.Container(t, "-bridge", "br7", addr31)
		serve(t, server, "0.0.0.0:8000")
		reaches(t, "container to outside", server, outsideAddr+":7", hostAddr)
		reaches(t, "outside", outside, hostAddr+":80", outsideAddr)
		reaches(t, "host", l.Host.Agent(), "127.0.0.1:80", bridgeAddr)
		reaches(t, "neighbour", neighbour, addr30+":8000", addr31)
		reaches(t, "neighbour, published", neighbour, bridgeAddr+":80", bridgeAddr)
		reaches(t, "the administrator's own machine", far.Agent(), addr30+":8000", "172.16.0.200")
		// Published ports are reached at 127.0.0.1 by this setting alone.
		was := strings.Replace(before, "route_localnet:0\n", "route_localnet:1\n", 1)
		differ(t, "the bridge with containers", bridgeState(t, l.Host, "br7"), was)
		server.Stop(t)
		neighbour.Stop(t)
		lab.Eventually(t, func() error { return noVeth(l.Host) })
		succeed(t, l.Host.Main("down"))
		differ(t, "the bridge after down", bridgeState(t, l.Host, "br7"), before)
		sameBridges(t, l.Host, snapshot)
	})
}

// lan is a host whose bridge is a mere switch: an uplink port leads to a router,
// which has the -gateway address, and behind it is a client. The bridge has no
// address, or one that has nothing to do with the network.
//
//	client 192.168.60.2 ── router 192.168.60.1, 192.168.50.1 ── uplink0 br7 ── containers
type lan struct {
	*lab.Lab
	router, client *lab.Node
}

func newLAN(t *testing.T, l *lab.Lab, addrs ...string) *lan {
	t.Helper()
	need.Tool(t, "ip")
	n := &lan{Lab: l}
	adminBridge(t, l.Host, "br7", addrs...)
	n.router = plugged(t, l, l.Host, "br7", "uplink0", "192.168.50.1/24", "fd00:50::1/64", "fe80::1/64")
	n.client = l.Machine("client")
	iproute(t, n.router, fmt.Sprintf("link add lan1 up type veth peer name eth0 netns %d", n.client.Agent().Process.Pid))
	for _, a := range []string{"192.168.60.1/24", "fd00:60::1/64", "fe80::1/64"} {
		n.router.Address("lan1", netip.MustParsePrefix(a))
	}
	iproute(t, n.client, "link set eth0 up")
	for _, a := range []string{"192.168.60.2/24", "fd00:60::2/64"} {
		n.client.Address("eth0", netip.MustParsePrefix(a))
	}
	iproute(t, n.client, "route add default via 192.168.60.1")
	iproute(t, n.client, "-6 route add default via fd00:60::1")
	n.client.AwaitUp("eth0")
	n.router.AwaitUp("lan1")
	n.router.SetSysctl("net/ipv4/ip_forward", "1")
	n.router.SetSysctl("net/ipv6/conf/all/forwarding", "1")
	return n
}

const (
	lanGateway = "192.168.50.1"
	lanClient  = "192.168.60.2"
	lan30      = "192.168.50.30"
	lan31      = "192.168.50.31"
)

// lanFlags put a container on it.
var lanFlags = []string{"-bridge", "br7", "-gateway", lanGateway + "/24"}

// On a bridge whose router is elsewhere a container is a machine of that network:
// its own address is seen, and reached. The host has no part in it.
func TestRouterElsewhere(t *testing.T) {
	t.Parallel()
	for name, addrs := range map[string][]string{"no address": nil, "an address for other purposes": {"192.168.70.1/24"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryHost(t, func(t *testing.T, l *lab.Lab) {
				n := newLAN(t, l, addrs...)
				router, client := n.router.Agent(), n.client.Agent()
				serve(t, router, lanGateway+":7")
				serve(t, client, "0.0.0.0:7")
				before, snapshot := bridgeState(t, l.Host, "br7"), l.Host.Snapshot()

				c := l.Host.Container(t, words(lanFlags, []string{lan30})...)
				neighbour := l.Host.Container(t, words(lanFlags, []string{lan31})...)
				serve(t, c, "0.0.0.0:8000")
				reaches(t, "container to the router", c, lanGateway+":7", lan30)
				reaches(t, "container to a client behind it", c, lanClient+":7", lan30)
				reaches(t, "router to the container", router, lan30+":8000", lanGateway)
				reaches(t, "client to the container", client, lan30+":8000", lanClient)
				reaches(t, "neighbour", neighbour, lan30+":8000", lan31)
				text, err := c.Tell("net")
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{"interface veth1 up " + lan30 + "/24\n", "route 0.0.0.0/0 via " + lanGateway + " dev veth1\n"} {
					if !strings.Contains(withoutLinkLocal(text)+"\n", want) {
						t.Errorf("the container's network is\n%s\nwithout %q", text, want)
					}
				}

				differ(t, "the bridge with containers", bridgeState(t, l.Host, "br7"), before)
				c.Stop(t)
				neighbour.Stop(t)
				lab.Eventually(t, func() error { return noVeth(l.Host) })
				differ(t, "the bridge without containers", bridgeState(t, l.Host, "br7"), before)
				succeed(t, l.Host.Main("down"))
				sameBridges(t, l.Host, snapshot)
			})
		})
	}
}

// The same with IPv6 beside it.
func TestRouterElsewhereIPv6(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	n := newLAN(t, l)
	serve(t, n.client.Agent(), "[::]:7")
	c := l.Host.Container(t, "-bridge", "br7", "-gateway", lanGateway+"/24,fd00:50::1/64", lan30+",fd00:50::30")
	serve(t, c, "[::]:8000")
	reaches(t, "container to a client", c, "[fd00:60::2]:7", "fd00:50::30")
	reaches(t, "client to the container", n.client.Agent(), "[fd00:50::30]:8000", "fd00:60::2")
	reaches(t, "container to a client", c, lanClient+":7", lan30)
	reaches(t, "client to the container", n.client.Agent(), lan30+":8000", lanClient)
}

// What takes the host for a router is refused there, and an address that a
// machine of that network has is left to it.
func TestRouterElsewhereRefuses(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	newLAN(t, l)
	plugged(t, l, l.Host, "br7", "port1", "192.168.50.40/24")
	before := l.Host.Snapshot()
	for _, port := range []string{"80:8000", hostAddr + ":80:8000", "127.0.0.1:80:8000/udp"} {
		saysNo(t, l.Host, []string{"gateway " + lanGateway}, words([]string{"-p", port}, lanFlags, []string{lan30})...)
	}
	saysNo(t, l.Host, []string{"address 192.168.50.40 is in use by"}, words(lanFlags, []string{"192.168.50.40"})...)
	// The host has this one itself, but not there.
	saysNo(t, l.Host, []string{"bridge br7", hostAddr}, "-bridge", "br7", "-gateway", hostAddr+"/24", "10.0.0.30")
	lab.Eventually(t, func() error { return noVeth(l.Host) })
	succeed(t, l.Host.Main("down"))
	sameBridges(t, l.Host, before)
}

// Ours, another of ours, the administrator's with an address, and his without:
// all at once, and each container is a stranger to all but its own.
func TestManyBridges(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		n := newLAN(t, l)
		adminBridge(t, l.Host, "br8", "172.18.0.1/24")
		plugged(t, l, l.Host, "br8", "port8", "172.18.0.200/24")
		outside := l.Outside.Agent()
		serve(t, outside, "0.0.0.0:7")
		serve(t, n.client.Agent(), "0.0.0.0:7")
		before := l.Host.Snapshot()
		const addr19, addr18 = "172.19.0.2", "172.18.0.2"
		first := l.Host.Container(t, words(both("80:8000"), []string{addr30})...)
		second := l.Host.Container(t, words(both("81:8000"), []string{"-bridge", "br1", "-gateway", "172.19.0.1/24", addr19})...)
		third := l.Host.Container(t, words(both("82:8000"), []string{"-bridge", "br8", "-gateway", "172.18.0.1/24", addr18})...)
		fourth := l.Host.Container(t, words(lanFlags, []string{lan30})...)
		all := []struct {
			a             *lab.Agent
			addr, gateway string
			port          string
			bridge        string
		}{
			{first, addr30, bridgeAddr, ":80", "br0"},
			{second, addr19, "172.19.0.1", ":81", "br1"},
			{third, addr18, "172.18.0.1", ":82", "br8"},
		}
		for _, c := range all {
			serve(t, c.a, "0.0.0.0:8000")
			reaches(t, c.bridge+" to outside", c.a, outsideAddr+":7", hostAddr)
			reaches(t, "outside to "+c.bridge, outside, hostAddr+c.port, outsideAddr)
		}
		serve(t, fourth, "0.0.0.0:8000")
		reaches(t, "the router's side to the fourth", n.client.Agent(), lan30+":8000", lanClient)
		reaches(t, "the fourth to the router's side", fourth, lanClient+":7", lan30)
		for i, from := range all {
			to := all[(i+1)%len(all)]
			closed(t, from.bridge+" to "+to.bridge, from.a, to.addr+":8000")
			reaches(t, from.bridge+" to "+to.bridge+", published", from.a, hostAddr+to.port, to.gateway)
		}
		bridges := map[string]string{}
		for _, c := range listed(t, l.Host) {
			bridges[c.Address] = c.Bridge
		}
		if got := fmt.Sprint(bridges); got != fmt.Sprint(map[string]string{addr30: "br0", addr19: "br1", addr18: "br8", lan30: "br7"}) {
			t.Errorf("listed are the bridges %s", got)
		}
		for _, a := range []*lab.Agent{first, second, third, fourth} {
			a.Stop(t)
		}
		lab.Eventually(t, func() error { return noVeth(l.Host) })
		succeed(t, l.Host.Main("down"))
		sameBridges(t, l.Host, before)
	})
}
