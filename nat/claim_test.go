//go:build linux

package nat

import (
	"bytes"
	"cmp"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
)

// Indexes that no link of a fresh network namespace has: nft would show the
// link's name in place of the number.
const (
	index        = 4107
	anotherIndex = 4108
)

// aClaim has a port of each kind.
func aClaim() Claim {
	return Claim{
		Bridge:    "br0",
		Networks:  prefixes("172.16.0.100/24"),
		Addresses: addrs("172.16.0.30"),
		Index:     index,
		Ports: []Port{
			{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
			{HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP},
			{HostPort: 5000, Port: 5000, Proto: unix.IPPROTO_SCTP},
			{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 8080, Port: 8001, Proto: unix.IPPROTO_TCP},
			{HostIP: netip.MustParseAddr("192.0.2.1"), HostPort: 8080, Port: 8002, Proto: unix.IPPROTO_TCP},
		},
	}
}

// anotherClaim is a neighbour of aClaim's, with nothing in common but the
// bridge. It has the same host port for another protocol.
func anotherClaim() Claim {
	c := aClaim()
	c.Addresses = addrs("172.16.0.31")
	c.Index = anotherIndex
	c.Ports = []Port{{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_UDP}}
	return c
}

// bothClaim is of both families, guarded and isolated, with a port of each
// kind; anotherBothClaim is a neighbour that is guarded alone.
func bothClaim() Claim {
	c := aClaim()
	c.Networks = prefixes("172.16.0.100/24", "fd00:16::100/64")
	c.Addresses = addrs("172.16.0.30", "fd00:16::30")
	c.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 5}
	c.Isolated = true
	c.Ports = append(c.Ports,
		Port{HostIP: netip.IPv4Unspecified(), HostPort: 90, Port: 9000, Proto: unix.IPPROTO_TCP},
		Port{HostIP: netip.IPv6Unspecified(), HostPort: 90, Port: 9001, Proto: unix.IPPROTO_TCP},
		Port{HostIP: netip.MustParseAddr("2001:db8::1"), HostPort: 8080, Port: 8003, Proto: unix.IPPROTO_TCP},
		Port{HostIP: netip.MustParseAddr("fe80::1"), HostPort: 8080, Port: 8004, Proto: unix.IPPROTO_SCTP},
	)
	return c
}

func anotherBothClaim() Claim {
	c := anotherClaim()
	c.Networks = bothClaim().Networks
	c.Addresses = addrs("fd00:16::31", "172.16.0.31") // whichever is first
	c.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 6}
	return c
}

// only6 is what a claim has of IPv6.
func only6(c Claim) Claim {
	c.Networks = slices.DeleteFunc(slices.Clone(c.Networks), func(p netip.Prefix) bool { return p.Addr().Is4() })
	c.Addresses = slices.DeleteFunc(slices.Clone(c.Addresses), netip.Addr.Is4)
	c.Ports = slices.DeleteFunc(slices.Clone(c.Ports), func(p Port) bool { return p.HostIP.Is4() })
	return c
}

// neighbours are two claims of each kind that have nothing in common but the
// bridge.
var neighbours = map[string][2]Claim{
	"IPv4": {aClaim(), anotherClaim()},
	"IPv6": {only6(bothClaim()), only6(anotherBothClaim())},
	"both": {bothClaim(), anotherBothClaim()},
}

// eachNeighbours runs f for neighbours of each kind, in a namespace with all
// tables.
func eachNeighbours(t *testing.T, f func(t *testing.T, a, b Claim)) {
	t.Helper()
	need.Root(t)
	for kind, pair := range neighbours {
		t.Run(kind, func(t *testing.T) {
			netns(t)
			makeTables(t)
			f(t, pair[0], pair[1])
		})
	}
}

// makeTables makes the tables of all families, empty.
func makeTables(t testing.TB) {
	t.Helper()
	for _, f := range Families {
		commit(t, whole(f))
	}
}

// whole is a table with what is optional.
func whole(f Family) []nl.Request { return append(f.Ruleset(), f.Optional()...) }

