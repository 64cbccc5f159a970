//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/rtnl"
)

// stuck starts a run with a container that waits for its input's end, and
// returns when it can't go on: it tells of the child that it has cloned (-x),
// and the pipe that it does so to has no room. It has found its bridge by then,
// or made it, and bound its ports, and has no veth. goOn has the pipe read, and
// gives all that came once the run has ended. args is what stands before the
// command, the address last.
func stuck(t *testing.T, n *lab.Node, args ...string) (h *held, goOn func() (said <-chan string)) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	h = &held{Cmd: n.Main(words([]string{"-x"}, args, []string{"cat"})...), address: args[len(args)-1], stderr: new(bytes.Buffer)}
	h.Stderr = w
	if h.stdin, err = h.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	h.stdout = listenTo(t, h.Cmd)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	pid := h.Process.Pid
	lab.Eventually(t, func() error {
		calls := ofThreads(pid, "syscall")
		writes := slices.ContainsFunc(calls, func(s string) bool { return strings.HasPrefix(s, fmt.Sprintf("%d 0x2 ", unix.SYS_WRITE)) })
		if !writes || len(children(pid)) == 0 {
			return fmt.Errorf("the run is at %q, and has the children %v", calls, children(pid))
		}
		return nil
	})
	return h, func() <-chan string {
		said := make(chan string, 1)
		go func() {
			b, _ := io.ReadAll(r) // to the end, or the test's
			said <- string(b)
		}()
		return said
	}
}

// ofThreads reads a file of each of a process's threads.
func ofThreads(pid int, name string) (all []string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/%s", pid, name))
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			all = append(all, string(b))
		}
	}
	return all
}

// runs returns when the container does, and checks that it is on the bridge
// that is there now, and is reached.
func (h *held) runs(t *testing.T, n *lab.Node) {
	t.Helper()
	h.echo(t)
	h.main = h.Process.Pid
	h.findProcesses(t, n)
	if got, want := n.Link(h.veth(t, n)).Master, n.Link("br0").Index; got != want {
		t.Errorf("the container's veth is on the link %d; want the bridge, %d", got, want)
	}
	if _, err := n.Agent().Ask("tcp", h.address+":1"); err == nil || !strings.HasSuffix(err.Error(), "connection refused") {
		t.Errorf("%v; want a refusal of the container's", err)
	}
}

// A run that uses a bridge that another has made finds it taken away, or about
// to be, because the other has failed.
func TestBridgeOfFailedRun(t *testing.T) {
	t.Parallel()
	const alias = "container: made by main, taken away by main down"
	mark := func(n *lab.Node, of string) {
		n.Apply(rtnl.SetAlias("br0", alias+", whose maker has failed: process "+of))
	}
	self := fmt.Sprintf("%d, started at %s", os.Getpid(), stat(os.Getpid())[19])
	takeAway := func(n *lab.Node) { n.Apply(rtnl.DeleteLink(n.Link("br0").Index, "br0")) }
	hasVeth := func(n *lab.Node) func() error {
		return func() error {
			if noVeth(n) == nil {
				return fmt.Errorf("there is no veth")
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		before, meanwhile func(n *lab.Node) // it has its bridge
		after             func(n *lab.Node) // it has its veth
		another           bool              // it is another bridge then
	}{
		"gone without its veth": {meanwhile: takeAway, another: true},
		"gone with its veth": {
			meanwhile: func(n *lab.Node) { mark(n, self) },
			after:     takeAway,
			another:   true,
		},
		"it stays": {
			meanwhile: func(n *lab.Node) { mark(n, self) },
			after:     func(n *lab.Node) { n.Apply(rtnl.SetAlias("br0", alias)) },
		},
		"its maker was killed":  {before: func(n *lab.Node) { mark(n, fmt.Sprintf("%d, started at 1", os.Getpid())) }},
		"its maker was killed…": {meanwhile: func(n *lab.Node) { mark(n, "0, started at 0") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := lab.New(t).Host
			succeed(t, n.Main(address, "true"))
			idle(t, n)
			first := n.Link("br0").Index
			if c.before != nil {
				c.before(n)
			}
			h, goOn := stuck(t, n, address)
			if c.meanwhile != nil {
				c.meanwhile(n)
			}
			goOn()
			if c.after != nil {
				lab.Eventually(t, hasVeth(n))
				c.after(n)
			}
			h.runs(t, n)
			if got := n.Link("br0").Index != first; got != c.another {
				t.Errorf("the bridge is another: got %v, want %v", got, c.another)
			}
			h.end(t)
			idle(t, n)
		})
	}
}

// A run that fails takes its bridge away, but not if another is on it: which has
// been faster to take the address.
func TestFailedRunLeavesBridgeInUse(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	failing, goOn := stuck(t, n, address)
	first := n.Link("br0")
	other := hold(t, n, address)
	goOn()
	if await(failing.Cmd); failing.Status() != 125 {
		t.Errorf("status %d, want 125", failing.Status())
	}
	if br := n.Link("br0"); br.Index != first.Index || br.Alias != first.Alias {
		t.Errorf("the bridge is %d, %q; want %d, %q", br.Index, br.Alias, first.Index, first.Alias)
	}
	other.runs(t, n)
	other.end(t)
	idle(t, n)
}
