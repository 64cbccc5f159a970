//go:build linux

package main

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// alive tells whether a process is there, and has not ended. One that nobody has
// waited for yet has.
func alive(pid int) bool {
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return false
	}
	f, err := procStat(pid)
	return err != nil || f[0] != "Z" && f[0] != "X" // who can't be looked at is there
}

// startOf is when a process started, in clock ticks since the host did: field 22
// of /proc/PID/stat. Its number may have been another's before; the two together
// are its own. 0 where it can't be told.
func startOf(pid int) uint64 {
	f, err := procStat(pid)
	if err != nil {
		return 0
	}
	start, _ := strconv.ParseUint(f[19], 10, 64)
	return start
}

// A number that names a process in a lease (nat.Hold) has 31 bits. A process id
// takes up 22 of them (PID_MAX_LIMIT, linux/threads.h), and the lowest ones of
// its start the rest: if the process is killed, the lease is not taken for that
// of another, which has got its id since and may live long.
const pidBits = 22

// holderNumber is the number of a process in a lease.
func holderNumber(pid int) int { return int(startOf(pid)<<pidBits&(1<<31-1)) | pid }

// holderPID is the process id in such a number.
func holderPID(number int) int { return number & (1<<pidBits - 1) }

// holderAlive tells whether the process is there that has such a number.
func holderAlive(number int) bool {
	pid := holderPID(number)
	return alive(pid) && holderNumber(pid) == number
}
