//go:build linux

package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nat"
	"container/nl"
	"container/rtnl"
)

// gc clears what killed runs left behind: leases and published ports of
// containers that are gone, and their cgroups. Their links and namespaces the
// kernel has cleared with their last process.
func gc() error {
	route, err := rtnl.Dial()
	if err != nil {
		return err
	}
	defer route.Close()
	c, err := nat.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		err := sweepOnce(route, c)
		if !errors.Is(err, unix.ERESTART) {
			return errors.Join(err, cgroup.Sweep())
		}
		// Somebody changed the ruleset between the look and the deed.
	}
}

func sweepOnce(route, c *nl.Conn) error {
	s, err := survey(route, c)
	if err != nil {
		return err
	}
	return s.sweep()
}
