//go:build linux

package rtnl_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
	"container/rtnl"
)

// What the tests that talk to a kernel stand on: each in network namespaces
// of its own, reached through a descriptor. Nothing is ever sent to the
// namespace that the tests were started in.

// netns is a network namespace, by a descriptor.
type netns int

// newNetns makes a network namespace that lives as long as the test.
func newNetns(t testing.TB) netns {
	t.Helper()
	need.Root(t)
	fd := -1
	err := throwAway(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		// Not /proc/self, which is the thread that the process began with.
		fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		need.Skip(t, "needs a new network namespace: "+err.Error())
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return netns(fd)
}

// within runs f on a thread that is in the namespace.
func (ns netns) within(f func() error) error {
	return throwAway(func() error {
		if err := unix.Setns(int(ns), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return f()
	})
}

// throwAway runs f on a thread that is never unlocked, so that Go ends it with
// its goroutine and nothing else comes to run with what f did to it. f must
// return: t.Fatal is for the test's own goroutine.
func throwAway(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// run runs a command in the namespace, which must succeed, and is what it
// wrote to standard output.
func (ns netns) run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	need.Tool(t, name)
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := ns.within(cmd.Run); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.Bytes())
	}
	return stdout.Bytes()
}

// sh runs a line of shell script in the namespace.
func (ns netns) sh(t testing.TB, line string) []byte {
	t.Helper()
	need.Tool(t, "ip") // nearly all lines are
	return ns.run(t, "sh", "-c", line)
}

// dial is Dial in the namespace, and the connection closed when the test ends.
// The socket stays in the namespace that it was made in.
func (ns netns) dial(t testing.TB) *nl.Conn {
	t.Helper()
	var c *nl.Conn
	if err := ns.within(func() (err error) {
		c, err = rtnl.Dial(nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// do sends requests that must succeed.
func (ns netns) do(t testing.TB, reqs ...nl.Request) {
	t.Helper()
	if err := ns.dial(t).Do(reqs...); err != nil {
		t.Fatal(err)
	}
}

// link is the link of a name, which must be there.
func (ns netns) link(t testing.TB, name string) rtnl.Link {
	t.Helper()
	l, err := rtnl.Get(ns.dial(t), rtnl.GetLink(name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return l
}

// index is the index of the link of a name.
func (ns netns) index(t testing.TB, name string) uint32 {
	t.Helper()
	return ns.link(t, name).Index
}

// container starts a process in a network namespace of its own, which does
// nothing until the test ends: where the other end of a veth goes.
func container(t testing.TB) (pid int, ns netns) {
	t.Helper()
	need.Root(t)
	need.Tool(t, "cat")
	cmd := exec.Command("cat") // until its standard input ends
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	fd, err := unix.Open("/proc/"+strconv.Itoa(cmd.Process.Pid)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return cmd.Process.Pid, netns(fd)
}
