//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// console is a terminal whose keyboard and screen the test is.
type console struct {
	master, slave *os.File

	mu     sync.Mutex
	shown  bytes.Buffer
	looked int           // how much of it has been awaited
	end    chan struct{} // closed when the last who had the slave has closed it
	cmds   []*lab.Cmd    // programs on it
}

func newConsole(t *testing.T) *console {
	t.Helper()
	need.Root(t)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	y := &console{master: master, slave: slave, end: make(chan struct{})}
	// A setting that no program would choose for itself.
	odd := y.settings(t)
	odd.Cc[unix.VKILL], odd.Iflag = 7, odd.Iflag^unix.IXANY
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, &odd); err != nil {
		t.Fatal(err)
	}
	go y.read()
	t.Cleanup(func() {
		for _, c := range y.cmds {
			if c.Process != nil {
				_ = c.Process.Kill() // if it has not ended and been waited for
				_ = c.Wait()
			}
		}
		_ = slave.Close()
		<-y.end
		_ = master.Close()
	})
	return y
}

func (y *console) read() {
	defer close(y.end)
	buf := make([]byte, 4096)
	for {
		m, err := y.master.Read(buf)
		y.mu.Lock()
		y.shown.Write(buf[:m])
		y.mu.Unlock()
		if err != nil {
			return // EIO
		}
	}
}

// text is all that was shown, with newlines as they were meant.
func (y *console) text() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return strings.ReplaceAll(y.shown.String(), "\r\n", "\n")
}

// all is all that will ever be shown, when the programs have ended.
func (y *console) all() string {
	_ = y.slave.Close()
	<-y.end
	return y.text()
}

// await waits until a text is shown behind the one that was awaited before.
func (y *console) await(t *testing.T, want string) {
	t.Helper()
	lab.Eventually(t, func() error {
		got := y.text()[y.looked:]
		i := strings.Index(got, want)
		if i < 0 {
			return fmt.Errorf("the terminal shows %q, want %q in it", got, want)
		}
		y.looked += i + len(want)
		return nil
	})
}

