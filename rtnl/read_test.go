//go:build linux

package rtnl_test

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

// ipLink is what ip -d -j link tells of a link.
type ipLink struct {
	Index   uint32 `json:"ifindex"`
	Name    string `json:"ifname"`
	Alias   string `json:"ifalias"`
	Flags   []string
	Address string
	MTU     uint32
	Master  string
	Info    struct {
		Kind string `json:"info_kind"`
		Port struct {
			State string
		} `json:"info_slave_data"`
	} `json:"linkinfo"`
}

// listed is every link as ip(8) tells it and as package rtnl should.
func (ns netns) listed(t *testing.T) []rtnl.Link {
	t.Helper()
	var links []ipLink
	if err := json.Unmarshal(ns.sh(t, "ip -d -j link show"), &links); err != nil {
		t.Fatal(err)
	}
	index := make(map[string]uint32)
	for _, l := range links {
		index[l.Name] = l.Index
	}
	var all []rtnl.Link
	for _, l := range links {
		mac, err := net.ParseMAC(l.Address)
		if err != nil {
			t.Fatal(err)
		}
		var flags uint32
		if slices.Contains(l.Flags, "UP") {
			flags = unix.IFF_UP
		}
		states := []string{"", "listening", "learning", "forwarding", "blocking"} // BR_STATE_…
		all = append(all, rtnl.Link{
			Index: l.Index, Flags: flags, Name: l.Name, Alias: l.Alias, Kind: l.Info.Kind, MAC: mac, MTU: l.MTU,
			Master: index[l.Master], PortState: uint8(max(0, slices.Index(states, l.Info.Port.State))),
		})
	}
	return all
}

// forwarding is BR_STATE_FORWARDING, looked up by hand.
const forwarding = 3

// upAlone keeps one flag of a link's: others change a little after IFF_UP.
func upAlone(l rtnl.Link) rtnl.Link {
	l.Flags &= unix.IFF_UP
	return l
}

// TestRead compares what List and Get tell with what ip(8) does.
func TestRead(t *testing.T) {
	w := newWorld(t, aBridge)
	w.do(t,
		rtnl.Veth("veth1", nil, "br0", w.index(t, "br0"), 1400, rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: w.pid}),
		rtnl.SetPort(rtnl.Port{Name: "veth1", Alias: nasty, Hairpin: true}),
	)
	w.peer.do(t, rtnl.Up(w.peer.index(t, "eth0"), "eth0"))
	if l := w.peer.link(t, "eth0"); !l.IsUp() {
		t.Fatalf("eth0 is not up: %+v", l) // and what is awaited would never come
	}
	w.await(t, "veth1", func(l rtnl.Link) bool { return l.PortState == forwarding })

	for name, ns := range map[string]netns{"host": w.netns, "container": w.peer} {
		c := ns.dial(t)
		want := ns.listed(t)
		got, err := rtnl.List(c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i] = upAlone(got[i])
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: List (-ip +List):\n%s", name, diff)
		}
		for _, l := range want {
			for _, r := range []nl.Request{rtnl.GetLink(l.Name), rtnl.GetLinkIndex(l.Index)} {
				got, err := rtnl.Get(c, r)
				if err != nil {
					t.Error(err)
				}
				if diff := gocmp.Diff(l, upAlone(got)); diff != "" {
					t.Errorf("%s: %s (-ip +Get):\n%s", name, r.What, diff)
				}
			}
		}
	}
	if l := w.link(t, "veth1"); !l.IsUp() || l.PortState != rtnl.Forwarding {
		t.Errorf("veth1 is not up and forwarding: %+v", l)
	}
	if l, err := rtnl.Get(w.peer.dial(t), rtnl.GetLinkIndex(rtnl.LoopbackIndex)); err != nil || l.IsUp() {
		t.Errorf("lo of a new namespace is up: %+v, %v", l, err)
	}
}

func TestReadNoLink(t *testing.T) {
	c := newNetns(t).dial(t)
	for _, r := range []nl.Request{rtnl.GetLink("nonesuch"), rtnl.GetLinkIndex(0x7ffffff0)} {
		if _, err := rtnl.Get(c, r); !errors.Is(err, rtnl.ErrNoLink) {
			t.Errorf("%s: got the error %v, want ErrNoLink", r.What, err)
		}
	}
}

