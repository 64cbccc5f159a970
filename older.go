//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is done where the kernel is older than a system call, or where a seccomp
// filter around this process knows the call as little: the container of somebody
// else's that it runs in, say. An older kernel answers ENOSYS, and so do the
// better filters; the others answer EPERM, which the calls that are tried here
// never do for a reason of their own.
//
// A child can't choose what to do next, but for a step that stands in for
// another (step.orElse). So whatever can be found out without doing anything is
// found out beforehand, by a call whose arguments can only be refused.

// unknownCall tells whether an error is what stands for a system call that isn't
// there.
func unknownCall(err error) bool { return errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) }

// lacks tells whether there is no such system call. It must have no effect with
// the arguments.
func lacks(trap uintptr, args ...uintptr) bool {
	var a [6]uintptr
	copy(a[:], args)
	_, _, errno := unix.RawSyscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5])
	return errno == unix.ENOSYS || errno == unix.EPERM
}

// highestFD is beyond all descriptors.
const highestFD = uintptr(^uint32(0))

// closeRange closes the descriptors from first to last. Linux 5.9 has a system
// call for it; before, they are closed one by one, as far as they can be open.
func closeRange(text string, first, last uintptr) []step {
	if !lacks(unix.SYS_CLOSE_RANGE, highestFD, highestFD, 0) {
		return []step{call(text, unix.SYS_CLOSE_RANGE, first, last)}
	}
	return closeEach(openDescriptors(), first, last)
}

func closeEach(fds []int, first, last uintptr) []step {
	var steps []step
	for _, fd := range fds {
		if fd := uintptr(fd); first <= fd && fd <= last {
			steps = append(steps, call(fmt.Sprint("close descriptor ", fd), unix.SYS_CLOSE, fd).passing(unix.EBADF))
		}
	}
	return steps
}

// spareFDs is how many descriptors this process may open between the making of
// a child's steps and its clone, and the child in its time.
const spareFDs = 64

// openDescriptors are those that a child may come to have open: this process's,
// and the lowest that are free, for those are given next (open(2)).
func openDescriptors() []int {
	var all []int
	dir, err := os.Open("/proc/self/fd")
	if err == nil {
		names, _ := dir.Readdirnames(-1)
		dir.Close()
		for _, name := range names {
			if fd, err := strconv.Atoi(name); err == nil {
				all = append(all, fd)
			}
		}
	}
	slices.Sort(all)
	return withLowestFree(all, spareFDs)
}

// withLowestFree adds to numbers, which are sorted, the n lowest that are not
// among them.
func withLowestFree(sorted []int, n int) []int {
	all := make([]int, 0, len(sorted)+n)
	next := 0
	for _, fd := range sorted {
		for ; next < fd && n > 0; next, n = next+1, n-1 {
			all = append(all, next)
		}
		all = append(all, fd)
		next = fd + 1
	}
	for ; n > 0; next, n = next+1, n-1 {
		all = append(all, next)
	}
	return all
}

// orElse is a step with those that stand in for it when it fails with one of
// some errors.
func (s step) orElse(instead []step, errnos ...unix.Errno) []step {
	s = s.passing(errnos...)
	s.skip = int32(len(instead))
	return append([]step{s}, instead...)
}

// entered are the namespaces that an exec enters, as /proc/PID/ns has them. The
// mount namespace is the last: with it comes another /proc.
var entered = []struct {
	name string
	flag uintptr
}{
	{"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS}, {"net", unix.CLONE_NEWNET},
	{"pid", unix.CLONE_NEWPID}, {"cgroup", unix.CLONE_NEWCGROUP}, {"mnt", unix.CLONE_NEWNS},
}

// enterEach enters a container's namespaces one by one, by the directory of its
// first process in /proc, which stays that process's.
func (p *program) enterEach(proc uintptr) []step {
	var open, enter, done []step
	for i, ns := range entered {
		fd := p.lowestFD(i)
		open = append(open, call("open ns/"+ns.name, unix.SYS_OPENAT, proc, p.str("ns/"+ns.name), unix.O_RDONLY|unix.O_CLOEXEC).wanting(fd))
		enter = append(enter, call("setns "+ns.name, unix.SYS_SETNS, fd, ns.flag))
		done = append(done, call("close ns/"+ns.name, unix.SYS_CLOSE, fd))
	}
	return slices.Concat(open, enter, done)
}

// mayPoll is how often, and at which intervals, a guardian without a pidfd looks
// whether the container is gone: twice as long each time, from 1 ms to 2 s.
const mayPoll = 12

// removeByAndBy is removeWhenDead before Linux 5.3. A cgroup that can't be
// removed yet is busy; when it is gone the guardian ends, by a step that fails.
func (p *program) removeByAndBy(dirs []string) []step {
	var steps []step
	for i := range mayPoll {
		for _, dir := range dirs {
			steps = append(steps, call("rmdir "+dir, unix.SYS_UNLINKAT, atFDCWD(), p.str(dir), unix.AT_REMOVEDIR).passing(unix.ENOENT, unix.EBUSY))
		}
		wait := unix.NsecToTimespec(int64(1e6) << i)
		ts := &wait
		p.keep = append(p.keep, ts)
		steps = append(steps,
			call("see whether it is gone", unix.SYS_FACCESSAT, atFDCWD(), p.str(dirs[len(dirs)-1]), unix.F_OK),
			call("wait a while", unix.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(ts)), 0))
	}
	return steps
}
