//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nat"
	"container/nl"
)

// guardian is a raw-cloned child of the runner, in no namespace of its own. It
// is the first that is made, and makes the container's first process, as a
// brother (CLONE_PARENT): while the kernel sets the namespaces up, which is half
// a millisecond, the runner looks at the host.
//
// Then it sleeps on its line until the runner says that the run is over, or is
// gone (the end of file: a SIGKILL, say), and takes the container's claims out
// of nf_tables with a batch of messages that was made beforehand.
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
	room   []byte // for what is ordered
}

// orders is memory that the runner and the guardian have in common, for what
// comes up when both run.
type orders struct {
	// The container's first process, from the guardian; and whether it was clone(2)
	// that made it, from both.
	pid   int32
	plain bool

	// From the runner: how to take back what is claimed, which counts when
	// claimed is set. If the runner is killed before, or while it writes the
	// steps, there is nothing to take back yet.
	claimed uint32
	steps   [maxOrders]step
}

// maxOrders is how many steps takeBack takes.
const maxOrders = 3

// newGuardian makes a guardian, which makes the container's first process: box,
// in new namespaces (flags), and in group. ports is how many the container may
// claim.
//
// c is the connection that the claims will be made over, nil if there will be
// none. The guardian inherits it and uses it at the end, so the runner's closing
// of it is not the last, and does not wait.
func newGuardian(box *box, flags uint64, group *cgroup.Group, c *nl.Conn, ports int) (*guardian, error) {
	l, err := newLine()
	if err != nil {
		return nil, err
	}
	g := &guardian{x: box.x, nat: c, line: l}
	err = l.tellSenders()
	if err == nil {
		err = g.start(box, flags, group, ports)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("guardian: %w", err)
	}
	l.handOver()
	box.line.handOver()
	g.x.cloned(g.prog, "guardian", g.pid)
	return g, nil
}

func (g *guardian) start(box *box, flags uint64, group *cgroup.Group, ports int) error {
	// In both families a port's messages take 170 bytes.
	size := (64<<10 + ports<<8 + 1<<16 - 1) &^ (1<<16 - 1)
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	box.prog.prepare(flags|unix.CLONE_PARENT, group.FD())
	p := &program{
		line:    uintptr(g.line.theirs),
		brother: box.prog,
		shared:  mem,
		orders:  (*orders)(unsafe.Pointer(unsafe.SliceData(mem))),
		room:    mem[unsafe.Sizeof(orders{}):],
	}
	// Who has power over the container's first process is to have none over the guardian.
	apart := call("unmap the guardian's orders", unix.SYS_MUNMAP, uintptr(unsafe.Pointer(p.orders)), uintptr(size))
	box.prog.setUp = slices.Concat([]step{apart}, box.prog.setUp)
	p.name("guardian")
	keep := []int{g.line.theirs, box.line.theirs}
	if g.nat != nil {
		keep = append(keep, g.nat.FD())
	}
	if group.FD() >= 0 {
		keep = append(keep, group.FD())
	}
	p.setUp = append(p.setUp, keepOnly(keep...)...)
	container := lowestBut(keep)
	p.after = append(p.after,
		p.say("tell the runner that the container is made", made), // so does the container
		// Whose last end is the container's: its death is to show.
		closing("the container's line", uintptr(box.line.theirs)))
	if group.FD() >= 0 {
		p.after = append(p.after, closing("the cgroup", uintptr(group.FD())))
	}
	// It outlives the run by a while, and nobody who reads the command's
	// output is to wait for it.
	p.after = append(p.after, closeRange("close the standard streams", 0, 2)...)
	p.after = append(p.after,
		newSession(),
		// (The runner may go with something unread: ECONNRESET, once.)
		call("wait for the end of the run", unix.SYS_READ, p.line, p.data(make([]byte, 1)), 1).passing(unix.ECONNRESET),
		// If the runner was killed, the container dies with it (dieWithParent);
		// this makes sure. (EBADF: before Linux 5.2 there is no pidfd.)
		call("pidfd_send_signal", unix.SYS_PIDFD_SEND_SIGNAL, container, uintptr(unix.SIGKILL), 0, 0).passing(unix.ESRCH, unix.ENOSYS, unix.EPERM, unix.EBADF),
	)
	p.last = append(p.last,
		p.say("tell the runner", done),
		call("wait for the runner to close the line", unix.SYS_READ, p.line, p.data(make([]byte, 1)), 1).passing(unix.ECONNRESET))
	p.last = append(p.last, p.removeWhenDead(int(container), group.Dirs())...)
	g.prog, g.room = p, p.room
	g.pid, err = p.spawn()
	return err
}

