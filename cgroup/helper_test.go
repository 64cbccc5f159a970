//go:build linux

package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"container/integration/need"
)

// What the tests stand on that make real groups. They are below a directory of
// the test process's own, not of the product's.

// realHost is the host that the tests run on. When the test ends, nothing may
// be left.
func realHost(t testing.TB) host {
	t.Helper()
	if os.Geteuid() != 0 {
		need.Skip(t, "needs root, to make control groups")
	}
	h := kernel
	h.parent = fmt.Sprintf("cgtest-%d", os.Getpid())
	for _, c := range controllers {
		if _, err := h.where(c.name); err != nil {
			need.Skip(t, err.Error())
		}
	}
	t.Cleanup(func() {
		if err := h.sweep(); err != nil {
			t.Error(err)
		}
		hs, err := h.hierarchies()
		if err != nil {
			t.Error(err)
		}
		for _, tree := range hs {
			left := filepath.Join(tree.top, h.parent)
			if _, err := os.Stat(left); err == nil {
				t.Errorf("%s is left behind, with %v in it", left, subgroups(left))
			}
		}
	})
	return h
}

// newGroup is a group that must come to be. It is removed when the test ends.
func newGroup(t testing.TB, h host, name string, l Limits) *Group {
	t.Helper()
	g, err := h.make(name, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// eventually returns when a condition holds, which the kernel sees to in its
// own time, or another process does. Only a failure reaches the deadline.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in a minute", what)
		}
	}
}

// helperVar has the test binary be one of the helpers, with its parent group.
const helperVar = "CGTEST_HELPER"

// helpers is what a process in a group does, when it is told to go. Each ends
// when its standard input does.
var helpers = map[string]func(host) error{
	"sleep":  func(host) error { return nil },
	"hog":    hog,
	"forks":  forks,
	"burn":   burn,
	"make":   makeAndWait,
	"covers": covers,
	"crowd":  crowd,
}

func TestMain(m *testing.M) {
	name, parent, ok := strings.Cut(os.Getenv(helperVar), ":")
	if !ok {
		os.Exit(m.Run())
	}
	h := kernel
	h.parent = parent
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
		os.Exit(0) // not needed after all
	}
	if err := helpers[name](h); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// helper is a process in a group.
type helper struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

// start starts a helper in a group, or outside of all when there is none. The
// group takes it as the container runner would: by clone if that can be.
func start(t testing.TB, h host, g *Group, name string) *helper {
	t.Helper()
	p := &helper{t: t}
	p.cmd = exec.Command("/proc/self/exe")
	// One P, so that the runtime wants no new thread when none is to be had.
	p.cmd.Env = append(os.Environ(), helperVar+"="+name+":"+h.parent, "GOMAXPROCS=1")
	p.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	switch name {
	case "covers":
		p.cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
		p.cmd.Env = append(p.cmd.Env, "TMPDIR="+t.TempDir())
	case "crowd":
		p.cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	}
	cloned := g != nil && g.FD() >= 0
	if cloned {
		p.cmd.SysProcAttr.UseCgroupFD = true
		p.cmd.SysProcAttr.CgroupFD = g.FD()
	}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	if g != nil {
		add(t, g, p.pid(), cloned)
	}
	return p
}

