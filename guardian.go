//go:build linux

package main

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
)

// guardian is a second raw-cloned child of the runner, in no namespace of its
// own. It sleeps on its line until the runner says that the run is over, or is
// gone (the end of file: a SIGKILL, say), and then takes the container's
// claims out of nf_tables with a batch of messages that was made beforehand.
//
// It does so at the end of every run, for a second reason: whoever closes a
// netfilter socket after a delete waits for RCU, 8 ms and more. The guardian
// says when the delete is committed, and stays behind for the waiting.
type guardian struct {
	x      *narrator
	claim  nat.Claim
	nat    *nl.Conn
	record []nl.Request // of the settings that were changed for all
	line   *line
	prog   *program
	pid    int
}

// newGuardian makes a guardian for a container (its pidfd), the directories of
// its cgroup, and what it claims.
//
// c is the connection that the claims are made over. The guardian inherits it
// and uses it at the end, so the runner's closing of it is not the last, and
// does not wait.
func newGuardian(x *narrator, container int, dirs []string, claim nat.Claim, c *nl.Conn) (*guardian, error) {
	l, err := newLine()
	if err != nil {
		return nil, err
	}
	g := &guardian{x: x, claim: claim, nat: c, line: l}
	if err := g.start(container, dirs); err != nil {
		l.close()
		return nil, fmt.Errorf("guardian: %w", err)
	}
	l.handOver()
	x.cloned(g.prog, "guardian", g.pid)
	return g, nil
}

// guardOnly makes a guardian for a container that claims nothing. Where it has
// no cgroup either, there is nothing to guard: nil.
func guardOnly(x *narrator, container int, dirs []string) (*guardian, error) {
	if len(dirs) == 0 {
		return nil, nil
	}
	return newGuardian(x, container, dirs, nat.Claim{}, nil)
}

func (g *guardian) start(container int, dirs []string) error {
	p := &program{line: uintptr(g.line.theirs)}
	p.name("guardian")
	keep := []int{g.line.theirs}
	if container >= 0 {
		keep = append(keep, container)
	}
	if g.nat != nil {
		keep = append(keep, g.nat.FD())
	}
	p.setUp = append(p.setUp, keepOnly(keep...)...)
	// It outlives the run by a while, and nobody who reads the command's
	// output is to wait for it.
	p.setUp = append(p.setUp, closeRange("close the standard streams", 0, 2)...)
	p.setUp = append(p.setUp,
		newSession(),
		call("wait for the end of the run", unix.SYS_READ, p.line, p.data(make([]byte, 1)), 1),
	)
	if container >= 0 {
		// If the runner was killed, the container dies with it (dieWithParent);
		// this makes sure.
		p.setUp = append(p.setUp, call("pidfd_send_signal", unix.SYS_PIDFD_SEND_SIGNAL, uintptr(container), uintptr(unix.SIGKILL), 0, 0).passing(unix.ESRCH, unix.ENOSYS, unix.EPERM))
	}
	if g.nat != nil {
		p.setUp = append(p.setUp, p.takeBack(g.nat.FD(), g.claim)...)
	}
	p.setUp = append(p.setUp,
		call("tell the runner", unix.SYS_WRITE, p.line, p.data(make([]byte, 1)), 1).passing(unix.EPIPE, unix.ECONNRESET),
		call("wait for the runner to close the line", unix.SYS_READ, p.line, p.data(make([]byte, 1)), 1).passing(unix.ECONNRESET))
	p.setUp = append(p.setUp, p.removeWhenDead(container, dirs)...)
	g.prog = p
	var err error
	g.pid, err = p.spawn()
	return err
}

