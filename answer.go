//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"container/rtnl"
)

// solicit has the kernel ask on the bridge who has the container's addresses.
// The answer is looked at when everything else is ready (refuseAnswered), so
// that nobody waits for it.
func (n *network) solicit() error {
	// Without a carrier there is nobody to ask.
	if !n.br.IsRunning() {
		return nil
	}
	for _, p := range n.addresses {
		if err := rtnl.Solicit(n.route, n.br.Index, n.br.Name, p.Addr()); err != nil {
			switch {
			case errors.Is(err, unix.ENODEV):
				return nil // the bridge is gone; who wants to be its port will see
			case errors.Is(err, unix.ENOBUFS) && n.ours:
				// So many containers talk that the kernel has no room for one
				// more neighbour. On a bridge of ours that is no reason to fail:
				// who has an address there has it by lease.
				continue
			}
			return err
		}
	}
	n.solicited = true
	return nil
}

// answerTime is how long an answer may take on a bridge that was not made here:
// it may have an uplink, with hosts on the far side of a slow switch. On one of
// ours whoever answers is on this host, and has done so before the question's
// system call returned.
const answerTime = 250 * time.Millisecond

// refuseAnswered refuses an address that somebody has answered for, unless it
// is a container of ours that has just ended: its network namespace, and the
// veth in it, last some milliseconds longer.
func (n *network) refuseAnswered() error {
	if !n.solicited {
		return nil
	}
	for _, p := range n.addresses {
		if err := n.refuseIfAnswered(p.Addr()); err != nil {
			return err
		}
	}
	return nil
}

func (n *network) refuseIfAnswered(a netip.Addr) error {
	// A container that is just going may have answered, and be gone when it is
	// looked for: then the question is put again.
	for range 10 {
		who, err := n.answer(a)
		// It is the container's from here on, and what the host knows would be
		// wrong, or hold its first packets up.
		if derr := n.route.Do(rtnl.DeleteNeighbour(n.br.Index, n.br.Name, a)); derr != nil && !errors.Is(derr, unix.ENOENT) {
			err = errors.Join(err, derr)
		}
		if err != nil || who.MAC == nil || !who.IsValid() {
			return n.cameBetween(err)
		}
		by, err := n.speaker(a, who.MAC)
		if err != nil {
			return n.cameBetween(err)
		}
		switch by {
		case unknownSpeaker:
			if err := n.solicit(); err != nil {
				return err
			}
			continue
		case "":
			return nil
		}
		return &addressInUse{a, by}
	}
	return &addressInUse{a, "somebody who answers for it on " + n.br.Name}
}

// unknownSpeaker is one that the bridge has forgotten.
const unknownSpeaker = "?"

// speaker is who answers for an address, in words; none if it is a container
// that is going, or whose lease will tell.
func (n *network) speaker(a netip.Addr, mac net.HardwareAddr) (string, error) {
	port, err := rtnl.PortOf(n.route, n.br.Index, n.br.Name, mac)
	if errors.Is(err, rtnl.ErrNoNeighbour) {
		return unknownSpeaker, nil
	}
	if err != nil {
		return "", err
	}
	l, err := rtnl.Get(n.route, rtnl.GetLinkIndex(port))
	if errors.Is(err, rtnl.ErrNoLink) {
		return unknownSpeaker, nil
	}
	if err != nil {
		return "", err
	}
	who, ours := parseAlias(l.Alias)
	switch {
	case !ours || !who.has(a):
		return fmt.Sprintf("%s, which answers for it on %s and is no container of ours", mac, n.br.Name), nil
	case !who.nat && alive(who.pid):
		return describe(l, who), nil
	}
	return "", nil
}

// cameBetween says what it means that the bridge is gone.
func (n *network) cameBetween(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return errCameBetween(n.br.Name)
	}
	return err
}

// answer is what the host has heard of an address.
func (n *network) answer(a netip.Addr) (rtnl.Neighbour, error) {
	who, err := rtnl.NeighbourOf(n.route, n.br.Index, n.br.Name, a)
	if errors.Is(err, rtnl.ErrNoNeighbour) {
		return who, nil
	}
	if err != nil || n.ours || who.IsValid() {
		return who, err
	}
	return rtnl.AwaitNeighbour(n.route, n.br.Index, n.br.Name, a, answerTime)
}
