//go:build linux

// Package cgroup limits the memory, the CPU time and the number of processes of
// a container by control groups, on either version of them.
//
// # Control groups
//
// A control group is a directory of a file system that the kernel makes up. To
// make a group is mkdir(2), to remove it rmdir(2), which is refused with EBUSY
// while a process is in it. Its files are its settings, and cgroup.procs lists
// the processes in it; a process enters when its number (or 0, for the writer
// itself) is written there. What it forks is in the same group. A controller is
// the part of the kernel that makes something of the groups' settings; here
// they are "memory", "cpu" and "pids".
//
// In version 1 each controller, or some that were mounted together, has a tree
// of groups for itself (a hierarchy), and a process is in one group of each:
//
//	/sys/fs/cgroup/memory/container/veth1f3a9c02/memory.limit_in_bytes
//	/sys/fs/cgroup/cpu,cpuacct/container/veth1f3a9c02/cpu.cfs_quota_us
//	/sys/fs/cgroup/pids/container/veth1f3a9c02/pids.max
//
// In version 2 there is one tree for all of them:
//
//	/sys/fs/cgroup/container/veth1f3a9c02/{memory.max,cpu.max,pids.max}
//
// There a group has the files of a controller only if the group above says so
// in its cgroup.subtree_control, and so on up to the root. A group that hands
// controllers down has no processes of its own, the root excepted. And clone3
// can make a process right in such a group (CLONE_INTO_CGROUP, Linux 5.7).
//
// A controller is in one hierarchy at a time: of version 1 if one is, or was,
// mounted with it, otherwise of version 2. Both may be there together, so the
// question of the version is asked for each controller.
//
// # This package
//
// All groups are below one directory "container" at the top of each hierarchy
// that has a controller in demand. New makes a container's, Group.Remove
// removes it, and Sweep removes those that nobody is there to remove any more.
//
// The kernel alone knows whose a group is. Whoever made one keeps a shared
// flock(2) on its directory, which the kernel drops when that process ends,
// however it does. Sweep leaves alone what is locked, so a group is safe also
// before a process is in it, and what is neither locked nor has a process is
// stale.
//
// # What entering costs
//
// When a process is moved by its number, the kernel first makes sure that no
// process forks or ends meanwhile, and for that waits for RCU: 7 to 13 ms. Two
// ways in are without that. One is CLONE_INTO_CGROUP, of version 2. The other
// is of version 1, from Linux 5.5: a thread that moves itself alone, by writing
// 0 into "tasks", is moved at once (0.1 ms), which is all there is to move if
// it is its process's only one. Group.Entrances is for that.
package cgroup
