//go:build linux

package dissect_test

import (
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/dissect"
	"container/integration/need"
	"container/nat"
	"container/nl"
	"container/rtnl"
)

// netns puts the rest of the test into a new network namespace. The thread is
// never unlocked: Go ends it with the test's goroutine, and the namespace goes
// with it. Subtests, being other goroutines, are not in there.
func netns(t testing.TB) {
	t.Helper()
	need.Root(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		need.Skip(t, "needs a new network namespace: unshare: "+err.Error())
	}
}

// talk is a conversation with the kernel, byte by byte.
type talk struct {
	testing.TB
	golden
	dissect.Dissector
	fd     int
	family int
}

// newTalk opens a socket in the calling thread's network namespace.
func newTalk(t testing.TB, family int, file string) *talk {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	c := &talk{TB: t, golden: golden{name: file}, fd: fd, family: family}
	c.option(unix.NETLINK_EXT_ACK, 1)
	c.option(unix.NETLINK_CAP_ACK, 1)
	return c
}

func (c *talk) option(option, value int) {
	c.Helper()
	if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, option, value); err != nil {
		need.Skip(c, "needs a kernel with extended acknowledgements: "+err.Error())
	}
}

// ask sends requests, and is the words of all that comes back.
func (c *talk) ask(title string, reqs ...nl.Request) string {
	c.Helper()
	request := nl.Marshal(reqs)
	text := c.Message(c.family, request)
	complete(c, text, request)
	c.add("> "+title, text)
	if err := unix.Sendto(c.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		c.Fatal(err)
	}
	var words strings.Builder
	buf := make([]byte, 64<<10)
	for {
		// The kernel has answered before sendto returns, but for the parts of
		// a list that come as room is made for them, by receiving.
		n, _, err := unix.Recvfrom(c.fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return words.String()
		}
		text := c.Answer(c.family, buf[:n], request)
		complete(c, text, buf[:n])
		c.add("< "+title, text)
		words.WriteString(wordsOf(text))
	}
}

// says checks that the answer has these words.
func (c *talk) says(answer string, want ...string) {
	c.Helper()
	for _, w := range want {
		if !strings.Contains(answer, w) {
			c.Errorf("no %q in the answer\n%s", w, answer)
		}
	}
}

// record writes the golden file, with -update. What a kernel says otherwise is
// not compared with it: another one says other things.
func (c *talk) record(t *testing.T) {
	if *update {
		c.check(t)
	}
}

const done = "error 0, done"

// request is one that no package builds.
func request(typ uint16, flags netlink.HeaderFlags, m message) nl.Request {
	return nl.Request{Type: netlink.HeaderType(typ), Flags: flags, Data: m.b}
}

const (
	dump   = netlink.Request | netlink.Dump
	change = netlink.Request | netlink.Acknowledge
	create = change | netlink.Create | netlink.Excl
)

