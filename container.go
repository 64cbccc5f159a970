//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaces are what a container has of its own.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS |
	unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// defaultPath is where commands are looked for, as Docker has it.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// container is the steps of a container's first process and its command.
func container(o *options, path string, l *line) (*program, error) {
	p := &program{line: uintptr(l.theirs)}

	// The first process. It mounts while the parent makes the network.
	p.setUp = append(p.setUp, keepOnly(l.theirs)...)
	p.setUp = append(p.setUp,
		dieWithParent(),
		newSession(),
	)
	p.setUp = append(p.setUp, p.sendRouteSocket()...)
	p.setUp = append(p.setUp,
		// Nothing that is mounted here shows on the host.
		p.mount("make mounts private", "", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		p.mount("mount proc on /proc", "proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
		p.hostname(o.hostname),
	)
	if o.terminal {
		p.setUp = append(p.setUp, p.makeTerminal()...)
	}
	p.setUp = append(p.setUp, p.waitForGo())

	// The command.
	p.command = append(p.command, newSession())
	if o.terminal {
		p.command = append(p.command, p.useTerminal()...)
	}
	limits, err := p.limitFiles()
	if err != nil {
		return nil, err
	}
	p.command = append(p.command, limits...)
	p.command = append(p.command,
		p.unblockSignals(),
		p.exec(path, o.argv, environment(o)),
	)

	// The first process again, from now on the init: it holds nothing open,
	// for a reader of the command's output waits for the last one who has it.
	p.after = append(p.after, call("close all descriptors", unix.SYS_CLOSE_RANGE, 0, uintptr(^uint32(0))))
	return p, nil
}

// sendRouteSocket opens a rtnetlink socket, which belongs to the container's
// network namespace for good, and sends it to the parent, which has no need to
// enter that namespace then.
func (p *program) sendRouteSocket() []step {
	fd := p.lowestFD()
	return []step{
		call("socket NETLINK_ROUTE", unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE).wanting(fd),
		p.sendFD("send the rtnetlink socket", int(fd)),
		call("close the rtnetlink socket", unix.SYS_CLOSE, fd),
	}
}

// environment is the command's: nothing of the caller's but TERM.
func environment(o *options) []string {
	env := []string{"PATH=" + defaultPath, "HOME=/root", "HOSTNAME=" + o.hostname}
	if o.terminal {
		term := os.Getenv("TERM")
		if term == "" {
			term = "xterm"
		}
		env = append(env, "TERM="+term)
	}
	return env
}

// lookUp finds the command as execvp(3) does, in PATH unless it has a slash.
func lookUp(name string) (string, error) {
	if strings.Contains(name, "/") {
		if err := executable(name); err != nil {
			return "", execError(name, err)
		}
		return name, nil
	}
	denied := false
	for dir := range strings.SplitSeq(defaultPath, ":") {
		path := dir + "/" + name
		switch err := executable(path); {
		case err == nil:
			return path, nil
		case errors.Is(err, unix.EACCES):
			denied = true
		}
	}
	if denied {
		return "", execError(name, unix.EACCES)
	}
	return "", &statusError{statusNotFound, fmt.Errorf("%s: command not found in %s", name, defaultPath)}
}

func executable(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
		return unix.EACCES
	}
	return nil
}

// execError is a command that can't be executed: status 127 when it is not
// there, 126 otherwise.
func execError(name string, err error) error {
	status := statusNotExecutable
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		status = statusNotFound
	}
	if errors.Is(err, unix.ENOEXEC) {
		err = fmt.Errorf("%w (not a program of this architecture, nor a script that names its interpreter)", err)
	}
	return &statusError{status, fmt.Errorf("%s: %w", name, err)}
}
