//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

// kill ends processes that a test has started, as only the kernel can.
func kill(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatalf("kill %d: %v", pid, err)
		}
	}
}

// published is what most containers here publish, and where a process of the
// host would find it taken.
var published = []string{"-p", "8080:80", "-p", "127.0.0.1:5353:53/udp"}

func publishedAreFree(n *lab.Node) error {
	if err := portFree(n, "tcp", "0.0.0.0:8080"); err != nil {
		return err
	}
	return portFree(n, "udp", "127.0.0.1:5353")
}

// holdPublished is hold with these ports.
func holdPublished(t *testing.T, n *lab.Node) *held {
	t.Helper()
	return hold(t, n, append(slices.Clone(published), address)...)
}

// After a SIGKILL to the runner, with nothing else run, nothing of the container
// is left: within a second, and that is told, but is the machine's affair. (By a
// clock that counts instructions a bare machine looks at it: vm/init, testKilled.)
func TestRunnerKilled(t *testing.T) {
	n := lab.New(t).Host
	h := holdPublished(t, n)
	if claims(n) == "" {
		t.Fatal("nothing is claimed")
	}
	since := time.Now()
	kill(t, h.main)
	lab.Eventually(t, func() error {
		// Two of them start a program to look: the last, when the others hold.
		for _, condition := range []func() error{
			func() error { return ended(h.main, h.init, h.command, h.guardian) },
			func() error { return publishedAreFree(n) },
			func() error { return noVeth(n) },
			func() error { return noClaims(n) },
		} {
			if err := condition(); err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("it took %v", time.Since(since).Round(time.Millisecond))
	await(h.Cmd)
	idle(t, n)
	succeed(t, n.Main(append(slices.Clone(published), address, "true")...))
}

// killAll kills the runner with its guardian, the guardian first. The container
// dies with the runner, but what it claimed stays in the table.
func killAll(t *testing.T, n *lab.Node, h *held) {
	t.Helper()
	kill(t, h.guardian, h.main)
	lab.Eventually(t, func() error { return ended(h.init, h.command) })
	// Only now: it closes the command's input, of which that would end too.
	await(h.Cmd)
	lab.Eventually(t, func() error { return noVeth(n) })
	if c := claims(n); !strings.Contains(c, "lease: "+address) || strings.Count(c, ";") != 2 {
		t.Fatalf("in the table is %q; want a lease and two ports, or there is nothing to test", c)
	}
	if err := publishedAreFree(n); err != nil {
		t.Error(err)
	}
}

// gc clears what a runner left behind that was killed with its guardian.
func TestGuardianKilledToo(t *testing.T) {
	n := lab.New(t).Host
	killAll(t, n, holdPublished(t, n))
	succeed(t, n.Main("gc"))
	idle(t, n)
	succeed(t, n.Main("gc"))
	idle(t, n)
}

// So does the next run, whatever its address.
func TestNextRunClears(t *testing.T) {
	n := lab.New(t).Host
	killAll(t, n, holdPublished(t, n))
	succeed(t, n.Main("172.16.0.31", "true"))
	idle(t, n)
}

// The next run finds the address and the ports free.
func TestNextRunTakesOver(t *testing.T) {
	n := lab.New(t).Host
	killAll(t, n, holdPublished(t, n))
	h := holdPublished(t, n)
	if c := claims(n); !strings.Contains(c, h.veth(t, n)) || strings.Count(c, ";") != 2 {
		t.Errorf("in the table is %q; want the lease of %s and two ports", c, h.veth(t, n))
	}
	h.end(t)
	idle(t, n)
}

// A port of one that is gone is free to a container of another address.
func TestNextRunTakesPortOver(t *testing.T) {
	n := lab.New(t).Host
	killAll(t, n, holdPublished(t, n))
	h := hold(t, n, "-p", "8080:81", "172.16.0.31")
	h.end(t)
	idle(t, n)
}

// down takes away what was left behind too.
func TestDownAfterKill(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	killAll(t, n, holdPublished(t, n))
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// What another container has is nobody's to clear.
func TestGCSparesTheLiving(t *testing.T) {
	n := lab.New(t).Host
	alive := hold(t, n, "-p", "9090:90", "172.16.0.31")
	with := claims(n)
	victim := holdPublished(t, n)
	kill(t, victim.guardian, victim.main)
	lab.Eventually(t, func() error { return ended(victim.init) })
	await(victim.Cmd)
	lab.Eventually(t, func() error {
		if veths := strings.Count(arrangement(n), `"container `); veths != 1 {
			return fmt.Errorf("%d containers have a veth", veths)
		}
		return nil
	})
	succeed(t, n.Main("gc"))
	if now := claims(n); now != with {
		t.Errorf("in the table is %q, want %q", now, with)
	}
	alive.end(t)
	idle(t, n)
}

// When somebody kills the container's first process, the run ends as one that
// was killed.
func TestInitKilled(t *testing.T) {
	n := lab.New(t).Host
	h := holdPublished(t, n)
	kill(t, h.init)
	await(h.Cmd)
	if h.Status() != 137 || h.stderr.Len() > 0 {
		t.Errorf("status %d, standard error %q; want 137 and nothing", h.Status(), h.stderr)
	}
	if err := publishedAreFree(n); err != nil {
		t.Error(err)
	}
	idle(t, n)
}

// So it is when somebody kills the command.
func TestCommandKilled(t *testing.T) {
	n := lab.New(t).Host
	h := holdPublished(t, n)
	kill(t, h.command)
	await(h.Cmd)
	if h.Status() != 137 || h.stderr.Len() > 0 {
		t.Errorf("status %d, standard error %q; want 137 and nothing", h.Status(), h.stderr)
	}
	idle(t, n)
}

// Without its guardian a run ends no worse.
func TestGuardianKilled(t *testing.T) {
	n := lab.New(t).Host
	h := holdPublished(t, n)
	kill(t, h.guardian)
	lab.Eventually(t, func() error { return ended(h.guardian) })
	if !running(h.command) || !running(h.main) {
		t.Error("the run has ended with its guardian")
	}
	h.end(t)
	if err := publishedAreFree(n); err != nil {
		t.Error(err)
	}
	idle(t, n)
}

// delay lets a run get on by so many tenths of a millisecond, more than the one
// before. How far it gets is what is being tried.
func delay(i int) { time.Sleep(time.Duration(i) * 100 * time.Microsecond) }

// Whenever the runner is killed, nothing stays, or gc clears it. On each new
// host the bridge and the ruleset have yet to be made.
func TestKilledDuringStart(t *testing.T) {
	const hosts, kills = 10, 10
	for i := range hosts {
		n := lab.New(t).Host
		before := n.Snapshot()
		// In the command line of whatever the runner clones.
		name := fmt.Sprintf("killed-%d-%d", os.Getpid(), i)
		for j := range kills {
			c := n.Main(append(slices.Clone(published), "-hostname", name, address, "sleep", "1000")...)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			delay(j*hosts + i)
			kill(t, c.Process.Pid)
			await(c)
		}
		lab.Eventually(t, func() error { return ended(called(t, name)...) })
		lab.Eventually(t, func() error { return noVeth(n) })
		succeed(t, n.Main("gc"))
		if err := noClaims(n); err != nil {
			t.Error(err)
		}
		if err := publishedAreFree(n); err != nil {
			t.Error(err)
		}
		// The next run works, whatever it has found half made.
		succeed(t, n.Main(append(slices.Clone(published), address, "true")...))
		idle(t, n)
		succeed(t, n.Main("down"))
		same(t, n, before)
	}
}

// called lists the processes that have a word in their command line.
func called(t *testing.T, word string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		b, _ := os.ReadFile(file) // it may have ended
		if slices.Contains(strings.Split(string(b), "\x00"), word) {
			pid, err := strconv.Atoi(strings.Split(file, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// A run that was stopped and goes on (SIGSTOP, SIGCONT) is none the worse.
func TestStopped(t *testing.T) {
	n := lab.New(t).Host
	h := holdPublished(t, n)
	for _, pid := range []int{h.main, h.init, h.guardian} {
		for _, s := range []unix.Signal{unix.SIGSTOP, unix.SIGCONT} {
			if err := unix.Kill(pid, s); err != nil {
				t.Fatal(err)
			}
			want := "T" // stopped
			if s == unix.SIGCONT {
				want = "S" // asleep
			}
			lab.Eventually(t, func() error {
				if f := stat(pid); len(f) == 0 || f[0] != want {
					return fmt.Errorf("process %d is in the state %v, want %s", pid, f, want)
				}
				return nil
			})
		}
	}
	h.end(t)
	idle(t, n)
}
