//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
	"container/rtnl"
)

// kernel is a line to each of the two that hold what is to be known of all
// containers: links, with what runs behind them, and the tables.
type kernel struct {
	route *nl.Conn
	nat   *nl.Conn // nil where the kernel has no netfilter
	x     *narrator
}

func dialKernel(x *narrator) (*kernel, error) {
	route, err := rtnl.Dial(x.tracer())
	if err != nil {
		return nil, err
	}
	c, err := nat.Dial(x.tracer())
	if err != nil && !errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, errors.Join(err, route.Close())
	}
	return &kernel{route, c, x}, nil
}

func (k *kernel) close() {
	if k.nat != nil {
		k.nat.Close()
	}
	k.route.Close()
}

// survey takes the inventory for one look.
func survey(x *narrator) (*inventory, error) {
	k, err := dialKernel(x)
	if err != nil {
		return nil, err
	}
	defer k.close()
	return k.survey()
}

// inventory is the links that are there, set against what is in the tables.
type inventory struct {
	x        *narrator
	nat      *nl.Conn
	families []nat.Family // whose tables are there
	gen      uint32       // the generation of the ruleset that was looked at
	live     []tenant
	held     []nat.Lease // of runs that are setting a container up
	stale    []nat.Lease
	ports    []nat.Published
	guards   []nat.Guard
	bridges  map[uint32]string // names by index
}

// tenant is a container that runs.
type tenant struct {
	link   rtnl.Link
	who    occupant
	leased []netip.Addr // those of its addresses that it has by lease
}

// lost tells whether somebody has taken the container's leases away.
func (t tenant) lost() bool { return t.who.nat && len(t.leased) < len(t.who.addresses) }

// survey takes the inventory.
func (k *kernel) survey() (*inventory, error) {
	s := &inventory{x: k.x, nat: k.nat}
	if err := s.readTables(); err != nil {
		return nil, err
	}
	var leases []nat.Lease
	if len(s.families) > 0 {
		var err error
		if leases, err = nat.Leases(s.nat); err != nil {
			return nil, err
		}
		if s.ports, err = nat.PublishedPorts(s.nat); err != nil {
			return nil, err
		}
	}
	links, err := rtnl.List(k.route)
	if err != nil {
		return nil, err
	}
	s.match(links, leases)
	if len(s.stale) == 0 || !slices.Contains(s.families, nat.Bridge) {
		return s, nil
	}
	s.guards, err = nat.Guards(s.nat)
	return s, err
}

