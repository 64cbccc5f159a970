//go:build linux

package nat

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// The messages against an independent reading of nf_tables: those that package
// nftables makes for the same table, sets, chains, rules and elements. Both are
// compared attribute by attribute, in the order of their numbers. (Of the
// rules only what is around the expressions, which are that package's own in
// both; of those that are optional nothing, for one is not that package's own.)
//
// Differences that are meant:
//   - It tells nft(8) the byte order of a set's keys, if asked to, but not that
//     of its values (NFTA_SET_USERDATA), without which nft shows an interface's
//     index in a lease reversed. Left out of the comparison here: what nft
//     shows is compared in TestCommands.
//   - It numbers the elements of a message, where ours are each NFTA_LIST_ELEM.
//     The kernel does not look.
//   - It names a set by its number as well as its name (…_LIST_SET_ID) when it
//     adds elements.
//   - It adds a table and elements where we create them (NLM_F_EXCL), deletes
//     elements with NLM_F_CREATE, which says nothing there, and asks for each
//     rule back (NLM_F_ECHO), to learn its handle.
func TestOracle(t *testing.T) {
	t.Run("ip", func(t *testing.T) {
		oracle(t, IPv4, nftables.TypeIPAddr,
			"172.16.0.30", "172.16.0.0/24", "172.16.1.0", "127.0.0.1")
	})
	t.Run("ip6", func(t *testing.T) {
		oracle(t, IPv6, nftables.TypeIP6Addr,
			"fd00:16::30", "fd00:16::/64", "fd00:16:0:1::", "2001:db8::1")
	})
}

