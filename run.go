//go:build linux

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nl"
)

// run is the life of a container, from the options to the command's exit
// status. What changes the host is undone in reverse, however it ends.
func run(o *options, stderr io.Writer) (status int, err error) {
	monitor := findMonitor()
	monitor.be(calm)
	c, err := plan(o)
	if err != nil {
		return 0, err
	}
	// What only a failed run undoes: the bridge stays for the next.
	var failed undo
	// Signals that are caught wait until there is a command to pass them to.
	catch := sync.OnceValue(catchSignals)
	var net *network
	if o.network == bridged {
		if net, err = newNetwork(o, stderr, func() { catch() }); err != nil {
			return 0, err
		}
	}
	var held *holding
	defer func() { held.release() }()
	defer func() {
		if err != nil {
			failed.all()
		}
		net.close()
	}()
	// ready makes the host ready for the container. That takes no less time than
	// the kernel takes to make the namespaces, and is done meanwhile; unless the
	// container is to know an address that is yet to be chosen.
	ready := func() error {
		if held, err = reserve(o); err != nil {
			return err
		}
		o.ports = held.ports
		return net.ready(&failed)
	}
	if o.auto {
		if err := ready(); err != nil {
			return 0, err
		}
	}
	if net != nil {
		c.env = withAddresses(c.env, addrs(net.addresses), o.env)
	}

	name := net.groupName()
	o.x.group(name, o.limits)
	group, err := cgroup.New(name, o.limits)
	if err != nil {
		return 0, err
	}
	defer func() {
		for _, dir := range group.Dirs() {
			o.x.command("rmdir %s", dir)
		}
		err = errors.Join(err, group.Remove())
	}()
	line, err := newLine()
	if err != nil {
		return 0, err
	}
	prog, err := container(o, c, group, line)
	if err != nil {
		line.close()
		return 0, err
	}
	box := &box{x: o.x, prog: prog, line: line, pidfd: -1}
	guard, err := launch(box, o, group, net)
	if err != nil {
		line.close()
		return 0, err
	}
	var hostErr error
	if !o.auto {
		hostErr = ready()
	}
	if guard != nil {
		err = guard.container(box)
	}
	// When its last process is gone, so are its namespaces and the veth. The
	// claims go before, and before the ports are free.
	defer box.kill()
	defer func() { err = errors.Join(err, guard.finish()) }()
	if err = cmp.Or(hostErr, err); err != nil {
		return 0, err
	}
	// Go's runtime starts threads for this and asks them, signal by signal, which
	// takes it 0.4 ms: in the background now, when the kernel makes the veth and this
	// process sleeps most of the time. Before, both processors have work to do.
	go catch()
	if net != nil {
		if err := net.attach(box, guard, &failed); err != nil {
			return 0, err
		}
	}
	if err := held.listen(o); err != nil {
		return 0, err
	}
	defer held.hush(o)
	// From here on it is a run that ends, like any other: what all runs share
	// stays for the next.
	failed = nil
	relay, err := startRelay(held.relayed(o))
	if err != nil {
		return 0, err
	}
	defer relay.stop()
	signals := catch()
	held.tell(o, stderr)

	term, err := box.letGo(c)
	if err != nil {
		return 0, err
	}
	if term != nil {
		defer term.restore()
	}
	if term != nil || relay != nil {
		monitor.be(lively)
	}
	// While the command starts: what other runs may have left behind, and lost.
	// If that can't be cleared now, the next run or "main gc" will.
	if net != nil && o.nat {
		_ = net.tidy()
	}
	status, err = box.wait(signals, term)
	if status == statusSignal+int(unix.SIGKILL) && group.OOMKilled() {
		err = &statusError{status, errors.New("out of memory: the kernel killed a process of the container, which had used up its -memory")}
	}
	return status, err
}

// launch makes the container's first process, by a guardian where there will be
// something to guard: claims in nf_tables, or a cgroup.
func launch(b *box, o *options, group *cgroup.Group, net *network) (*guardian, error) {
	if o.network == bridged && o.nat {
		return newGuardian(b, o.namespaces(), group, net.nat, len(o.ports))
	}
	if len(group.Dirs()) > 0 {
		return newGuardian(b, o.namespaces(), group, nil, 0)
	}
	return nil, b.start(o.namespaces(), group)
}

// catchSignals takes the signals that are the command's business. One that was
// ignored when we began, as SIGHUP is under nohup(1), stays so.
func catchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 16)
	for _, s := range []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals
}

// box is a container from the runner's side.
type box struct {
	x     *narrator
	prog  *program
	line  *line
	pid   int // of its first process
	pidfd int
	gone  bool // it has been waited for

	passing sync.Mutex // of a signal; gone does not change meanwhile
}

// start clones the first process of a container, or one that joins it.
func (b *box) start(flags uint64, group *cgroup.Group) (err error) {
	if b.pid, b.pidfd, err = b.prog.clone(flags, group.FD()); err != nil {
		return err
	}
	b.line.handOver()
	b.x.cloned(b.prog, "child", b.pid)
	return nil
}

