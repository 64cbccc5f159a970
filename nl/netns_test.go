//go:build linux

package nl_test

import (
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
)

// What the tests that talk to a kernel stand on: each in a network namespace
// of its own, reached through a descriptor. Nothing is ever sent to the
// namespace that the tests were started in.

// netns is a descriptor of a new network namespace, which lives as long as
// the test.
func netns(t testing.TB) int {
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
	return fd
}

// within runs f on a thread that is in a network namespace.
func within(ns int, f func() error) error {
	return throwAway(func() error {
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			return err
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

// dial opens a route socket in a namespace, and closes it when the test ends.
// The socket stays in the namespace that it was made in.
func dial(t testing.TB, ns int) *nl.Conn {
	t.Helper()
	var c *nl.Conn
	if err := within(ns, func() (err error) {
		c, err = nl.Dial(unix.NETLINK_ROUTE, nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// asError is the *nl.Error that an error must be.
func asError(t testing.TB, err error) *nl.Error {
	t.Helper()
	var e *nl.Error
	if !errors.As(err, &e) {
		t.Fatalf("got the error %v (%T), want an *nl.Error", err, err)
	}
	return e
}
