package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The programs below are cloned without namespaces, which takes no privilege.
// The machinery is the same.

// clones is the two ways to clone. clone3 refuses a flag that it does not
// know, as an old kernel refuses clone3 itself, while clone(2) looks at the
// lower 32 bits alone.
var clones = map[string]uint64{
	"clone3": 0,
	"clone":  1 << 40,
}

// perform runs a program to its end: its report, nil when all went well, and
// its exit status.
func perform(t *testing.T, flags uint64, build func(p *program)) (*program, *report, unix.WaitStatus) {
	t.Helper()
	l, err := newLine()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	p := &program{line: uintptr(l.theirs)}
	build(p)
	pid, pidfd, err := p.clone(flags, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	l.handOver()
	m, err := l.hear()
	if err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := ignoringEINTR(func() (int, error) { return unix.Wait4(pid, &status, 0, nil) }); err != nil {
		t.Fatal(err)
	}
	return p, m.report, status
}

func TestProgramEnds(t *testing.T) {
	for name, flags := range clones {
		_, report, status := perform(t, flags, func(p *program) {
			p.setUp = append(p.setUp, call("getpid", unix.SYS_GETPID), newSession())
		})
		if report != nil || !status.Exited() || status.ExitStatus() != 0 {
			t.Errorf("%s: report %v, status %#x; want none and 0", name, report, status)
		}
	}
}

// A step that fails is told with its errno, and is the last.
func TestProgramFails(t *testing.T) {
	getpid := call("getpid", unix.SYS_GETPID)
	bad := call("read from nowhere", unix.SYS_READ, ^uintptr(0), 0, 0)
	never := call("after the failure", unix.SYS_EXIT_GROUP, 42)
	for _, c := range []struct {
		name  string
		steps []step
		want  string // the error, or none
	}{
		{"errno", []step{getpid, bad, never}, "read from nowhere: bad file descriptor"},
		{"first", []step{bad, never}, "read from nowhere: bad file descriptor"},
		{"passed", []step{bad.passing(unix.EBADF), getpid}, ""},
		{"second passed", []step{bad.passing(unix.ENOENT, unix.EBADF), getpid}, ""},
		{"another passed", []step{bad.passing(unix.ENOENT), never}, "read from nowhere: bad file descriptor"},
		{"wanted", []step{call("dup", unix.SYS_DUP3, 1, 100, 0).wanting(100), getpid}, ""},
		{"another wanted", []step{call("dup", unix.SYS_DUP3, 1, 100, 0).wanting(99), never}, "dup: ended early"},
		{"no result wanted", []step{getpid.wanting(noResult), never}, "getpid: ended early"},
		{"no result", []step{bad.wanting(noResult).passing(unix.EBADF)}, ""},
	} {
		p, report, status := perform(t, 0, func(p *program) { p.setUp = c.steps })
		got := ""
		if report != nil {
			got = p.failed(*report).Error()
		}
		if got != c.want {
			t.Errorf("%s: got the error %q, want %q", c.name, got, c.want)
		}
		if want := statusSetup; c.want == "" {
			if status.ExitStatus() != 0 {
				t.Errorf("%s: status %#x, want 0", c.name, status)
			}
		} else if status.ExitStatus() != want {
			t.Errorf("%s: status %#x, want %d", c.name, status, want)
		}
	}
}

// shell makes a program's command a shell script.
func shell(p *program, script string) {
	p.command = append(p.command, newSession(), p.unblockSignals(),
		p.exec("/bin/sh", []string{"sh", "-c", script}, []string{"PATH=" + defaultPath}))
	p.after = append(p.after, call("close the line", unix.SYS_CLOSE, p.line))
}

// The first process ends as its command does, and has reaped it.
func TestProgramEndsWithItsCommand(t *testing.T) {
	for name, flags := range clones {
		for script, want := range map[string]int{
			"exit 0":          0,
			"exit 7":          7,
			"exit 255":        255,
			"kill -TERM $$":   128 + int(unix.SIGTERM),
			"kill -KILL $$":   128 + int(unix.SIGKILL),
			"sh -c 'exit 3'&": 0, // an orphan, or none yet
		} {
			_, report, status := perform(t, flags, func(p *program) { shell(p, script) })
			if report != nil || !status.Exited() || status.ExitStatus() != want {
				t.Errorf("%s, %s: report %v, status %#x; want %d", name, script, report, status, want)
			}
		}
	}
}

// The steps of all three lists are told apart.
func TestProgramSaysWhere(t *testing.T) {
	bad := func(text string) step { return call(text, unix.SYS_READ, ^uintptr(0), 0, 0) }
	good := call("getpid", unix.SYS_GETPID)
	for where, build := range map[string]func(*program){
		"set-up":  func(p *program) { p.setUp = []step{good, bad("set-up")} },
		"command": func(p *program) { p.setUp, p.command = []step{good}, []step{good, bad("command"), good} },
		"after": func(p *program) {
			p.setUp, p.command = []step{good}, []step{call("end", unix.SYS_EXIT_GROUP, 0)}
			p.after = []step{good, bad("after")}
		},
	} {
		p, report, _ := perform(t, 0, build)
		if report == nil {
			t.Errorf("%s: no report", where)
		} else if got, want := p.failed(*report).Error(), where+": bad file descriptor"; got != want {
			t.Errorf("got the error %q, want %q", got, want)
		}
	}
}

// That the command could not be executed is told apart from a step that
// prepares it: it has exit statuses of its own.
func TestProgramExecFails(t *testing.T) {
	for name, flags := range clones {
		p, report, _ := perform(t, flags, func(p *program) {
			p.command = []step{p.unblockSignals(), p.exec("/no/such/program", []string{"x"}, nil)}
		})
		if report == nil {
			t.Errorf("%s: no report", name)
			continue
		}
		err := p.failed(*report)
		var s *stepError
		if !errors.As(err, &s) || !s.exec || !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: got the error %v (%+v), want ENOENT of the execve", name, err, s)
		}
		if want := "execve /no/such/program: no such file or directory"; err.Error() != want {
			t.Errorf("%s: got %q, want %q", name, err, want)
		}
	}
	p, report, _ := perform(t, 0, func(p *program) {
		p.command = []step{call("read", unix.SYS_READ, ^uintptr(0), 0, 0), p.exec("/bin/sh", []string{"sh"}, nil)}
	})
	var s *stepError
	if report == nil || !errors.As(p.failed(*report), &s) || s.exec {
		t.Errorf("got %v (%+v), want a failure that is not the execve's", report, s)
	}
}

