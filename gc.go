//go:build linux

package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"container/cgroup"
)

// gc clears what killed runs left behind: leases and published ports of
// containers that are gone, and their cgroups. Their links and namespaces the
// kernel has cleared with their last process. Of containers that run it puts
// back what somebody has taken out of nf_tables.
func gc() error {
	k, err := dialKernel()
	if err != nil {
		return err
	}
	defer k.close()
	for {
		s, err := k.survey()
		if err != nil {
			return err
		}
		err = s.sweep()
		if !errors.Is(err, unix.ERESTART) {
			return errors.Join(err, s.restore(), cgroup.Sweep())
		}
		// Somebody changed the ruleset between the look and the deed.
	}
}
