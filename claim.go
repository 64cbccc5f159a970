//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
	"container/rtnl"
)

// claim leases the address and publishes the ports in one transaction, with a
// guardian that will take them back. container is the container's pidfd, and
// dirs are its cgroup's directories.
//
// The guardian is there before the claim is: whenever the runner is killed,
// somebody is left who knows what to delete.
func claim(route *nl.Conn, br rtnl.Link, container int, dirs []string, want nat.Claim) (*guardian, error) {
	// The first try may find the table gone since it was looked for, and stale
	// elements in its way; the last one fails for good.
	for try := 1; ; try++ {
		g, err := tryClaim(br, container, dirs, want)
		if err == nil || try == 3 {
			return g, err
		}
		switch {
		case errors.Is(err, unix.ENOENT):
			// "main down" came between.
		case errors.Is(err, unix.EEXIST):
			if err := clearTheWay(route, want); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

func tryClaim(br rtnl.Link, container int, dirs []string, want nat.Claim) (*guardian, error) {
	c, err := nat.Dial()
	if err != nil {
		return nil, err
	}
	var g *guardian
	if err = ruleset(c); err == nil {
		g, err = newGuardian(container, dirs, want, c)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	if err := nat.Commit(c, want.Take()); err != nil {
		g.dismiss()
		return nil, err
	}
	if err := forward(c, br); err != nil {
		return nil, errors.Join(err, g.finish())
	}
	return g, nil
}

// ruleset makes the table if it isn't there.
func ruleset(c *nl.Conn) error {
	there, err := nat.Exists(c)
	if err != nil || there {
		return err
	}
	fresh, err := nat.Dial()
	if err != nil {
		return err
	}
	defer fresh.Close()
	err = nat.Commit(fresh, nat.Ruleset())
	if errors.Is(err, unix.EEXIST) {
		return nil // another run was faster
	}
	return err
}

// clearTheWay finds out who has the address or a port that a claim wants, and
// says so; or that nobody has, because what is in the table was left behind by
// a run that was killed along with its guardian: then it is deleted.
func clearTheWay(route *nl.Conn, want nat.Claim) error {
	c, err := nat.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := survey(route, c)
	if err != nil {
		return err
	}
	for _, l := range s.live {
		if l.Address == want.Address {
			return fmt.Errorf("address %s is in use by %s", want.Address, describe(l.link, l.who))
		}
	}
	for _, p := range s.ports {
		for _, w := range want.Ports {
			same := p.HostIP == w.HostIP && p.HostPort == w.HostPort && p.Proto == w.Proto
			if t := s.holds(p.Address); same && t != nil {
				return fmt.Errorf("port %s is in use by %s", portWords(w), describe(t.link, t.who))
			}
		}
	}
	return s.sweep()
}

// inventory is what is in the table, set against the links that are there.
type inventory struct {
	nat   *nl.Conn
	gen   uint32 // the generation of the ruleset that was looked at
	live  []tenant
	stale []nat.Lease
	ports []nat.Published
}

// tenant is a lease whose container runs.
type tenant struct {
	nat.Lease
	link rtnl.Link
	who  occupant
}

// survey takes the inventory.
func survey(route, c *nl.Conn) (*inventory, error) {
	s := &inventory{nat: c}
	return s, s.fill(route)
}

func (s *inventory) fill(route *nl.Conn) error {
	var err error
	if s.gen, err = nat.Generation(s.nat); err != nil {
		return err
	}
	leases, err := nat.Leases(s.nat)
	if errors.Is(err, unix.ENOENT) {
		return nil // no table, nothing in it
	}
	if err != nil {
		return err
	}
	if s.ports, err = nat.PublishedPorts(s.nat); err != nil {
		return err
	}
	for _, l := range leases {
		link, who, ok, err := holder(route, l.Index, l.Address)
		switch {
		case err != nil:
			return err
		case ok:
			s.live = append(s.live, tenant{l, link, who})
		default:
			s.stale = append(s.stale, l)
		}
	}
	return nil
}

// holds finds the tenant of an address.
func (s *inventory) holds(a netip.Addr) *tenant {
	for i := range s.live {
		if s.live[i].Address == a {
			return &s.live[i]
		}
	}
	return nil
}

// sweep deletes what is stale: leases without their veth, and ports that lead
// to an address which nobody leases. When the ruleset has changed since the
// inventory was taken, nothing is deleted, and the error is ERESTART.
func (s *inventory) sweep() error {
	var ports []nat.Published
	for _, p := range s.ports {
		if s.holds(p.Address) == nil {
			ports = append(ports, p)
		}
	}
	reqs := nat.Drop(s.stale, ports)
	if len(reqs) == 0 {
		return nil
	}
	return s.nat.Do(nat.BatchAt(s.gen, reqs)...)
}

// publisher is who published a port of the host, in words; empty when nobody
// did, or it can't be told.
func publisher(p nat.Port) string {
	route, err := rtnl.Dial()
	if err != nil {
		return ""
	}
	defer route.Close()
	c, err := nat.Dial()
	if err != nil {
		return ""
	}
	defer c.Close()
	s, err := survey(route, c)
	if err != nil {
		return ""
	}
	for _, q := range s.ports {
		overlap := p.HostIP == q.HostIP || !p.HostIP.IsValid() || !q.HostIP.IsValid()
		if t := s.holds(q.Address); overlap && q.HostPort == p.HostPort && q.Proto == p.Proto && t != nil {
			return describe(t.link, t.who)
		}
	}
	return ""
}