// TestReadAddresses compares what Addresses tells with what ip(8) does.
func TestReadAddresses(t *testing.T) {
	w := newWorld(t, aPort+"ip addr add 172.16.0.100/24 dev br0; ip addr add 172.16.0.101/24 dev br0;"+
		" ip addr add 10.0.0.1 peer 10.0.0.2/32 dev br0; ip addr add 10.0.0.4/31 dev br0;"+
		" ip addr add 10.1.0.1/24 dev br0 valid_lft 9000 preferred_lft 9000;"+
		" ip addr add 169.254.0.1/16 dev br0 scope link;"+
		" ip addr add fd00::1/64 dev br0 nodad; ip addr add fe80::1/64 dev br0 nodad; ip link set dev lo up;"+
		" ip addr add fd01::1/64 dev veth1") // down, and so tentative for good
	for _, tt := range []struct {
		family uint8
		cmd    string
		n      int
	}{
		{unix.AF_UNSPEC, "ip -j addr show", 11},
		{unix.AF_INET, "ip -j -4 addr show", 7},
		{unix.AF_INET6, "ip -j -6 addr show", 4},
	} {
		want := w.addresses(t, tt.cmd)
		got, err := rtnl.Addresses(w.dial(t), tt.family)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i].Flags &= unix.IFA_F_TENTATIVE | unix.IFA_F_PERMANENT // those that ip tells in addresses
		}
		byText := func(a, b rtnl.LinkAddress) int {
			return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Prefix.String(), b.Prefix.String()))
		}
		slices.SortFunc(want, byText)
		slices.SortFunc(got, byText)
		same := gocmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
		if diff := gocmp.Diff(want, got, same); diff != "" {
			t.Errorf("%s (-ip +Addresses):\n%s", tt.cmd, diff)
		}
		if len(got) != tt.n {
			t.Errorf("%s: got %d addresses, want %d", tt.cmd, len(got), tt.n)
		}
	}
}

// addresses is every address as ip(8) tells it.
func (ns netns) addresses(t *testing.T, line string) []rtnl.LinkAddress {
	t.Helper()
	var listed []struct {
		Index uint32 `json:"ifindex"`
		Addrs []struct {
			Local     netip.Addr
			Bits      int `json:"prefixlen"`
			Scope     string
			Dynamic   bool
			Tentative bool
		} `json:"addr_info"`
	}
	if err := json.Unmarshal(ns.sh(t, line), &listed); err != nil {
		t.Fatal(err)
	}
	scopes := map[string]uint8{"global": 0, "link": 253, "host": 254} // RT_SCOPE_…
	var all []rtnl.LinkAddress
	for _, l := range listed {
		for _, a := range l.Addrs {
			is := rtnl.LinkAddress{Index: l.Index, Prefix: netip.PrefixFrom(a.Local, a.Bits), Scope: scopes[a.Scope]}
			if !a.Dynamic {
				is.Flags |= 0x80 // IFA_F_PERMANENT
			}
			if a.Tentative {
				is.Flags |= 0x40 // IFA_F_TENTATIVE
			}
			all = append(all, is)
		}
	}
	return all
}

// Where a link can have no IPv6 address, the error says why.
func TestAddressAdvice(t *testing.T) {
	for setup, want := range map[string]string{
		"ip link set dev br0 mtu 1279":                     "IPv6 takes a link with an MTU of 1280 or more",
		"echo 1 >/proc/sys/net/ipv6/conf/br0/disable_ipv6": "IPv6 is disabled here: net.ipv6.conf.br0.disable_ipv6",
	} {
		w := newWorld(t, aBridge+setup)
		err := w.dial(t).Do(rtnl.Address(w.index(t, "br0"), "br0", netip.MustParsePrefix("fd00::1/64")))
		var e *nl.Error
		if !errors.As(err, &e) || e.Advice != want {
			t.Errorf("%s: got the error %v, want the advice %q", setup, err, want)
		}
	}
}