// oracle compares what there is of a family that routes. Behind is the first
// address behind the network.
func oracle(t *testing.T, f Family, addr nftables.SetDatatype, address, network, behind, hostIP string) {
	bytes := func(text string) []byte { return netip.MustParseAddr(text).AsSlice() }
	table := &nftables.Table{Family: nftables.TableFamily(f), Name: "container"}
	want := record(t, func(c *nftables.Conn) {
		c.AddTable(table)

		concat := nftables.MustConcatSetType
		name, service, proto := nftables.TypeIFName, nftables.TypeInetService, nftables.TypeInetProto
		all := []*nftables.Set{
			{Name: "bridges", KeyType: name},
			{Name: "inside", KeyType: concat(name, name)},
			{Name: "network", KeyType: addr, Interval: true},
			{Name: "lease", KeyType: addr, IsMap: true, DataType: nftables.TypeIFIndex},
			{Name: "publish", KeyType: concat(proto, service), IsMap: true, DataType: concat(addr, service)},
			{Name: "publish_at", KeyType: concat(addr, proto, service), IsMap: true, DataType: concat(addr, service)},
			{Name: "sysctl", KeyType: nftables.TypeMark},
			{Name: "isolated", KeyType: addr},
			{Name: "living", KeyType: addr},
		}
		for i, s := range all {
			s.Table, s.ID = table, f.id(uint32(i+1))
			check(t, c.AddSet(s, nil))
		}

		base := baseChains(c, table)
		c.AddChain(&nftables.Chain{Table: table, Name: "publish"})
		base("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, *nftables.ChainPriorityNATDest)
		base("input", nftables.ChainTypeFilter, nftables.ChainHookInput, *nftables.ChainPriorityFilter)
		base("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, *nftables.ChainPriorityNATDest)
		base("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
		base("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, *nftables.ChainPriorityFilter)

		for _, r := range f.rules() {
			c.AddRule(&nftables.Rule{Table: table, Chain: &nftables.Chain{Name: r.chain}, Exprs: r.exprs})
		}

		c.AddChain(&nftables.Chain{Table: table, Name: "dead"})
		base("cut", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, *nftables.ChainPriorityMangle)
		base("cut_host", nftables.ChainTypeFilter, nftables.ChainHookOutput, *nftables.ChainPriorityMangle)

		br0 := []byte("br0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
		container := bytes(address)
		for i, elems := range [][]nftables.SetElement{
			{{Key: br0}},
			{{Key: slices.Concat(br0, br0)}},
			{{Key: bytes(network[:len(network)-3])}, {Key: bytes(behind), IntervalEnd: true}},
			{{Key: container, Val: []byte(host(7))}},
			{{Key: []byte{6, 0, 0, 0, 0, 80, 0, 0}, Val: slices.Concat(container, []byte{0x1f, 0x40, 0, 0})}},
			{{Key: slices.Concat(bytes(hostIP), []byte{17, 0, 0, 0, 0, 53, 0, 0}), Val: slices.Concat(container, []byte{0, 54, 0, 0})}},
			{{Key: []byte(host(0)), Comment: "net.ipv4.ip_forward=0"}},
			{{Key: container}},
			{{Key: container}},
		} {
			check(t, c.SetAddElements(all[i], elems))
		}
		check(t, c.SetDeleteElements(all[3], []nftables.SetElement{{Key: container, Val: []byte(host(7))}}))
		check(t, c.SetDeleteElements(all[8], []nftables.SetElement{{Key: container}}))
	})

	claim := Claim{
		Bridge: "br0", Networks: prefixes(network), Addresses: addrs(address), Index: 7, Isolated: true,
		Ports: []Port{
			{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
			{HostIP: netip.MustParseAddr(hostIP), HostPort: 53, Port: 54, Proto: unix.IPPROTO_UDP},
		},
	}
	take := claim.Take()
	take[4], take[5] = take[5], take[4] // publish_at comes first there
	take[6], take[7] = take[7], take[6] // and the isolation
	claim.Ports, claim.Isolated = nil, false
	compare(t, slices.Concat(
		f.Ruleset(), f.Optional()[:len(f.cutChains())],
		take[:6], f.Remember(0, []Sysctl{{"net.ipv4.ip_forward", "0"}}), take[6:], claim.Release()[2:],
	), want)
}

func TestOracleOfGuard(t *testing.T) {
	table := &nftables.Table{Family: nftables.TableFamilyBridge, Name: "container"}
	want := record(t, func(c *nftables.Conn) {
		c.AddTable(table)

		concat := nftables.MustConcatSetType
		port := nftables.TypeIFIndex
		number := nftables.SetDatatype{Bytes: 4 + 16} // of a length that the package does not know
		number.SetNFTMagic(20<<6 | 4)
		target := nftables.SetDatatype{Bytes: 16}
		target.SetNFTMagic(4)
		all := []*nftables.Set{
			{Name: "ports", KeyType: port, ID: 0x21},
			{Name: "macs", KeyType: concat(port, nftables.TypeEtherAddr), ID: 0x22},
			{Name: "addresses", KeyType: concat(port, nftables.TypeIPAddr), ID: 0x23},
			{Name: "addresses6", KeyType: concat(port, nftables.TypeIP6Addr), ID: 0x24},
			{Name: "targets", KeyType: number, ID: 0x26},
			{Name: "isolated", KeyType: port, ID: 0x25},
			{Name: "owned", KeyType: nftables.TypeIPAddr, ID: 0x27},
			{Name: "owned6", KeyType: target, ID: 0x28},
			{Name: "sources", KeyType: concat(port, nftables.TypeEtherAddr, nftables.TypeEtherType, nftables.TypeIPAddr), ID: 0x29},
			{Name: "gateways", KeyType: nftables.TypeIPAddr, ID: 0x2a},
		}
		for _, s := range all {
			s.Table = table
			check(t, c.AddSet(s, nil))
		}

		base := baseChains(c, table)
		base("prerouting", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, -200)
		base("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, -200)
		base("output", nftables.ChainTypeFilter, nftables.ChainHookOutput, -200)
		for _, r := range Bridge.rules() {
			c.AddRule(&nftables.Rule{Table: table, Chain: &nftables.Chain{Name: r.chain}, Exprs: r.exprs})
		}

		at := func(key []byte) []byte { return slices.Concat([]byte(host(7)), key) }
		address4, address6 := []byte{172, 16, 0, 30}, netip.MustParseAddr("fd00:16::30").AsSlice()
		linkLocal := netip.MustParseAddr("fe80::ff:fe00:5").AsSlice()
		for _, change := range []func(*nftables.Set, []nftables.SetElement) error{c.SetAddElements, c.SetDeleteElements} {
			for _, of := range []struct {
				set  int
				keys [][]byte
			}{
				{0, [][]byte{at(nil)}},
				{1, [][]byte{at([]byte{2, 0, 0, 0, 0, 5, 0, 0})}},
				{2, [][]byte{at(address4)}},
				{6, [][]byte{address4}},
				{8, [][]byte{at([]byte{2, 0, 0, 0, 0, 5, 0, 0, 8, 0, 0, 0, 172, 16, 0, 30})}},
				{3, [][]byte{at(address6), at(linkLocal)}},
				{4, [][]byte{at(address6), at(linkLocal)}},
				{7, [][]byte{address6}},
				{5, [][]byte{at(nil)}},
			} {
				var elems []nftables.SetElement
				for _, key := range of.keys {
					elems = append(elems, nftables.SetElement{Key: key})
				}
				check(t, change(all[of.set], elems))
			}
		}
	})
	compare(t, slices.Concat(
		Bridge.Ruleset(),
		bothClaim().guardedAt(7, unix.NFT_MSG_NEWSETELEM, add),
		bothClaim().guardedAt(7, unix.NFT_MSG_DELSETELEM, change),
	), want)
}

// guardedAt is guarded with another index.
func (c Claim) guardedAt(index uint32, typ uint16, flags netlink.HeaderFlags) []nl.Request {
	c.Index = index
	return c.guarded(typ, flags)
}

// baseChains adds base chains, all of policy accept.
func baseChains(c *nftables.Conn, table *nftables.Table) func(string, nftables.ChainType, *nftables.ChainHook, nftables.ChainPriority) {
	accept := nftables.ChainPolicyAccept
	return func(name string, typ nftables.ChainType, hook *nftables.ChainHook, priority nftables.ChainPriority) {
		c.AddChain(&nftables.Chain{Table: table, Name: name, Type: typ, Hooknum: hook, Priority: &priority, Policy: &accept})
	}
}

// compare compares a transaction of ours with what was recorded of one.
func compare(t *testing.T, reqs []nl.Request, want []netlink.Message) {
	t.Helper()
	got := Batch(reqs)
	if len(got) != len(want) {
		t.Fatalf("got %d messages, want %d", len(got), len(want))
	}
	for i, r := range got {
		same(t, r.What, oracleText(r.Type, r.Flags, r.Data), oracleText(want[i].Header.Type, want[i].Header.Flags, want[i].Data))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record is the messages that f makes package nftables send.
func record(t *testing.T, f func(*nftables.Conn)) (sent []netlink.Message) {
	t.Helper()
	c, err := nftables.New(nftables.WithTestDial(func(msgs []netlink.Message) ([]netlink.Message, error) {
		sent = append(sent, msgs...)
		var answers []netlink.Message
		for _, m := range msgs {
			if m.Header.Flags&netlink.Acknowledge != 0 {
				answers = append(answers, netlink.Message{
					Header: netlink.Header{Type: netlink.Error, Sequence: m.Header.Sequence, PID: m.Header.PID},
					Data:   make([]byte, 4), // no error
				})
			}
		}
		return answers, nil
	}))
	check(t, err)
	f(c)
	check(t, c.Flush())
	return sent
}

// oracleText is a message with its attributes sorted, without the differences
// that are meant.
func oracleText(typ netlink.HeaderType, flags netlink.HeaderFlags, data []byte) string {
	const (
		newSet, newElements, deleteElements = 0xa09, 0xa0c, 0xa0e
		userData, listSetID                 = 13, 4
	)
	drop := map[netlink.HeaderType]uint16{newSet: userData, newElements: listSetID, deleteElements: listSetID}[typ]
	flags &^= netlink.Excl | netlink.Echo | netlink.Create
	elements := typ == newElements || typ == deleteElements
	return fmt.Sprintf("type %#x, flags %#x, header % x\n%s", uint16(typ), uint16(flags), data[:4], attributesText(data[4:], "", drop, elements))
}

func attributesText(b []byte, indent string, drop uint16, elements bool) string {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return "no attributes: " + err.Error()
	}
	type entry struct {
		typ  uint16
		text string
	}
	var all []entry
	for ad.Next() {
		typ, data := ad.Type(), ad.Bytes()
		text := fmt.Sprintf(" % x\n", data)
		// No nest is of 4 bytes, but package nftables calls a flag one.
		if ad.TypeFlags()&unix.NLA_F_NESTED != 0 && len(data) > 4 {
			text = "\n" + attributesText(data, indent+"  ", 0, elements)
		}
		if elements && indent == "  " {
			typ = unix.NFTA_LIST_ELEM
		}
		if typ != drop {
			all = append(all, entry{typ, text})
		}
	}
	if err := ad.Err(); err != nil {
		return "no attributes: " + err.Error()
	}
	slices.SortStableFunc(all, func(a, b entry) int { return int(a.typ) - int(b.typ) })
	var s strings.Builder
	for _, a := range all {
		fmt.Fprintf(&s, "%s%d:%s", indent, a.typ, a.text)
	}
	return s.String()
}
