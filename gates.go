//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
	"container/xtables"
)

// openGates lets the bridge's packets pass where another firewall of the host
// drops what it doesn't know: an accept of ours does not override that. What
// is let in to a container is up to our own rules all the same. Where it can't
// be done, the caller hears what to do.
func (n *network) openGates(c *nl.Conn) error {
	for try := 1; ; try++ {
		gates, err := nat.Gates(c, n.br.Name)
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
	c, err := nat.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return nat.Commit(c, reqs)
}

// openLegacy does the same where iptables-legacy has a firewall. It is no reason
// to fail: what can't be changed there, the caller is told of.
func (n *network) openLegacy() error {
	for _, g := range n.networks {
		f := legacyFamily(nat.FamilyOf(g.Addr()))
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

// concerns tells whether packets of the container come by chains of a family.
func (n *network) concerns(f nat.Family) bool {
	for _, g := range n.networks {
		if own := nat.FamilyOf(g.Addr()); f == own || f == unix.NFPROTO_INET {
			return true
		}
	}
	return false
}

// closeGates takes our rules out of the chains of others again. Of a table that
// somebody owns by now they are his. bridges are ours.
func closeGates(c *nl.Conn, bridges []string) error {
	var errs []error
	for _, f := range []xtables.Family{xtables.IPv4, xtables.IPv6} {
		open, err := f.Opened()
		errs = append(errs, err)
		for _, br := range slices.Compact(slices.Sorted(slices.Values(append(open, bridges...)))) {
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
