//go:build linux

package main

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nat"
	"container/nl"
)

// guarded is a guardian with a first process that waits until it may go on, in
// no namespaces of its own, which takes no privilege.
func guarded(t *testing.T, flags uint64, c *nl.Conn) (*guardian, *box) {
	t.Helper()
	l, err := newLine()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{line: uintptr(l.theirs)}
	p.setUp = append(p.setUp, keepOnly(l.theirs)...)
	p.setUp = append(p.setUp, p.sendFD("say that it is there", l.theirs), p.waitForGo())
	b := &box{prog: p, line: l, pidfd: -1}
	g, err := newGuardian(b, flags, new(cgroup.Group), c, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.finish()
		g.line.close()
		_, _ = ignoringEINTR(func() (int, error) { return unix.Wait4(g.pid, nil, 0, nil) })
	})
	return g, b
}

// What the guardian clones is the runner's own child: it talks over its line, is
// waited for by the runner, and its death shows, for the guardian keeps no end
// of the line.
func TestGuardianMakesContainer(t *testing.T) {
	for name, flags := range clones {
		g, b := guarded(t, flags, nil)
		if err := g.container(b); err != nil {
			t.Fatal(err)
		}
		if b.prog.plain != (flags != 0) {
			t.Errorf("%s: it is said to be made by clone(2): %t", name, b.prog.plain)
		}
		fd, err := b.receiveFD("line")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		closeFD(fd)
		if parent, err := parentOf(b.pid); err != nil || parent != unix.Getpid() {
			t.Errorf("%s: its parent is %d (error %v), want %d", name, parent, err, unix.Getpid())
		}
		if err := b.line.release(); err != nil {
			t.Error(err)
		}
		if m, err := b.line.hear(); err != nil || !m.end {
			t.Errorf("%s: got %+v (error %v), want the end", name, m, err)
		}
		if status, err := b.wait(nil, nil); err != nil || status != 0 {
			t.Errorf("%s: status %d (error %v), want 0", name, status, err)
		}
	}
}

// Whoever of the two is the first to say that the container's first process is
// there, it is that one's number that counts.
func TestGuardianOrBrother(t *testing.T) {
	for name, c := range map[string]struct{ guardian, want int }{
		"the guardian":               {unix.Getpid(), 42},
		"the guardian's, the second": {unix.Getpid() + 1, unix.Getpid()},
	} {
		l := aLine(t)
		if err := l.tellSenders(); err != nil {
			t.Fatal(err)
		}
		g := &guardian{line: l, pid: c.guardian, prog: &program{orders: &orders{pid: 42}}}
		for _, word := range []byte{made, made, done} {
			if _, err := unix.Write(l.theirs, []byte{word}); err != nil {
				t.Fatal(err)
			}
		}
		b := &box{prog: &program{}}
		if err := g.container(b); err != nil || b.pid != c.want {
			t.Errorf("%s: the container's first process is %d (error %v), want %d", name, b.pid, err, c.want)
		}
		if err := g.ask(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		l.handOver()
		if m, err := l.hear(); err != nil || !m.end {
			t.Errorf("%s: got %+v (error %v), want the end", name, m, err)
		}
	}
}

func TestGuardianCloneFails(t *testing.T) {
	// A thread has the PID namespace of its process.
	g, b := guarded(t, unix.CLONE_THREAD|unix.CLONE_NEWPID, nil)
	err := g.container(b)
	if !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), "clone: ") {
		t.Errorf("got the error %v, want clone's EINVAL", err)
	}
	b.line.close()
}

func TestGuardianKilled(t *testing.T) {
	g, b := guarded(t, 0, nil)
	if err := g.container(b); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(g.pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// What both have said before is to be heard yet.
	var err error
	for heard := 1; err == nil && heard <= 2; heard++ {
		err = g.container(b)
	}
	if !errors.Is(err, errKilled) {
		t.Errorf("got the error %v, want %v", err, errKilled)
	}
	b.kill()
}

// The guardian takes back what it was told of last, and nothing that it was
// told to leave, be it that the runner says so or that its end shows.
func TestGuardianOrders(t *testing.T) {
	claim := func(index uint32) nat.Claim {
		return nat.Claim{Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.30")}, Index: index, Ports: []nat.Port{{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP}}}
	}
	batch := func(index uint32) []byte { return nl.Marshal(nl.Silent(nat.Batch(claim(index).Release()))) }
	guard := func(t *testing.T, g *guardian, index uint32) {
		t.Helper()
		if err := g.guard(claim(index)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		order func(*testing.T, *guardian)
		want  []byte
	}{
		"nothing":   {func(*testing.T, *guardian) {}, nil},
		"a claim":   {func(t *testing.T, g *guardian) { guard(t, g, 7) }, batch(7)},
		"another":   {func(t *testing.T, g *guardian) { guard(t, g, 7); g.unguard(); guard(t, g, 8) }, batch(8)},
		"no longer": {func(t *testing.T, g *guardian) { guard(t, g, 7); g.unguard() }, nil},
	} {
		for _, end := range []string{"told", "alone"} {
			// In the place of the kernel.
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			socket := nl.New(fds[0], unix.NETLINK_NETFILTER, nil)
			g, b := guarded(t, 0, socket)
			if err := g.container(b); err != nil {
				t.Fatal(err)
			}
			c.order(t, g)
			if end == "told" {
				if err := g.ask(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			g.line.close()
			if _, err := ignoringEINTR(func() (int, error) { return unix.Wait4(g.pid, nil, 0, nil) }); err != nil {
				t.Fatal(err)
			}
			_ = socket.Close()
			got := make([]byte, 1<<16)
			n, err := unix.Read(fds[1], got)
			if err != nil || !bytes.Equal(got[:n], c.want) {
				t.Errorf("%s, %s: %d bytes were sent (error %v), want %d:\n%x\n%x", name, end, n, err, len(c.want), got[:n], c.want)
			}
			_ = unix.Close(fds[1])
			// It has seen to the container's end too.
			if status, err := b.wait(nil, nil); err != nil || status != statusSignal+int(unix.SIGKILL) {
				t.Errorf("%s, %s: the container's status is %d (error %v), want that of SIGKILL", name, end, status, err)
			}
			b.line.close()
		}
	}
}

// A claim that is larger than was said is an error, and no claim.
func TestGuardianRoom(t *testing.T) {
	g, b := guarded(t, 0, nl.New(-1, unix.NETLINK_NETFILTER, nil))
	if err := g.container(b); err != nil {
		t.Fatal(err)
	}
	ports := make([]nat.Port, 5000)
	for i := range ports {
		ports[i] = nat.Port{HostPort: uint16(i + 1), Port: uint16(i + 1), Proto: unix.IPPROTO_TCP}
	}
	claim := nat.Claim{Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.30")}, Index: 7, Ports: ports}
	if err := g.guard(claim); err == nil || g.guards() {
		t.Errorf("5,000 ports where none was expected: error %v, guards: %t", err, g.guards())
	}
	claim.Ports = ports[:100]
	if err := g.guard(claim); err != nil {
		t.Error(err)
	}
	g.unguard()
	b.kill()
}
