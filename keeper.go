//go:build linux

package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A runner whose caller has a terminal sets that to raw mode, and back. If it is
// killed in between (SIGKILL, or the kernel for want of memory) it can't. The
// keeper is a raw-cloned child that then does it: it sleeps on its line as long
// as the runner lives. Every run and every exec has one while the caller's
// terminal is in raw mode, with a guardian or without.
//
// A shell takes its terminal back as soon as it learns of the death, and may set
// it by itself, or may not. The line ends before anybody can learn of the death
// (do_exit, kernel/exit.c: exit_files comes before exit_notify), and the keeper
// goes before others, so as a rule it is first. If it is not, or the runner was
// stopped before and somebody else has the terminal by now, it leaves alone what
// is not the runner's any more: it asks for a foreground that is the runner's
// process group, or the session's leader, which is the shell; and for settings as
// the runner has made them.

// startKeeper makes a keeper of the terminal at standard input, whose settings
// will be "now" and are to become "then" again.
func startKeeper(x *narrator, now, then *unix.Termios) (*box, error) {
	l, err := newLine()
	if err != nil {
		return nil, err
	}
	session, err := unix.Getsid(0)
	if err != nil {
		l.close()
		return nil, fmt.Errorf("getsid: %w", err)
	}
	p := keeper(l, unix.Getpgrp(), session, now, then)
	pid, err := p.spawn()
	if err != nil {
		l.close()
		return nil, fmt.Errorf("keeper of the terminal: %w", err)
	}
	l.handOver()
	x.cloned(p, "keeper", pid)
	return &box{x: x, prog: p, line: l, pid: pid, pidfd: -1}, nil
}

// keeper is a keeper's steps. group is the runner's process group, session the
// number of its session's leader. The first step that does not go as it is to
// ends it.
func keeper(l *line, group, session int, now, then *unix.Termios) *program {
	const (
		stdin = 0
		fifo  = 1 // SCHED_FIFO, linux/sched.h
	)
	p := &program{line: uintptr(l.theirs)}
	p.name("keeper")
	settings, priority := new(unix.Termios), &[1]int32{1} // struct sched_param
	p.keep = append(p.keep, settings, then, priority)
	// If the terminal is not its controlling one, or no longer that because the
	// runner was the session's leader, nobody's process group is in the way, and
	// this stays as it is.
	foreground := new(int32)
	*foreground = int32(group)
	p.setUp = append(p.setUp, keepOnly(l.theirs)...)
	p.setUp = append(p.setUp, closeRange("close standard output and error", 1, 2)...)
	p.setUp = append(p.setUp,
		// What kills the runner's process group is not for the keeper. It stays in
		// the session, or it could not ask for the foreground.
		call("setpgid", unix.SYS_SETPGID, 0, 0),
		call("sched_setscheduler", unix.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(priority))).passing(unix.EPERM, unix.EINVAL),
		call("wait for the runner's end", unix.SYS_READ, p.line, p.data(make([]byte, 1)), 1).wanting(0),
		call("ask for the foreground process group", unix.SYS_IOCTL, stdin, unix.TIOCGPGRP, uintptr(unsafe.Pointer(foreground))).passing(unix.ENOTTY),
	)
	p.setUp = append(p.setUp, p.compare("the runner's?", foreground, uint32(group)).
		orElse([]step{p.compare("or the shell's?", foreground, uint32(session))}, unix.EAGAIN)...)
	p.setUp = append(p.setUp,
		call("ask for the terminal's settings", unix.SYS_IOCTL, stdin, unix.TCGETS, uintptr(unsafe.Pointer(settings))),
		p.compare("as the runner has made them?", (*int32)(unsafe.Pointer(&settings.Lflag)), now.Lflag),
		// SIGTTOU, for a process in the background, is blocked, and so it may.
		call("give the terminal its settings back", unix.SYS_IOCTL, stdin, unix.TCSETS, uintptr(unsafe.Pointer(then))),
	)
	return p
}

// compare is a step that fails unless a number in memory has a value: who asks
// that those who wait for it be moved says what it is to be (futex(2)), and gets
// EAGAIN if it isn't. Nobody waits.
func (p *program) compare(text string, number *int32, value uint32) step {
	const (
		compareAndRequeue = 4 // FUTEX_CMP_REQUEUE, linux/futex.h
		wake, move        = 1, 0
	)
	p.keep = append(p.keep, number)
	at := uintptr(unsafe.Pointer(number))
	return call(text, unix.SYS_FUTEX, at, compareAndRequeue, wake, move, at, uintptr(value)).wanting(0)
}
