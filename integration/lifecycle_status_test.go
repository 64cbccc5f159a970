//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"container/integration/lab"
	"container/rtnl"
)

// The exit status is the command's, as a shell would have it; and whatever the
// end was, nothing of the container stays on the host.
func TestExitStatus(t *testing.T) {
	n := lab.New(t).Host
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	data := write("data", "", 0o644)
	rubbish := write("rubbish", "echo no interpreter is named\n", 0o755)
	lost := write("lost", "#!/no/such/interpreter\n", 0o755)
	script := write("script", "#!/bin/sh\nexit $#\n", 0o755)
	const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	for _, c := range []struct {
		command []string
		status  int
		stderr  string
	}{
		{[]string{"true"}, 0, ""},
		{[]string{"false"}, 1, ""},
		{[]string{"sh", "-c", "exit 7"}, 7, ""},
		{[]string{"sh", "-c", "exit 125"}, 125, ""},
		{[]string{"sh", "-c", "exit 255"}, 255, ""},
		{[]string{script, "a", "b"}, 2, ""},
		{[]string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		{[]string{"sh", "-c", "kill -KILL $$"}, 137, ""},
		{[]string{"sh", "-c", "ulimit -c 0; kill -SEGV $$"}, 139, ""},
		{[]string{"sh", "-c", "kill -64 $$"}, 192, ""},
		{[]string{data}, 126, data + ": permission denied"},
		{[]string{dir}, 126, dir + ": permission denied"},
		{[]string{rubbish}, 126, rubbish + ": exec format error (not a program of this architecture, nor a script that names its interpreter)"},
		{[]string{lost}, 127, lost + ": no such file or directory"},
		{[]string{"no-such-command"}, 127, "no-such-command: command not found in " + path},
		{[]string{dir + "/none"}, 127, dir + "/none: no such file or directory"},
		{[]string{data + "/none"}, 127, data + "/none: not a directory"},
	} {
		t.Run(strings.Join(c.command, " "), func(t *testing.T) {
			want := c.stderr
			if want != "" {
				want = "main: " + want + "\n"
			}
			args := append([]string{"-p", "8080:80", "-p", "8080:80/udp", address}, c.command...)
			expect(t, n.Main(args...), c.status, "", want)
			for _, network := range []string{"tcp", "udp"} {
				if err := portFree(n, network, "0.0.0.0:8080"); err != nil {
					t.Error(err)
				}
			}
			idle(t, n)
		})
	}
}

// One run after the other leaves the same: the bridge and an empty ruleset.
func TestRunLeavesNothingMore(t *testing.T) {
	n := lab.New(t).Host
	run := func() string {
		succeed(t, n.Main("-p", "8080:80", "-p", "127.0.0.1:53:53/udp", address, "true"))
		idle(t, n)
		return arrangement(n)
	}
	if err := unchanged(run(), run()); err != nil {
		t.Error(err)
	}
}

// A run that can't have what it claims takes the bridge back that it made.
func TestFailureTakesBridgeBack(t *testing.T) {
	n := lab.New(t).Host
	succeed(t, n.Main(address, "true"))
	idle(t, n)
	before := arrangement(n)
	// A network that overlaps the first bridge's.
	_, stderr, status := n.Main("-bridge", "br1", "-gateway", "172.16.1.1/16", "172.16.1.2", "true").Result()
	if status != 125 || !strings.HasPrefix(stderr, "main: ") {
		t.Errorf("status %d, error %q; want 125", status, stderr)
	}
	lab.Eventually(t, func() error { return noVeth(n) })
	if err := unchanged(before, arrangement(n)); err != nil {
		t.Error(err)
	}
}

// A command that can't be executed is found out when all is claimed: it leaves
// what every run does.
func TestNotExecutableLeavesNothingMore(t *testing.T) {
	n := lab.New(t).Host
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	if err := os.WriteFile(rubbish, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func() string {
		if stdout, stderr, status := n.Main("-t=false", address, rubbish).Result(); status != 126 || stdout != "" {
			t.Errorf("status %d, output %q, error %q; want 126", status, stdout, stderr)
		}
		idle(t, n)
		return arrangement(n)
	}
	first := run()
	succeed(t, n.Main(address, "true"))
	idle(t, n)
	if err := unchanged(first, arrangement(n)); err != nil {
		t.Error(err)
	}
}

// down makes the host what it was, byte for byte, whatever it was.
func TestDown(t *testing.T) {
	for name, settings := range map[string][][2]string{
		"as the kernel comes":     nil,
		"a router already":        {{"net/ipv4/ip_forward", "1"}},
		"no redirects":            {{"net/ipv4/conf/all/accept_redirects", "0"}},
		"a router that redirects": {{"net/ipv4/ip_forward", "1"}, {"net/ipv4/conf/all/accept_redirects", "1"}},
		"one interface forwards":  {{"net/ipv4/conf/eth0/forwarding", "1"}},
		"new interfaces forward":  {{"net/ipv4/conf/default/forwarding", "1"}},
		"127/8 is routed by new":  {{"net/ipv4/conf/default/route_localnet", "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := lab.New(t).Host
			for _, s := range settings {
				n.SetSysctl(s[0], s[1])
			}
			before := n.Snapshot()
			succeed(t, n.Main("-p", "8080:80", address, "true"))
			if n.Snapshot() == before {
				t.Fatal("a run leaves no trace, so this test can't tell that down removes it")
			}
			lab.Eventually(t, func() error { return noVeth(n) })
			succeed(t, n.Main("down"))
			same(t, n, before)

			// Again it has nothing to do, and the next run has all to do again.
			succeed(t, n.Main("down"))
			same(t, n, before)
			succeed(t, n.Main(address, "true"))
			idle(t, n)
			succeed(t, n.Main("down"))
			same(t, n, before)
		})
	}
}

// On a host where nothing ever ran there is nothing to take away.
func TestDownFresh(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	succeed(t, n.Main("down"))
	succeed(t, n.Main("gc"))
	same(t, n, before)
}

// down does not wait for the veth of a container that has just ended.
func TestDownAtOnce(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	for range 10 {
		succeed(t, n.Main("-p", "8080:80", address, "true"))
		succeed(t, n.Main("down"))
	}
	lab.Eventually(t, func() error { return noVeth(n) })
	same(t, n, before)
}

// down refuses while containers run, and says which.
func TestDownRefuses(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	a := hold(t, n, "172.16.0.30")
	b := hold(t, n, "-p", "8080:80", "172.16.0.31")
	with := arrangement(n)
	_, stderr, status := n.Main("down").Result()
	one := fmt.Sprintf("172.16.0.30 %s (pid %d, cat)", a.veth(t, n), a.init)
	other := fmt.Sprintf("172.16.0.31 %s (pid %d, cat)", b.veth(t, n), b.init)
	if status != 125 || stderr != "main: containers run: "+one+"; "+other+"\n" && stderr != "main: containers run: "+other+"; "+one+"\n" {
		t.Errorf("down: status %d, %q; want 125, and that %s and %s run", status, stderr, one, other)
	}
	if err := unchanged(with, arrangement(n)); err != nil {
		t.Error(err)
	}
	a.end(t)
	b.end(t)
	lab.Eventually(t, func() error { return noVeth(n) })
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// A bridge that the administrator made, with the right address, is used, and
// is not ours to remove.
func TestDownLeavesForeignBridge(t *testing.T) {
	n := lab.New(t).Host
	foreignBridge(t, n, "br0", true, "172.16.0.100/24")
	before := n.Snapshot()
	h := hold(t, n, "-p", "8080:80", address)
	if veth := n.Link(h.veth(t, n)); veth.Master != n.Link("br0").Index {
		t.Errorf("the container's veth is on the link %d, want the bridge", veth.Master)
	}
	h.end(t)
	idle(t, n)
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// While down is at work no container starts on the bridge that it is about to
// take away; but a down that was killed at it is nothing to wait for.
func TestDownAtWork(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	succeed(t, n.Main(address, "true"))
	idle(t, n)
	alias := n.Link("br0").Alias
	killed := n.Command("true")
	if err := killed.Run(); err != nil {
		t.Fatal(err)
	}
	n.Apply(rtnl.SetAlias("br0", fmt.Sprintf("%s, which is process %d, started at %s", alias, os.Getpid(), stat(os.Getpid())[19])))
	refused(t, n, "bridge br0: main down has come between; try again", "-p", "8080:80", address)
	idle(t, n)
	// The second's number is another's by now.
	for _, pid := range []int{killed.Process.Pid, os.Getpid()} {
		n.Apply(rtnl.SetAlias("br0", fmt.Sprintf("%s, which is process %d, started at 1", alias, pid)))
		succeed(t, n.Main("-p", "8080:80", address, "true"))
		idle(t, n)
	}
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// Two bridges of ours go with one down.
func TestDownSeveralBridges(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	succeed(t, n.Main(address, "true"))
	succeed(t, n.Main("-bridge", "br7", "-gateway", "10.7.0.1/16", "10.7.0.2", "true"))
	lab.Eventually(t, func() error { return noVeth(n) })
	succeed(t, n.Main("down"))
	same(t, n, before)
}

func TestNoArgumentsTaken(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	for _, verb := range []string{"down", "gc"} {
		expect(t, n.Main(verb, "now"), 125, "", "main: "+verb+` takes no arguments, and here is "now"`+"\n")
	}
	same(t, n, before)
}
