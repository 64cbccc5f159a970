//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

// What an exec starts is in all of the container's namespaces and control
// groups, has its root and its rights, and is no child of its init; the joiner
// is of the host, and has nothing open.
func TestExecJoins(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	for name, flags := range map[string][]string{
		"plain":        nil,
		"a tree":       {"-rootfs", tree},
		"limits":       allLimits(),
		"capabilities": {"-cap-drop", "ALL", "-cap-add", "CHOWN", "-cap-add", "KILL", "-cap-add", "SYS_TIME"},
		"none":         {"-cap-drop", "ALL"},
		"all":          {"-cap-add", "ALL", "-rootfs", tree, "-read-only"},
		"privileged":   {"-privileged"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hold(t, n, words(flags, []string{"-w", "/", address})...)
			j := join(t, n, address)
			differ(t, "the exec's command", sameProcess(t, j.command), sameProcess(t, h.command))
			for _, pid := range []int{h.command, j.command} {
				if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != h.cwd(t) {
					t.Errorf("process %d is in %q (error %v), want %q", pid, cwd, err, h.cwd(t))
				}
			}
			if host := namespace(t, strconv.Itoa(j.joiner), "pid"); host != namespace(t, strconv.Itoa(os.Getpid()), "pid") {
				t.Error("the joiner is in the container's PID namespace")
			}
			lab.Eventually(t, func() error { return hasNothingOpen(j.joiner) })
			if beyond := statusFields(readProc(t, j.joiner, "status"), "NoNewPrivs", "Seccomp"); name != "privileged" && beyond != "NoNewPrivs 1\nSeccomp 2\n" {
				t.Errorf("the joiner has %q", beyond)
			}
			j.end(t)
			h.end(t)
			lab.Eventually(t, func() error { return noVeth(n) })
		})
	}
}

