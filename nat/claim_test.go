//go:build linux

package nat

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
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
		Bridge:  "br0",
		Network: netip.MustParsePrefix("172.16.0.100/24"),
		Address: netip.MustParseAddr("172.16.0.30"),
		Index:   index,
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
	c.Address = netip.MustParseAddr("172.16.0.31")
	c.Index = anotherIndex
	c.Ports = []Port{{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_UDP}}
	return c
}

// manyPorts is a claim with ten thousand ports in place of its own.
func manyPorts(c Claim) Claim {
	c.Ports = nil
	for i := range uint16(10_000) {
		c.Ports = append(c.Ports, Port{HostPort: 20_000 + i, Port: 1 + i, Proto: unix.IPPROTO_TCP})
	}
	return c
}

// ports is what PublishedPorts should give for claims.
func ports(claims ...Claim) []Published {
	var all []Published
	for _, c := range claims {
		for _, p := range c.Ports {
			all = append(all, Published{p, c.Address})
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
	var want []Lease
	for _, c := range claims {
		want = append(want, Lease{c.Address, c.Index})
	}
	slices.SortFunc(got, byAddress)
	slices.SortFunc(want, byAddress)
	if !slices.Equal(got, want) {
		t.Errorf("Leases: got %v, want %v", got, want)
	}

	byKey := func(a, b Published) int {
		return cmp.Or(a.HostIP.Compare(b.HostIP), cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Proto, b.Proto))
	}
	gotPorts, err := PublishedPorts(c)
	if err != nil {
		t.Fatal(err)
	}
	wantPorts := ports(claims...)
	slices.SortFunc(gotPorts, byKey)
	slices.SortFunc(wantPorts, byKey)
	if !slices.Equal(gotPorts, wantPorts) {
		t.Errorf("PublishedPorts: got %d (%.300v), want %d (%.300v)", len(gotPorts), gotPorts, len(wantPorts), wantPorts)
	}
}

func TestTake(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	commit(t, aClaim().Take())
	commit(t, Remember(0, settings))
	checkTable(t, aClaim())
	goldenRuleset(t, "claim.nft")
}

// A neighbour on the same bridge: what is there for the bridge already is no
// obstacle.
func TestTakeOnSameBridge(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	commit(t, aClaim().Take())
	commit(t, anotherClaim().Take())
	checkTable(t, aClaim(), anotherClaim())
}

// Whoever has an address or a port keeps it, and the one who comes later has
// nothing: no lease where the port is taken, no port where the lease is.
func TestTakeWhatIsTaken(t *testing.T) {
	need.Root(t)
	for name, claim := range map[string]Claim{
		"the same claim": aClaim(),
		"the address":    {Address: aClaim().Address},
		"a port":         {Ports: aClaim().Ports[:1]},
		"a port of one address": {Ports: []Port{
			{HostPort: 81, Port: 81, Proto: unix.IPPROTO_TCP},
			aClaim().Ports[3],
			{HostPort: 82, Port: 82, Proto: unix.IPPROTO_TCP},
		}},
		"a port for another of the container": {Ports: []Port{
			{HostPort: aClaim().Ports[0].HostPort, Port: 1, Proto: unix.IPPROTO_TCP},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			netns(t)
			commit(t, Ruleset())
			commit(t, aClaim().Take())
			other := anotherClaim()
			claim.Bridge, claim.Network = other.Bridge, other.Network
			if !claim.Address.IsValid() {
				claim.Address = other.Address
			}
			if claim.Index == 0 {
				claim.Index = other.Index
			}
			refuse(t, unix.EEXIST, claim.Take())
			checkTable(t, aClaim())
		})
	}
}

// Neighbouring networks share a border in the set of intervals: one ends where
// the other begins. Whichever comes first, both stand, and come again.
func TestTakeOnNeighbouringNetworks(t *testing.T) {
	need.Root(t)
	a, b := aClaim(), anotherClaim()
	b.Bridge, b.Network = "br1", netip.MustParsePrefix("172.16.1.0/24")
	for _, claims := range [][]Claim{{a, b, a, b}, {b, a, b, a}} {
		t.Run(claims[0].Bridge+" first", func(t *testing.T) {
			netns(t)
			commit(t, Ruleset())
			for _, c := range claims {
				commit(t, c.bridge())
			}
			got := run(t, "nft", "list", "set", "ip", "container", "network")
			run(t, "nft", "flush", "set", "ip", "container", "network")
			run(t, "nft", "add", "element", "ip", "container", "network", "{ 172.16.0.0/24, 172.16.1.0/24 }")
			same(t, "the networks", got, run(t, "nft", "list", "set", "ip", "container", "network"))
		})
	}
}

func TestTakeOnOverlappingNetworks(t *testing.T) {
	need.Root(t)
	for _, network := range []string{"172.16.0.0/16", "172.16.0.0/25", "172.16.0.128/25"} {
		t.Run(network, func(t *testing.T) {
			netns(t)
			commit(t, Ruleset())
			commit(t, aClaim().Take())
			c := anotherClaim()
			c.Bridge, c.Network = "br1", netip.MustParsePrefix(network)
			err := refuse(t, unix.EEXIST, c.Take())
			var e *nl.Error
			if !errors.As(err, &e) || e.Advice == "" {
				t.Errorf("no advice in the error %v", err)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	commit(t, anotherClaim().Take())
	before := ruleset(t)
	commit(t, aClaim().Take())
	commit(t, aClaim().Release())
	same(t, "the ruleset", ruleset(t), before)
	// Once more, when it is gone already; and so could one be released that
	// was never taken.
	commit(t, aClaim().Release())
	same(t, "the ruleset after the second release", ruleset(t), before)
}

// The claim has come to be somebody else's, in whole or in part.
func TestReleaseOfWhatIsElses(t *testing.T) {
	need.Root(t)
	sameAddress, samePort, sameAddressAndPort := anotherClaim(), anotherClaim(), anotherClaim()
	sameAddress.Address = aClaim().Address
	samePort.Ports = aClaim().Ports[3:4]
	sameAddressAndPort.Address, sameAddressAndPort.Ports = aClaim().Address, aClaim().Ports
	for name, others := range map[string]Claim{
		"the address":       sameAddress,
		"a port":            samePort,
		"all but the index": sameAddressAndPort,
	} {
		t.Run(name, func(t *testing.T) {
			netns(t)
			commit(t, Ruleset())
			commit(t, others.Take())
			refuse(t, unix.EEXIST, aClaim().Release())
			checkTable(t, others)
		})
	}
}

// Ten thousand ports, in one transaction, and out again.
func TestManyPorts(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	commit(t, anotherClaim().Take())
	claim := manyPorts(aClaim())
	commit(t, claim.Take())
	checkTable(t, claim, anotherClaim())
	commit(t, claim.Release())
	checkTable(t, anotherClaim())
}

// The kernel sends back each message that it refuses: with a lot of them
// refused, the errno must not be lost for want of room.
func TestManyPortsTaken(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	claim, others := manyPorts(aClaim()), manyPorts(anotherClaim())
	commit(t, claim.Take())
	if err := Commit(dial(t), others.Take()); !errors.Is(err, unix.EEXIST) {
		t.Fatalf("got the error %.200v, want %v", err, unix.EEXIST)
	}
	checkTable(t, claim)
}

func TestDrop(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	a, b := aClaim(), anotherClaim()
	commit(t, b.Take())
	before := ruleset(t)
	commit(t, a.Take())
	commit(t, Drop([]Lease{{a.Address, a.Index}}, ports(a)))
	same(t, "the ruleset", ruleset(t), before)

	// What is not there is not left out in silence.
	refuse(t, unix.ENOENT, Drop([]Lease{{b.Address, b.Index}, {a.Address, a.Index}}, nil))
	refuse(t, unix.ENOENT, Drop(nil, append(ports(b), ports(a)...)))
	// A lease is dropped whoever holds it.
	commit(t, Drop([]Lease{{Address: b.Address}}, nil))
	if got, err := Leases(dial(t)); err != nil || len(got) != 0 {
		t.Errorf("Leases: got %v (error %v), want none", got, err)
	}
}

func TestDropMany(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	claim := manyPorts(aClaim())
	commit(t, claim.Take())
	commit(t, Drop([]Lease{{claim.Address, claim.Index}}, ports(claim)))
	checkTable(t)
}
