//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

// redirected is ./main behind a shell's redirection of its standard streams.
func redirected(t *testing.T, n *lab.Node, how string, args ...string) *lab.Cmd {
	t.Helper()
	return n.Command("sh", words([]string{"-c", `exec "$0" "$@" ` + how, lab.MainBinary(t)}, args)...)
}

// verbsThatSpeak are those that write to standard output.
var verbsThatSpeak = [][]string{{"version"}, {"help"}, {"help", "exec"}, {"-h"}, {"ls"}, {"ls", "-json"}, {"check"}, {"-n", address, "true"}}

// Closed standard streams are nobody's fault: the status is what it would be, and
// no other file is written to in their place.
func TestStandardStreamsClosed(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	verbs := append(slices.Clone(verbsThatSpeak), []string{address, "true"}, []string{"-x", address, "true"}, []string{"-t", address, "true"},
		[]string{"-network", "none", "echo", "x"}, []string{"-x", "-p", "8080:80", address, "sh", "-c", "exit 0"})
	for _, verb := range verbs {
		for _, how := range []string{"<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"} {
			stdout, stderr, status := redirected(t, n, how, verb...).Result()
			if status != 0 {
				t.Errorf("%q %s: status %d, want 0", verb, how, status)
			}
			if strings.Contains(how, ">&-") && !strings.HasPrefix(how, "2") && stdout != "" {
				t.Errorf("%q %s: output %q", verb, how, stdout)
			}
			if (strings.Contains(how, "2>&-") || verb[0] != "-x") && stderr != "" {
				t.Errorf("%q %s: error %q", verb, how, stderr)
			}
		}
	}
	idle(t, n)
}

// What can't be written is an error, by its own words; of a run it is the
// command's business, and the narration's loss does not keep it.
func TestOutputFull(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for _, verb := range verbsThatSpeak {
		expect(t, redirected(t, n, ">/dev/full", verb...), 125, "", "main: write /dev/stdout: no space left on device\n")
	}
	expect(t, redirected(t, n, ">/dev/full", address, "sh", "-c", "echo x; exit 3"), 3, "", "sh: 1: echo: echo: I/O error\n")
	expect(t, redirected(t, n, "2>/dev/full", "-xx", address, "echo", "x"), 0, "x\n", "")
	idle(t, n)
}

// Whoever writes to a pipe that nobody reads any more ends by SIGPIPE, as every
// program; what a run that narrates has made by then is taken back.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	succeed(t, n.Main(address, "true"))
	for _, verb := range verbsThatSpeak {
		nobodyReads(t, n.Main(verb...), false)
	}
	for _, flags := range [][]string{{"-x"}, {"-xx", "-p", "8080:80"}, {"-x", "-network", "none"}} {
		args := append(flags, address)
		if flags[len(flags)-1] == "none" {
			args = flags
		}
		nobodyReads(t, n.Main(append(args, "true")...), true)
		lab.Eventually(t, func() error { return noClaims(n) })
		idle(t, n)
	}
}

// nobodyReads runs a program whose standard output, or error, is such a pipe.
func nobodyReads(t *testing.T, c *lab.Cmd, stderr bool) {
	t.Helper()
	pipe := c.StdoutPipe
	if stderr {
		pipe = c.StderrPipe
	}
	r, err := pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(c)
	if c.Status() != 141 {
		t.Errorf("%q: status %d, want 141, of SIGPIPE", c.Args[1:], c.Status())
	}
}

// hangUps are what a command does about the end of its terminal, and the status
// that the run has then.
var hangUps = []struct {
	command string
	status  int
}{
	{"echo >$READY; exec sleep 1000", 129},
	{"trap 'exit 3' HUP; echo >$READY; while :; do sleep 1000 & wait; done", 3},
	// As nohup(1) has it. Who writes there, or reads, does not wait for ever.
	{"trap '' HUP; echo >$READY; while echo x; do :; done; exit 5", 5},
	{"trap '' HUP; echo >$READY; cat; exit 6", 6},
}

// When the caller's terminal hangs up, its master end closed, the command learns
// of it as if that was its own, whether or not it has one in between.
func TestHangUp(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	for _, verb := range [][]string{{address}, {"exec", "172.16.0.31"}} {
		for _, flag := range []string{"-t", "-t=false"} {
			for _, h := range hangUps {
				ready := filepath.Join(t.TempDir(), "ready")
				at := len(verb) - 1
				c := n.Main(words(verb[:at], []string{flag, "-e", "READY=" + ready, verb[at]}, script(h.command))...)
				hangsUp(t, c, ready, flag == "-t")
				if c.Status() != h.status {
					t.Errorf("%q %s %q: status %d, want %d", verb, flag, h.command, c.Status(), h.status)
				}
			}
		}
	}
	keep.end(t)
	idle(t, n)
}

// hangsUp runs a program on a terminal of its own, hangs that up as soon as there
// is a file, and the terminal in raw mode if it is to be, and waits for the
// program's end.
func hangsUp(t *testing.T, c *lab.Cmd, ready string, raw bool) {
	t.Helper()
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	hangUp := sync.OnceFunc(func() { _ = unix.Close(master) })
	t.Cleanup(hangUp)
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr.Setsid, c.SysProcAttr.Setctty = true, true
	err = c.Start()
	_ = slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, func() error {
		_, err := os.Stat(ready)
		if s, terr := unix.IoctlGetTermios(master, unix.TCGETS); err == nil && raw && (terr != nil || s.Lflag&unix.ICANON != 0) {
			err = fmt.Errorf("the terminal is not raw (error %v)", terr)
		}
		return err
	})
	hangUp()
	await(c)
}