// manyPorts is a claim with ten thousand ports in place of its own.
func manyPorts(c Claim) Claim {
	c.Ports = nil
	for i := range uint16(10_000) {
		c.Ports = append(c.Ports, Port{HostPort: 20_000 + i, Port: 1 + i, Proto: unix.IPPROTO_TCP})
	}
	return c
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// leasesOf, guardsOf and publishedBy are what Leases, Guards and PublishedPorts
// should give for claims. A port that is published everywhere is, in each family that the claim
// has an address of, one on the unspecified address.
func leasesOf(claims ...Claim) []Lease {
	var all []Lease
	for _, c := range claims {
		for _, a := range c.Addresses {
			all = append(all, Lease{a, c.Index})
		}
	}
	return all
}

func guardsOf(claims ...Claim) []Guard {
	var all []Guard
	for _, c := range claims {
		if c.MAC != nil {
			all = append(all, Guard{c.Index, c.MAC})
		}
	}
	return all
}

func publishedBy(claims ...Claim) []Published {
	var all []Published
	for _, c := range claims {
		for _, a := range c.Addresses {
			for _, p := range c.Ports {
				if !p.HostIP.IsValid() {
					p.HostIP = netip.IPv4Unspecified()
					if a.Is6() {
						p.HostIP = netip.IPv6Unspecified()
					}
				}
				if p.HostIP.Is4() == a.Is4() {
					all = append(all, Published{p, a})
				}
			}
		}
	}
	return all
}

// checkTable compares what the listing functions read with what claims are
// there. The kernel keeps elements in no order.
func checkTable(t *testing.T, claims ...Claim) {
	t.Helper()
	c := dial(t)
	byAddress := func(a, b Lease) int { return a.Address.Compare(b.Address) }
	got, err := Leases(c)
	if err != nil {
		t.Fatal(err)
	}
	want := leasesOf(claims...)
	slices.SortFunc(got, byAddress)
	slices.SortFunc(want, byAddress)
	if !slices.Equal(got, want) {
		t.Errorf("Leases: got %v, want %v", got, want)
	}

	byIndex := func(a, b Guard) int { return cmp.Compare(a.Index, b.Index) }
	gotGuards, err := Guards(c)
	if err != nil {
		t.Fatal(err)
	}
	wantGuards := guardsOf(claims...)
	slices.SortFunc(gotGuards, byIndex)
	slices.SortFunc(wantGuards, byIndex)
	if !slices.EqualFunc(gotGuards, wantGuards, func(a, b Guard) bool { return a.Index == b.Index && bytes.Equal(a.MAC, b.MAC) }) {
		t.Errorf("Guards: got %v, want %v", gotGuards, wantGuards)
	}

	byKey := func(a, b Published) int {
		return cmp.Or(a.HostIP.Compare(b.HostIP), cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Proto, b.Proto))
	}
	gotPorts, err := PublishedPorts(c)
	if err != nil {
		t.Fatal(err)
	}
	wantPorts := publishedBy(claims...)
	slices.SortFunc(gotPorts, byKey)
	slices.SortFunc(wantPorts, byKey)
	if !slices.Equal(gotPorts, wantPorts) {
		t.Errorf("PublishedPorts: got %d (%.300v), want %d (%.300v)", len(gotPorts), gotPorts, len(wantPorts), wantPorts)
	}
}

func TestTake(t *testing.T) {
	netns(t)
	commit(t, IPv4.Ruleset())
	commit(t, aClaim().Take())
	commit(t, IPv4.Remember(0, settings))
	checkTable(t, aClaim())
	goldenRuleset(t, "claim.nft")
}

func TestTakeBoth(t *testing.T) {
	netns(t)
	makeTables(t)
	commit(t, bothClaim().Take())
	commit(t, anotherBothClaim().Take())
	commit(t, IPv6.Remember(0, settings[:1]))
	checkTable(t, bothClaim(), anotherBothClaim())
	goldenRuleset(t, "both.nft")
}

