//go:build linux

package main

import "container/rtnl"

// forwardedGroups are the link-local groups that a container's port forwards.
// With a guard they are all: what is not forwarded is given to the host past
// it. Without one nothing is gained by that, and what a bridge keeps from
// others (spanning tree, LLDP) is kept.
func forwardedGroups(nat bool) uint16 {
	if nat {
		return rtnl.AllGroups
	}
	return 0
}
