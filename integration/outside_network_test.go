//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"container/integration/lab"
	"container/rtnl"
)

// What happens outside to the network of containers that run: a bridge that is
// taken away, an uplink that fails or changes.

// unbridge takes br0 away, as an administrator can by "ip link del br0".
func unbridge(n *lab.Node) {
	br := n.Link("br0")
	n.Apply(rtnl.DeleteLink(br.Index, br.Name))
}

// listedOn checks what is listed of the containers: on which bridge each is, "-"
// for none; and that none has lost its lease.
func listedOn(t *testing.T, n *lab.Node, want ...string) {
	t.Helper()
	table := strings.Split(strings.TrimSuffix(says(t, n.Main("ls")), "\n"), "\n")[1:]
	var got []string
	for i, e := range listed(t, n) {
		if told(e.Lost) {
			t.Errorf("%s has lost its lease, it says", e.Address)
		}
		if i < len(table) {
			f := strings.Fields(table[i])
			got = append(got, f[0]+" "+f[3])
		}
	}
	differ(t, "the list", strings.Join(got, "\n"), strings.Join(want, "\n"))
}

// A container whose bridge somebody deletes has no network any more. It runs on,
// its end is that of any other, and the next run makes a new bridge.
func TestBridgeDeleted(t *testing.T) {
	t.Parallel()
	for _, next := range []bool{true, false} {
		t.Run(map[bool]string{true: "a run before the end", false: "a run after it"}[next], func(t *testing.T) {
			l := lab.New(t)
			n, before := l.Host, l.Host.Snapshot()
			outside := l.Outside.Agent()
			serve(t, outside, "0.0.0.0:7")
			h := holdCommand(t, n, n.Main("-p", "8080:80", address, "sh", "-c", "cat; exit 7"), address)
			unbridge(n)
			listedOn(t, n, address+" -")
			succeed(t, n.Main("gc"))
			listedOn(t, n, address+" -")
			fails(t, n.Main("-p", "8080:80", "172.16.0.31", "true"), 125, "port 8080/tcp: it is in use by ")
			if next {
				works(t, l, "-p", "8081:8000", "172.16.0.31")
				listedOn(t, n, address+" -")
			}
			_ = h.stdin.Close()
			await(h.Cmd)
			if h.Status() != 7 || h.stderr.Len() > 0 {
				t.Errorf("status %d, standard error %q; want 7, the command's own, and nothing", h.Status(), h.stderr)
			}
			if err := noClaims(n); err != nil {
				t.Error(err)
			}
			lab.Eventually(t, func() error { return noVeth(n) })
			works(t, l, "-p", "8080:8000", address)
			idle(t, n)
			succeed(t, n.Main("down"))
			same(t, n, before)
		})
	}
}

// works checks that a container reaches and is reached; it serves port 8000,
// and publishes that as the last of the flags says.
func works(t *testing.T, l *lab.Lab, args ...string) {
	t.Helper()
	a := l.Host.Container(t, args...)
	serve(t, a, "0.0.0.0:8000")
	port, _, _ := strings.Cut(args[slices.Index(args, "-p")+1], ":")
	if _, err := a.Ask("tcp", outsideAddr+":7"); err != nil {
		t.Errorf("container to outside: %v", err)
	}
	if _, err := l.Outside.Agent().Ask("tcp", hostAddr+":"+port); err != nil {
		t.Errorf("outside to container: %v", err)
	}
	a.Stop(t)
}

