//go:build linux

package main

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
	"container/rtnl"
)

// kernel is a line to each of the two that hold what is to be known of all
// containers: links, with what runs behind them, and the table.
type kernel struct {
	route, nat *nl.Conn
}

func dialKernel() (*kernel, error) {
	route, err := rtnl.Dial()
	if err != nil {
		return nil, err
	}
	c, err := nat.Dial()
	if err != nil {
		return nil, errors.Join(err, route.Close())
	}
	return &kernel{route, c}, nil
}

func (k *kernel) close() {
	k.nat.Close()
	k.route.Close()
}

// survey takes the inventory for one look.
func survey() (*inventory, error) {
	k, err := dialKernel()
	if err != nil {
		return nil, err
	}
	defer k.close()
	return k.survey()
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
func (k *kernel) survey() (*inventory, error) {
	s := &inventory{nat: k.nat}
	return s, s.fill(k.route)
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
	s, err := survey()
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