// enter types.
func (y *console) enter(t *testing.T, keys string) {
	t.Helper()
	if _, err := y.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func (y *console) settings(t *testing.T) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(y.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func (y *console) resize(t *testing.T, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(y.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// waiting is how much there is to read that somebody has typed, or pretended to.
func (y *console) waiting(t *testing.T) int {
	t.Helper()
	// Canonical input shows when its line is complete.
	s := y.settings(t)
	s.Lflag &^= unix.ICANON
	if err := unix.IoctlSetTermios(int(y.slave.Fd()), unix.TCSETS, &s); err != nil {
		t.Fatal(err)
	}
	m, err := unix.IoctlGetInt(int(y.slave.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// on has a program's standard streams be the terminal, its controlling one.
func (y *console) on(c *lab.Cmd) *lab.Cmd {
	c.Stdin, c.Stdout, c.Stderr = y.slave, y.slave, y.slave
	c.SysProcAttr.Setsid, c.SysProcAttr.Setctty = true, true
	c.Env = append(os.Environ(), "TERM=vt100")
	y.cmds = append(y.cmds, c)
	return c
}

// awaitTaken waits until the runner has made the terminal raw.
func (y *console) awaitTaken(t *testing.T) {
	t.Helper()
	lab.Eventually(t, func() error {
		if s := y.settings(t); s.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG|unix.IEXTEN) != 0 {
			return fmt.Errorf("the terminal is not raw (%#x), and shows %q", s.Lflag, y.text())
		}
		return nil
	})
}

// start starts a program on the terminal and waits until that is raw.
func (y *console) start(t *testing.T, c *lab.Cmd) *lab.Cmd {
	t.Helper()
	if err := y.on(c).Start(); err != nil {
		t.Fatal(err)
	}
	y.awaitTaken(t)
	return c
}

// ends waits for a program's end and checks its status.
func (y *console) ends(t *testing.T, c *lab.Cmd, status int) {
	t.Helper()
	over := make(chan struct{})
	go func() { _ = c.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(lab.Patience()):
		t.Fatalf("%s: it does not end\n%s", strings.Join(c.Args[1:], " "), y.text())
	}
	if c.Status() != status {
		t.Errorf("%s: status %d, want %d\n%s", strings.Join(c.Args[1:], " "), c.Status(), status, y.text())
	}
}

// A shell with job control is at home on the container's terminal, as a run's
// command and as an exec's: Ctrl-Z, jobs, fg, bg and Ctrl-C work.
func TestJobControl(t *testing.T) {
	t.Parallel()
	need.Tool(t, "bash")
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	shell := []string{"bash", "--norc", "--noprofile", "--noediting", "-i"}
	for _, verb := range [][]string{{address}, {"-u", "1000", address}, {"exec", "172.16.0.31"}} {
		t.Run(strings.Join(verb, " "), func(t *testing.T) {
			y := newConsole(t)
			before := y.settings(t)
			c := n.Main(words(verb[:len(verb)-1], []string{"-e", "PS1=<>", "-e", "HISTFILE=", verb[len(verb)-1]}, shell)...)
			y.start(t, c)
			y.await(t, "<>")
			if text := y.text(); strings.Contains(text, "job control") {
				t.Errorf("bash complains: %q", text)
			}
			step := func(keys, want string) {
				t.Helper()
				y.enter(t, keys)
				y.await(t, want)
			}
			step("tty\r", "tty\n/dev/pts/0\n<>")
			// The words come when the job runs, so it is there to be stopped.
			step("sh -c 'echo a job; exec sleep 1000'\r", "\na job\n")
			lab.Eventually(t, func() error { return hasJobAhead(theCommand(t, c.Process.Pid)) })
			step("\x1a", "Stopped")
			y.await(t, "<>")
			step("jobs\r", "[1]+  Stopped")
			y.await(t, "<>")
			step("kill -0 %1 && echo alive\r", "\nalive\n")
			y.await(t, "<>")
			step("bg\r", "[1]+ sh")
			y.await(t, "<>")
			step("jobs\r", "[1]+  Running")
			y.await(t, "<>")
			step("fg\r", "sleep 1000'\n")
			lab.Eventually(t, func() error { return hasJobAhead(theCommand(t, c.Process.Pid)) })
			step("\x03", "^C\n<>")
			step("echo status $?\r", "\nstatus 130\n<>")
			step("jobs; echo none left\r", "\nnone left\n<>")
			step("trap 'echo got it' INT\r", "<>")
			step("\x03", "got it")
			step("exit 5\r", "exit")
			y.ends(t, c, 5)
			if after := y.settings(t); after != before {
				t.Errorf("the terminal's settings were\n%+v, and are\n%+v", before, after)
			}
		})
	}
	keep.end(t)
}

// The container's terminal has the size of the caller's window, and changes
// with it: for a run and for an exec.
func TestWindow(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	for _, verb := range [][]string{{address}, {"exec", "172.16.0.31"}} {
		y := newConsole(t)
		y.resize(t, 33, 111)
		c := n.Main(words(verb, script(`trap 'stty size' WINCH; stty size; while :; do read x && exit 3; done`))...)
		y.start(t, c)
		y.await(t, "33 111\n")
		y.resize(t, 44, 122)
		y.await(t, "44 122\n")
		y.resize(t, 5, 6)
		y.await(t, "5 6\n")
		y.enter(t, "x\r")
		y.ends(t, c, 3)
	}
	keep.end(t)
}

// The caller's terminal is what it was, however the command ended, or did not
// begin.
func TestTerminalGivenBack(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	put(t, rubbish, "", 0o755)
	for _, verb := range [][]string{{address}, {"exec", "172.16.0.31"}} {
		for _, c := range []struct {
			command []string
			status  int
			kill    func(t *testing.T, runner int) int // whom, when the terminal is taken
		}{
			{[]string{"true"}, 0, nil},
			{[]string{"sh", "-c", "stty -echo raw; exit 9"}, 9, nil},
			{[]string{"sh", "-c", "kill -KILL $$"}, 137, nil},
			{[]string{"no-such-command"}, 127, nil},
			{[]string{rubbish}, 126, nil},
			{[]string{"sleep", "1000"}, 137, theCommand},
			{[]string{"sleep", "1000"}, 137, theFirst},
		} {
			y := newConsole(t)
			before := y.settings(t)
			cmd := n.Main(words(verb, c.command)...)
			if c.kill == nil {
				if err := y.on(cmd).Start(); err != nil {
					t.Fatal(err)
				}
			} else {
				y.start(t, cmd)
				if err := unix.Kill(c.kill(t, cmd.Process.Pid), unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			y.ends(t, cmd, c.status)
			if after := y.settings(t); after != before {
				t.Errorf("%q %q: the terminal's settings were\n%+v, and are\n%+v", verb, c.command, before, after)
			}
		}
	}
	// What can't be started at all.
	for _, args := range [][]string{
		{"-rootfs", "/no/such", address, "true"}, {"-w", "/no/such", address, "true"}, {"exec", "172.16.0.99", "true"}, {"exec", "-w", "/no/such", "172.16.0.31", "true"},
	} {
		y := newConsole(t)
		before := y.settings(t)
		cmd := y.on(n.Main(args...))
		_ = cmd.Run()
		y.ends(t, cmd, 125)
		if after := y.settings(t); after != before {
			t.Errorf("%q: the terminal's settings were\n%+v, and are\n%+v", args, before, after)
		}
	}
	keep.end(t)
}

// theFirst is the runner's child that has the command below it: the container's
// first process, or the joiner.
func theFirst(t *testing.T, runner int) int {
	t.Helper()
	for _, pid := range children(runner) {
		if len(children(pid)) > 0 {
			return pid
		}
	}
	t.Fatalf("process %d has no child with a child", runner)
	return 0
}

func theCommand(t *testing.T, runner int) int {
	t.Helper()
	return children(theFirst(t, runner))[0]
}

// An exec's terminal is of the container's own, beside the run's.
func TestTerminalsOfOneContainer(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	y := newConsole(t)
	c := y.start(t, n.Main("-rootfs", tree, address, "sh", "-c", "tty; read x"))
	y.await(t, "/dev/pts/0\n")
	second, third := newConsole(t), newConsole(t)
	s := second.start(t, n.Main("exec", address, "sh", "-c", "tty; ls -1 /dev/pts; ls -l /proc/self/fd/0 | sed 's/.*-> //'; read x; exit 4"))
	second.await(t, "/dev/pts/1\n0\n1\nptmx\n/dev/pts/1\n")
	third.start(t, n.Main("exec", "-u", "1000", address, "sh", "-c", "tty; stat -c %u /dev/pts/2 /dev/pts/1; echo mine >/dev/tty; read x"))
	third.await(t, "/dev/pts/2\n1000\n0\nmine\n")
	// What is typed on one is read on that one.
	second.enter(t, "x\r")
	second.ends(t, s, 4)
	y.enter(t, "x\r")
	y.ends(t, c, 0)
}

// All that is written is shown, also right before the end; and what processes
// the command has left behind does not keep an exec from its end.
func TestTerminalShowsTheEnd(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	var want strings.Builder
	for i := 1; i <= 5000; i++ {
		fmt.Fprintln(&want, i)
	}
	for _, verb := range [][]string{{address}, {"exec", "172.16.0.31"}} {
		for _, after := range []string{"", "; sleep 1000 & exit", "; setsid sleep 1000 & exit", "; (trap '' HUP; setsid sleep 1000) & sleep 0; exit"} {
			y := newConsole(t)
			c := y.on(n.Main(words(verb, script("seq 5000"+after))...))
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			y.ends(t, c, 0)
			if got := y.all(); got != want.String() {
				t.Errorf("%q%s: %d bytes are shown, want %d", verb, after, len(got), want.Len())
			}
		}
	}
	keep.end(t)
}

// pretend is a program that puts a letter into terminals' input (TIOCSTI, by
// number), and tries to get the one at standard input as its own first.
const pretend = `
use POSIX;
sub try { my ($what, $fh) = @_; my $c = "X"; printf "%s: %s\n", $what, ioctl($fh, %d, $c) ? "done" : $!{EIO} ? "EIO" : $!{EPERM} ? "EPERM" : $! }
try("input", *STDIN);
try("error", *STDERR);
if (open(my $t, "+<", "/dev/tty")) { print "there is a terminal\n"; try("tty", $t) } else { print "no terminal\n" }
for my $steal (0, 1) { print ioctl(STDIN, %d, $steal) ? "stolen\n" : "not stolen\n" }
POSIX::setsid();
for my $steal (0, 1) { print ioctl(STDIN, %d, $steal) ? "stolen\n" : "not stolen\n" }
try("again", *STDIN);
`

// Nothing can be typed into the caller's terminal from inside. With a terminal
// of the container's own, that is the one which it goes to; when standard
// streams are the caller's terminal, the kernel refuses.
func TestTerminalCantBeTypedInto(t *testing.T) {
	t.Parallel()
	need.Tool(t, "perl")
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	program := fmt.Sprintf(strings.ReplaceAll(pretend, "%s: %s\\n", "%%s: %%s\\n"), unix.TIOCSTI, unix.TIOCSCTTY, unix.TIOCSCTTY)
	for _, verb := range [][]string{{address}, {"exec", "172.16.0.31"}} {
		at := len(verb) - 1
		for _, flag := range []string{"-t", "-t=false"} {
			y := newConsole(t)
			c := y.on(n.Main(words(verb[:at], []string{flag, verb[at], "perl", "-e", program})...))
			_ = c.Run()
			y.ends(t, c, 0)
			waiting := y.waiting(t)
			if flag == "-t=false" {
				got := strings.ReplaceAll(y.all(), "EIO", "EPERM") // sysctl dev.tty.legacy_tiocsti=0
				differ(t, fmt.Sprint(verb, flag), got, "input: EPERM\nerror: EPERM\nno terminal\n"+strings.Repeat("not stolen\n", 4)+"again: EPERM\n")
			} else if text := y.all(); !strings.Contains(text, "there is a terminal\n") {
				t.Errorf("%q %s: the command has no terminal: %q", verb, flag, text)
			}
			if waiting > 0 {
				t.Errorf("%q %s: in the caller's terminal %d bytes are to be read", verb, flag, waiting)
			}
		}
	}
	// With -privileged, too, the terminal that there is is the container's.
	y := newConsole(t)
	c := y.on(n.Main("-privileged", address, "perl", "-e", program))
	_ = c.Run()
	y.ends(t, c, 0)
	if m := y.waiting(t); m > 0 {
		t.Errorf("-privileged: in the caller's terminal %d bytes are to be read", m)
	}
	// The host's terminals are not in the container's devpts.
	expect(t, n.Main(address, "sh", "-c", "ls /dev/pts"), 0, "ptmx\n", "")
	keep.end(t)
}
