//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/file"
)

// execOptions is what an exec was asked for.
type execOptions struct {
	address netip.Addr
	processOptions
}

func execFlags(o *execOptions) *flag.FlagSet {
	fs := newFlags("exec")
	o.flags(fs)
	fs.Lookup("w").Usage = "the command's working `DIR` (default /)"
	return fs
}

func parseExecOptions(args []string) (*execOptions, error) {
	o := new(execOptions)
	fs := execFlags(o)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	words := fs.Args()
	if len(words) < 2 || words[1] == "" {
		return nil, errors.New("exec takes the ADDRESS of a container and a COMMAND: main exec 172.16.0.30 sh")
	}
	p, err := parseAddress(words[0])
	if err != nil {
		return nil, err
	}
	o.address = p.Addr()
	o.argv = words[1:]
	return o, o.check()
}

// execIn runs a command in a container that runs already.
//
// A raw-cloned child, the joiner, enters the container's namespaces by its
// first process's pidfd and forks the command, which is in the container's PID
// namespace then and dies with it. The joiner itself, which is not, waits, as
// the first process does for the container's own command. What the container
// may do it reads off its first process: the bounding set and the filter are
// the container's.
func execIn(o *execOptions) (status int, err error) {
	monitor := findMonitor()
	monitor.be(calm)
	t, err := findTenant(o.x, o.address)
	if err != nil {
		return 0, err
	}
	target, err := openTarget(t)
	if err != nil {
		return 0, err
	}
	defer target.close()
	c, err := target.plan(o, t.who.addresses)
	if err != nil {
		return 0, err
	}
	signals := catchSignals()

	group, err := cgroup.Of(target.pid)
	if err != nil {
		return 0, err
	}
	defer group.Close()
	l, err := newLine()
	if err != nil {
		return 0, err
	}
	p, err := joiner(c, target, group, l)
	if err != nil {
		l.close()
		return 0, err
	}
	b := &box{x: o.x, prog: p, line: l, pidfd: -1}
	if err := b.start(0, group); err != nil {
		l.close()
		return 0, err
	}
	defer b.kill()

	term, err := b.letGo(c)
	if err != nil {
		return 0, err
	}
	if term != nil {
		defer term.restore()
		monitor.be(lively)
	}
	return b.wait(signals, term)
}

// joiner is the steps of the process that joins a container, and of the
// command there.
func joiner(c *command, t *target, g *cgroup.Group, l *line) (*program, error) {
	p := &program{line: uintptr(l.theirs), targetDir: uintptr(t.proc)}
	p.name("joiner")
	keep := []int{l.theirs, t.proc}
	if t.pidfd >= 0 {
		p.target = uintptr(t.pidfd)
		keep = append(keep, t.pidfd)
	}
	p.setUp = append(p.setUp, keepOnly(keep...)...)
	p.startIn(g)
	p.setUp = append(p.setUp,
		dieWithParent(),
		newSession(),
		// Before anybody in there could see this process.
		undumpable(),
	)
	p.setUp = append(p.setUp, p.enter(g, true)...)
	p.setUp = append(p.setUp, p.join(t)...)
	return p, p.run(c)
}

// join enters a container's namespaces: all at once by its pidfd, or before Linux
// 5.8 one by one.
func (p *program) join(t *target) []step {
	steps := p.enterEach(uintptr(t.proc))
	if t.pidfd >= 0 {
		// EINVAL: setns(2) takes no pidfd.
		steps = call("setns", unix.SYS_SETNS, uintptr(t.pidfd), namespaces|unix.CLONE_NEWCGROUP).orElse(steps, unix.EINVAL)
		steps = append(steps, closing("the container's pidfd", uintptr(t.pidfd)))
	}
	p.target, p.targetDir = 0, 0
	return append(steps, closing("the container's directory in /proc", uintptr(t.proc)))
}

// target is a container that a command is to join.
type target struct {
	pid    int
	pidfd  int // -1 before Linux 5.3
	proc   int // /proc/PID
	root   *os.File
	status map[string]string // of /proc/PID/status
}

// openTarget takes hold of a container's first process, and makes sure that it
// is that.
func openTarget(t *tenant) (*target, error) {
	gone := fmt.Errorf("no container at %s: it has just ended", joined(t.who.addresses))
	fd, err := unix.PidfdOpen(t.who.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, gone
	}
	if err != nil && !unknownCall(err) {
		return nil, fmt.Errorf("pidfd of process %d: %w", t.who.pid, err)
	}
	x := &target{pid: t.who.pid, pidfd: fd, proc: -1}
	proc := fmt.Sprintf("/proc/%d", x.pid)
	if x.proc, err = unix.Open(proc, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		x.status, err = readStatus(fmt.Sprintf("/proc/self/fd/%d/status", x.proc))
	}
	if err == nil {
		var root int
		if root, err = unix.Openat(x.proc, "root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			x.root = os.NewFile(uintptr(root), "the container's root")
		}
	}
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) {
		x.close()
		return nil, fmt.Errorf("process %d: %w", x.pid, err)
	}
	// Process 1 of a PID namespace below ours: no other has come to have the
	// number since.
	if err != nil || !strings.HasSuffix(x.status["NSpid"], "\t1") {
		x.close()
		return nil, gone
	}
	return x, nil
}

func (x *target) close() {
	x.pidfd, x.proc = closeFD(x.pidfd), closeFD(x.proc)
	if x.root != nil {
		x.root.Close()
	}
}

// readStatus reads lines "Name:\tvalue" (proc_pid_status(5)).
func readStatus(name string) (map[string]string, error) {
	b, err := file.Read(name)
	if err != nil {
		return nil, err
	}
	return parseStatus(string(b)), nil
}

func parseStatus(text string) map[string]string {
	status := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			status[key] = strings.TrimSpace(value)
		}
	}
	return status
}

// plan settles what the command will be.
func (x *target) plan(o *execOptions, addresses []netip.Addr) (*command, error) {
	bound, err := strconv.ParseUint(x.status["CapBnd"], 16, 64)
	if err != nil {
		return nil, fmt.Errorf("/proc/%d/status: CapBnd: %w", x.pid, err)
	}
	if o.workdir == "" {
		o.workdir = "/"
	}
	o.privileged = x.status["Seccomp"] == "0"
	hostname, err := x.hostname()
	if err != nil {
		return nil, err
	}
	return o.settle(int(x.root.Fd()), hostname, addresses, capabilities(bound)&allCaps)
}

// hostname is the container's, as its own file tells it.
func (x *target) hostname() (string, error) {
	fd, err := inRoot(int(x.root.Fd()), "etc/hostname", unix.O_RDONLY|unix.O_NONBLOCK) // it may have come to be a fifo
	if errors.Is(err, unix.ENOENT) {
		return "container", nil
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	b, err := file.ReadFD(fd, "etc/hostname", 2*maxHostname)
	return strings.TrimSpace(string(b)), err
}

// findTenant finds the container at an address.
func findTenant(x *narrator, a netip.Addr) (*tenant, error) {
	s, err := survey(x)
	if err != nil {
		return nil, err
	}
	if t := s.holds(a); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no container at %s (main ls shows those that run)", a)
}