// cwd is the root of the container as the host names it.
func (h *held) cwd(t *testing.T) string {
	t.Helper()
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/root", h.command))
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// What it finds there is the container's: network, names, files, processes.
func TestExecInside(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t, "etc/passwd", "root:x:0:0::/root:/bin/sh\nal:x:1000:1001::/home/al:/bin/sh\n", "etc/group", "al:x:1001:\naudio:x:29:al\n")
	h := hold(t, n, "-rootfs", tree, "-hostname", "box", "-e", "SECRET=x", "-read-only", address)
	run := func(args ...string) *lab.Cmd { return n.Main(append([]string{"exec"}, args...)...) }
	expect(t, run(address, "sh", "-c", "hostname; cat /etc/hostname; pwd; cat /proc/1/comm; cat /proc/2/comm; ls /sys/class/net; (: >/x) 2>/dev/null || echo read-only"),
		0, "box\nbox\n/\ninit\ncat\nlo\nveth1\nread-only\n", "")
	c := run(address, "env")
	c.Env = []string{"CALLER=x", "TERM=odd"}
	differ(t, "environment", sorted(says(t, c)), lines("CONTAINER_IP="+address, "HOME=/root", "HOSTNAME=box", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
	c = run("-u", "al", "-e", "A=1", "-e", "CALLER", "-w", "/etc", address, "sh", "-c", `echo $HOME $A $CALLER; pwd; id -u; id -g; id -G`)
	c.Env = []string{"CALLER=x"}
	expect(t, c, 0, "/home/al 1 x\n/etc\n1000\n1001\n1001 29\n", "")
	expect(t, run("-u", "7:8", address, "sh", "-c", "id -u; id -g"), 0, "7\n8\n", "")
	// As the command it is found by the container's PATH, in its tree.
	expect(t, run("-e", "PATH=/none", address, "sh"), 127, "", "main: sh: command not found in /none\n")
	expect(t, run(address, "perl"), 127, "", "main: perl: command not found in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
	// What one leaves behind the next finds, and init reaps it.
	succeed(t, run(address, "sh", "-c", "echo x >/dev/shm/left; sleep 1000 >/dev/null 2>&1 & until grep -q sleep /proc/$!/comm; do :; done"))
	expect(t, run(address, "sh", "-c", "cat /dev/shm/left; grep -l sleep /proc/[0-9]*/comm | wc -l; kill $(pidof sleep)"), 0, "x\n1\n", "")
	lab.Eventually(t, func() error {
		if all := children(h.init); len(all) != 1 {
			return fmt.Errorf("the first process has the children %v", all)
		}
		return nil
	})
	h.end(t)
}

// The statuses are a run's.
func TestExecStatus(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	dir := t.TempDir()
	put(t, dir+"/data", "", 0o644)
	put(t, dir+"/rubbish", "", 0o755)
	put(t, dir+"/lost", "#!/no/such/interpreter\n", 0o755)
	keep := hold(t, n, address)
	run := func(args ...string) *lab.Cmd { return n.Main(append([]string{"exec", address}, args...)...) }
	for _, status := range []int{0, 1, 2, 63, 64, 124, 125, 126, 127, 128, 129, 137, 143, 200, 254, 255} {
		expect(t, run("sh", "-c", fmt.Sprint("exit ", status)), status, "", "")
	}
	for _, sig := range []int{1, 2, 3, 6, 9, 11, 15, 34, 64} {
		expect(t, run("sh", "-c", fmt.Sprint("ulimit -c 0; kill -", sig, " $$")), 128+sig, "", "")
	}
	for _, c := range []struct {
		command string
		status  int
		want    string
	}{
		{dir + "/data", 126, "permission denied"},
		{dir, 126, "permission denied"},
		{dir + "/rubbish", 126, "exec format error (not a program of this architecture, nor a script that names its interpreter)"},
		{dir + "/lost", 127, "no such file or directory"},
		{dir + "/none", 127, "no such file or directory"},
		{dir + "/data/none", 127, "not a directory"},
		{"no-such-command", 127, "command not found in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	} {
		expect(t, run(c.command), c.status, "", "main: "+c.command+": "+c.want+"\n")
	}
	keep.end(t)
}

// What can't be joined is refused with one line, and nothing is left behind.
func TestExecRefused(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	const missing = "exec takes the ADDRESS of a container and a COMMAND: main exec 172.16.0.30 sh"
	refuse := func(at string) {
		t.Helper()
		for args, want := range map[string]string{
			at + " true":              "no container at " + at + " (main ls shows those that run)",
			at:                        missing,
			"":                        missing,
			"box true":                `"box" is not an address`,
			"-q " + at + " true":      "flag provided but not defined: -q",
			"-memory 1m " + at + " x": "flag provided but not defined: -memory",
			"-w x " + at + " true":    "-w x: it takes a path from / on",
		} {
			expect(t, n.Main(append([]string{"exec"}, strings.Fields(args)...)...), 125, "", "main: "+want+"\n")
		}
	}
	before := n.Snapshot()
	refuse(address) // nothing has ever run here
	same(t, n, before)
	h := hold(t, n, "172.16.0.31")
	refuse(address) // another runs
	expect(t, n.Main("exec", "-w", "/no/such", "172.16.0.31", "true"), 125, "", "main: in the container: chdir /no/such: no such file or directory\n")
	expect(t, n.Main("exec", "-u", "no-such-user", "172.16.0.31", "true"), 125, "", "main: -u no-such-user: the container's /etc/passwd has no user no-such-user\n")
	h.end(t)
	refuse("172.16.0.31") // it has ended
	// On another host that runs one at the same address.
	other := lab.New(t).Host
	h = hold(t, other, "172.16.0.31")
	refuse("172.16.0.31")
	h.end(t)
}

// Fifty at once, each with its own input, output and status.
func TestExecFiftyAtOnce(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, address)
	var wg sync.WaitGroup
	for i := range 50 {
		c := n.Main("exec", address, "sh", "-c", `read x; echo "$x $((x * x))"; echo err >&2; exit $x`)
		var out, errs bytes.Buffer
		c.Stdin, c.Stdout, c.Stderr = strings.NewReader(fmt.Sprintln(i)), &out, &errs
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			_ = c.Wait()
			if got, want := out.String(), fmt.Sprintf("%d %d\n", i, i*i); c.Status() != i || got != want || errs.String() != "err\n" {
				t.Errorf("number %d: status %d, output %q, error %q; want %q", i, c.Status(), got, errs.String(), want)
			}
		})
	}
	wg.Wait()
	keep.end(t)
}

// A container that ends takes its execs along, however it ends: each is killed,
// and its caller told so.
func TestExecEndsWithContainer(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for i, how := range []string{"its command ends", "its command is killed", "its init is killed", "its runner is killed"} {
		t.Run(how, func(t *testing.T) {
			at := fmt.Sprint("172.16.0.", 40+i)
			h := hold(t, n, at)
			a, b := join(t, n, at), join(t, n, "-u", "1000", at)
			y := newConsole(t)
			before := y.settings(t)
			third := y.start(t, n.Main("exec", at, "sleep", "1000"))
			switch how {
			case "its command ends":
				h.end(t)
			case "its command is killed":
				kill9(t, h.command)
			case "its init is killed":
				kill9(t, h.init)
			case "its runner is killed":
				kill9(t, h.main)
			}
			for _, j := range []*joined{a, b} {
				_ = j.Wait()
				if j.Status() != 137 || j.stderr.Len() > 0 {
					t.Errorf("the exec's status is %d, error %q; want 137 and nothing", j.Status(), j.stderr)
				}
				lab.Eventually(t, func() error { return ended(j.joiner, j.command) })
			}
			y.ends(t, third, 137)
			if y.settings(t) != before {
				t.Error("the terminal is not what it was")
			}
		})
	}
}

func kill9(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// An exec's end, even by SIGKILL, is no end of the container; and who has killed
// the runner of an exec has killed its command.
func TestExecKilled(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, address)
	for _, who := range []func(*joined) int{
		func(j *joined) int { return j.main }, func(j *joined) int { return j.joiner }, func(j *joined) int { return j.command },
	} {
		j := join(t, n, address)
		kill9(t, who(j))
		_ = j.Wait()
		if j.Status() != 137 {
			t.Errorf("status %d, want 137", j.Status())
		}
		lab.Eventually(t, func() error { return ended(j.joiner, j.command) })
	}
	h.end(t)
}

// An exec is held by the container's limits.
func TestExecIsLimited(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	h := hold(t, n, "-rootfs", tree, "-memory", "24m", "-pids-limit", "10", address)
	if _, _, status := n.Main("exec", address, "sh", "-c", hog).Result(); status != 137 {
		t.Errorf("the hog's status is %d, want 137", status)
	}
	// The init, cat, the joiner, the shell, and six that sleep.
	stdout, stderr, status := n.Main("exec", address, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 >/dev/null 2>&1 & echo $i; done").Result()
	if stdout != "1\n2\n3\n4\n5\n6\n" || !strings.Contains(stderr, "fork") || status == 0 {
		t.Errorf("status %d, output %q, error %q; want six, and that there can be no more", status, stdout, stderr)
	}
	h.end(t)
}

// The input of an exec ends when its caller's does, and not before.
func TestExecInput(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, address)
	c := n.Main("exec", address, "sh", "-c", "while read x; do echo got $x; done; echo end")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for i := range 3 {
		if _, err := fmt.Fprintln(stdin, i); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != fmt.Sprint("got ", i) {
			t.Fatalf("it says %q", lines.Text())
		}
	}
	_ = stdin.Close()
	if !lines.Scan() || lines.Text() != "end" {
		t.Errorf("in the end it says %q", lines.Text())
	}
	_, _ = io.Copy(io.Discard, stdout)
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	h.end(t)
}

// An exec changes nothing on the host.
func TestExecLeavesNothing(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, "-p", "8080:80", address)
	for _, dev := range []string{"br0", h.veth(t, n)} {
		n.AwaitUp(dev)
	}
	var before string
	lab.Eventually(t, func() error { // the container's link is about to settle
		first := n.Snapshot()
		if before = n.Snapshot(); before != first {
			return fmt.Errorf("not settled: %s", difference(first, before))
		}
		return nil
	})
	succeed(t, n.Main("exec", address, "true"))
	expect(t, n.Main("exec", address, "no-such-command"), 127, "", "main: no-such-command: command not found in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
	same(t, n, before)
	h.end(t)
}
