//go:build linux

package main

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"container/cgroup"
)

// gc clears what killed runs left behind: leases and published ports of
// containers that are gone, and their cgroups. Their links and namespaces the
// kernel has cleared with their last process. Of containers that run it puts
// back what somebody has taken out of nf_tables, ours and other firewalls'.
func gc(x *narrator, stderr io.Writer) error {
	k, err := dialKernel(x)
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
			return errors.Join(err, s.restore(), k.reopen(stderr), sweepGroups(x))
		}
		// Somebody changed the ruleset between the look and the deed.
	}
}

// reopen opens other firewalls for the containers that run, after what they had
// lost was put back.
func (k *kernel) reopen(stderr io.Writer) error {
	if k.nat == nil {
		return nil
	}
	s, err := k.survey()
	if err != nil {
		return err
	}
	return k.openGates(s, stderr)
}

// sweepGroups removes the control groups of runs that are gone.
func sweepGroups(x *narrator) error {
	x.note("remove control groups that were left behind")
	return cgroup.Sweep()
}
