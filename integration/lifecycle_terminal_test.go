//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

// tty is a terminal that the test is the other side of: what is typed, and what
// is shown.
type tty struct {
	master, slave *os.File

	mu    sync.Mutex
	shown strings.Builder
	end   chan struct{} // closed when nobody has the slave any more
}

func newTTY(t *testing.T) *tty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd()) // blocking from now on
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	y := &tty{master: master, slave: slave, end: make(chan struct{})}
	go func() {
		defer close(y.end)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			y.mu.Lock()
			y.shown.Write(buf[:n])
			y.mu.Unlock()
			if err != nil {
				return // EIO: the slave is closed
			}
		}
	}()
	t.Cleanup(func() {
		y.close()
		_ = master.Close()
	})
	return y
}

// close closes the slave and waits until all that came out of it was read.
func (y *tty) close() {
	_ = y.slave.Close()
	<-y.end
}

// text is what was shown so far, with the newlines that were meant.
func (y *tty) text() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return strings.ReplaceAll(y.shown.String(), "\r\n", "\n")
}

// enter types.
func (y *tty) enter(t *testing.T, text string) {
	t.Helper()
	if _, err := y.master.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// await waits until a text is shown.
func (y *tty) await(t *testing.T, want string) {
	t.Helper()
	lab.Eventually(t, func() error {
		if got := y.text(); !strings.Contains(got, want) {
			return fmt.Errorf("the terminal shows %q, want %q", got, want)
		}
		return nil
	})
}

func (y *tty) settings(t *testing.T) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(y.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func (y *tty) resize(t *testing.T, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(y.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// session is ./main with a terminal, as its session's leader.
func (y *tty) session(n *lab.Node, args ...string) *lab.Cmd {
	c := n.Main(args...)
	c.Stdin, c.Stdout, c.Stderr = y.slave, y.slave, y.slave
	c.SysProcAttr.Setsid, c.SysProcAttr.Setctty = true, true
	c.Env = append(os.Environ(), "TERM=vt100")
	return c
}

// shows runs a session to its end and checks what the terminal shows.
func (y *tty) shows(t *testing.T, c *lab.Cmd, status int, want string) {
	t.Helper()
	_ = c.Run()
	y.close()
	if got := y.text(); c.Status() != status || got != want {
		t.Errorf("%s:\n got status %d, %q\nwant status %d, %q", strings.Join(c.Args[1:], " "), c.Status(), got, status, want)
	}
}

// A terminal of its own: by default when the caller has one, and with -t.
func TestTerminal(t *testing.T) {
	n := lab.New(t).Host
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{address, "tty"}, 0, "/dev/pts/0\n"},
		{[]string{"-t", address, "tty"}, 0, "/dev/pts/0\n"},
		{[]string{address, "sh", "-c", "ls -1 /dev/pts; exit 7"}, 7, "0\nptmx\n"},
		{[]string{address, "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo $TERM"}, 0, "vt100\n"},
		{[]string{address, "sh", "-c", "echo out >/dev/tty"}, 0, "out\n"},
		{[]string{address, "sh", "-c", "kill -KILL $$"}, 137, ""},
		// Without: the streams are the caller's, but not as its controlling
		// terminal, so nothing can be typed into it.
		{[]string{"-t=false", address, "sh", "-c", "test -t 1 && echo here; (: >/dev/tty) 2>/dev/null || echo none"}, 0, "here\nnone\n"},
	} {
		y := newTTY(t)
		y.shows(t, y.session(n, c.args...), c.status, c.want)
	}
	idle(t, n)
}

// All that is written is shown, also what is written just before the end.
func TestTerminalShowsAll(t *testing.T) {
	n := lab.New(t).Host
	y := newTTY(t)
	want := ""
	for i := 1; i <= 20000; i++ {
		want += fmt.Sprintln(i)
	}
	y.shows(t, y.session(n, address, "seq", "20000"), 0, want)
}

// What is typed arrives, once, and is echoed once, by the container's terminal.
func TestTerminalInput(t *testing.T) {
	n := lab.New(t).Host
	y := newTTY(t)
	c := y.session(n, address, "sh", "-c", `echo ready; read x; echo "got $x"; read y || echo end`)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	y.await(t, "ready\n")
	awaitRaw(t, y)
	y.enter(t, "hello\r")
	y.await(t, "got hello\n")
	y.enter(t, "\x04") // Ctrl-D
	await(c)
	y.close()
	if got, want := y.text(), "ready\nhello\ngot hello\nend\n"; c.Status() != 0 || got != want {
		t.Errorf("status %d, the terminal shows %q, want 0 and %q", c.Status(), got, want)
	}
}

// awaitRaw waits until the runner passes every byte on.
func awaitRaw(t *testing.T, y *tty) {
	t.Helper()
	lab.Eventually(t, func() error {
		if s := y.settings(t); s.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
			return fmt.Errorf("the terminal is not raw: %#x", s.Lflag)
		}
		return nil
	})
}

// Ctrl-C interrupts what runs in the foreground there, and Ctrl-\\ quits it.
func TestTerminalKeys(t *testing.T) {
	n := lab.New(t).Host
	for keys, want := range map[string]int{"\x03": 130, "\x1c": 131} {
		y := newTTY(t)
		c := y.session(n, address, "sh", "-c", "ulimit -c 0; echo ready; exec sleep 1000")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		y.await(t, "ready\n")
		awaitRaw(t, y)
		y.enter(t, keys)
		await(c)
		if c.Status() != want {
			t.Errorf("key %q: status %d, want %d", keys, c.Status(), want)
		}
	}
	// A shell with job control takes the interrupt of its job in its stride.
	y := newTTY(t)
	c := y.session(n, address, "sh", "-i")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	awaitRaw(t, y)
	y.enter(t, "PS1=; set +o emacs; sleep 1000; echo status $?\r")
	y.await(t, "echo status $?\n")
	lab.Eventually(t, func() error {
		shell := children(initOf(t, n, address))
		if len(shell) != 1 {
			return fmt.Errorf("the first process has the children %v", shell)
		}
		return hasJobAhead(shell[0])
	})
	y.enter(t, "\x03")
	y.enter(t, "echo status $?\r")
	y.await(t, "status 130\n")
	y.enter(t, "exit 9\r")
	await(c)
	if c.Status() != 9 {
		t.Errorf("status %d, want 9\n%s", c.Status(), y.text())
	}
	idle(t, n)
}

// hasJobAhead is a condition: a shell has given the foreground of its terminal to
// another process group than its own. What is typed before that interrupts nobody.
func hasJobAhead(shell int) error {
	// Behind the process group: the session, the terminal, and its foreground.
	if f := stat(shell); len(f) < 6 || f[5] == f[2] {
		return fmt.Errorf("the shell %d has no job in the foreground: %v", shell, f)
	}
	return nil
}

// The window has its size before the command asks, and its changes arrive.
func TestTerminalSize(t *testing.T) {
	n := lab.New(t).Host
	for range 10 {
		y := newTTY(t)
		y.resize(t, 40, 100)
		y.shows(t, y.session(n, address, "stty", "size"), 0, "40 100\n")
	}
	y := newTTY(t)
	y.resize(t, 24, 80)
	c := y.session(n, address, "sh", "-c", `trap 'stty size; exit' WINCH; sleep 1000 & echo ready; wait`)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	y.await(t, "ready\n")
	y.resize(t, 50, 132)
	await(c)
	y.close()
	if got, want := y.text(), "ready\n50 132\n"; got != want {
		t.Errorf("the terminal shows %q, want %q", got, want)
	}
}

// The caller's terminal is afterwards what it was, however the run ended.
func TestTerminalRestored(t *testing.T) {
	n := lab.New(t).Host
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	if err := os.WriteFile(rubbish, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   []string
		status int
		kill   func(h *held) int // whom, when it runs
	}{
		"it ends":                {[]string{address, "true"}, 0, nil},
		"it fails":               {[]string{address, "false"}, 1, nil},
		"the command is killed":  {[]string{address, "sleep", "1000"}, 137, func(h *held) int { return h.command }},
		"the init is killed":     {[]string{address, "sleep", "1000"}, 137, func(h *held) int { return h.init }},
		"the guardian is killed": {[]string{address, "sh", "-c", "read x"}, 0, func(h *held) int { return h.guardian }},
		"it can't be executed":   {[]string{address, rubbish}, 126, nil},
		"it isn't there":         {[]string{address, "no-such-command"}, 127, nil},
		"nothing can start":      {[]string{"-bridge", "eth0", address, "true"}, 125, nil},
	} {
		t.Run(name, func(t *testing.T) {
			y := newTTY(t)
			// Something that no program would choose for itself.
			odd := y.settings(t)
			odd.Cc[unix.VINTR], odd.Iflag = 7, odd.Iflag^unix.IXANY
			if err := unix.IoctlSetTermios(int(y.slave.Fd()), unix.TCSETS, &odd); err != nil {
				t.Fatal(err)
			}
			before := y.settings(t)
			cmd := y.session(n, append([]string{"-t"}, c.args...)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if c.kill != nil {
				awaitRaw(t, y)
				h := &held{Cmd: cmd, address: address, main: cmd.Process.Pid}
				h.findProcesses(t, n)
				kill(t, c.kill(h))
				if c.status == 0 {
					y.enter(t, "\r")
				}
			}
			await(cmd)
			if cmd.Status() != c.status {
				t.Errorf("status %d, want %d: %s", cmd.Status(), c.status, y.text())
			}
			if after := y.settings(t); after != before {
				t.Errorf("the terminal's settings were\n%+v, and are\n%+v", before, after)
			}
			lab.Eventually(t, func() error { return noVeth(n) })
		})
	}
}

// With -t but without a terminal of the caller's, the command has one all the
// same, and what it shows is passed on.
func TestTerminalWithoutCallers(t *testing.T) {
	n := lab.New(t).Host
	expect(t, n.Main("-t", address, "tty"), 0, "/dev/pts/0\r\n", "")
	idle(t, n)
}

// When the caller's terminal hangs up, the command is told.
func TestTerminalHangsUp(t *testing.T) {
	n := lab.New(t).Host
	y := newTTY(t)
	c := y.session(n, address, "sh", "-c", "echo ready; exec sleep 1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	y.await(t, "ready\n")
	awaitRaw(t, y)
	if err := c.Process.Signal(syscall.SIGHUP); err != nil { // as the kernel does to a session's leader
		t.Fatal(err)
	}
	await(c)
	if c.Status() != 129 {
		t.Errorf("status %d, want 129", c.Status())
	}
	idle(t, n)
}