// Its runner can be killed then, as any other.
func TestBridgeDeletedThenKill(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	h := hold(t, n, "-p", "8080:80", "-isolate", address)
	unbridge(n)
	kill(t, h.main)
	lab.Eventually(t, func() error {
		if err := ended(h.main, h.init, h.command, h.guardian); err != nil {
			return err
		}
		if err := noVeth(n); err != nil {
			return err
		}
		return noClaims(n)
	})
	await(h.Cmd)
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// down takes nothing away while a container runs, with its bridge or without.
func TestBridgeDeletedThenDown(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	h := hold(t, n, "-p", "8080:80", address)
	unbridge(n)
	fails(t, n.Main("down"), 125, "containers run: "+address)
	h.end(t)
	lab.Eventually(t, func() error { return noVeth(n) })
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// The address that the uplink has after the change.
const newHostAddr = "10.0.0.3"

// uplink is a host with a container that serves port 8000, published as 80, and
// one outside that serves port 7.
type uplink struct {
	*lab.Lab
	inside, outside *lab.Agent
}

func newUplink(t *testing.T) *uplink {
	t.Helper()
	l := lab.New(t)
	u := &uplink{Lab: l, outside: l.Outside.Agent(), inside: l.Host.Container(t, words(both("80:8000"), []string{address})...)}
	serve(t, u.outside, "0.0.0.0:7")
	serve(t, u.inside, "0.0.0.0:8000")
	return u
}

// works checks that the host's address is what outside sees, and reaches the
// container by.
func (u *uplink) works(t *testing.T, hostAddr string) {
	t.Helper()
	reaches(t, "container to outside", u.inside, outsideAddr+":7", hostAddr)
	reaches(t, "outside to container", u.outside, hostAddr+":80", outsideAddr)
	reaches(t, "host to container", u.Host.Agent(), hostAddr+":80", hostAddr)
}

// over ends the container.
func (u *uplink) over(t *testing.T) {
	t.Helper()
	u.inside.Stop(t)
	idle(t, u.Host)
}

// An uplink that goes down and comes up again has containers' packets pass as
// before, also those of connections that were there before.
func TestUplinkDownAndUp(t *testing.T) {
	t.Parallel()
	u := newUplink(t)
	u.works(t, hostAddr)
	flows := func(when string) {
		t.Helper()
		for _, network := range []string{"tcp", "udp"} {
			if seen, err := u.inside.Flow(network, outsideAddr+":7"); err != nil || seen != hostAddr {
				t.Errorf("%s: a connection to outside, by %s: seen as %q (%v), want %s", when, network, seen, err, hostAddr)
			}
			if seen, err := u.outside.Flow(network, hostAddr+":80"); err != nil || seen != outsideAddr {
				t.Errorf("%s: a connection from outside, by %s: seen as %q (%v), want %s", when, network, seen, err, outsideAddr)
			}
		}
	}
	flows("before")
	iproute(t, u.Host, "link set eth0 down")
	closed(t, "container to outside, with the uplink down", u.inside, outsideAddr+":7")
	reaches(t, "host to container, with the uplink down", u.Host.Agent(), "127.0.0.1:80", bridgeAddr)
	iproute(t, u.Host, "link set eth0 up")
	u.Host.AwaitUp("eth0")
	u.Host.Route(lab.Everything, lab.OutsidePrefix.Addr()) // the kernel has dropped it
	u.works(t, hostAddr)
	flows("after")
	u.over(t)
}

// With another address of the uplink containers are seen as that, and reached at
// that; a port that was published at the old one alone is there again when the
// address is.
func TestUplinkAddressChanges(t *testing.T) {
	t.Parallel()
	u := newUplink(t)
	alone := u.Host.Container(t, words(both(hostAddr+":81:8000"), []string{"172.16.0.31"})...)
	serve(t, alone, "0.0.0.0:8000")
	u.works(t, hostAddr)
	reaches(t, "outside to the port of one address", u.outside, hostAddr+":81", outsideAddr)
	change := func(from, to string) {
		t.Helper()
		iproute(t, u.Host, "addr add "+to+"/24 dev eth0")
		iproute(t, u.Host, "addr del "+from+"/24 dev eth0")
		// Which takes the route with it, and all other addresses of its network, if
		// it was the first.
		iproute(t, u.Host, "addr replace "+to+"/24 dev eth0")
		iproute(t, u.Host, "route replace default via "+outsideAddr)
		iproute(t, u.Outside, "neigh flush dev eth0")
	}
	change(hostAddr, newHostAddr)
	u.works(t, newHostAddr)
	closed(t, "outside to the port of one address that is gone", u.outside, newHostAddr+":81")
	change(newHostAddr, hostAddr)
	u.works(t, hostAddr)
	reaches(t, "outside to the port of one address, which is back", u.outside, hostAddr+":81", outsideAddr)
	alone.Stop(t)
	u.over(t)
}

// When the default route moves to another uplink, containers are seen as what
// the host has there; they are reached by both.
func TestUplinkMoves(t *testing.T) {
	t.Parallel()
	u := newUplink(t)
	u.works(t, hostAddr)
	other := u.Machine("other")
	u.Join(u.Host, "eth1", netip.MustParsePrefix("10.1.0.1/24"), other, "eth0", netip.MustParsePrefix("10.1.0.2/24"))
	// The world beyond, which both lead to.
	const world = "192.0.2.1"
	for _, n := range []*lab.Node{u.Outside, other} {
		n.Apply(rtnl.Address(rtnl.LoopbackIndex, "lo", netip.MustParsePrefix(world+"/32")))
		serve(t, n.Agent(), world+":7000")
	}
	reaches(t, "container to the world by the one", u.inside, world+":7000", hostAddr)
	iproute(t, u.Host, "route replace default via 10.1.0.2")
	reaches(t, "container to the world by the other", u.inside, world+":7000", "10.1.0.1")
	reaches(t, "the other to container", other.Agent(), "10.1.0.1:80", "10.1.0.2")
	reaches(t, "outside to container", u.outside, hostAddr+":80", outsideAddr)
	iproute(t, u.Host, "link del eth1")
	u.Host.Route(lab.Everything, lab.OutsidePrefix.Addr())
	reaches(t, "container to the world by the one again", u.inside, world+":7000", hostAddr)
	u.over(t)
}

// A runner that is killed after the flush leaves nothing: its guardian has nothing
// to take back, and the kernel takes the rest. The others get theirs back.
func TestFlushThenRunnerKilled(t *testing.T) {
	t.Parallel()
	f := flush(t)
	init := initOf(t, f.Host, addr30)
	kill(t, f.first.Process.Pid)
	await(f.first.Cmd)
	lab.Eventually(t, func() error { return ended(init) })
	lab.Eventually(t, func() error {
		if tryInitOf(f.Host, addr30) != 0 {
			return fmt.Errorf("the veth of %s is there yet", addr30)
		}
		return nil
	})
	succeed(t, f.Host.Main("gc"))
	if c := claims(f.Host); strings.Contains(c, addr30) || !strings.Contains(c, addr31) {
		t.Errorf("in the table is %q, want what %s has alone", c, addr31)
	}
	closed(t, "outside to the killed one", f.outside, hostAddr+":80")
	reaches(t, "outside to the other", f.outside, hostAddr+":81", outsideAddr)
	f.second.Stop(t)
	lab.Eventually(t, func() error { return noVeth(f.Host) })
	succeed(t, f.Host.Main("down"))
	same(t, f.Host, f.snapshot)
}

// Without their rules, containers can be joined, and keep the bridge from being
// taken down.
func TestFlushThenExecAndDown(t *testing.T) {
	t.Parallel()
	f := flush(t)
	expect(t, f.Host.Main("exec", addr30, "echo", "there"), 0, "there\n", "")
	fails(t, f.Host.Main("down"), 125, "containers run: ")
	f.lost(t, true)
	succeed(t, f.Host.Main("gc"))
	f.restored(t)
	f.over(t)
}
