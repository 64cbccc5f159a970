//go:build linux

package integration

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// What happens to a run from outside, outside_*_test.go: here to its terminal.

// keeperOf is the keeper of a runner that has made the caller's terminal raw.
func keeperOf(t *testing.T, runner int) int {
	t.Helper()
	return awaitChild(t, runner, "keeper")
}

// is is a condition: the terminal has settings.
func (y *console) is(t *testing.T, want unix.Termios) error {
	t.Helper()
	if got := y.settings(t); got != want {
		return fmt.Errorf("the terminal's settings are\n%+v, want\n%+v", got, want)
	}
	return nil
}

// withTerminal are the runs that have a terminal: with a guardian and without.
// Each takes an address of its own.
var withTerminal = [][]string{
	{address},
	{"-nat=false", "172.16.0.32"},
	{"-network", "none"},
	{"exec", "172.16.0.31"},
}

// When the runner is killed, or its whole process group, the caller's terminal is
// what it was before.
func TestTerminalOfTheKilled(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	for _, verb := range withTerminal {
		for _, whom := range []string{"the runner", "its process group"} {
			y := newConsole(t)
			before := y.settings(t)
			c := y.start(t, n.Main(words(verb, []string{"sleep", "1000"})...))
			keeper, runner := keeperOf(t, c.Process.Pid), c.Process.Pid
			if whom != "the runner" {
				runner = -runner
			}
			kill(t, runner)
			y.ends(t, c, 137)
			lab.Eventually(t, func() error { return ended(keeper) })
			if err := y.is(t, before); err != nil {
				t.Errorf("%q, %s is killed: %v", verb, whom, err)
			}
			if verb[0] != "exec" {
				lab.Eventually(t, func() error { return nothingOf(n, verb[len(verb)-1]) })
			}
		}
	}
	keep.end(t)
	idle(t, n)
}

// nothingOf is a condition: an address is free.
func nothingOf(n *lab.Node, addr string) error {
	if c := claims(n); strings.Contains(c, addr) {
		return errors.New("in the table is yet: " + c)
	}
	for _, l := range n.Links() {
		if strings.Contains(l.Alias, " "+addr+" pid ") {
			return fmt.Errorf("link %s (%s) is there yet", l.Name, l.Alias)
		}
	}
	return nil
}

// A shell goes on as after any program that was killed, whether it sees to its
// terminal itself, as bash does, or not.
func TestTerminalOfTheKilledsShell(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for _, shell := range [][]string{{"sh", "-i"}, {"bash", "--norc", "--noprofile", "-i"}} {
		need.Tool(t, shell[0])
		y := newConsole(t)
		c := y.on(n.Command(shell[0], shell[1:]...))
		c.Env = append(c.Env, "PS1=<>", "HISTFILE=", "TERM=dumb")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		step := func(keys, want string) {
			t.Helper()
			y.enter(t, keys)
			y.await(t, want)
		}
		y.await(t, "<>")
		before := settingsOf(t, y, "a")
		for range 3 {
			y.enter(t, lab.MainBinary(t)+" -network none sh -c 'echo it; echo runs; exec sleep 1000'\r")
			y.await(t, "\nit\nruns\n")
			y.awaitTaken(t)
			runner := children(c.Process.Pid)[0]
			keeper := keeperOf(t, runner)
			kill(t, runner)
			y.await(t, "<>")
			lab.Eventually(t, func() error { return ended(keeper) })
			if after := settingsOf(t, y, "b"); after != before {
				t.Errorf("%s: the terminal's settings were %s, and are %s", shell, before, after)
			}
			step("echo $((6 * 7))\r", "echo $((6 * 7))\n42\n<>")
		}
		y.enter(t, "exit 5\r")
		y.ends(t, c, 5)
	}
}

// settingsOf asks a shell for its terminal's settings. They stand between marks,
// which what is typed has not.
func settingsOf(t *testing.T, y *console, mark string) string {
	t.Helper()
	y.enter(t, "echo [''"+mark+" $(stty -g)'']\r")
	y.await(t, "["+mark+" ")
	from := y.looked
	y.await(t, "]\n<>")
	return strings.TrimSuffix(y.text()[from:y.looked], "]\n<>")
}

