//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"container/nat"
	"container/rtnl"
)

// heldBy is the value of a lease that a process holds (nat.Hold).
func heldBy(pid int) uint32 { return 1<<31 | uint32(holderNumber(pid)) }

// words is an inventory's findings, one a line.
func (s *inventory) words() []string {
	var all []string
	for _, t := range s.live {
		lost := ""
		if t.lost() {
			lost = " lost"
		}
		all = append(all, fmt.Sprintf("%s %s %d%s", t.link.Name, joined(t.who.addresses), len(t.leased), lost))
	}
	for _, l := range s.held {
		all = append(all, fmt.Sprintf("held %s", l.Address))
	}
	for _, l := range s.stale {
		all = append(all, fmt.Sprintf("stale %s", l.Address))
	}
	return all
}

func TestMatch(t *testing.T) {
	self, gone := os.Getpid(), ended(t)
	veth := func(index uint32, addresses string, pid int) rtnl.Link {
		who := occupant{addrList(addresses), pid, "sleep 5", true}
		return rtnl.Link{Index: index, Name: fmt.Sprint("veth", index), Kind: "veth", Alias: who.alias(), Master: 2}
	}
	bare := veth(9, "172.16.0.9", self)
	bare.Alias = occupant{addrList("172.16.0.9"), self, "x", false}.alias()
	bareGone := veth(9, "172.16.0.9", gone)
	bareGone.Alias = occupant{addrList("172.16.0.9"), gone, "x", false}.alias()
	lease := func(address string, index uint32) nat.Lease {
		return nat.Lease{Address: netip.MustParseAddr(address), Index: index}
	}
	const both = "172.16.0.30,fd00:16::30"
	for _, c := range []struct {
		name   string
		links  []rtnl.Link
		leases []nat.Lease
		want   []string
	}{
		{"nothing", nil, nil, nil},
		{"one that runs", []rtnl.Link{veth(7, "172.16.0.30", self)}, []nat.Lease{lease("172.16.0.30", 7)}, []string{"veth7 172.16.0.30 1"}},
		{"one with two addresses", []rtnl.Link{veth(7, both, self)}, []nat.Lease{lease("172.16.0.30", 7), lease("fd00:16::30", 7)},
			[]string{"veth7 " + both + " 2"}},
		{"one that has lost both", []rtnl.Link{veth(7, both, self)}, nil, []string{"veth7 " + both + " 0 lost"}},
		{"one that has lost one", []rtnl.Link{veth(7, both, self)}, []nat.Lease{lease("fd00:16::30", 7)}, []string{"veth7 " + both + " 1 lost"}},
		{"one that has just ended, with its lease", []rtnl.Link{veth(7, "172.16.0.30", gone)}, []nat.Lease{lease("172.16.0.30", 7)},
			[]string{"veth7 172.16.0.30 1"}},
		{"one that has just ended, without", []rtnl.Link{veth(7, "172.16.0.30", gone)}, nil, nil},
		{"one without nat", []rtnl.Link{bare}, nil, []string{"veth9 172.16.0.9 0"}},
		{"one without nat that has just ended", []rtnl.Link{bareGone}, nil, nil},
		{"a lease without a veth", nil, []nat.Lease{lease("172.16.0.30", 7)}, []string{"stale 172.16.0.30"}},
		{"a lease whose index is another's", []rtnl.Link{veth(7, "172.16.0.31", self)},
			[]nat.Lease{lease("172.16.0.30", 7), lease("172.16.0.31", 7)}, []string{"veth7 172.16.0.31 1", "stale 172.16.0.30"}},
		{"a lease of a veth that is none of ours", []rtnl.Link{{Index: 7, Name: "veth7", Kind: "veth"}},
			[]nat.Lease{lease("172.16.0.30", 7)}, []string{"stale 172.16.0.30"}},
		{"a link of another kind with such an alias", []rtnl.Link{{Index: 7, Kind: "dummy", Alias: "container 172.16.0.30 pid 1 x"}},
			[]nat.Lease{lease("172.16.0.30", 7)}, []string{"stale 172.16.0.30"}},
		{"one that is being set up", nil, []nat.Lease{lease("172.16.0.30", heldBy(self)), lease("fd00:16::30", heldBy(self))},
			[]string{"held 172.16.0.30", "held fd00:16::30"}},
		{"one whose number is another's by now", nil, []nat.Lease{lease("172.16.0.30", heldBy(self)^1<<pidBits)}, []string{"stale 172.16.0.30"}},
		{"one that was", nil, []nat.Lease{lease("172.16.0.30", heldBy(gone))}, []string{"stale 172.16.0.30"}},
		{"several", []rtnl.Link{veth(7, both, self), veth(8, "172.16.0.31", gone), bare, veth(10, "fd00:16::32", self)},
			[]nat.Lease{lease("fd00:16::32", 10), lease("172.16.0.30", 7), lease("172.16.0.1", 3), lease("fd00:16::30", 7)},
			[]string{"veth7 " + both + " 2", "veth9 172.16.0.9 0", "veth10 fd00:16::32 1", "stale 172.16.0.1"}},
	} {
		s := new(inventory)
		s.match(append(c.links, rtnl.Link{Index: 2, Name: "br0", Kind: "bridge", Alias: bridgeAlias}, rtnl.Link{Index: 1, Name: "lo"}), c.leases)
		if got := s.words(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if len(s.bridges) != 1 || s.bridges[2] != "br0" {
			t.Errorf("%s: the bridges %v, want br0 alone", c.name, s.bridges)
		}
		// What runs, or is being set up, is not swept.
		if len(s.stale) == 0 {
			if err := s.sweep(); err != nil {
				t.Errorf("%s: swept: %v", c.name, err)
			}
		}
	}
}

func TestHolder(t *testing.T) {
	self := os.Getpid()
	link := rtnl.Link{Name: "veth1f3a"}
	s := &inventory{
		live: []tenant{
			{link, occupant{addrList("172.16.0.30,fd00:16::30"), 4242, "sleep 5", true}, addrList("172.16.0.30,fd00:16::30")},
			{link, occupant{addrList("172.16.0.31"), 4243, "lost", true}, nil},
			{link, occupant{addrList("172.16.0.32"), 4244, "bare", false}, nil},
		},
		held: []nat.Lease{
			{Address: netip.MustParseAddr("172.16.0.40"), Index: heldBy(1)},
			{Address: netip.MustParseAddr("172.16.0.41"), Index: heldBy(self)},
		},
		stale: []nat.Lease{{Address: netip.MustParseAddr("172.16.0.50"), Index: 7}},
	}
	for address, want := range map[string]string{
		"172.16.0.30": "veth1f3a (pid 4242, sleep)",
		"fd00:16::30": "veth1f3a (pid 4242, sleep)",
		"172.16.0.31": "", // it is put back before anybody claims (makeTables)
		"172.16.0.32": "", // it has none by lease: who answers on the bridge is asked
		"172.16.0.33": "",
		"172.16.0.40": "pid 1, which is setting a container up",
		"172.16.0.41": "",
		"172.16.0.50": "",
	} {
		if got := s.holder(netip.MustParseAddr(address), holderNumber(self)); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
	for address, want := range map[string]int{"172.16.0.30": 4242, "fd00:16::30": 4242, "172.16.0.32": 4244, "172.16.0.33": 0} {
		got := 0
		if t := s.holds(netip.MustParseAddr(address)); t != nil {
			got = t.who.pid
		}
		if got != want {
			t.Errorf("%s is held by %d, want %d", address, got, want)
		}
	}
}

// The leases of one container, which is gone, are one claim, with what guards
// its port; those of runs that died before there was a veth are none.
func TestGone(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 5}
	lease := func(address string, index uint32) nat.Lease {
		return nat.Lease{Address: netip.MustParseAddr(address), Index: index}
	}
	s := &inventory{
		stale: []nat.Lease{
			lease("172.16.0.30", 7), lease("172.16.0.40", heldBy(4242)), lease("172.16.0.31", 8), lease("fd00:16::30", 7),
		},
		guards: []nat.Guard{{Index: 9, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}, {Index: 7, MAC: mac}},
	}
	got := s.gone()
	if len(got) != 2 {
		t.Fatalf("got %+v, want two claims", got)
	}
	for i, want := range []struct {
		index     uint32
		addresses string
		mac       net.HardwareAddr
	}{{7, "172.16.0.30,fd00:16::30", mac}, {8, "172.16.0.31", nil}} {
		c := got[i]
		if c.Index != want.index || joined(c.Addresses) != want.addresses || !bytes.Equal(c.MAC, want.mac) || !c.Isolated || c.Ports != nil {
			t.Errorf("got %+v, want %+v", c, want)
		}
	}
	if got := new(inventory).gone(); got != nil {
		t.Errorf("of nothing: got %+v", got)
	}
}
