//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

// A process that is stopped (SIGSTOP) is not dead, and whatever waits for it
// waits.

// stop stops a process and returns when all of its threads stand.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, func() error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(threads) == 0 {
			return fmt.Errorf("process %d has the threads %q (error %v)", pid, threads, err)
		}
		for _, name := range threads {
			if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, []byte(") T ")) {
				return fmt.Errorf("%s is %q (error %v), and is to stand", name, b, err)
			}
		}
		return nil
	})
}

// resume has it go on.
func resume(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// zombie is a condition: a process has ended, and nobody has waited for it.
func zombie(pid int) error {
	if f := stat(pid); len(f) == 0 || f[0] != "Z" {
		return fmt.Errorf("process %d is in the state %v, want Z", pid, f)
	}
	return nil
}

// While the runner is stopped its container runs on and is reached, nobody can
// have what it holds, and others start and end. When it goes on, all does.
func TestStoppedRunner(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	n, outside := l.Host, l.Outside.Agent()
	serve(t, outside, "0.0.0.0:7")
	a := n.Container(t, words(both("80:8000"), []string{address})...)
	serve(t, a, "0.0.0.0:8000")
	runner, init := a.Process.Pid, initOf(t, n, address)
	with := claims(n)
	stop(t, runner)

	reaches(t, "outside to the container", outside, hostAddr+":80", outsideAddr)
	reaches(t, "host to the container", n.Agent(), "127.0.0.1:80", bridgeAddr)
	reaches(t, "container to outside", a, outsideAddr+":7", hostAddr)
	if err := portFree(n, "tcp", "0.0.0.0:80"); err == nil {
		t.Error("a process of the host can have port 80")
	}
	fails(t, n.Main(address, "true"), 125, "address "+address+" is in use by ")
	succeed(t, n.Main("172.16.0.31", "true"))
	succeed(t, n.Main("gc"))
	expect(t, n.Main("exec", address, "echo", "in"), 0, "in\n", "")
	differ(t, "the claims", claims(n), with)
	if err := ended(init); err == nil {
		t.Error("the container has ended")
	}
	resume(t, runner)
	reaches(t, "outside to the container, afterwards", outside, hostAddr+":80", outsideAddr)
	a.Stop(t)
	idle(t, n)

	// One whose command ends meanwhile is over when its runner goes on.
	h := hold(t, n, "-p", "8080:80", address)
	stop(t, h.main)
	_ = h.stdin.Close()
	lab.Eventually(t, func() error { return zombie(h.init) })
	if claims(n) == "" {
		t.Error("with the runner stopped, its claims are gone")
	}
	resume(t, h.main)
	await(h.Cmd)
	if h.Status() != 0 || h.stderr.Len() > 0 {
		t.Errorf("status %d, standard error %q; want 0 and nothing", h.Status(), h.stderr)
	}
	idle(t, n)
}

// stoppedGuardian is a run that waits at its end for its guardian, which is
// stopped.
func stoppedGuardian(t *testing.T, n *lab.Node) *held {
	t.Helper()
	h := hold(t, n, "-p", "8080:80", address)
	stop(t, h.guardian)
	_ = h.stdin.Close()
	lab.Eventually(t, func() error { return ended(h.init) })
	if !running(h.main) || claims(n) == "" {
		t.Error("the run has ended without its guardian")
	}
	return h
}

// A run whose guardian is stopped ends when that goes on, or is killed.
func TestStoppedGuardian(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for _, s := range []unix.Signal{unix.SIGCONT, unix.SIGKILL} {
		h := stoppedGuardian(t, n)
		if err := unix.Kill(h.guardian, s); err != nil {
			t.Fatal(err)
		}
		await(h.Cmd)
		if h.Status() != 0 || h.stderr.Len() > 0 {
			t.Errorf("%v: status %d, standard error %q; want 0 and nothing", s, h.Status(), h.stderr)
		}
		idle(t, n)
	}
}

// A guardian that goes on late takes nothing from the next who has the address
// and the port.
func TestGuardianGoesOnLate(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, "-p", "8080:80", address)
	stop(t, h.guardian)
	kill(t, h.main)
	await(h.Cmd)
	lab.Eventually(t, func() error { return noVeth(n) })
	next := hold(t, n, "-p", "8080:80", address)
	with := claims(n)
	if with == "" {
		t.Error("nothing is claimed")
	}
	resume(t, h.guardian)
	lab.Eventually(t, func() error { return ended(h.guardian) })
	differ(t, "the claims", claims(n), with)
	next.end(t)
	idle(t, n)
}

// A run whose first process is stopped ends when that goes on; the SIGKILL of
// its runner ends both.
func TestStoppedInit(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, "-p", "8080:80", address)
	stop(t, h.init)
	_ = h.stdin.Close()
	lab.Eventually(t, func() error { return zombie(h.command) })
	if !running(h.main) || claims(n) == "" {
		t.Error("the run has ended without its first process")
	}
	resume(t, h.init)
	await(h.Cmd)
	if h.Status() != 0 || h.stderr.Len() > 0 {
		t.Errorf("status %d, standard error %q; want 0 and nothing", h.Status(), h.stderr)
	}
	idle(t, n)

	h = hold(t, n, "-p", "8080:80", address)
	stop(t, h.init)
	kill(t, h.main)
	await(h.Cmd)
	lab.Eventually(t, func() error { return ended(h.init, h.command, h.guardian) })
	idle(t, n)
}