// What somebody else has set since is left alone.
func TestTerminalSetByOthers(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	y := newConsole(t)
	c := y.start(t, n.Main("-network", "none", "sleep", "1000"))
	keeper := keeperOf(t, c.Process.Pid)
	others := y.settings(t)
	others.Lflag |= unix.ISIG
	if err := unix.IoctlSetTermios(int(y.slave.Fd()), unix.TCSETS, &others); err != nil {
		t.Fatal(err)
	}
	kill(t, c.Process.Pid)
	y.ends(t, c, 137)
	lab.Eventually(t, func() error { return ended(keeper) })
	if err := y.is(t, others); err != nil {
		t.Error(err)
	}
}

// leader is a program that leads a session and runs another in the foreground.
// When it is sent SIGUSR1, it gives the foreground to a third, or with SIGUSR2
// takes it itself, and leaves the settings.
const leader = `
use POSIX;
$| = 1;
$SIG{TTOU} = "IGNORE";
sub ahead { setpgid(0, 0); tcsetpgrp(0, $$) }
$SIG{USR1} = sub { if (!fork) { ahead(); print "mine\n"; pause() while 1 } };
$SIG{USR2} = sub { tcsetpgrp(0, getpgrp()); print "mine\n" };
if (!fork) { ahead(); $SIG{$_} = "DEFAULT" for "TTOU", "USR1", "USR2"; exec @ARGV }
pause() while 1;
`

// So is what somebody else uses who has it in the same mode.
func TestTerminalUsedByOthers(t *testing.T) {
	t.Parallel()
	need.Tool(t, "perl")
	n := lab.New(t).Host
	for _, taken := range []unix.Signal{unix.SIGUSR1, unix.SIGUSR2, 0} {
		y := newConsole(t)
		before := y.settings(t)
		c := y.start(t, n.Command("perl", "-e", leader, lab.MainBinary(t), "-network", "none", "sleep", "1000"))
		runner := children(c.Process.Pid)[0]
		keeper := keeperOf(t, runner)
		want := before
		if taken != 0 {
			if err := c.Process.Signal(taken); err != nil {
				t.Fatal(err)
			}
			y.await(t, "mine")
		}
		if taken == unix.SIGUSR1 {
			want = y.settings(t)
		}
		kill(t, runner)
		lab.Eventually(t, func() error { return ended(runner, keeper) })
		if err := y.is(t, want); err != nil {
			t.Errorf("taken %v: %v", taken, err)
		}
	}
}

// A keeper that is killed is missed by nobody, and one whose runner ends is gone
// with it, having done nothing.
func TestKeeperKilled(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for _, killed := range []bool{true, false} {
		y := newConsole(t)
		before := y.settings(t)
		c := y.start(t, n.Main(address, "sh", "-c", "read x; exit 3"))
		keeper := keeperOf(t, c.Process.Pid)
		if killed {
			kill(t, keeper)
			lab.Eventually(t, func() error { return ended(keeper) })
		}
		y.enter(t, "x\r")
		y.ends(t, c, 3)
		if err := errors.Join(y.is(t, before), ended(keeper)); err != nil {
			t.Errorf("killed %t: %v", killed, err)
		}
		idle(t, n)
	}
}

// Nobody who reads what comes out waits for the keeper.
func TestKeeperHoldsNoOutput(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	y := newConsole(t)
	c := y.start(t, n.Main("-network", "none", "sleep", "1000"))
	dir := fmt.Sprintf("/proc/%d/fd", keeperOf(t, c.Process.Pid))
	lab.Eventually(t, func() error {
		fds, err := os.ReadDir(dir)
		if err == nil && (len(fds) != 2 || fds[0].Name() != "0") {
			err = fmt.Errorf("the keeper has open: %v, want standard input and its line", fds)
		}
		return err
	})
	if err := c.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	y.ends(t, c, 143)
}
