//go:build linux

package main

import (
	"strconv"

	"golang.org/x/sys/unix"

	"container/file"
)

// monitor is the thread of Go's runtime that looks after the others
// (runtime.sysmon): the first that a program starts, and 0 if it wasn't found.
//
// It looks every 20 µs at first, and less often only when it has found nothing
// to do fifty times, which is half of a run's life. That was an eighth of a run's
// CPU time; and as long as it runs, every page that a fork has left to be copied
// costs an interrupt on its CPU as well.
type monitor int

// How late the kernel may wake the monitor. What it looks for, a thread that others
// wait for while it is in a system call, is not found in a run before its command
// starts: that is one goroutine's work.
const (
	calm   = 10_000_000 // ns: as seldom as it looks when it has never found anything
	lively = 0          // as the kernel has it
)

// findMonitor finds the monitor in this process's list of threads, which has
// them in the order in which they were started.
func findMonitor() monitor {
	fd, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var room [128]byte // for ".", "..", the first thread and this one
	n, err := unix.ReadDirent(fd, room[:])
	if err != nil {
		return 0
	}
	_, _, names := unix.ParseDirent(room[:n], 2, nil)
	if len(names) < 2 {
		return 0
	}
	tid, err := strconv.Atoi(names[1])
	if err != nil {
		return 0
	}
	return monitor(tid)
}

// be sets how late it may be woken (PR_SET_TIMERSLACK in prctl(2), for another
// thread by /proc). Linux has that from 4.6 on, and it takes CAP_SYS_NICE. Where it
// can't be, the monitor is what it was.
func (m monitor) be(slack int) {
	if m != 0 {
		_ = file.Write("/proc/"+strconv.Itoa(int(m))+"/timerslack_ns", strconv.Itoa(slack))
	}
}
