//go:build linux

package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"container/cgroup"
)

// gc clears what killed runs left behind: leases and published ports of
// containers that are gone, and their cgroups. Their links and namespaces the
// kernel has cleared with their last process.
func gc() error {
	k, err := dialKernel()
	if err != nil {
		return err
	}
	defer k.close()
	for {
		err := k.sweep()
		if !errors.Is(err, unix.ERESTART) {
			return errors.Join(err, cgroup.Sweep())
		}
		// Somebody changed the ruleset between the look and the deed.
	}
}

func (k *kernel) sweep() error {
	s, err := k.survey()
	if err != nil {
		return err
	}
	return s.sweep()
}