// A claim is put in the tables of its own families, and the others need not be
// there.
func TestTakeInItsFamilies(t *testing.T) {
	need.Root(t)
	guarded6, unguarded6, unguarded := only6(bothClaim()), only6(bothClaim()), bothClaim()
	unguarded6.MAC, unguarded.MAC = nil, nil
	for name, c := range map[string]struct {
		claim    Claim
		families []Family
	}{
		"IPv4":             {aClaim(), []Family{IPv4}},
		"IPv6":             {unguarded6, []Family{IPv6}},
		"guarded IPv6":     {guarded6, []Family{IPv6, Bridge}},
		"both":             {unguarded, []Family{IPv4, IPv6}},
		"guarded both":     {bothClaim(), []Family{IPv4, IPv6, Bridge}},
		"guarded both, v6": {anotherBothClaim(), []Family{IPv6, IPv4, Bridge}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.claim.Families(); !slices.Equal(got, c.families) {
				t.Errorf("Families: got %v, want %v", got, c.families)
			}
			netns(t)
			for _, f := range c.families {
				refuse(t, unix.ENOENT, c.claim.Take())
				commit(t, f.Ruleset())
			}
			empty := ruleset(t)
			commit(t, c.claim.Take())
			checkTable(t, c.claim)
			commit(t, c.claim.Release())
			for _, p := range c.claim.Networks { // these stay
				f := FamilyOf(p.Addr())
				for _, name := range []string{"bridges", "inside", "network"} {
					run(t, "nft", "flush", "set", f.String(), "container", name)
				}
			}
			if c.claim.MAC != nil {
				run(t, "nft", "flush", "set", "bridge", "container", "gateways")
			}
			same(t, "the ruleset", ruleset(t), empty)
		})
	}
}

// A neighbour on the same bridge: what is there for the bridge already is no
// obstacle.
func TestTakeOnSameBridge(t *testing.T) {
	eachNeighbours(t, func(t *testing.T, a, b Claim) {
		commit(t, a.Take())
		commit(t, b.Take())
		checkTable(t, a, b)
	})
}

// Whoever has an address or a port keeps it, and the one who comes later has
// nothing: no lease where the port is taken, no port where the lease is.
func TestTakeWhatIsTaken(t *testing.T) {
	need.Root(t)
	for name, claim := range map[string]Claim{
		"the same claim": aClaim(),
		"the address":    {Addresses: aClaim().Addresses},
		"a port":         {Ports: aClaim().Ports[:1]},
		"a port of one address": {Ports: []Port{
			{HostPort: 81, Port: 81, Proto: unix.IPPROTO_TCP},
			aClaim().Ports[3],
			{HostPort: 82, Port: 82, Proto: unix.IPPROTO_TCP},
		}},
		"a port for another of the container": {Ports: []Port{
			{HostPort: aClaim().Ports[0].HostPort, Port: 1, Proto: unix.IPPROTO_TCP},
		}},
		"the address of one family": {Addresses: addrs("172.16.0.31", "fd00:16::30")},
		"a port of one family":      {Addresses: addrs("172.16.0.31", "fd00:16::31"), Ports: bothClaim().Ports[6:7]},
		"a port of one family, for both": {Ports: []Port{
			{HostPort: 90, Port: 1, Proto: unix.IPPROTO_TCP},
		}},
		"a port of one IPv6 address": {Addresses: addrs("fd00:16::31"), Ports: bothClaim().Ports[8:9]},
	} {
		t.Run(name, func(t *testing.T) {
			netns(t)
			makeTables(t)
			first := aClaim()
			other := anotherClaim()
			if strings.Contains(name, "one family") || strings.Contains(name, "IPv6") {
				first, other = bothClaim(), anotherBothClaim()
			}
			commit(t, first.Take())
			claim.Bridge, claim.Networks, claim.MAC, claim.Isolated = other.Bridge, other.Networks, other.MAC, other.MAC != nil
			if claim.Addresses == nil {
				claim.Addresses = other.Addresses
			}
			if claim.Index == 0 {
				claim.Index = other.Index
			}
			refuse(t, unix.EEXIST, claim.Take())
			checkTable(t, first)
		})
	}
}

// Neighbouring networks share a border in the set of intervals: one ends where
// the other begins. Whichever comes first, both stand, and come again.
func TestTakeOnNeighbouringNetworks(t *testing.T) {
	need.Root(t)
	a, b := bothClaim(), anotherBothClaim()
	b.Bridge, b.Networks = "br1", prefixes("fd00:16:0:1::/64", "172.16.1.0/24")
	for _, claims := range [][]Claim{{a, b, a, b}, {b, a, b, a}} {
		t.Run(claims[0].Bridge+" first", func(t *testing.T) {
			netns(t)
			makeTables(t)
			for _, c := range claims {
				commit(t, c.bridge())
			}
			for family, networks := range map[string]string{
				"ip":  "{ 172.16.0.0/24, 172.16.1.0/24 }",
				"ip6": "{ fd00:16::/64, fd00:16:0:1::/64 }",
			} {
				got := run(t, "nft", "list", "set", family, "container", "network")
				run(t, "nft", "flush", "set", family, "container", "network")
				run(t, "nft", "add", "element", family, "container", "network", networks)
				same(t, "the networks", got, run(t, "nft", "list", "set", family, "container", "network"))
			}
		})
	}
}