// letGo lets the first process start the command, and returns when that has
// been executed, with the terminal, if there is one.
func (b *box) letGo(c *command) (*terminal, error) {
	master := -1
	if c.terminal {
		var err error
		if master, err = b.receiveFD("terminal"); err != nil {
			return nil, err
		}
		copyWindowSize(master) // the command may ask for it at once
	}
	b.x.call("write(%d, \"\\1\", 1)  # let the child go on", b.line.ours)
	// EPIPE: it has ended. Why, it has said before.
	if err := b.line.release(); err != nil && !errors.Is(err, unix.EPIPE) {
		return nil, err
	}
	m, err := b.line.hear()
	switch {
	case err != nil:
		return nil, err
	case m.report != nil:
		return nil, b.failure(*m.report, c)
	}
	b.x.call("recvmsg(%d) = 0  # the end of file: execve has closed the line", b.line.ours)
	if master >= 0 {
		return joinTerminal(b.x, master)
	}
	return nil, nil
}

// socket is the netlink socket of the container's network namespace.
func (b *box) socket(family int) (*nl.Conn, error) {
	fd, err := b.receiveFD("netlink socket")
	if err != nil {
		return nil, err
	}
	return nl.New(fd, family, b.x.inside(b.pid)), nil
}

// receiveFD takes a descriptor that the first process sends.
func (b *box) receiveFD(what string) (int, error) {
	m, err := b.line.hear()
	switch {
	case err != nil:
		return -1, err
	case m.report != nil:
		return -1, fmt.Errorf("in the container: %w", b.prog.failed(*m.report))
	case m.fd < 0:
		return -1, fmt.Errorf("the container's first process ended before it sent its %s", what)
	}
	b.x.call("recvmsg(%d) = {SCM_RIGHTS, [%d]}  # the container's %s", b.line.ours, m.fd, what)
	return m.fd, nil
}

// lastWord is what the first process said of its end, when something has failed
// because it is gone; or that something, if it said nothing. If it is there
// yet, it is of no more use.
func (b *box) lastWord(err error) error {
	_ = unix.Kill(b.pid, unix.SIGKILL)
	for {
		m, herr := b.line.hear()
		if herr != nil || m.end {
			return err
		}
		closeFD(m.fd)
		if m.report != nil {
			return fmt.Errorf("in the container: %w", b.prog.failed(*m.report))
		}
	}
}

// failure is the error for the report of the container's first process or of
// its command.
func (b *box) failure(r report, c *command) error {
	err := b.prog.failed(r)
	var s *stepError
	if errors.As(err, &s) && s.exec {
		return execError(c.argv[0], s.errno)
	}
	return fmt.Errorf("in the container: %w", err)
}

// wait passes signals on until the container's first process has ended, and
// returns the command's status.
func (b *box) wait(signals <-chan os.Signal, term *terminal) (int, error) {
	go b.passOn(signals, term)
	if b.runsFor(restAfter) {
		rest()
	}
	// It is left a zombie at first, so that no signal goes to another process
	// that has come to have its number.
	_, err := ignoringEINTR(func() (int, error) {
		return 0, unix.Waitid(unix.P_PID, b.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	})
	b.passing.Lock()
	b.gone = true
	b.passing.Unlock()
	var status unix.WaitStatus
	if err == nil {
		_, err = ignoringEINTR(func() (int, error) { return unix.Wait4(b.pid, &status, 0, nil) })
	}
	if err != nil {
		return 0, os.NewSyscallError("wait4", err)
	}
	b.x.call("wait4(%d) = %s", b.pid, ending(status))
	if term != nil {
		term.leave()
	}
	// The init ends with the command's status, unless somebody killed
	// it.
	if status.Signaled() {
		return statusSignal + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// runsFor tells whether the first process is there a while later. A timer of Go's
// would take its poller, and two descriptors that may not be left to have.
func (b *box) runsFor(d time.Duration) bool {
	pidfd, err := unix.PidfdOpen(b.pid, 0)
	if err != nil {
		return false // before Linux 5.3, or none is to be had
	}
	defer unix.Close(pidfd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(d.Milliseconds()))
	return err == nil && n == 0
}

// passOn passes signals on, as long as there is somebody to pass them to.
func (b *box) passOn(signals <-chan os.Signal, term *terminal) {
	for s := range signals {
		b.passing.Lock()
		sig, ok := s.(unix.Signal)
		switch {
		case b.gone:
		case s == unix.SIGWINCH && term != nil:
			term.resize()
		case ok:
			b.x.call("kill(%d, %s)  # passed on", b.pid, unix.SignalName(sig))
			// ESRCH: it has just ended.
			_ = unix.Kill(b.pid, sig)
		}
		b.passing.Unlock()
	}
}

// ending is a process's end in words.
func ending(s unix.WaitStatus) string {
	if s.Signaled() {
		return unix.SignalName(s.Signal())
	}
	return fmt.Sprint("exit status ", s.ExitStatus())
}

// kill ends the container, if it still runs, and waits for its first process.
func (b *box) kill() {
	b.line.close()
	// 0: the guardian failed before it had made it. To kill that is to kill the
	// caller's process group.
	if b.pid > 0 && !b.gone {
		b.x.call("kill(%d, SIGKILL)", b.pid)
		_ = unix.Kill(b.pid, unix.SIGKILL)
		_, _ = ignoringEINTR(func() (int, error) { return unix.Wait4(b.pid, nil, 0, nil) })
		b.gone = true
	}
	b.pidfd = closeFD(b.pidfd)
}