// readTables finds out which tables there are, at which generation. None where
// the kernel has no nf_tables: EINVAL is its answer to the question.
func (s *inventory) readTables() (err error) {
	if s.nat == nil {
		return nil
	}
	s.gen, err = nat.Generation(s.nat)
	if err == nil {
		s.families, err = nat.Tables(s.nat)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// tidy clears what runs have left behind that were killed along with their
// guardians.
//
// Every run asks for it, and as a rule there is nothing: so it looks at no more
// than the leases, and whether a link has each's index, which takes microseconds
// where a list of links takes milliseconds. Only if a lease looks stale the
// inventory is taken, and says whether it is. (What is claimed is claimed in one
// transaction, so where a lease is not stale, nothing else is.)
func (n *network) tidy() error {
	leases, err := nat.Leases(n.nat)
	if err != nil {
		return err
	}
	n.x.call("ioctl(%d, SIOCGIFNAME, …)  # is there a link for each of %d leases?", n.route.FD(), len(leases))
	if !slices.ContainsFunc(leases, n.looksStale) {
		return nil
	}
	s, err := n.survey()
	if err != nil {
		return err
	}
	return s.sweep()
}

// looksStale tells whether a lease may be stale, as far as that can be told from
// the outside.
func (n *network) looksStale(l nat.Lease) bool {
	if holder := l.Holder(); holder != 0 {
		return !holderAlive(holder)
	}
	name, err := rtnl.NameOf(n.route, l.Index)
	return err != nil || !strings.HasPrefix(name, vethPrefix)
}

// match finds each lease's veth and each veth's leases. An index may have come
// to be another link's.
func (s *inventory) match(links []rtnl.Link, leases []nat.Lease) {
	s.bridges = make(map[uint32]string)
	byIndex := make(map[uint32]int, len(links))
	for _, l := range links {
		if l.Kind == "bridge" {
			s.bridges[l.Index] = l.Name
		}
		if who, ok := parseAlias(l.Alias); ok && l.Kind == "veth" {
			byIndex[l.Index] = len(s.live)
			s.live = append(s.live, tenant{link: l, who: who})
		}
	}
	for _, l := range leases {
		i, ok := byIndex[l.Index]
		switch holder := l.Holder(); {
		case holder != 0 && holderAlive(holder):
			s.held = append(s.held, l)
		case ok && s.live[i].who.has(l.Address):
			s.live[i].leased = append(s.live[i].leased, l.Address)
		default:
			s.stale = append(s.stale, l)
		}
	}
	// A veth without a lease is that of a container that has lost it, or has
	// just ended, and goes in its own time.
	s.live = slices.DeleteFunc(s.live, func(t tenant) bool { return len(t.leased) == 0 && !alive(t.who.pid) })
}

// lessee finds the tenant that has the lease of an address.
func (s *inventory) lessee(a netip.Addr) *tenant {
	for i := range s.live {
		if slices.Contains(s.live[i].leased, a) {
			return &s.live[i]
		}
	}
	return nil
}

// holds finds the tenant of an address: its lessee, or else one that has no
// lease for it.
func (s *inventory) holds(a netip.Addr) *tenant {
	if t := s.lessee(a); t != nil {
		return t
	}
	for i := len(s.live) - 1; i >= 0; i-- {
		if s.live[i].who.has(a) {
			return &s.live[i]
		}
	}
	return nil
}

// holder is who has the lease of an address, in words: a container, or a run
// that is setting one up, but not this process.
func (s *inventory) holder(a netip.Addr, self int) string {
	if t := s.lessee(a); t != nil {
		return describe(t.link, t.who)
	}
	for _, l := range s.held {
		if l.Address == a && l.Holder() != self {
			return fmt.Sprintf("pid %d, which is setting a container up", holderPID(l.Holder()))
		}
	}
	return ""
}

// sweep deletes what is stale: leases without their veth, ports that lead to an
// address which nobody leases, and guards of ports that are gone. When the
// ruleset has changed since the inventory was taken, nothing is deleted, and the
// error is ERESTART.
func (s *inventory) sweep() error {
	leased := make(map[netip.Addr]bool)
	for _, t := range s.live {
		for _, a := range t.leased {
			leased[a] = true
		}
	}
	var ports []nat.Published
	for _, p := range s.ports {
		if !leased[p.Address] {
			ports = append(ports, p)
		}
	}
	reqs := nat.Drop(s.stale, ports, s.gone())
	if len(reqs) == 0 {
		return nil
	}
	return s.nat.Do(nat.BatchAt(s.gen, reqs)...)
}

// gone are the claims of containers whose leases are stale, as far as they
// aren't told by leases and ports.
func (s *inventory) gone() []nat.Claim {
	var all []nat.Claim
	for _, l := range s.stale {
		if l.Holder() != 0 {
			continue
		}
		i := slices.IndexFunc(all, func(c nat.Claim) bool { return c.Index == l.Index })
		if i < 0 {
			i = len(all)
			all = append(all, nat.Claim{Index: l.Index, MAC: s.guarded(l.Index), Isolated: true})
		}
		all[i].Addresses = append(all[i].Addresses, l.Address)
	}
	return all
}

func (s *inventory) guarded(index uint32) net.HardwareAddr {
	for _, g := range s.guards {
		if g.Index == index {
			return g.MAC
		}
	}
	return nil
}

// publisher is who published a port of the host, in words; empty when nobody
// did, or it can't be told.
func publisher(x *narrator, p nat.Port) string {
	s, err := survey(x)
	if err != nil {
		return ""
	}
	for _, q := range s.ports {
		if !overlap(p, q.Port) || q.HostPort != p.HostPort || q.Proto != p.Proto {
			continue
		}
		if t := s.lessee(q.Address); t != nil {
			return describe(t.link, t.who)
		}
	}
	return ""
}
