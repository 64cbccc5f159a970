//go:build linux

package integration

import (
	"bytes"
	"io"
	"net"
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

// An intruder is root in a container and runs what it likes there: the attempts
// of integration/attacker. docs/security.md says what is to hold.

// outcomes is what came of attempts, by their names.
func outcomes(t *testing.T, c *lab.Cmd) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(says(t, c)) {
		name, outcome, _ := strings.Cut(strings.TrimSpace(line), ": ")
		all[name] = outcome
	}
	if len(all) < 60 {
		t.Fatalf("%d attempts were made, want all", len(all))
	}
	return all
}

// through are the attempts that got through.
func through(outcomes map[string]string) []string {
	var names []string
	for name, outcome := range outcomes {
		if outcome == "through" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ofProcess1 are the attempts that CAP_SYS_PTRACE is for. What is found there
// is a copy of ./main without its environment, with CAP_KILL alone and under
// the container's own filter.
var ofProcess1 = []string{
	"descriptor of process 1 by pidfd", "directory of process 1", "memory of process 1", "namespace of process 1",
	"program of process 1", "root of process 1", "trace process 1",
}

// peers is the attempt that CAP_NET_ADMIN is for: without a user namespace it is
// good for every network namespace, and a link's other end gives the host's a
// number.
const peers = "links of the namespace at a veth's other end"

// No way out of a container, of those that the attacker knows, leads anywhere:
// for a run, for an exec, and in a tree of its own.
func TestNoWayOut(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := withAttacker(t)
	keep := hold(t, n, "172.16.0.31")
	for _, c := range []struct {
		name, program string
		flags         []string
		want          []string
	}{
		{"a run", attackerProgram(t), []string{address}, nil},
		{"an exec", attackerProgram(t), []string{"exec", "172.16.0.31"}, nil},
		{"a tree of its own", "/attacker", []string{"-rootfs", tree, address}, nil},
		{"the host's network", attackerProgram(t), []string{"-network", "host"}, nil},
		{"CAP_NET_ADMIN", attackerProgram(t), []string{"-cap-add", "NET_ADMIN", address}, []string{peers}},
		{"CAP_SYS_PTRACE", attackerProgram(t), []string{"-cap-add", "SYS_PTRACE", address}, ofProcess1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := outcomes(t, n.Main(words(c.flags, []string{c.program, "escape"})...))
			if names := through(got); !slices.Equal(names, c.want) {
				t.Errorf("through got %q, want %q", names, c.want)
			}
		})
	}
	keep.end(t)
}

// The same attempts succeed where nothing is in their way, as far as this kernel
// has what they are about: in a privileged container. That another test finds
// them refused proves something.
func TestWaysOutLeadOut(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	got := outcomes(t, n.Main("-privileged", address, attackerProgram(t), "escape"))
	// Of a privileged container too.
	never := map[string]string{
		"chroot and fchdir":          "the same root",
		"disk by a node in /dev":     "", // a devices cgroup around the tests may have a say
		"disk by a node in /tmp":     "",
		"memory by a node":           "", // may be locked down
		"disk by a node in /dev/shm": "mknod: operation not permitted",
	}
	// What takes a capability that the tests may be without.
	takes := map[string]int{"no OOM killer": unix.CAP_SYS_RESOURCE, "a higher limit": unix.CAP_SYS_RESOURCE, "I/O ports": unix.CAP_SYS_RAWIO}
	tried := 0
	for name, outcome := range got {
		if c, ok := takes[name]; ok && ownCaps(t)&(1<<c) == 0 {
			continue
		}
		switch _, odd := never[name]; {
		case odd || outcome == "not there":
		case outcome == "through":
			tried++
		case strings.HasSuffix(outcome, "function not implemented"): // of this kernel
		default:
			t.Errorf("%s: %s", name, outcome)
		}
	}
	if tried < 40 {
		t.Errorf("%d attempts succeed; the others prove little: %v", tried, got)
	}
}

// A root that is no mount namespace's is left by chroot and "..": a container's
// is not.
func TestChrootIsLeft(t *testing.T) {
	t.Parallel()
	need.Tool(t, "chroot")
	n := lab.New(t).Host
	tree := withAttacker(t)
	const attempt = "chroot and fchdir"
	expect(t, n.Command("chroot", tree, "/attacker", "escape", attempt), 0, attempt+": through\n", "")
	expect(t, n.Main("-rootfs", tree, address, "/attacker", "escape", attempt), 0, attempt+": the same root\n", "")
}

// withAttacker is a tree that has the attacker at its top.
func withAttacker(t *testing.T) string {
	t.Helper()
	tree := busyboxTree(t)
	b, err := os.ReadFile(attackerProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	put(t, tree+"/attacker", string(b), 0o755)
	put(t, tree+"/tmp/x", "", 0o644)
	return tree
}

// Somebody exchanges what is in a container's tree while it is made: another
// container that has the same tree as a volume. What is mounted there comes
// whole, so that nothing of /proc is ever open for the exchange. (It is a race,
// which the intruder wins once in twenty times if there is one to be won;
// TestKernelTreesComeWhole looks at how they come.)
func TestTreeIsExchanged(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := withAttacker(t)
	// In the place of /proc comes a link to directories that could be its.
	link(t, "decoy", tree+"/trap")
	for _, dir := range []string{"proc", "decoy/sys", "decoy/irq", "decoy/bus", "decoy/fs"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, tree+"/decoy/sysrq-trigger", "", 0o644)

	// At a directory that every host's own tree has.
	const at = "/mnt"
	swapper := n.Main("-v", tree+":"+at, "172.16.0.31", attackerProgram(t), "swap", at+"/proc", at+"/trap", "1ms")
	stdin, err := swapper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	swapper.Stderr = &stderr
	heard := listenTo(t, swapper)
	if err := swapper.Start(); err != nil {
		t.Fatal(err)
	}
	heard.hear(t, "ready")
	ran := 0
	for range 40 {
		stdout, _, status := n.Main("-rootfs", tree, "-network", "none",
			"/attacker", "write", "200", "/proc/sys/kernel/core_pattern", "/trap/sys/kernel/core_pattern").Result()
		if strings.Contains(stdout, "through") {
			t.Fatal("core_pattern of the host could be written")
		}
		if status == 0 {
			ran++
		}
	}
	if ran == 0 {
		t.Error("no container ran at all")
	}
	stdin.Close()
	await(swapper)
	if swapper.Status() != 0 {
		t.Errorf("the one who exchanges: status %d, error %q", swapper.Status(), stderr.String())
	}
}

// A tree whose directories are links: to its own root, to themselves, upwards,
// and to a directory that the host has. It is refused, or it is used; the host's
// files stay as they are, and nothing gets out.
func TestTreeOfLinks(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree, host := withAttacker(t), t.TempDir()
	put(t, host+"/kept", "kept\n", 0o644)
	for _, name := range []string{"proc", "sys", "dev", "etc"} {
		for _, to := range []string{"/", ".", name, "../../../../..", "/tmp", "/proc", host, "/dev"} {
			for _, dir := range []string{"proc", "sys", "dev", "etc"} {
				if err := os.RemoveAll(filepath.Join(tree, dir)); err != nil {
					t.Fatal(err)
				}
			}
			link(t, to, filepath.Join(tree, name))
			before := treeState(t, host)
			stdout, stderr, status := n.Main("-rootfs", tree, "-v", host+":/"+name+"/vol:ro", "-network", "none",
				"/attacker", "write", "1", "/proc/sys/kernel/core_pattern", "/sys/power/state", "/sys/kernel/profiling", "/tmp/sys/kernel/core_pattern", "/"+name+"/vol/kept").Result()
			if strings.Contains(stdout, "through") || status != 0 && (status != 125 || strings.Count(stderr, "\n") != 1) {
				t.Errorf("%s is a link to %s: status %d, output %q, error %q", name, to, status, stdout, stderr)
			}
			if after := treeState(t, host); after != before {
				t.Errorf("%s is a link to %s: the host's directory has changed:\n%s", name, to, difference(before, after))
			}
		}
	}
}

// An address of the abstract namespace is a network namespace's: what listens
// there on the host can't be reached, but from the host's own network.
func TestAbstractSocket(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	const name = "container-test-intruder"
	var l net.Listener
	if err := n.Do(func() (err error) { l, err = net.Listen("unix", "@"+name); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	expect(t, n.Main(address, attackerProgram(t), "connect", name), 0, "dial unix @"+name+": connect: connection refused\n", "")
	expect(t, n.Main("-network", "none", attackerProgram(t), "connect", name), 0, "dial unix @"+name+": connect: connection refused\n", "")
	expect(t, n.Main("-network", "host", attackerProgram(t), "connect", name), 0, "through\n", "")
}

// The host's processes have no numbers in a container.
func TestHostsProcesses(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	pid := strconv.Itoa(os.Getpid())
	expect(t, n.Command(attackerProgram(t), "kill", pid), 0, "through\n", "")
	expect(t, n.Main(address, attackerProgram(t), "kill", pid), 0, "no such process\n", "")
	expect(t, n.Main("-privileged", address, attackerProgram(t), "kill", pid), 0, "no such process\n", "")
}

// What a container does to the nodes of its /dev, it does to its own.
func TestDeviceModes(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	var before, after unix.Stat_t
	if err := unix.Stat("/dev/null", &before); err != nil {
		t.Fatal(err)
	}
	const spoil = `chmod 600 /dev/null /dev/zero; chown 1:1 /dev/null; stat -c '%a %u' /dev/null`
	expect(t, n.Main(words([]string{address}, script(spoil))...), 0, "600 1\n", "")
	expect(t, n.Main(words([]string{address}, script(`stat -c '%a %u' /dev/null`))...), 0, "666 0\n", "")
	if err := unix.Stat("/dev/null", &after); err != nil {
		t.Fatal(err)
	}
	if before.Mode != after.Mode || before.Uid != after.Uid {
		t.Errorf("the host's /dev/null had the mode %o of %d, and has %o of %d", before.Mode, before.Uid, after.Mode, after.Uid)
	}
}

// An exec is not held up by what the container has put where its name was.
func TestExecIsNotHeldUp(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t, "etc/x", "")
	keep := hold(t, n, "-rootfs", tree, address)
	succeed(t, n.Main(words([]string{"exec", address}, script("mv /etc /was && mkdir /etc && mkfifo /etc/hostname /etc/passwd /etc/group"))...))
	c := n.Main("exec", address, "echo", "here")
	var stdout bytes.Buffer
	c.Stdout = &stdout
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(c)
	if c.Status() != 0 || stdout.String() != "here\n" {
		t.Errorf("exec: status %d, output %q", c.Status(), stdout.String())
	}
	keep.end(t)
}

// Who may trace the container's first process finds nothing of the caller's
// environment there, nor in that which an exec brings; but it is there to be
// found in the runner.
func TestEnvironmentStaysOutside(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	first, second := "the-callers-", "own-secret"
	c := n.Main("-cap-add", "SYS_PTRACE", address, attackerProgram(t), "search", "1", first, second)
	c.Env = append(os.Environ(), "SECRET="+first+second)
	expect(t, c, 0, "not there\n", "")

	const other = "172.16.0.31"
	c = n.Main("-cap-add", "SYS_PTRACE", other, "cat")
	c.Env = append(os.Environ(), "SECRET="+first+second)
	h := holdCommand(t, n, c, other)
	expect(t, n.Command(attackerProgram(t), "search", strconv.Itoa(h.main), first, second), 0, "through\n", "")
	for name, pid := range map[string]int{"the first process": h.init, "the guardian": h.guardian} {
		if env := strings.Trim(readProc(t, pid, "environ"), "\x00"); env != "" {
			t.Errorf("%s has the environment %q", name, env)
		}
	}
	h.end(t)
}

// The guardian's orders, which it carries out on the host, are in memory that it
// has in common with the runner, and with nobody in the container.
func TestNoSharedMemory(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, address)
	shared := func(pid int) int { return strings.Count(readProc(t, pid, "maps"), " rw-s ") }
	if got := shared(h.guardian); got == 0 {
		t.Error("the guardian shares no memory, so this test has nothing to look for")
	}
	if got := shared(h.init); got != 0 {
		t.Errorf("the container's first process shares %d mappings", got)
	}
	h.end(t)
}

// Process 1 is judged by the container's filter before there is anybody in the
// container to take hold of it.
func TestFirstProcessIsConfined(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for range 20 {
		got := says(t, n.Main("-cap-add", "SYS_PTRACE", "-network", "none", "cat", "/proc/1/status"))
		differ(t, "process 1", statusFields(got, "NoNewPrivs", "Seccomp"), "NoNewPrivs 1\nSeccomp 2\n")
	}
}

// A directory of the host in the place of a standard stream is a way out, by
// fchdir(2), and refused.
func TestDirectoryAsStream(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	dir, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, verb := range [][]string{{address, "true"}, {"exec", "172.16.0.31", "true"}} {
		c := n.Main(verb...)
		c.Stdin = dir
		expect(t, c, 125, "", "main: standard input is a directory, which would be a way out of the container\n")
	}
	c := n.Main(address, "true")
	c.Stdin = io.Reader(strings.NewReader(""))
	succeed(t, c)
	keep.end(t)
}
