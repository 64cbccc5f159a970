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
// By then the terminal may be somebody else's: a shell with job control takes it
// back as soon as it learns of the death, and sets it as it likes. So the keeper
// leaves it alone unless the foreground is the runner's process group, and the
// settings are as the runner has made them. The line ends before anybody can
// learn of the death (do_exit, kernel/exit.c: exit_files comes before
// exit_notify), so as a rule the keeper is first.

// startKeeper makes a keeper of the terminal at standard input, whose settings
// will be "now" and are to become "then" again.
func startKeeper(x *narrator, now, then *unix.Termios) (*box, error) {
	l, err := newLine()
	if err != nil {
		return nil, err
	}
	p := keeper(l, int32(unix.Getpgrp()), now, then)
	pid, err := p.spawn()
	if err != nil {
		l.close()
		return nil, fmt.Errorf("keeper of the terminal: %w", err)
	}
	l.handOver()
	x.cloned(p, "keeper", pid)
	return &box{x: x, prog: p, line: l, pid: pid, pidfd: -1}, nil
}

// keeper is a keeper's steps. group is the runner's process group. The first
// step that does not go as it is to ends it.
func keeper(l *line, group int32, now, then *unix.Termios) *program {
	p := &program{line: uintptr(l.theirs)}
	p.name("keeper")
	const stdin = 0
	settings := new(unix.Termios)
	p.keep = append(p.keep, settings, then)
	// If the terminal is not its controlling one, or no longer that because the
	// runner was the session's leader, nobody's process group is in the way, and
	// this stays as it is.
	foreground := new(int32)
	*foreground = group
	p.setUp = append(p.setUp, keepOnly(l.theirs)...)
	p.setUp = append(p.setUp,
		call("close standard output and error", unix.SYS_CLOSE_RANGE, 1, 2),
		// What kills the runner's process group is not for the keeper. It stays in
		// the session, or it could not ask for the foreground.
		call("setpgid", unix.SYS_SETPGID, 0, 0),
		call("wait for the runner's end", unix.SYS_READ, p.line, p.data(make([]byte, 1)), 1).wanting(0),
		call("ask for the foreground process group", unix.SYS_IOCTL, stdin, unix.TIOCGPGRP, uintptr(unsafe.Pointer(foreground))).passing(unix.ENOTTY),
		p.compare("the runner's?", foreground, uint32(group)),
		call("ask for the terminal's settings", unix.SYS_IOCTL, stdin, unix.TCGETS, uintptr(unsafe.Pointer(settings))),
		p.compare("as the runner has made them?", (*int32)(unsafe.Pointer(&settings.Lflag)), now.Lflag),
		// SIGTTOU, for a process in the background, is blocked, and so it may.
		call("give the terminal its settings back", unix.SYS_IOCTL, stdin, unix.TCSETS, uintptr(unsafe.Pointer(then))),
	)
	return p
}

// compare is a step that fails unless a number in memory has a value. A futex is
// not waited for if it has another (EAGAIN); and else until a time, which is
// now.
func (p *program) compare(text string, number *int32, value uint32) step {
	const wait = 0 // FUTEX_WAIT, linux/futex.h
	at := new(unix.Timespec)
	p.keep = append(p.keep, number, at)
	return call(text, unix.SYS_FUTEX, uintptr(unsafe.Pointer(number)), wait, uintptr(value), uintptr(unsafe.Pointer(at))).
		wanting(noResult).passing(unix.ETIMEDOUT)
}