// add moves a process, which may have several threads, into a group; but not into
// version 2's if it was cloned into that.
func add(t testing.TB, g *Group, pid int, cloned bool) {
	t.Helper()
	for _, d := range g.dirs {
		if cloned && d.v2 {
			continue
		}
		if err := write(filepath.Join(d.path, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *helper) pid() int { return p.cmd.Process.Pid }

// run tells the helper to go.
func (p *helper) run() {
	p.t.Helper()
	if _, err := p.stdin.Write([]byte{1}); err != nil {
		p.t.Fatal(err)
	}
}

// line is what the helper says next.
func (p *helper) line() string {
	p.t.Helper()
	s, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("the helper ended early, having said %q: %v", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

// end has the helper end, and is its wait status.
func (p *helper) end() unix.WaitStatus {
	_ = p.stdin.Close()
	_, _ = io.Copy(io.Discard, p.out)
	_ = p.cmd.Wait()
	return unix.WaitStatus(p.cmd.ProcessState.Sys().(syscall.WaitStatus))
}

func (p *helper) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		p.end()
	}
}

// hog uses 192 MiB of memory.
func hog(host) error {
	var all [][]byte
	for range 192 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
	}
	fmt.Println("survived")
	runtime.KeepAlive(all)
	return nil
}

// forks makes 300 processes, or as many as it can, and says how many it were.
func forks(host) error {
	// They die with the thread that made them.
	runtime.LockOSThread()
	var pids []int
	var errno unix.Errno
	for range 300 {
		pid, e := forkAndEnter(nil)
		if errno = e; errno != 0 {
			break
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL)
		_ = ignoringEINTR(func() error { _, err := unix.Wait4(pid, nil, 0, nil); return err })
	}
	fmt.Println(len(pids), errno == unix.EAGAIN)
	return nil
}

// crowd is the first process of a PID namespace with some more.
func crowd(host) error {
	runtime.LockOSThread()
	n := 0
	for range 30 {
		if _, errno := forkAndEnter(nil); errno != 0 {
			return errno
		}
		n++
	}
	fmt.Println(n)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// burn uses all the CPU time there is for a minute, or until it is killed.
func burn(host) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
	}
	return nil
}

// makeAndWait makes a group and does not remove it.
func makeAndWait(h host) error {
	g, err := h.make("made", Limits{PIDs: 100})
	if err != nil {
		return err
	}
	fmt.Println("made")
	_, _ = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(g)
	return nil
}

// covers is in a mount namespace of its own, which takes its mounts along. It
// mounts the memory hierarchy at another place, covers the old one, and makes a
// group.
func covers(h host) error {
	was, err := h.where("memory")
	if err != nil {
		return err
	}
	_, top, _ := strings.Cut(was, " at ")
	dir, err := os.MkdirTemp("", "cgtest")
	if err != nil {
		return err
	}
	place := filepath.Join(dir, `a b\040#`)
	if err := os.Mkdir(place, 0o700); err != nil {
		return err
	}
	if err := unix.Mount(top, place, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", top, "tmpfs", 0, ""); err != nil {
		return err
	}
	is, err := h.where("memory")
	if err != nil {
		return err
	}
	if want := strings.Replace(was, top, place, 1); is != want {
		return fmt.Errorf("found %s, want %s", is, want)
	}
	g, err := h.make("covered", Limits{Memory: 1 << 30})
	if err != nil {
		return err
	}
	if want := filepath.Join(place, h.parent, "covered"); !slices.Equal(g.Dirs(), []string{want}) {
		err = fmt.Errorf("made %v, want %s", g.Dirs(), want)
	}
	if err := errors.Join(err, g.Remove(), h.rmdir(filepath.Join(place, h.parent))); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

// entrance is a file's name as open(2) takes it.
type entrance *byte

func entrances(t testing.TB, files []string) []entrance {
	t.Helper()
	var es []entrance
	for _, file := range files {
		p, err := unix.BytePtrFromString(file)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, p)
	}
	return es
}

var zero = [1]byte{'0'}

// forkAndEnter makes a process that writes "0" into files by nothing but system
// calls, as the first process of a container does, and then waits to be killed.
//
//go:nosplit
//go:norace
func forkAndEnter(files []entrance) (int, unix.Errno) {
	a, b := uintptr(unix.SIGCHLD), uintptr(0)
	if runtime.GOARCH == "s390x" {
		a, b = b, a // CONFIG_CLONE_BACKWARDS2
	}
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, a, b, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return int(pid), errno
	}
	unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	for i := range files {
		const here = ^uintptr(99) // AT_FDCWD, -100
		fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, here, uintptr(unsafe.Pointer(files[i])), unix.O_WRONLY, 0, 0, 0)
		if errno == 0 {
			_, _, errno = unix.RawSyscall6(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&zero)), 1, 0, 0, 0)
			unix.RawSyscall6(unix.SYS_CLOSE, fd, 0, 0, 0, 0, 0)
		}
		if errno != 0 {
			unix.RawSyscall6(unix.SYS_EXIT_GROUP, uintptr(errno), 0, 0, 0, 0, 0)
		}
	}
	for {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// number is a number in a group's file: the whole of it, or what stands behind
// a key.
func number(t testing.TB, dir, file, key string) int64 {
	t.Helper()
	s, err := read(filepath.Join(dir, file))
	if err != nil {
		t.Fatalf("%s: %s: %v", dir, file, err)
	}
	if key != "" {
		for line := range strings.Lines(s) {
			if v, ok := strings.CutPrefix(line, key+" "); ok {
				s = strings.TrimSpace(v)
			}
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %s: %v", dir, file, err)
	}
	return n
}
