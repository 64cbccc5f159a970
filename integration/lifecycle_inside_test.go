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

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// namespace names the namespace of a kind that a process is in.
func namespace(t *testing.T, process, kind string) string {
	t.Helper()
	s, err := os.Readlink("/proc/" + process + "/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The command is in namespaces of its own, and so is all of the container.
func TestNamespaces(t *testing.T) {
	n := lab.New(t).Host
	h := hold(t, n, address)
	for _, kind := range []string{"mnt", "pid", "uts", "ipc", "net", "cgroup"} {
		host := namespace(t, strconv.Itoa(h.main), kind)
		command := namespace(t, strconv.Itoa(h.command), kind)
		if command == host {
			t.Errorf("the command is in the host's %s namespace %s", kind, host)
		}
		if init := namespace(t, strconv.Itoa(h.init), kind); init != command {
			t.Errorf("the container's first process is in the %s namespace %s, its command in %s", kind, init, command)
		}
		if guardian := namespace(t, strconv.Itoa(h.guardian), kind); guardian != host {
			t.Errorf("the guardian is in the %s namespace %s, want the host's %s", kind, guardian, host)
		}
	}
	h.end(t)
}

// What it sees of itself: its host's name, its processes, who it is.
func TestInside(t *testing.T) {
	n := lab.New(t).Host
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, script, want string }{
		{address, "uname -n", "container\n"},
		{"-hostname box " + address, "uname -n; echo $HOSTNAME", "box\nbox\n"},
		{address, "echo /proc/[0-9]*", "/proc/1 /proc/2\n"},
		{address, "echo $$ $PPID", "2 1\n"},
		{address, "id -u", "0\n"},
	} {
		args := append(strings.Fields(c.args), "sh", "-c", c.script)
		expect(t, n.Main(args...), 0, c.want, "")
	}
	if now, _ := os.Hostname(); now != host {
		t.Errorf("the host was %s, and is %s", host, now)
	}
}

// noNewMount checks that all that is mounted in the end was before. (One may have
// gone: it does when somebody elsewhere on the machine removes the directory that
// it is on.)
func noNewMount(t *testing.T, what, before, after string) {
	t.Helper()
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			t.Errorf("%s: a mount shows on the host: %s", what, line)
		}
	}
}

// What is mounted in a container is not on the host, where mounts are shared
// between namespaces too (systemd makes them so). That host is a mount namespace
// which others on the machine have no part in.
func TestMountsStayInside(t *testing.T) {
	need.Tool(t, "unshare")
	n := lab.New(t).Host
	const script = `mount --make-rshared /; cat /proc/self/mountinfo; echo; "$0" "$@" || exit; cat /proc/self/mountinfo`
	c := n.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script,
		lab.MainBinary(t), "-cap-add", "SYS_ADMIN", address, "sh", "-c", "mount -t tmpfs none /mnt && echo x >/mnt/x && cat /mnt/x >&2")
	stdout, stderr, status := c.Result()
	stderr, inside := strings.CutSuffix(stderr, "x\n")
	if !inside {
		t.Errorf("the container has no mount: %q", stderr)
	}
	before, after, _ := strings.Cut(stdout, "\n\n")
	if status != 0 || stderr != "" || !strings.Contains(before, " shared:") {
		t.Fatalf("status %d, error %q, mounts\n%s", status, stderr, before)
	}
	noNewMount(t, "afterwards", before+"\n", after)
	if after == "" {
		t.Error("nothing is mounted afterwards")
	}
}

// beyondStandard lists the descriptors that a process has beside the standard
// ones, with what they are.
func beyondStandard(t *testing.T, pid int) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var beyond []string
	for _, fd := range fds {
		if !slices.Contains([]string{"0", "1", "2"}, fd.Name()) {
			to, _ := os.Readlink(filepath.Join(dir, fd.Name()))
			beyond = append(beyond, fd.Name()+" "+to)
		}
	}
	return beyond
}