// await waits until a link is as it should be.
func (ns netns) await(t *testing.T, name string, done func(rtnl.Link) bool) {
	t.Helper()
	if err := ns.within(func() error {
		w, err := rtnl.Watch(nil)
		if err != nil {
			return err
		}
		defer w.Close()
		c, err := rtnl.Dial(nil)
		if err != nil {
			return err
		}
		defer c.Close()
		l, err := rtnl.Get(c, rtnl.GetLink(name))
		for err == nil && !done(l) {
			l, err = w.Next(l.Index)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// watch opens a Watcher in a namespace.
func (ns netns) watch(t *testing.T) *rtnl.Watcher {
	t.Helper()
	var w *rtnl.Watcher
	if err := ns.within(func() (err error) {
		w, err = rtnl.Watch(nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// A watcher tells of one link, in order, and passes over what others do and
// what the bridge has to say.
func TestWatch(t *testing.T) {
	w := newWorld(t, aPort+"ip link set dev veth1 up") // of a link that is down the alias isn't told
	veth1 := w.index(t, "veth1")
	watcher := w.watch(t)

	w.do(t, rtnl.SetAlias("br0", "another link"), rtnl.SetAlias("veth1", "first"))
	w.sh(t, "ip link set dev veth1 nomaster") // deleted, in the bridge's words
	w.do(t, rtnl.SetAlias("veth1", "second"), rtnl.DeleteLink(veth1, "veth1"))

	seen := make(map[string]bool)
	for {
		l, err := watcher.Next(veth1)
		if errors.Is(err, rtnl.ErrNoLink) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if l.Index != veth1 || l.Name != "veth1" || l.Kind != "veth" {
			t.Errorf("told of another link: %+v", l)
		}
		seen[l.Alias] = true
		if l.Alias == "second" && l.Master != 0 {
			t.Errorf("a port yet when it has left: %+v", l)
		}
	}
	if !seen["first"] || !seen["second"] {
		t.Errorf("heard of a deletion before all changes: saw the aliases %v", seen)
	}
}

// Both ends of a pair have the MTU, and the container's the hardware address.
func TestVethBothEnds(t *testing.T) {
	w := newWorld(t, aBridge)
	w.do(t, rtnl.Veth("veth1", nil, "br0", w.index(t, "br0"), 1400, rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: w.pid}))
	for _, l := range []rtnl.Link{w.link(t, "veth1"), w.peer.link(t, "eth0"), w.link(t, "br0")} {
		if l.MTU != 1400 { // the bridge has the least of its ports'
			t.Errorf("the MTU of %s is %d, want 1400", l.Name, l.MTU)
		}
		if (l.MAC.String() == mac2.String()) != (l.Name == "eth0") {
			t.Errorf("the hardware address of %s is %s", l.Name, l.MAC)
		}
	}
}

// Ports tells of a bridge's ports and of no other link.
func TestPorts(t *testing.T) {
	w := newWorld(t, aBridge+aPair+"ip link add name br1 type bridge; ip link add name veth3 type veth peer name veth4;"+
		" ip link set dev veth1 master br0; ip link set dev veth3 master br1; ip link set dev veth4 master br0")
	c := w.dial(t)
	for bridge, want := range map[string][]string{"br0": {"veth1", "veth4"}, "br1": {"veth3"}, "veth2": nil} {
		links, err := rtnl.Ports(c, w.index(t, bridge), bridge)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range links {
			if diff := gocmp.Diff(w.link(t, l.Name), l); diff != "" {
				t.Errorf("%s (-Get +Ports):\n%s", l.Name, diff)
			}
			got = append(got, l.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got the ports %v, want %v", bridge, got, want)
		}
	}
}

// Announce has the kernel send a gratuitous ARP request, once ARPNotify is on:
// for the sender's own address, from its hardware address.
func TestAnnounce(t *testing.T) {
	w := newWorld(t, aPair+"ip addr add 172.16.0.30/24 dev veth1")
	// The far end first: to bring up the second end makes the carrier, and its
	// own queue is ready when that returns.
	w.do(t, rtnl.Up(w.index(t, "veth2"), "veth2"))
	fd := w.frames(t, "veth2", unix.ETH_P_ARP)
	veth1 := w.index(t, "veth1")
	silent := net.HardwareAddr{0x02, 0x00, 0x5e, 0x00, 0x00, 0xff}
	w.do(t,
		rtnl.Up(veth1, "veth1"),
		rtnl.Announce(veth1, "veth1", silent),
		rtnl.Set(veth1, "veth1", rtnl.ARPNotify),
		rtnl.Announce(veth1, "veth1", mac1),
	)

	frame := make([]byte, 1500)
	n, err := unix.Read(fd, frame)
	if err != nil {
		t.Fatalf("no ARP frame: %v", err)
	}
	want := raw(
		"00 01", "08 00", "06 04", "00 01", // Ethernet, IPv4, addresses of 6 and 4 bytes, a request
		"02 00 5e 00 00 01", "ac 10 00 1e", // the sender
		"00 00 00 00 00 00", "ac 10 00 1e", // whom it asks for
	)
	frame = frame[:n]
	copy(frame[18:24], make([]byte, 6)) // of no meaning: some kernels put the sender's there
	if diff := gocmp.Diff(dump(want), dump(frame)); diff != "" {
		t.Errorf("the ARP frame (-want +got):\n%s", diff)
	}
}

// Announce has the kernel send a neighbour advertisement for each IPv6 address
// as well, once net.ipv6.conf.LINK.ndisc_notify is 1: also for those that were
// added without duplicate address detection, before the link was up.
func TestAnnounceIPv6(t *testing.T) {
	w := newWorld(t, aPair+"ip addr add fd00::1e/64 dev veth1 nodad; ip addr add fe80::1e/64 dev veth1 nodad")
	w.do(t, rtnl.Up(w.index(t, "veth2"), "veth2"))
	fd := w.frames(t, "veth2", unix.ETH_P_IPV6)
	veth1 := w.index(t, "veth1")
	silent := net.HardwareAddr{0x02, 0x00, 0x5e, 0x00, 0x00, 0xff}
	w.do(t, rtnl.Up(veth1, "veth1"), rtnl.Announce(veth1, "veth1", silent))
	w.sh(t, "echo 1 >/proc/sys/net/ipv6/conf/veth1/ndisc_notify")
	w.do(t, rtnl.Announce(veth1, "veth1", mac1))

	want := map[string]bool{"fd00::1e": true, "fe80::1e": true}
	frame := make([]byte, 1500)
	for len(want) > 0 {
		n, err := unix.Read(fd, frame)
		if err != nil {
			t.Fatalf("no neighbour advertisement of %v: %v", want, err)
		}
		const header, advertisement = 40, 136
		if n < header+24 || frame[6] != unix.IPPROTO_ICMPV6 || frame[header] != advertisement {
			continue // others are on the way too: reports of multicast groups
		}
		target := netip.AddrFrom16([16]byte(frame[header+8 : header+24])).String()
		if !want[target] {
			t.Errorf("an advertisement of %s, or another one", target)
		}
		delete(want, target)
		got := append(frame[24:header:header], frame[header+4:n]...)
		addr := fmt.Sprintf("%x", netip.MustParseAddr(target).AsSlice())
		if diff := gocmp.Diff(dump(raw(
			"ff 02", zeros(13), "01", //  to all nodes
			"20 00 00 00", addr, //       unasked, to override what is known (not a router's)
			"02 01 02 00 5e 00 00 01", // the hardware address
		)), dump(got)); diff != "" {
			t.Errorf("the advertisement (-want +got):\n%s", diff)
		}
	}
}

// frames opens a packet socket that receives a link's frames of a protocol,
// without their Ethernet headers.
func (ns netns) frames(t *testing.T, name string, protocol uint16) int {
	t.Helper()
	network := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol)) // htons(3)
	fd := -1
	if err := ns.within(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	// Not for measuring: it makes a frame that never comes a failure, where it
	// would be a test that hangs.
	err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 30})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network, Ifindex: int(ns.index(t, name))})
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
