//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The container's terminal is a pty of its own devpts instance: the caller's
// own terminal is not there inside, so nothing can be typed into it from there
// (TIOCSTI), and job control, Ctrl-C and the window's size are the pty's.

// makeTerminal opens a pty of the container's devpts and sends the master end
// up the line. The slave end stays open, as descriptor p.slave.
func (p *program) makeTerminal() []step {
	master := p.lowestFD(0)
	p.slave = p.lowestFD(1)
	unlock := p.data(make([]byte, 4)) // an int, 0
	return []step{
		call("open /dev/pts/ptmx", unix.SYS_OPENAT, atFDCWD(), p.str("/dev/pts/ptmx"), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC).wanting(master),
		call("unlock the terminal", unix.SYS_IOCTL, master, unix.TIOCSPTLCK, unlock),
		call("open the terminal's slave end", unix.SYS_IOCTL, master, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC).wanting(p.slave),
		p.sendFD("send the terminal's master end", int(master)),
		call("close the terminal's master end", unix.SYS_CLOSE, master),
	}
}

// useTerminal makes the slave end the command's standard streams and its
// controlling terminal, and the user's own. The command is the leader of a new
// session by then.
func (p *program) useTerminal(u user) []step {
	steps := []step{
		call("make it the controlling terminal", unix.SYS_IOCTL, p.slave, unix.TIOCSCTTY, 0),
		call("chown the terminal", unix.SYS_FCHOWN, p.slave, uintptr(u.uid), ^uintptr(0)),
	}
	for fd := range uintptr(3) {
		steps = append(steps, call("dup3 the terminal to a standard stream", unix.SYS_DUP3, p.slave, fd, 0))
	}
	return steps
}

// atFDCWD is AT_FDCWD as an argument of a system call.
func atFDCWD() uintptr {
	fd := unix.AT_FDCWD
	return uintptr(fd)
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// terminal is the caller's terminal joined to the container's.
type terminal struct {
	master *os.File
	fd     int           // of master, which (*os.File).Fd would make blocking
	saved  *unix.Termios // the caller's settings, nil when it is no terminal
	output chan struct{} // closed when all output has been passed on
}

// joinTerminal passes bytes between the caller's standard streams and the
// master end.
func joinTerminal(master int) (*terminal, error) {
	// For leave's deadline.
	if err := unix.SetNonblock(master, true); err != nil {
		return nil, fmt.Errorf("the terminal's master end: %w", err)
	}
	t := &terminal{master: os.NewFile(uintptr(master), "ptmx"), fd: master, output: make(chan struct{})}
	if saved, err := unix.IoctlGetTermios(unix.Stdin, unix.TCGETS); err == nil {
		if err := unix.IoctlSetTermios(unix.Stdin, unix.TCSETS, raw(*saved)); err != nil {
			return nil, fmt.Errorf("set the terminal to raw mode: %w", err)
		}
		t.saved = saved
	}
	go func() {
		// The end of the caller's input is not the end of the session; as on
		// any terminal that takes Ctrl-D.
		_ = pass(t.master, os.Stdin)
	}()
	go func() {
		defer close(t.output)
		// EIO, when no process has the slave end any more.
		if err := pass(os.Stdout, t.master); errors.Is(err, os.ErrDeadlineExceeded) {
			t.drain()
		}
	}()
	return t, nil
}

// pass copies until one end fails or is at its end, which is why. (io.Copy
// would bring splice and sendfile along, which a terminal has not.)
func pass(to, from *os.File) error {
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// raw is what cfmakeraw(3) makes of settings: every byte goes through as it is,
// and what Ctrl-C means the container's terminal decides.
func raw(s unix.Termios) *unix.Termios {
	s.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	s.Oflag &^= unix.OPOST
	s.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	s.Cflag &^= unix.CSIZE | unix.PARENB
	s.Cflag |= unix.CS8
	s.Cc[unix.VMIN], s.Cc[unix.VTIME] = 1, 0
	return &s
}

// resize gives the pty the size of the caller's window; the kernel tells the
// foreground processes (SIGWINCH).
func (t *terminal) resize() { copyWindowSize(t.fd) }

func copyWindowSize(master int) {
	size, err := unix.IoctlGetWinsize(unix.Stdout, unix.TIOCGWINSZ)
	if err != nil {
		return // no window there
	}
	_ = unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, size)
}

// leave gives the caller's terminal its settings back when all is out that the
// command has written. Others that it left behind in the container may have the
// slave end yet: they are not waited for.
func (t *terminal) leave() {
	_ = t.master.SetReadDeadline(time.Now())
	<-t.output
	t.restore()
}

// drain passes on what is in the pty, which holds no more than this. A read
// that does not wait has the kernel deliver first what is on its way
// (n_tty_read, drivers/tty/n_tty.c).
func (t *terminal) drain() {
	buf := make([]byte, 4096)
	for left := 256 << 10; left > 0; {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(t.fd, buf) })
		if err != nil || n == 0 {
			return
		}
		if _, err := os.Stdout.Write(buf[:n]); err != nil {
			return
		}
		left -= n
	}
}

func (t *terminal) restore() {
	if t.saved != nil {
		_ = unix.IoctlSetTermios(unix.Stdin, unix.TCSETS, t.saved)
		t.saved = nil
	}
}
