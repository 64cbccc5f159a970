//go:build linux

package integration

import (
	"fmt"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// Each signal arrives at the command once. One that came twice would be in the
// place of the next.
func TestSignalsArrive(t *testing.T) {
	signals := []unix.Signal{
		unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGWINCH, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGTERM, unix.SIGINT, unix.SIGUSR1,
	}
	n := lab.New(t).Host
	c := n.Main(address, lab.Probe(t), "signals", fmt.Sprint(len(signals)))
	command := listenTo(t, c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	command.hear(t, "ready")
	for _, s := range signals {
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		command.hear(t, s.String())
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	idle(t, n)
}

// A program that does nothing about signals dies of them, though the kernel
// would keep them from the first process of a PID namespace.
func TestSignalsKill(t *testing.T) {
	n := lab.New(t).Host
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2} {
		// A core would be dumped into the tests' directory.
		c := n.Command("sh", "-c", `ulimit -c 0; exec "$0" "$@"`, lab.MainBinary(t), address, "sh", "-c", "echo ready; exec sleep 1000")
		awaitReady(t, c)
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		await(c)
		if want := 128 + int(s); c.Status() != want {
			t.Errorf("%v: status %d, want %d", s, c.Status(), want)
		}
		idle(t, n)
	}
}

// awaitReady starts a program and returns when it has said "ready".
func awaitReady(t *testing.T, c *lab.Cmd) {
	t.Helper()
	command := listenTo(t, c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	command.hear(t, "ready")
}

// A signal that comes while the container is being made waits for the command.
// (Before the runner has got as far as to catch it, it ends the runner as it
// would any program, and nothing has been made yet.)
func TestSignalDuringStart(t *testing.T) {
	n := lab.New(t).Host
	succeed(t, n.Main(address, "true"))
	arrived := 0
	// As often as it takes until one arrives, where a start takes long.
	for i := 0; i < 20 || arrived == 0 && i < 1000; i++ {
		c := n.Main(address, "sleep", "1000")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		delay(5 * i)
		if err := c.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		await(c)
		if c.Status() != 143 {
			t.Fatalf("in round %d: status %d, want 143", i, c.Status())
		}
		if c.ProcessState.Sys().(syscall.WaitStatus).Exited() {
			arrived++
		}
		if err := noClaims(n); err != nil {
			t.Error(err)
		}
	}
	if arrived == 0 {
		t.Error("the signal never reached a command")
	}
	idle(t, n)
}

// nohup(1): a signal that the caller ignores is ignored all the way.
func TestIgnoredSignal(t *testing.T) {
	need.Tool(t, "env")
	n := lab.New(t).Host
	c := n.Command("env", "--ignore-signal=HUP", lab.MainBinary(t), address, "sh", "-c", "echo ready; exec sleep 1000")
	awaitReady(t, c)
	for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGTERM} {
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	await(c)
	// Of two that are pending the lower number is taken first.
	if c.Status() != 143 {
		t.Errorf("status %d, want 143, of SIGTERM", c.Status())
	}
	idle(t, n)
}

// The first process reaps whatever is orphaned in the container.
func TestOrphans(t *testing.T) {
	const count = 1000
	n := lab.New(t).Host
	c := n.Main(address, "sh", "-c", fmt.Sprintf(`i=0; while [ $i -lt %d ]; do (true &); i=$((i+1)); done; echo done; exec cat`, count))
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	command := listenTo(t, c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	command.hear(t, "done")
	init := initOf(t, n, address)
	lab.Eventually(t, func() error {
		if pids := children(init); len(pids) != 1 {
			return fmt.Errorf("the first process has %d children, want the command alone", len(pids))
		}
		return nil
	})
	_ = stdin.Close()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	idle(t, n)
}

// What the command leaves behind ends with it, and does not keep the caller.
func TestLeftBehind(t *testing.T) {
	n := lab.New(t).Host
	// They hold neither output nor input, ignore what can be ignored, and are
	// in sessions of their own.
	const script = `for i in 1 2 3; do (trap '' TERM HUP INT; exec setsid sleep 1000 </dev/null >/dev/null 2>&1 &) ; done; echo ready; exec cat`
	c := n.Main(address, "sh", "-c", script)
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	awaitReady(t, c)
	var inside []int
	lab.Eventually(t, func() error {
		if inside = children(initOf(t, n, address)); len(inside) != 4 {
			return fmt.Errorf("the first process has the children %v, want 4", inside)
		}
		return nil
	})
	_ = stdin.Close()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if err := ended(inside...); err != nil {
		t.Error(err)
	}
	idle(t, n)
}

// Whoever signals the runner's process group, as a terminal does and timeout(1),
// reaches the command once, through the runner.
func TestProcessGroup(t *testing.T) {
	n := lab.New(t).Host
	c := n.Main(address, lab.Probe(t), "signals", "2")
	c.SysProcAttr.Setpgid = true
	command := listenTo(t, c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		want   string
		signal unix.Signal
	}{{"ready", unix.SIGINT}, {unix.SIGINT.String(), unix.SIGTERM}, {unix.SIGTERM.String(), 0}} {
		command.hear(t, step.want)
		if step.signal != 0 {
			if err := unix.Kill(-c.Process.Pid, step.signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	idle(t, n)
}
