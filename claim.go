//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
)

// claim leases the addresses and publishes the ports in one transaction.
//
// The guardian knows of it before: whenever the runner is killed, somebody is
// left who knows what to delete.
func (n *network) claim(g *guardian) error {
	if !n.o.nat {
		return n.refuseNeighbours()
	}
	want := nat.Claim{
		Bridge:    n.br.Name,
		Networks:  n.networks,
		Addresses: addrs(n.addresses),
		Index:     n.host.Index,
		MAC:       n.mac,
		Isolated:  n.o.isolated,
		Ports:     n.o.ports,
	}
	if n.o.auto {
		want.Held = n.holder
	}
	// The first try may find a table gone since it was looked for, and stale
	// elements in its way; the last one fails for good.
	for try := 1; ; try++ {
		if err := n.tables(&want); err != nil {
			return err // what is missing is the kernel's
		}
		err := n.tryClaim(g, want)
		if err == nil || try == 10 {
			return err
		}
		switch {
		case errors.Is(err, unix.ENOENT):
			// "main down" came between. But when the tables are there each time,
			// they have nothing that a port could be put into.
			if there, terr := nat.Tables(n.nat); try >= 3 && terr == nil && len(missing(there, want.Families())) == 0 {
				return err
			}
		case errors.Is(err, unix.EEXIST):
			// ERESTART: somebody changed the ruleset between the look and the
			// deed.
			if err := n.clearTheWay(want); err != nil && !errors.Is(err, unix.ERESTART) {
				return err
			}
		default:
			return err
		}
	}
}

func (n *network) tryClaim(g *guardian, want nat.Claim) error {
	if err := g.guard(want); err != nil {
		return err
	}
	if err := nat.Commit(n.nat, want.Take()); err != nil {
		var e *nl.Error
		if !errors.As(err, &e) || !e.Unanswered { // else it may be ours
			g.unguard()
		}
		return err
	}
	for _, then := range []func() error{
		n.forward,
		n.openGates,
		n.openLegacy,
		g.keepRecord,
		func() error { return cutFlows(n.nat, want) },
	} {
		if err := then(); err != nil {
			released := nat.Commit(n.nat, want.Release())
			if released == nil {
				g.unguard()
			}
			return errors.Join(err, released)
		}
	}
	return nil
}

// tables makes the tables that a claim is put in, if they aren't there. A
// kernel without nf_tables for bridges does without the guard, and the caller is
// told.
func (n *network) tables(want *nat.Claim) error {
	err := n.makeTables(want.Families())
	if want.MAC == nil || !noFamily(err) || !isAbout(err, nat.Bridge.Ruleset()) {
		return err
	}
	if want.Isolated {
		return fmt.Errorf("-isolate: %w", err)
	}
	fmt.Fprintf(n.stderr, "main: warning: nothing keeps the container from pretending to have other addresses: %v\n", err)
	want.MAC = nil
	return n.makeTables(want.Families())
}

// makeTables makes the tables of families, if they aren't there. Then somebody
// may have taken them away under containers that run, and what is theirs is put
// back.
func (n *network) makeTables(families []nat.Family) error {
	return withModules(n.x, natModules, func() error { return n.tryTables(families) })
}

func (n *network) tryTables(families []nat.Family) error {
	there, err := nat.Tables(n.nat)
	if err != nil || len(missing(there, families)) == 0 {
		return err
	}
	if err := rulesets(n.nat, families, len(n.o.ports) > 0); err != nil {
		return err
	}
	n.made = append(n.made, missing(there, families)...)
	s, err := n.survey()
	if err != nil {
		return err
	}
	if err := s.restore(); !errors.Is(err, unix.ENOENT) { // else "main down" has just come
		return err
	}
	return nil
}