// What the kernel answers to rtnetlink requests.
func TestKernelRoute(t *testing.T) {
	netns(t)
	c := newTalk(t, unix.NETLINK_ROUTE, "answers-route.txt")

	bridge := rtnl.Bridge("br0", mac1)
	c.says(c.ask(bridge.Cmd, bridge), done, "NLM_F_CAPPED", "struct nlmsghdr msg", "RTM_NEWLINK")
	c.says(c.ask(bridge.Cmd, bridge), "error -EEXIST, file exists")

	br0 := index(t, "br0")
	veth := rtnl.Veth("veth1f3a", nil, "br0", br0, 1400, rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: unix.Gettid()})
	c.says(c.ask("ip link add veth1f3a", veth), done)
	eth0 := index(t, "eth0")

	addr := rtnl.Address(br0, "br0", netip.MustParsePrefix("172.16.0.100/24"))
	c.says(c.ask("several at once", rtnl.Up(eth0, "eth0"), addr,
		rtnl.SetAlias("veth1f3a", "172.16.0.30"), rtnl.Set(eth0, "eth0", rtnl.ARPNotify)), done)
	route := rtnl.DefaultRoute(netip.MustParseAddr("172.16.0.30"))
	c.says(c.ask(route.Cmd, route), done)

	// Refusals with reasons.
	wrong := rtnl.DefaultRoute(netip.MustParseAddr("10.9.9.9"))
	c.says(c.ask(wrong.Cmd, wrong), "-ENETUNREACH, network is unreachable", `NLMSGERR_ATTR_MSG "Nexthop has invalid gateway"`)
	kind := request(unix.RTM_NEWLINK, create, native().u32(0, 0, 0, 0).
		u16(16, 0x8000|unix.IFLA_LINKINFO).u16(12, unix.IFLA_INFO_KIND).raw("nonesuch"))
	c.says(c.ask("ip link add type nonesuch", kind), "-EOPNOTSUPP", `NLMSGERR_ATTR_MSG "Unknown device type"`)
	short := request(unix.RTM_NEWLINK, change, native().u32(0, br0, 0, 0).
		u16(8, unix.IFLA_TXQLEN).u32(1000).u16(6, unix.IFLA_LINK).u16(1, 0))
	c.says(c.ask("a number of 2 bytes where 4 are due", short), "-ERANGE", "NLMSGERR_ATTR_OFFS 40: IFLA_LINK\n")
	c.option(unix.NETLINK_CAP_ACK, 0)
	c.says(c.ask("the same, and the whole request comes back", short), "    IFLA_TXQLEN 1000\n", "NLMSGERR_ATTR_OFFS 40: IFLA_LINK\n")
	c.option(unix.NETLINK_CAP_ACK, 1)

	// Neighbours: one that is there, and one to be asked for.
	neighbour := request(unix.RTM_NEWNEIGH, create, native().u8(unix.AF_INET, 0).u16(0).u32(br0).u16(unix.NUD_PERMANENT).u8(0, 0).
		u16(8, unix.NDA_DST).raw("\xac\x10\x00\x1e").u16(10, unix.NDA_LLADDR).raw("\x02\x00\x5e\x00\x00\x02\x00\x00"))
	c.says(c.ask("ip neigh add 172.16.0.30 lladdr "+mac2.String()+" dev br0", neighbour), done)
	asked := request(unix.RTM_NEWNEIGH, create, native().u8(unix.AF_INET, 0).u16(0).u32(br0).u16(unix.NUD_NONE).u8(unix.NTF_USE, 0).
		u16(8, unix.NDA_DST).raw("\xac\x10\x00\x1f"))
	c.says(c.ask("ip neigh add 172.16.0.31 dev br0 use", asked), done)
	c.says(c.ask("ip neigh show", request(unix.RTM_GETNEIGH, dump, native().u32(0, 0, 0))),
		"RTM_NEWNEIGH", "ndm_state NUD_PERMANENT", "NDA_DST 172.16.0.30", "NDA_LLADDR "+mac2.String(), "struct nda_cacheinfo", "NLMSG_DONE")

	// Lists, and single things.
	get := rtnl.GetLink("br0")
	c.says(c.ask(get.Cmd, get), `IFLA_IFNAME "br0"`, "IFLA_BR_FORWARD_DELAY 1500", "IFLA_ADDRESS "+mac1.String(), "IPV4_DEVCONF_FORWARDING", "DEVCONF_FORWARDING")
	get = rtnl.GetLinkIndex(index(t, "veth1f3a"))
	c.says(c.ask(get.Cmd, get), `IFLA_IFALIAS "172.16.0.30"`, "IFLA_BRPORT_STATE BR_STATE_", "IFLA_MASTER")
	c.says(c.ask("ip link show", rtnl.GetLinks()), "NLM_F_MULTI", "ARPHRD_LOOPBACK", "NLMSG_DONE", done)
	c.says(c.ask("ip -4 addr show", rtnl.GetAddresses(unix.AF_INET)), "IFA_LOCAL 172.16.0.100", "IFA_F_PERMANENT", "struct ifa_cacheinfo", "NLMSG_DONE")
	c.says(c.ask("ip -4 route show table all", request(unix.RTM_GETROUTE, dump, native().u32(unix.AF_INET, 0, 0))),
		"RTA_GATEWAY 172.16.0.30", "RTA_TABLE RT_TABLE_MAIN", "RT_SCOPE_LINK", "NLMSG_DONE")
	none := rtnl.GetLink("nonesuch")
	c.says(c.ask(none.Cmd, none), "-ENODEV, no such device")

	del := rtnl.DeleteLink(br0, "br0")
	c.says(c.ask(del.Cmd, del), done)
	c.record(t)
}

