//go:build linux

package main

import (
	"errors"
	"fmt"

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
	s, err := (&kernel{route, c}).survey()
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