// The command has its caller's signal mask, and ignores what its caller
// ignored, however the process was cloned; handlers are gone.
func TestProgramSignals(t *testing.T) {
	// The mask is the thread's. The goroutine goes back to where the mask is
	// what it was.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	block := unix.Sigset_t{}
	block.Val[0] = 1 << (unix.SIGUSR1 - 1)
	var old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &block, &old); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }()
	signal.Ignore(unix.SIGHUP)
	defer signal.Reset(unix.SIGHUP)
	// A job in the background may have begun with others ignored.
	ignored := ignoredSignals(t)
	if ignored&(1<<(unix.SIGHUP-1)) == 0 {
		t.Fatalf("SIGHUP is not ignored: %#x", ignored)
	}
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, unix.SIGUSR2)
	defer signal.Stop(caught)

	for name, flags := range clones {
		out, err := os.CreateTemp(t.TempDir(), "out")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		_, report, status := perform(t, flags, func(p *program) {
			p.setUp = append(p.setUp, call("dup3", unix.SYS_DUP3, out.Fd(), 1, 0))
			p.command = append(p.command, p.unblockSignals(),
				p.exec("/bin/cat", []string{"cat", "/proc/self/status"}, nil))
		})
		if report != nil || status.ExitStatus() != 0 {
			t.Fatalf("%s: report %v, status %#x", name, report, status)
		}
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		for field, want := range map[string]uint64{
			"SigBlk": 1 << (unix.SIGUSR1 - 1),
			"SigIgn": ignored,
			"SigCgt": 0,
		} {
			if line := fmt.Sprintf("\n%s:\t%016x\n", field, want); !strings.Contains(string(text), line) {
				t.Errorf("%s: the command lacks the line %q:\n%s", name, line, text)
			}
		}
	}
}

