//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
	"container/rtnl"
	"container/xtables"
)

// openGates lets the bridge's packets pass where another firewall of the host
// drops what it doesn't know: an accept of ours does not override that. What
// is let in to a container is up to our own rules all the same. Where it can't
// be done, the caller hears what to do.
func (n *network) openGates() error {
	for try := 1; ; try++ {
		gates, err := nat.Gates(n.nat, n.br.Name)
		if err != nil {
			return err
		}
		err = n.open(gates)
		// A chain that has gone since the look, or a ruleset that is loaded
		// anew.
		if try == 5 || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ERESTART) {
			return err
		}
	}
}

func (n *network) open(gates []nat.Gate) error {
	var reqs []nl.Request
	for _, g := range gates {
		if !n.concerns(nat.Family(g.Family)) {
			continue
		}
		if g.Owner != 0 {
			fmt.Fprintf(n.stderr, "main: warning: chain %s drops what the container sends, and nobody but its owner can change it: %s\n", g, g.Remedy())
			continue
		}
		reqs = append(reqs, g.Open()...)
	}
	if len(reqs) == 0 {
		return nil
	}
	return nat.Commit(n.nat, reqs)
}

// openLegacy does the same where iptables-legacy has a firewall. It is no reason
// to fail: what can't be changed there, the caller is told of.
func (n *network) openLegacy() error {
	for _, g := range n.networks {
		f := legacyFamily(nat.FamilyOf(g.Addr()))
		if n.x != nil {
			todo, _ := f.Missing(n.br.Name)
			for _, cmd := range todo {
				n.x.command("%s", cmd)
			}
		}
		err := f.Open(n.br.Name)
		if err == nil {
			continue
		}
		todo, _ := f.Missing(n.br.Name)
		fmt.Fprintf(n.stderr, "main: warning: %v: %s\n", err, strings.Join(todo, "; "))
	}
	return nil
}

func legacyFamily(f nat.Family) xtables.Family {
	if f == nat.IPv6 {
		return xtables.IPv6
	}
	return xtables.IPv4
}

// openGates is what a run does about other firewalls, for every bridge that has
// containers with leases: one that was loaded anew has closed them.
func (k *kernel) openGates(s *inventory, stderr io.Writer) error {
	nets := make(map[uint32]*network)
	for _, t := range s.live {
		if len(t.leased) == 0 {
			continue
		}
		n := nets[t.link.Master]
		if n == nil {
			n = &network{x: k.x, stderr: stderr, nat: k.nat, br: rtnl.Link{Name: s.bridges[t.link.Master]}}
			nets[t.link.Master] = n
		}
		// One of each family will do.
		for _, a := range t.leased {
			if !n.concerns(nat.FamilyOf(a)) {
				n.networks = append(n.networks, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	var errs []error
	for _, n := range nets {
		if n.br.Name != "" {
			errs = append(errs, n.openGates(), n.openLegacy())
		}
	}
	return errors.Join(errs...)
}

// concerns tells whether packets of the container come by chains of a family.
func (n *network) concerns(f nat.Family) bool {
	for _, g := range n.networks {
		if f == nat.FamilyOf(g.Addr()) || f == unix.NFPROTO_INET {
			return true
		}
	}
	return false
}

// closeGates takes our rules out of the chains of others again. Of a table that
// somebody owns by now they are his. bridges are ours.
func closeGates(x *narrator, c *nl.Conn, bridges []string) error {
	var errs []error
	for _, f := range []xtables.Family{xtables.IPv4, xtables.IPv6} {
		open, err := f.Opened()
		errs = append(errs, err)
		for _, br := range open {
			x.note("%s: take the rules for %s out of FORWARD", f.Tool(), br)
		}
		all := slices.Clone(open)
		for _, br := range bridges {
			if !slices.Contains(all, br) {
				all = append(all, br)
			}
		}
		for _, br := range all {
			errs = append(errs, f.Close(br))
		}
	}
	if c == nil {
		return errors.Join(errs...)
	}
	open, err := nat.Opened(c)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		err = nil // no nf_tables
	}
	errs = append(errs, err)
	for _, o := range open {
		if err := c.Do(nat.Batch([]nl.Request{o.Close()})...); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