// takeBack releases a claim over a netfilter socket.
func (p *program) takeBack(socket int, claim nat.Claim) []step {
	release := nl.Silent(nat.Batch(claim.Release()))
	batch := nl.Marshal(release)
	steps := []step{
		call("send the nf_tables transaction", unix.SYS_SENDTO, uintptr(socket), p.data(batch), uintptr(len(batch)), 0, 0, 0).sending(unix.NETLINK_NETFILTER, release),
		// The kernel has done it all by now. None of the messages asks for an
		// acknowledgement, so an answer is a refusal.
		call("see whether the transaction was refused", unix.SYS_RECVFROM, uintptr(socket), p.data(make([]byte, 64)), 64, unix.MSG_DONTWAIT, 0, 0).wanting(noResult).passing(unix.EAGAIN),
	}
	if publishesUDP(claim) {
		// If the runner is not there to do it, as far as it can be done without
		// looking (cutFlows). Older kernels refuse it.
		cut, _ := nat.Flows{Addrs: claim.Addresses, Proto: unix.IPPROTO_UDP}.Delete()
		cut = nl.Silent(cut)
		b := nl.Marshal(cut)
		steps = append(steps, call("cut the flows", unix.SYS_SENDTO, uintptr(socket), p.data(b), uintptr(len(b)), 0, 0, 0).sending(unix.NETLINK_NETFILTER, cut))
	}
	return steps
}

// removeWhenDead removes a container's cgroup after a run that could not do it.
// The kernel reaps everything in a PID namespace before its first process has
// ended (zap_pid_ns_processes), so nobody is in the cgroup then.
func (p *program) removeWhenDead(container int, dirs []string) []step {
	if len(dirs) == 0 {
		return nil
	}
	if container < 0 {
		return p.removeByAndBy(dirs)
	}
	fds := &unix.PollFd{Fd: int32(container), Events: unix.POLLIN}
	p.keep = append(p.keep, fds)
	steps := []step{call("wait for the container's end", unix.SYS_PPOLL, uintptr(unsafe.Pointer(fds)), 1, 0, 0, 0)}
	for _, dir := range dirs {
		steps = append(steps, call("rmdir "+dir, unix.SYS_UNLINKAT, atFDCWD(), p.str(dir), unix.AT_REMOVEDIR).passing(unix.ENOENT, unix.EBUSY))
	}
	return steps
}

// spawn clones without namespaces, and without an interest in the pidfd.
func (p *program) spawn() (int, error) {
	pid, pidfd, err := p.clone(0, -1)
	if err != nil {
		return 0, err
	}
	_ = unix.Close(pidfd)
	return pid, nil
}

// finish has the guardian take the claims back, and returns when they are gone,
// and what was led to the container by them. If it can't, because it was
// killed, the runner does it, and waits.
func (g *guardian) finish() error {
	if g == nil {
		return nil
	}
	g.x.call("write(%d, \"\\1\", 1)  # let the guardian take back what the container had", g.line.ours)
	err := g.ask()
	g.x.carriedOut(g.prog, err == nil)
	if g.nat != nil {
		if err == nil {
			err = cutFlows(g.nat, g.claim)
		} else {
			err = g.release(err)
		}
		// The guardian stays until the line is closed: it is the last to have
		// the netfilter socket.
		_ = g.nat.Close()
	}
	g.line.close()
	return err
}

// release does a guardian's work, when that has failed with an error.
func (g *guardian) release(failed error) error {
	switch err := nat.Commit(g.nat, g.claim.Release()); {
	case errors.Is(err, unix.EEXIST):
		return nil // it is somebody else's by now
	case errors.Is(err, unix.ENOENT):
		return g.putRecordBack() // somebody has taken the tables away
	case err != nil:
		return errors.Join(failed, err)
	}
	return cutFlows(g.nat, g.claim)
}

// putRecordBack makes tables again, in which "main down" finds what settings
// were.
func (g *guardian) putRecordBack() error {
	if len(g.record) == 0 {
		return nil
	}
	if err := rulesets(g.nat, familiesOf(g.record)); err != nil {
		return err
	}
	return nat.Commit(g.nat, g.record)
}

func (g *guardian) ask() error {
	if err := g.line.release(); err != nil {
		return fmt.Errorf("guardian: %w", err)
	}
	m, err := g.line.hear()
	switch {
	case err != nil:
		return fmt.Errorf("guardian: %w", err)
	case m.report != nil:
		return fmt.Errorf("guardian: %w", g.prog.failed(*m.report))
	case m.end:
		return errors.New("guardian: it was killed")
	}
	return nil
}

// dismiss ends a guardian that has nothing to guard.
func (g *guardian) dismiss() {
	_ = unix.Kill(g.pid, unix.SIGKILL)
	_, _ = ignoringEINTR(func() (int, error) { return unix.Wait4(g.pid, nil, 0, nil) })
	g.line.close()
}