// What the guardian says: that the container's first process is there, which says
// the same, and that the claim is taken back.
const (
	made = 'm'
	done = 'd'
)

// say is a word to the runner, who may be gone.
func (p *program) say(text string, word byte) step {
	return call(text, unix.SYS_WRITE, p.line, p.data([]byte{word}), 1).passing(unix.EPIPE, unix.ECONNRESET)
}

// lowestBut is the descriptor that a process gets next which has the standard
// streams and some others.
func lowestBut(others []int) uintptr {
	fd := 3
	for slices.Contains(others, fd) {
		fd++
	}
	return uintptr(fd)
}

// container waits until the guardian has made the container's first process. That
// may be the first to say so: where both processors have work to do the guardian
// has to wait for its own child, sometimes a millisecond.
func (g *guardian) container(b *box) error {
	m, err := g.line.hear()
	switch {
	case err != nil:
		return fmt.Errorf("guardian: %w", err)
	case m.report != nil:
		return g.prog.failed(*m.report)
	case m.end:
		return errKilled
	}
	told := g.prog.orders
	b.pid, b.prog.plain = m.from, told.plain
	if m.from == g.pid {
		b.pid = int(told.pid)
	}
	g.x.brother(b.prog, b.pid)
	return nil
}

var errKilled = errors.New("guardian: it was killed")

// guard has the guardian take a claim back at the end.
func (g *guardian) guard(claim nat.Claim) error {
	p := g.prog
	p.room = g.room
	steps := p.takeBack(g.nat.FD(), claim)
	if p.room == nil {
		return fmt.Errorf("guardian: %d ports are more than were expected", len(claim.Ports))
	}
	g.claim, p.ordered = claim, steps
	for i := range p.orders.steps {
		s := call("nothing more", unix.SYS_GETPID)
		if i < len(steps) {
			s = steps[i]
		}
		// What a child reads of a step, and no address of Go's memory.
		p.orders.steps[i] = step{trap: s.trap, args: s.args, want: s.want, pass: s.pass}
	}
	atomic.StoreUint32(&p.orders.claimed, 1)
	g.x.steps(p, steps, "guardian")
	return nil
}

// unguard takes that order back.
func (g *guardian) unguard() { atomic.StoreUint32(&g.prog.orders.claimed, 0) }

// guards tells whether there is a claim to take back.
func (g *guardian) guards() bool { return atomic.LoadUint32(&g.prog.orders.claimed) != 0 }

// takeBack releases a claim over a netfilter socket.
func (p *program) takeBack(socket int, claim nat.Claim) []step {
	release := nl.Silent(nat.Batch(claim.Release()))
	batch := nl.Marshal(release)
	steps := []step{
		call("send the nf_tables transaction", unix.SYS_SENDTO, uintptr(socket), p.data(batch), uintptr(len(batch)), 0, 0, 0).sending(unix.NETLINK_NETFILTER, release),
		p.notRefused("nf_tables transaction", uintptr(socket)),
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
	steps := call("fcntl F_GETFD", unix.SYS_FCNTL, uintptr(container), unix.F_GETFD).orElse(p.removeByAndBy(dirs), unix.EBADF)
	fds := &unix.PollFd{Fd: int32(container), Events: unix.POLLIN}
	p.keep = append(p.keep, fds)
	steps = append(steps, call("wait for the container's end", unix.SYS_PPOLL, uintptr(unsafe.Pointer(fds)), 1, 0, 0, 0))
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
	if !g.guards() {
		// It has claimed nothing, and its cgroup the runner removes.
		err = nil
	} else {
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
	if err := rulesets(g.nat, familiesOf(g.record), false); err != nil {
		return err
	}
	return nat.Commit(g.nat, g.record)
}

func (g *guardian) ask() error {
	if err := g.line.release(); err != nil {
		return fmt.Errorf("guardian: %w", err)
	}
	m, err := g.line.hear()
	for err == nil && m.word == made { // which two have said, and one was heard
		m, err = g.line.hear()
	}
	switch {
	case err != nil:
		return fmt.Errorf("guardian: %w", err)
	case m.report != nil:
		return fmt.Errorf("guardian: %w", g.prog.failed(*m.report))
	case m.end:
		return errKilled
	}
	return nil
}