// A child that waits goes on when it is told to, and ends when nobody is left
// who could tell it.
func TestProgramWaits(t *testing.T) {
	for want, tell := range map[int]func(l *line) error{
		0:           func(l *line) error { return l.release() },
		statusSetup: func(*line) error { return nil },
	} {
		l, err := newLine()
		if err != nil {
			t.Fatal(err)
		}
		p := &program{line: uintptr(l.theirs)}
		// Its own copy of the parent's end would keep the line alive.
		p.setUp = append(keepOnly(l.theirs), p.waitForGo())
		pid, err := p.spawn()
		if err != nil {
			t.Fatal(err)
		}
		l.handOver()
		if err := tell(l); err != nil {
			t.Error(err)
		}
		l.close()
		var status unix.WaitStatus
		if _, err := ignoringEINTR(func() (int, error) { return unix.Wait4(pid, &status, 0, nil) }); err != nil {
			t.Fatal(err)
		}
		if status.ExitStatus() != want {
			t.Errorf("status %#x, want %d", status, want)
		}
	}
}

// What the first process is sent it passes on to its command.
func TestProgramPassesSignalsOn(t *testing.T) {
	l, err := newLine()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := &program{line: uintptr(l.theirs)}
	p.setUp = append(p.setUp, call("dup3", unix.SYS_DUP3, w.Fd(), 1, 0))
	shell(p, `trap 'kill $!; exit 3' USR1; sleep 1000 & echo ready; wait`)
	pid, pidfd, err := p.clone(0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	l.handOver()
	w.Close()
	ready := make([]byte, 6)
	if _, err := r.Read(ready); err != nil || string(ready) != "ready\n" {
		t.Fatalf("the command says %q (error %v)", ready, err)
	}
	if err := unix.PidfdSendSignal(pidfd, unix.SIGUSR1, nil, 0); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := ignoringEINTR(func() (int, error) { return unix.Wait4(pid, &status, 0, nil) }); err != nil {
		t.Fatal(err)
	}
	if status.ExitStatus() != 3 {
		t.Errorf("status %#x, want that of the command's handler, 3", status)
	}
}

func TestExitStatus(t *testing.T) {
	for wait, want := range map[int32]uintptr{
		0x0000:    0,
		0x0100:    1,
		0x0700:    7,
		0xff00:    255,
		9:         137,
		11:        139,
		0x80 | 11: 139, // with a core dumped
		64:        192, // SIGRTMAX
	} {
		if got := exitStatus(wait); got != want {
			t.Errorf("wait status %#x: got %d, want %d", wait, got, want)
		}
	}
}

func TestCloneAdvice(t *testing.T) {
	for errno, want := range map[unix.Errno]string{
		unix.EINVAL: "CONFIG_NAMESPACES",
		unix.EPERM:  "CAP_SYS_ADMIN",
		unix.ENOSPC: "user.max_net_namespaces",
		unix.EAGAIN: "pids.max",
	} {
		if got := cloneAdvice(errno); !strings.Contains(got, want) {
			t.Errorf("%v: got the advice %q, want it to name %s", errno, got, want)
		}
	}
	if got := cloneAdvice(unix.ENOMEM); got != "" {
		t.Errorf("ENOMEM: got the advice %q, and there is none to give", got)
	}
}

// ignoredSignals are those that this process ignores, as a mask.
func ignoredSignals(t *testing.T) uint64 {
	t.Helper()
	status, err := readStatus("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	mask, err := strconv.ParseUint(status["SigIgn"], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return mask
}
