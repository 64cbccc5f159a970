//go:build linux

package dissect_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/dissect"
	"container/nat"
	"container/nl"
	"container/rtnl"
)

var (
	mac1 = net.HardwareAddr{0x02, 0x00, 0x5e, 0x00, 0x00, 0x01}
	mac2 = net.HardwareAddr{0x02, 0x00, 0x5e, 0x00, 0x00, 0x02}
)

// What rtnl builds.
func routeRequests() []nl.Request {
	return []nl.Request{
		rtnl.Up(rtnl.LoopbackIndex, "lo"),
		rtnl.Bridge("br0", mac1),
		rtnl.Veth("veth1f3a", nil, "br0", 3, 1500, rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: 4711}),
		rtnl.SetPort(rtnl.Port{Name: "veth1f3a", Alias: "172.16.0.30 4711", Hairpin: true, Guard: true, ForwardGroups: rtnl.AllGroups}),
		rtnl.SetAlias("veth1f3a", `it's "mine"`),
		rtnl.Set(7, "eth0", rtnl.ARPNotify),
		rtnl.Set(3, "br0", rtnl.RouteLocalnet),
		rtnl.SetAddrGenMode(7, "eth0", rtnl.EUI64),
		rtnl.Announce(7, "eth0", mac2),
		rtnl.Address(3, "br0", netip.MustParsePrefix("172.16.0.100/24")),
		rtnl.Address(3, "br0", netip.MustParsePrefix("fd00:16::100/64")),
		rtnl.DefaultRoute(netip.MustParseAddr("172.16.0.100")),
		rtnl.DefaultRoute(netip.MustParseAddr("fd00:16::100")),
		rtnl.GetLink("veth1f3a"),
		rtnl.GetLinkIndex(7),
		rtnl.GetLinks(),
		rtnl.GetPorts(3, "br0"),
		rtnl.GetAddresses(unix.AF_UNSPEC),
		rtnl.GetRoute(netip.MustParseAddr("1.1.1.1")),
		rtnl.GetRoute(netip.MustParseAddr("2606:4700:47::1111")),
		rtnl.Probe(3, "br0", netip.MustParseAddr("172.16.0.30")),
		rtnl.GetNeighbour(3, "br0", netip.MustParseAddr("fd00:16::30")),
		rtnl.GetForwarding(3, "br0", mac2),
		rtnl.DeleteNeighbour(3, "br0", netip.MustParseAddr("172.16.0.30")),
		rtnl.DeleteLink(7, "veth1f3a"),
	}
}

var web = nat.Claim{
	Bridge:    "br0",
	Networks:  []netip.Prefix{netip.MustParsePrefix("172.16.0.100/24"), netip.MustParsePrefix("fd00:16::100/64")},
	Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.30"), netip.MustParseAddr("fd00:16::30")},
	Index:     7,
	MAC:       mac2,
	Isolated:  true,
	Ports: []nat.Port{
		{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
		{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP},
		{HostIP: netip.MustParseAddr("fd00:10::1"), HostPort: 99, Port: 99, Proto: unix.IPPROTO_SCTP},
	},
}

// rulesets is the tables of all families.
func rulesets() []nl.Request {
	var reqs []nl.Request
	for _, f := range nat.Families {
		reqs = append(reqs, f.Ruleset()...)
	}
	return reqs
}

// What nat builds. Elements come after the sets that they are of.
func netfilterRequests() []nl.Request {
	reqs := nat.BatchAt(7, rulesets())
	reqs = append(reqs, web.Take()...)
	reqs = append(reqs, web.Release()...)
	reqs = append(reqs, nat.IPv4.Remember(1, []nat.Sysctl{{Name: "net.ipv4.ip_forward", Value: "0"}})...)
	reqs = append(reqs, nat.Hold(web.Addresses, 4711)...)
	reqs = append(reqs, nat.Drop(nil, []nat.Published{{Port: web.Ports[0], Address: web.Addresses[0]}}, nil)...)
	for _, f := range nat.Families {
		reqs = append(reqs, f.DeleteTable())
	}
	flows, _ := nat.Flows{Addrs: web.Addresses, Proto: unix.IPPROTO_UDP, Ports: web.Ports}.Delete()
	return append(append(reqs, nat.GetGen()), flows...)
}

// Each request of rtnl and nat, in words: the golden files, and TestGoldenFiles
// makes sure that nothing in them is unknown.
func TestRequests(t *testing.T) {
	for _, tt := range []struct {
		file string
		reqs []nl.Request
	}{
		{"route.txt", routeRequests()},
		{"netfilter.txt", netfilterRequests()},
	} {
		t.Run(tt.file, func(t *testing.T) {
			g := golden{name: tt.file}
			var d dissect.Dissector
			for _, r := range tt.reqs {
				b := nl.Marshal([]nl.Request{r})
				text := d.Message(family(tt.file), b)
				complete(t, text, b)
				title := r.Cmd
				if title == "" {
					title = r.What
				}
				g.add(title, text)
			}
			g.check(t)
		})
	}
}

// Without having seen the sets, elements are bytes, but where they look like
// names of links.
func TestForgetful(t *testing.T) {
	var d dissect.Dissector
	d.Message(unix.NETLINK_NETFILTER, nl.Marshal(rulesets()))
	for _, tt := range []struct {
		req                nl.Request
		knowing, unknowing string
	}{
		{taken(t, "element ip container bridges "), `NFTA_DATA_VALUE "br0"`, `NFTA_DATA_VALUE "br0"`},
		{taken(t, "element ip container lease "), `NFTA_DATA_VALUE 172.16.0.30`, `NFTA_DATA_VALUE 4 bytes`},
		{taken(t, "element ip container publish "), `NFTA_DATA_VALUE IPPROTO_TCP . 80`, `NFTA_DATA_VALUE 8 bytes`},
	} {
		b := nl.Marshal([]nl.Request{tt.req})
		for text, want := range map[string]string{
			d.Message(unix.NETLINK_NETFILTER, b):       tt.knowing,
			dissect.Message(unix.NETLINK_NETFILTER, b): tt.unknowing,
		} {
			complete(t, text, b)
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
}

// taken is the request of a claim's that has some words in its command.
func taken(t *testing.T, words string) nl.Request {
	t.Helper()
	for _, r := range web.Take() {
		if strings.Contains(r.Cmd, words) {
			return r
		}
	}
	t.Fatalf("no %q in a claim", words)
	return nl.Request{}
}