// dropMade takes back the tables that a failed run made, unless somebody has, or
// is about to have, a container by now.
func (n *network) dropMade() {
	if len(n.made) == 0 {
		return
	}
	s, err := n.survey()
	if err != nil || len(s.live)+len(s.held)+len(s.stale) > 0 {
		return // who has them sees to them
	}
	s.families = n.made
	_ = s.dropTables()
}

// noFamily tells whether an error is that nf_tables has no such family, or not
// what it takes.
func noFamily(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT)
}

// isAbout tells whether it is one of these requests that was refused.
func isAbout(err error, reqs []nl.Request) bool {
	var refused *nl.Error
	return errors.As(err, &refused) && slices.ContainsFunc(reqs, func(r nl.Request) bool { return r.What == refused.What })
}

// rulesets makes the tables of families, if they aren't there, with what is
// optional if the kernel has all of that, and without what published ports take
// if it has not, unless that is asked for.
func rulesets(c *nl.Conn, families []nat.Family, publish bool) error {
	there, err := nat.Tables(c)
	if err != nil {
		return err
	}
	var least, need, all []nl.Request
	for _, f := range missing(there, families) {
		least = append(least, f.Unpublished()...)
		need = append(need, f.Ruleset()...)
		all = append(all, f.Ruleset()...)
		all = append(all, f.Optional()...)
	}
	if len(need) == 0 {
		return nil
	}
	err = nat.Commit(c, all)
	if noFamily(err) && !isAbout(err, need) {
		err = nat.Commit(c, need) // what the kernel lacks is optional
	}
	if errors.Is(err, unix.ENOENT) && !publish {
		// Or what only published ports take: they are refused, then.
		if lerr := nat.Commit(c, least); lerr == nil || errors.Is(lerr, unix.EEXIST) {
			err = lerr
		}
	}
	if errors.Is(err, unix.EEXIST) {
		// Another run was faster, with one of them at least.
		return rulesets(c, families, publish)
	}
	return err
}

// missing are the families that are wanted and not there.
func missing(there, wanted []nat.Family) []nat.Family {
	var all []nat.Family
	for _, f := range wanted {
		if !slices.Contains(there, f) {
			all = append(all, f)
		}
	}
	return all
}

// clearTheWay finds out who has an address or a port that a claim wants, and
// says so; or that nobody has, because what is in the tables was left behind by
// a run that was killed along with its guardian: then it is deleted.
func (n *network) clearTheWay(want nat.Claim) error {
	s, err := n.survey()
	if err != nil {
		return err
	}
	for _, a := range want.Addresses {
		if by := s.holder(a, want.Held); by != "" {
			return &addressInUse{a, by}
		}
	}
	for _, p := range s.ports {
		t := s.lessee(p.Address)
		if t == nil {
			continue
		}
		for _, w := range want.Ports {
			if p.HostPort == w.HostPort && p.Proto == w.Proto && overlap(p.Port, w) {
				return fmt.Errorf("port %s: it is in use by %s", portWords(w), describe(t.link, t.who))
			}
		}
	}
	return s.sweep()
}

// cutFlows makes the kernel forget where UDP was led until now: a client that
// keeps sending to a port is to meet the container that has just published it,
// and not, when the port is withdrawn, the next one at the address. TCP must
// keep its way until the container's kernel has delivered all; what comes later
// is answered by a RST, of the rules (nat.Family.Optional) or of the next.
func cutFlows(c *nl.Conn, claim nat.Claim) error {
	if !publishesUDP(claim) {
		return nil
	}
	err := nat.Flows{Addrs: claim.Addresses, Proto: unix.IPPROTO_UDP, Ports: claim.Ports}.Cut(c)
	if errors.Is(err, nat.ErrNoConntrack) {
		return nil // nothing can be done about them, nor be known
	}
	return err
}

func publishesUDP(claim nat.Claim) bool {
	return slices.ContainsFunc(claim.Ports, func(p nat.Port) bool { return p.Proto == unix.IPPROTO_UDP })
}