// index is the index of a link in the calling thread's network namespace.
func index(t *testing.T, name string) uint32 {
	t.Helper()
	c, err := rtnl.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l, err := rtnl.Get(c, rtnl.GetLink(name))
	if err != nil {
		t.Fatal(err)
	}
	return l.Index
}

// What nf_tables and connection tracking answer.
func TestKernelNetfilter(t *testing.T) {
	netns(t)
	c := newTalk(t, unix.NETLINK_NETFILTER, "answers-netfilter.txt")

	table := func(typ uint16, flags netlink.HeaderFlags) nl.Request {
		return request(0xa00|typ, flags, native().u8(unix.NFPROTO_IPV4, 0, 0, 0).u16(14, 1).raw("container\x00\x00\x00"))
	}
	c.says(c.ask("nft list table ip container", table(unix.NFT_MSG_GETTABLE, netlink.Request)), "-ENOENT", "NLMSGERR_ATTR_OFFS 20: NFTA_TABLE_NAME")
	conn, err := nat.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := nat.Commit(conn, rulesets()); err != nil {
		t.Fatal(err)
	}
	c.says(c.ask("nft list sets", table(unix.NFT_MSG_GETSET, dump)), "NFTA_SET_KEY_TYPE ipv4_addr . inet_proto . inet_service", "NFT_SET_INTERVAL")
	for _, f := range []uint8{unix.NFPROTO_IPV6, unix.NFPROTO_BRIDGE} {
		sets := table(unix.NFT_MSG_GETSET, dump)
		sets.Data[0] = f
		c.says(c.ask("nft list sets", sets), "NFTA_SET_KEY_TYPE if", "NLMSG_DONE")
	}
	c.says(c.ask("a claim", nat.Batch(web.Take())...), done)
	c.says(c.ask("the same again", nat.Batch(web.Take())...), "-EEXIST", "NLMSGERR_ATTR_OFFS")
	c.says(c.ask("settings", nat.Batch(nat.IPv4.Remember(1, []nat.Sysctl{{Name: "net.ipv4.ip_forward", Value: "0"}}))...), done)
	c.says(c.ask("nft list table ip container", table(unix.NFT_MSG_GETTABLE, netlink.Request)), "NFTA_TABLE_USE", "NFTA_TABLE_HANDLE")
	c.says(c.ask("nft list chains", table(unix.NFT_MSG_GETCHAIN, dump)), "NFT_CHAIN_BASE", "NF_INET_PRE_ROUTING", "NFTA_HOOK_PRIORITY -100", "NF_ACCEPT")
	c.says(c.ask("nft list ruleset", table(unix.NFT_MSG_GETRULE, dump)),
		"127.0.0.0/8", "NFT_CT_STATUS", "IPS_DST_NAT", "NF_CT_STATE_BIT(IP_CT_ESTABLISHED)|NF_CT_STATE_BIT(IP_CT_RELATED)",
		"RTN_LOCAL", `NFTA_DATA_VALUE "lo"`, "NFT_JUMP", "NFT_NAT_DNAT", "NFTA_FIB_F_DADDR")
	for _, set := range []struct{ name, want string }{
		{"lease\x00\x00\x00", "NFTA_DATA_VALUE 172.16.0.30"},
		{"publish\x00", "NFTA_DATA_VALUE IPPROTO_TCP . 80"},
		{"network\x00", "NFT_SET_ELEM_INTERVAL_END"},
		{"sysctl\x00\x00", `NFTNL_UDATA_SET_ELEM_COMMENT "net.ipv4.ip_forward=0"`},
	} {
		name := strings.TrimRight(set.name, "\x00")
		length := uint16(4 + len(name) + 1)
		c.says(c.ask("nft list set ip container "+name, request(0xa00|unix.NFT_MSG_GETSETELEM, dump,
			native().u8(unix.NFPROTO_IPV4, 0, 0, 0).u16(14, 1).raw("container\x00\x00\x00").u16(length, 2).raw(set.name))), set.want)
	}
	gen := nat.GetGen()
	c.says(c.ask(gen.Cmd, gen), "NFT_MSG_NEWGEN", "NFTA_GEN_ID")
	c.says(c.ask("a transaction that comes too late", nat.BatchAt(1, web.Release())...), "-ERESTART")
	c.says(c.ask("a release", nat.Batch(web.Release())...), done)

	// Connections.
	tuple := func(typ uint16, source, dest, ports string) message {
		return native().u16(52, 0x8000|typ).
			u16(20, 0x8001).u16(8, 1).raw(source).u16(8, 2).raw(dest).
			u16(28, 0x8002).u16(5, 1).u8(unix.IPPROTO_TCP, 0, 0, 0).u16(6, 2).raw(ports[:2]+"\x00\x00").u16(6, 3).raw(ports[2:] + "\x00\x00")
	}
	client, server := "\x0a\x00\x00\x01", "\xac\x10\x00\x1e"
	orig, reply := tuple(1, client, server, "\x9c\x40\x00\x50").b, tuple(2, server, client, "\x00\x50\x9c\x40").b
	tracked := native().u8(unix.AF_INET, 0, 0, 0).raw(string(orig)).raw(string(reply)).
		u16(8, 7).raw("\x00\x00\x00\x78"). // CTA_TIMEOUT
		u16(48, 0x8004).u16(44, 0x8001).   // CTA_PROTOINFO, TCP
		u16(5, 1).u8(3, 0, 0, 0).          // established
		u16(5, 2).u8(7, 0, 0, 0).u16(5, 3).u8(7, 0, 0, 0).
		u16(6, 4).u8(0x23, 0x23, 0, 0).u16(6, 5).u8(0x23, 0x23, 0, 0)
	c.says(c.ask("conntrack -I", request(0x100, create, tracked)), done)
	c.says(c.ask("conntrack -L", request(0x101, dump, native().u8(unix.AF_INET, 0, 0, 0))),
		"IPCTNL_MSG_CT_NEW", "CTA_IP_V4_DST 172.16.0.30", "CTA_PROTO_NUM IPPROTO_TCP", "CTA_PROTO_DST_PORT 80", "TCP_CONNTRACK_ESTABLISHED", "IPS_CONFIRMED")
	c.says(c.ask("conntrack -C", request(0x105, change, native().u8(0, 0, 0, 0))), "CTA_STATS_GLOBAL_ENTRIES 1", done)
	c.says(c.ask("conntrack -D", request(0x102, change, native().u8(unix.AF_INET, 0, 0, 0).raw(string(orig)))), done)
	c.says(c.ask("conntrack -D", request(0x102, change, native().u8(unix.AF_INET, 0, 0, 0).raw(string(orig)))), "-ENOENT")

	c.says(c.ask("nft delete table ip container", nat.Batch([]nl.Request{nat.IPv4.DeleteTable()})...), done)
	c.record(t)
}