func TestTakeOnOverlappingNetworks(t *testing.T) {
	need.Root(t)
	for _, network := range []string{
		"172.16.0.0/16", "172.16.0.0/25", "172.16.0.128/25",
		"fd00:16::/48", "fd00:16::/65", "fd00:16:0:0:8000::/65", "fd00:16::30/128",
	} {
		t.Run(network, func(t *testing.T) {
			netns(t)
			makeTables(t)
			commit(t, bothClaim().Take())
			c := anotherBothClaim()
			c.Bridge, c.Networks = "br1", prefixes(network)
			err := refuse(t, unix.EEXIST, c.Take())
			var e *nl.Error
			if !errors.As(err, &e) || !strings.HasSuffix(e.Advice, "nft list set "+FamilyOf(c.Networks[0].Addr()).String()+" container network") {
				t.Errorf("no advice in the error %v", err)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	eachNeighbours(t, func(t *testing.T, a, b Claim) {
		commit(t, b.Take())
		before := ruleset(t)
		commit(t, a.Take())
		commit(t, a.Release())
		same(t, "the ruleset", ruleset(t), before)
		// Once more, when it is gone already; and so could one be released that
		// was never taken.
		commit(t, a.Release())
		same(t, "the ruleset after the second release", ruleset(t), before)
	})
}

// The claim has come to be somebody else's, in whole or in part.
func TestReleaseOfWhatIsElses(t *testing.T) {
	need.Root(t)
	sameAddress, samePort, sameAddressAndPort := anotherClaim(), anotherClaim(), anotherClaim()
	sameAddress.Addresses = aClaim().Addresses
	samePort.Ports = aClaim().Ports[3:4]
	sameAddressAndPort.Addresses, sameAddressAndPort.Ports = aClaim().Addresses, aClaim().Ports
	sameOfOne, portOfOne := bothClaim(), anotherBothClaim()
	sameOfOne.Index, sameOfOne.Ports, sameOfOne.Addresses = anotherIndex, nil, addrs("fd00:16::30")
	portOfOne.Ports = bothClaim().Ports[6:7]
	for name, c := range map[string]struct{ others, released Claim }{
		"the address":               {sameAddress, aClaim()},
		"a port":                    {samePort, aClaim()},
		"all but the index":         {sameAddressAndPort, aClaim()},
		"the address of one family": {sameOfOne, bothClaim()},
		"a port of one family":      {portOfOne, bothClaim()},
	} {
		t.Run(name, func(t *testing.T) {
			netns(t)
			makeTables(t)
			commit(t, c.others.Take())
			refuse(t, unix.EEXIST, c.released.Release())
			checkTable(t, c.others)
		})
	}
}

// Ten thousand ports, in one transaction, and out again.
func TestManyPorts(t *testing.T) {
	eachNeighbours(t, func(t *testing.T, a, b Claim) {
		commit(t, b.Take())
		a = manyPorts(a)
		commit(t, a.Take())
		checkTable(t, a, b)
		commit(t, a.Release())
		checkTable(t, b)
	})
}

// The kernel sends back each message that it refuses: with a lot of them
// refused, the errno must not be lost for want of room.
func TestManyPortsTaken(t *testing.T) {
	eachNeighbours(t, func(t *testing.T, a, b Claim) {
		a, b = manyPorts(a), manyPorts(b)
		commit(t, a.Take())
		if err := Commit(dial(t), b.Take()); !errors.Is(err, unix.EEXIST) {
			t.Fatalf("got the error %.200v, want %v", err, unix.EEXIST)
		}
		checkTable(t, a)
	})
}

func TestDrop(t *testing.T) {
	eachNeighbours(t, func(t *testing.T, a, b Claim) {
		commit(t, b.Take())
		before := ruleset(t)
		commit(t, a.Take())
		commit(t, Drop(leasesOf(a), publishedBy(a), []Claim{a}))
		same(t, "the ruleset", ruleset(t), before)

		// What is not there is not left out in silence.
		refuse(t, unix.ENOENT, Drop(leasesOf(b, a), nil, nil))
		refuse(t, unix.ENOENT, Drop(nil, publishedBy(b, a), nil))
		// What guards a port that is gone may be.
		commit(t, Drop(nil, nil, []Claim{a, a}))
		same(t, "the ruleset", ruleset(t), before)
		// A lease is dropped whoever holds it.
		var leases []Lease
		for _, address := range b.Addresses {
			leases = append(leases, Lease{Address: address})
		}
		commit(t, Drop(leases, nil, nil))
		if got, err := Leases(dial(t)); err != nil || len(got) != 0 {
			t.Errorf("Leases: got %v (error %v), want none", got, err)
		}
		commit(t, Drop(nil, publishedBy(b), []Claim{b}))
		checkTable(t)
	})
}

// A guard is known by its index and hardware address alone (Guards), and what
// may be said there besides is dropped by what is known of the container.
func TestDropGuard(t *testing.T) {
	netns(t)
	makeTables(t)
	before := run(t, "nft", "list", "table", "bridge", "container")
	c := bothClaim()
	commit(t, c.Take())
	commit(t, Drop(nil, nil, []Claim{{Index: c.Index, MAC: c.MAC, Addresses: c.Addresses, Isolated: true}}))
	run(t, "nft", "flush", "set", "bridge", "container", "gateways") // which stays
	same(t, "the guard", run(t, "nft", "list", "table", "bridge", "container"), before)
	c.MAC = nil // what is not guarded is still there
	checkTable(t, c)
}

func TestDropMany(t *testing.T) {
	eachNeighbours(t, func(t *testing.T, a, _ Claim) {
		a = manyPorts(a)
		commit(t, a.Take())
		commit(t, Drop(leasesOf(a), publishedBy(a), []Claim{a}))
		checkTable(t)
	})
}

// The kernel's own is an oracle: that of a link that is ready as soon as it is
// up.
func TestLinkLocal(t *testing.T) {
	netns(t)
	for mac, want := range map[string]string{
		"02:00:00:00:00:05": "fe80::ff:fe00:5",
		"00:11:22:33:44:55": "fe80::211:22ff:fe33:4455",
		"fe:ff:ff:ff:ff:ff": "fe80::fcff:ffff:feff:ffff",
		"fc:00:00:01:00:00": "fe80::fe00:ff:fe01:0",
	} {
		hw, err := net.ParseMAC(mac)
		if err != nil {
			t.Fatal(err)
		}
		if got := linkLocal(hw); got != netip.MustParseAddr(want) {
			t.Errorf("%s: got %s, want %s", mac, got, want)
		}
		run(t, "ip", "link", "add", "eth0", "address", mac, "up", "type", "vxlan", "id", "1", "dstport", "4789")
		if got := run(t, "ip", "-6", "-o", "address", "show", "dev", "eth0"); !strings.Contains(got, " "+want+"/64 ") {
			t.Errorf("%s: the kernel has %s", mac, got)
		}
		run(t, "ip", "link", "delete", "eth0")
	}
}

func TestTables(t *testing.T) {
	netns(t)
	c := dial(t)
	// Others' tables are none of ours, whatever they are called.
	run(t, "nft", "add table ip other; add table inet container; add table netdev container; add table ip6 containers")
	var want []Family
	check := func() {
		t.Helper()
		got, err := Tables(c)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v (error %v), want %v", got, err, want)
		}
	}
	check()
	for _, f := range []Family{IPv4, Bridge, IPv6} {
		commit(t, f.Ruleset())
		want = append(want, f)
		slices.Sort(want)
		check()
	}
	for _, f := range Families {
		commit(t, []nl.Request{f.DeleteTable()})
		want = slices.DeleteFunc(want, func(g Family) bool { return g == f })
		check()
	}
}

// An address is a living container's from Take on, and until Release or Drop;
// one that is held for a container that is about to be is not.
func TestLiving(t *testing.T) {
	netns(t)
	makeTables(t)
	c := dial(t)
	claim := bothClaim()
	check := func(when string, want int) {
		t.Helper()
		for _, f := range []Family{IPv4, IPv6} {
			if elems, err := f.living().list(c); err != nil || len(elems) != want {
				t.Errorf("%s: %d addresses of %s live (%v), want %d", when, len(elems), f, err, want)
			}
		}
	}
	commit(t, Hold(claim.Addresses, 4242))
	check("held", 0)
	claim.Held = 4242
	commit(t, claim.Take())
	check("taken", 1)
	commit(t, claim.Restore())
	check("restored", 1)
	commit(t, claim.Release())
	check("released", 0)
	claim.Held = 0
	commit(t, claim.Take())
	commit(t, Drop(leasesOf(claim), publishedBy(claim), []Claim{claim}))
	check("dropped", 0)
}