// Whatever the caller had open, the command has its standard streams.
func TestDescriptors(t *testing.T) {
	n := lab.New(t).Host
	secret, err := os.CreateTemp(t.TempDir(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	many := n.Main(address, "cat")
	for range 198 {
		many.ExtraFiles = append(many.ExtraFiles, secret) // 3 to 200
	}
	for name, c := range map[string]*lab.Cmd{
		"the caller has the standard ones open": n.Main(address, "cat"),
		"the caller has 3 to 200 open":          many,
		"standard error is closed":              n.Command("sh", "-c", `exec "$0" "$@" 2>&-`, lab.MainBinary(t), address, "cat"),
	} {
		t.Run(name, func(t *testing.T) {
			h := holdCommand(t, n, c, address)
			if got := beyondStandard(t, h.command); got != nil {
				t.Errorf("the command has open: %s", strings.Join(got, ", "))
			}
			// The guardian would keep a reader of the command's output waiting, and
			// the host's files in use; as would the first process, which has
			// nothing open at all (findProcesses).
			fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.guardian))
			if err != nil {
				t.Fatal(err)
			}
			if len(fds) != 3 {
				t.Errorf("the guardian has open: %v, want its line, the container's pidfd and a socket", fds)
			}
			for _, fd := range fds {
				to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", h.guardian, fd.Name()))
				if !strings.HasPrefix(to, "socket:") && !strings.HasPrefix(to, "pidfd:") && to != "anon_inode:[pidfd]" {
					t.Errorf("the guardian has open: %s", to)
				}
			}
			h.end(t)
			lab.Eventually(t, func() error { return noVeth(n) })
		})
	}
}

// A thousand containers don't keep a thousand copies of the memory of the
// runner's runtime, which reserves a gigabyte of addresses.
func TestMemoryIsGivenBack(t *testing.T) {
	n := lab.New(t).Host
	h := holdCommand(t, n, n.Main(address, "cat"), address)
	size := func(pid int) (kB int) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(status), "\nVmSize:")
		if _, err := fmt.Sscan(after, &kB); err != nil {
			t.Fatalf("process %d: %v in\n%s", pid, err, status)
		}
		return kB
	}
	runner := size(h.main)
	for who, pid := range map[string]int{"the container's first process": h.init, "the guardian": h.guardian} {
		// With addresses of 32 bits all stays.
		if got := size(pid); strconv.IntSize == 64 && got > runner/4 {
			t.Errorf("%s has %d kB of addresses, the runner %d kB", who, got, runner)
		}
	}
	h.end(t)
}

// A caller without any standard stream: the command has them, and they lead
// nowhere.
func TestNoStandardStreams(t *testing.T) {
	n := lab.New(t).Host
	c := n.Command("sh", "-c", `exec "$0" "$@" <&- >&- 2>&-`, lab.MainBinary(t), address, "sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	command := 0
	lab.Eventually(t, func() error {
		init := tryInitOf(n, address)
		if init == 0 {
			return fmt.Errorf("no container yet")
		}
		for _, pid := range children(init) {
			if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(b) == "sleep\n" {
				command = pid
				return nil
			}
		}
		return fmt.Errorf("no command yet")
	})
	lab.Eventually(t, func() error { // its libraries are open while it starts
		if got := beyondStandard(t, command); got != nil {
			return fmt.Errorf("the command has open: %s", strings.Join(got, ", "))
		}
		return nil
	})
	for fd := range 3 {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", command, fd)); to != "/dev/null" {
			t.Errorf("descriptor %d is %q (error %v), want /dev/null", fd, to, err)
		}
	}
	if err := c.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(c)
	if c.Status() != 143 {
		t.Errorf("status %d, want 143", c.Status())
	}
	idle(t, n)
}

