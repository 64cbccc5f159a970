//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"container/integration/lab"
)

// nesting is a container with limits, on the host's network, in which another
// ./main runs: so that is held by them, with its guardian and all. The shell
// between them outlives the inner run: the guardian dies with the outer one.
type nesting struct {
	*lab.Cmd

	said   *speech
	stdin  io.WriteCloser
	stderr bytes.Buffer
}

func nest(t *testing.T, n *lab.Node, limits []string, args ...string) *nesting {
	t.Helper()
	c := n.Main(words([]string{"-privileged", "-network", "host"}, limits,
		script(`"$0" "$@"; echo status $?; read x`), []string{lab.MainBinary(t)}, args)...)
	in := &nesting{Cmd: c, said: listenTo(t, c)}
	c.Stderr = &in.stderr
	var err error
	if in.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return in
}

// result is what the inner run has written to its output, and its status.
func (in *nesting) result(t *testing.T) (stdout string, status int) {
	t.Helper()
	if f, ok := in.said.pipe.(*os.File); ok {
		_ = f.SetReadDeadline(time.Now().Add(3 * lab.Patience()))
	}
	for {
		line, err := in.said.lines.ReadString('\n')
		if err != nil {
			await(in.Cmd)
			t.Fatalf("%s: %q, then %v\n%s", in.Args, stdout+line, err, &in.stderr)
		}
		if _, err := fmt.Sscanf(line, "status %d\n", &status); err == nil {
			return stdout, status
		}
		stdout += line
	}
}

// over ends the outer container. What was written to standard error is complete
// then.
func (in *nesting) over() string {
	_ = in.stdin.Close()
	await(in.Cmd)
	return in.stderr.String()
}

// What a run says that can't have one more process; and what Go says in its
// place, when it is Go that needs one more thread.
var (
	noProcess = regexp.MustCompile(`^main: (.*: )?(clone|fork): resource temporarily unavailable \(the limit of processes is reached: ulimit -u, -pids-limit, or pids\.max of a cgroup above\)\n$`)
	noThread  = regexp.MustCompile(`^runtime: failed to create new OS thread \(have \d+ already; errno=11\)\nruntime: may need to increase max user processes \(ulimit -u\)\n`)
)

// In a full cgroup nothing is started, and nothing left, at whichever process
// the limit is reached.
func TestProcessesFull(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	succeed(t, n.Main(address, "true"))
	idle(t, n)
	before := arrangement(n)
	said := 0
	for limit, done := 4, 0; done < 3; limit++ {
		if limit > 60 {
			t.Fatal("60 processes are too few")
		}
		in := nest(t, n, []string{"-pids-limit", strconv.Itoa(limit)}, "-p", "8080:80", address, "echo", "started")
		stdout, status := in.result(t)
		lab.Eventually(t, func() error { return noClaims(n) })
		lab.Eventually(t, func() error { return unchanged(before, arrangement(n)) })
		if err := publishedAreFree(n); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
		stderr := in.over()
		switch {
		case status == 0 && stdout == "started\n" && stderr == "":
			done++
		case status == 125 && stdout == "" && noProcess.MatchString(stderr):
			said++
		case status == 2 && stdout == "" && noThread.MatchString(stderr):
		default:
			t.Errorf("limit %d: status %d, output %q, error %q", limit, status, stdout, stderr)
		}
	}
	if said == 0 {
		t.Error("nobody has named the limit")
	}
	// The limit of the container itself: it takes two.
	fails(t, n.Main("-pids-limit", "1", address, "true"), 125, "in the container: fork: resource temporarily unavailable (the limit of processes is reached: ")
	succeed(t, n.Main("-pids-limit", "2", address, "true"))
	idle(t, n)
}

// noFile is what a run says that can't have one more descriptor; or Go, when its
// poller can't.
var noFile = regexp.MustCompile(`^main: [^\n]*: too many open files\n$|^runtime: (epollcreate|eventfd) failed with 24\n`)

// With too few descriptors nothing is started, and nothing left.
func TestDescriptorsFull(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	succeed(t, n.Main(address, "true"))
	idle(t, n)
	before := arrangement(n)
	for limit, done := 3, 0; done < 3; limit++ {
		if limit > 60 {
			t.Fatal("60 descriptors are too few")
		}
		c := n.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, limit), lab.MainBinary(t), "-p", "8080:80", "-p", "127.0.0.1:5353:53/udp", address, "echo", "started")
		stdout, stderr, status := c.Result()
		switch {
		case status == 0 && stdout == "started\n" && stderr == "":
			done++
		case (status == 125 || status == 2) && stdout == "" && noFile.MatchString(stderr):
		default:
			t.Errorf("limit %d: status %d, output %q, error %q", limit, status, stdout, stderr)
		}
		lab.Eventually(t, func() error { return noClaims(n) })
		lab.Eventually(t, func() error { return unchanged(before, arrangement(n)) })
		if err := publishedAreFree(n); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	idle(t, n)
}

// When the kernel kills the runner for want of memory, nothing of the container
// is left, as after any SIGKILL; when it kills the guardian, the run goes on, and
// its end is that of any other.
func TestOutOfMemoryOutside(t *testing.T) {
	n := lab.New(t).Host
	tree := busyboxTree(t)
	for _, victim := range []string{"runner", "guardian"} {
		in := nest(t, n, []string{"-memory", "64m"}, "-p", "8080:80", "-rootfs", tree, address, "sh", "-c", "echo ready; read x; "+hog)
		in.said.hear(t, "ready")
		pid := children(theCommand(t, in.Process.Pid))[0]
		if victim == "guardian" {
			pid = awaitChild(t, pid, victim)
		}
		// The first to be killed, by far.
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintln(in.stdin, "go"); err != nil {
			t.Fatal(err)
		}
		// With the guardian dead it is the command's turn.
		if stdout, status := in.result(t); stdout != "" || status != 137 {
			t.Errorf("the %s: status %d, output %q; want 137 and nothing", victim, status, stdout)
		}
		if err := ended(pid); err != nil {
			t.Errorf("the %s has not been killed: %v", victim, err)
		}
		lab.Eventually(t, func() error { return noClaims(n) })
		if err := publishedAreFree(n); err != nil {
			t.Errorf("after the %s: %v", victim, err)
		}
		idle(t, n)
		in.over()
	}
}