// Nothing of the caller's environment comes along.
func TestEnvironment(t *testing.T) {
	n := lab.New(t).Host
	c := n.Main("-hostname", "box", address, "cat")
	c.Env = []string{"SECRET=x", "PATH=/nowhere", "HOME=/home/x", "HOSTNAME=y", "TERM=vt100", "LD_PRELOAD=/x", "GODEBUG=x=1"}
	h := holdCommand(t, n, c, address)
	got := strings.Split(strings.TrimSuffix(readProc(t, h.command, "environ"), "\x00"), "\x00")
	want := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "HOSTNAME=box", "CONTAINER_IP=" + address}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("the environment is %q, want %q", got, want)
	}
	h.end(t)
}

// The command has the signal mask that its caller had, and ignores what the
// caller ignored.
func TestSignalsInherited(t *testing.T) {
	need.Tool(t, "env")
	bit := func(s unix.Signal) uint64 { return 1 << (s - 1) }
	// Those that libc keeps for its threads: env leaves them as they are.
	libcs := bit(32) | bit(33)
	n := lab.New(t).Host
	for _, c := range []struct {
		flags            []string
		blocked, ignored uint64
	}{
		{nil, 0, 0},
		// Go unblocks at its start what ends a program by default (TERM, HUP and
		// such), and does not tell that it was blocked.
		{[]string{"--block-signal=USR1,USR2,ALRM"}, bit(unix.SIGUSR1) | bit(unix.SIGUSR2) | bit(unix.SIGALRM), 0},
		{[]string{"--ignore-signal=HUP,INT"}, 0, bit(unix.SIGHUP) | bit(unix.SIGINT)},
		{[]string{"--ignore-signal=HUP", "--block-signal=WINCH"}, bit(unix.SIGWINCH), bit(unix.SIGHUP)},
	} {
		// env --default-signal: whoever runs the tests may ignore some.
		args := append([]string{"--default-signal"}, c.flags...)
		h := holdCommand(t, n, n.Command("env", append(args, lab.MainBinary(t), address, "cat")...), address)
		for field, want := range map[string]uint64{"SigBlk": c.blocked, "SigIgn": c.ignored, "SigCgt": 0} {
			got, err := strconv.ParseUint(procStatus(t, h.command, field), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got &^= libcs; got != want {
				t.Errorf("env %v: %s is %016x, want %016x", c.flags, field, got, want)
			}
		}
		h.end(t)
		lab.Eventually(t, func() error { return noVeth(n) })
	}
}

// The limit of open files is what a login gives, or the caller's hard limit if
// that is lower: Go raises its own.
func TestOpenFilesLimit(t *testing.T) {
	n := lab.New(t).Host
	for _, c := range []struct {
		ulimit    string
		soft, max uint64
	}{
		{"ulimit -n 4096", 1024, 4096},
		{"ulimit -n 2048; ulimit -Sn 100", 1024, 2048},
		{"ulimit -n 512", 512, 512},
	} {
		h := holdCommand(t, n, n.Command("sh", "-c", c.ulimit+`; exec "$0" "$@"`, lab.MainBinary(t), address, "cat"), address)
		var lim unix.Rlimit
		if err := unix.Prlimit(h.command, unix.RLIMIT_NOFILE, nil, &lim); err != nil {
			t.Fatal(err)
		}
		if lim.Cur != c.soft || lim.Max != c.max {
			t.Errorf("%s: the command may open %d files, at most %d; want %d and %d", c.ulimit, lim.Cur, lim.Max, c.soft, c.max)
		}
		h.end(t)
		lab.Eventually(t, func() error { return noVeth(n) })
	}
}

// The command leads a session of its own, so the caller's terminal sends it no
// signals behind the runner's back; and so do the first process and the
// guardian, which must outlive what is sent to the runner's process group.
func TestSessions(t *testing.T) {
	n := lab.New(t).Host
	h := hold(t, n, address)
	for who, pid := range map[string]int{"the command": h.command, "the first process": h.init, "the guardian": h.guardian} {
		f := stat(pid) // state, parent, process group, session
		if id := strconv.Itoa(pid); f[2] != id || f[3] != id {
			t.Errorf("%s, %d, is in the process group %s and the session %s", who, pid, f[2], f[3])
		}
	}
	h.end(t)
}
