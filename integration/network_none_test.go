//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// A container without a network has lo, and nobody to talk to but itself. The
// host has no trace of it.
func TestNetworkNone(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	before := l.Host.Snapshot()
	c := l.Host.Container(t, "-network", "none")
	text, err := c.Tell("net")
	if want := "interface lo up 127.0.0.1/8 ::1/128"; err != nil || strings.TrimSpace(text) != want {
		t.Errorf("its network is %q (%v), want %q", text, err, want)
	}
	for _, addr := range []string{"127.0.0.1:8000", "[::1]:8000"} {
		serve(t, c, addr)
		reaches(t, "itself", c, addr, strings.Trim(strings.TrimSuffix(addr, ":8000"), "[]"))
	}
	closed(t, "a container without a network", c, outsideAddr+":7")
	closed(t, "a container without a network", c, bridgeAddr+":7")
	same(t, l.Host, before)
	c.Stop(t)
	same(t, l.Host, before)
}

// A container with the host's network is a process of the host, as far as that
// goes.
func TestNetworkHost(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	outside := l.Outside.Agent()
	serve(t, outside, "0.0.0.0:7")
	before := l.Host.Snapshot()
	c := l.Host.Container(t, "-network", "host")
	const inode = "/proc/self/ns/net"
	if in, out := says(t, l.Host.Main("-network", "host", "readlink", inode)), says(t, l.Host.Command("readlink", inode)); in != out {
		t.Errorf("its network namespace is %s, and the host's is %s", in, out)
	}
	in, err := c.Tell("net")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := l.Host.Agent().Tell("net"); err != nil || in != out {
		t.Errorf("its network is\n%s\nand the host's (%v)\n%s", in, err, out)
	}
	same(t, l.Host, before)
	serve(t, c, "0.0.0.0:8000")
	reaches(t, "to outside", c, outsideAddr+":7", hostAddr)
	reaches(t, "outside", outside, hostAddr+":8000", outsideAddr)
	c.Stop(t)
	same(t, l.Host, before)
}

// The exit status, and what the kernel's isolation is for the rest, are as with a
// network.
func TestNetworkNoneAndHostRun(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	for _, network := range []string{"none", "host"} {
		expect(t, n.Main("-network", network, "sh", "-c", "echo $$; exit 3"), 3, "2\n", "")
		expect(t, n.Main("-network", network, "no-such-command"), 127, "", "main: no-such-command: command not found in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
		for _, ns := range []string{"pid", "mnt", "uts", "ipc", "cgroup"} {
			in := says(t, n.Main("-network", network, "readlink", "/proc/self/ns/"+ns))
			if out := says(t, n.Command("readlink", "/proc/self/ns/"+ns)); in == out {
				t.Errorf("-network %s: the %s namespace is the host's", network, ns)
			}
		}
		// Killed, it leaves nothing.
		name := fmt.Sprintf("network-%s-%d", network, os.Getpid())
		c := n.Main("-network", network, "-hostname", name, "sh", "-c", "echo ready; exec cat", name)
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out := listenTo(t, c)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		out.hear(t, "ready")
		running := called(t, name)
		kill(t, c.Process.Pid)
		lab.Eventually(t, func() error { return ended(running...) })
		_ = stdin.Close()
		await(c)
	}
	same(t, n, before)
	succeed(t, n.Main("gc"))
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// What takes a link is refused where there is none of ours.
func TestNetworkNoneAndHostRefuse(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	for _, network := range []string{"none", "host"} {
		for _, flags := range [][]string{
			{"-p", "80:8000"}, {"-isolate"}, {"-mtu", "1400"}, {"-mac", "02:00:00:00:00:05"},
		} {
			for _, args := range [][]string{
				words([]string{"-network", network}, flags),
				words(flags, []string{"-network", network}),
			} {
				saysNo(t, n, []string{flags[0], "-network " + network}, args...)
			}
		}
	}
	for _, network := range []string{"nonsense", "", "br0"} {
		saysNo(t, n, []string{"-network"}, "-network", network)
	}
	expectMissing(t, n.Main("-network", "none"))
	same(t, n, before)
}

// saysNo runs what must be refused in one line with these words in it, its command
// unstarted.
func saysNo(t *testing.T, n *lab.Node, words []string, args ...string) {
	t.Helper()
	stdout, stderr, status := n.Main(append(args[:len(args):len(args)], "echo", "started")...).Result()
	if status != 125 || stdout != "" || !strings.HasPrefix(stderr, "main: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%s: status %d, output %q, error %q; want 125 and one line", strings.Join(args, " "), status, stdout, stderr)
	}
	for _, w := range words {
		if !strings.Contains(stderr, w) {
			t.Errorf("%s: it says %q, want %q in it", strings.Join(args, " "), stderr, w)
		}
	}
}

// expectMissing runs a line that says no COMMAND.
func expectMissing(t *testing.T, c *lab.Cmd) {
	t.Helper()
	if stdout, stderr, status := c.Result(); status != 125 || stdout != "" || !strings.Contains(stderr, "COMMAND is missing") || strings.Contains(stderr, "ADDRESS") {
		t.Errorf("%s: status %d, output %q, error %q; want 125, and that a COMMAND is missing", strings.Join(c.Args[1:], " "), status, stdout, stderr)
	}
}

// Without nf_tables there is a bridge yet, and all that are on it: nothing is
// published, masqueraded or guarded by rules, as there are none.
func TestNoNAT(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		before := l.Host.Snapshot()
		host := l.Host.Agent()
		c := l.Host.Container(t, "-nat=false", addr30)
		serve(t, host, bridgeAddr+":7")
		neighbour := l.Host.Container(t, "-nat=false", addr31)
		serve(t, c, "0.0.0.0:8000")
		reaches(t, "container to the bridge's address", c, bridgeAddr+":7", addr30)
		reaches(t, "neighbour to container", neighbour, addr30+":8000", addr31)
		reaches(t, "host to container", host, addr30+":8000", bridgeAddr)
		text, err := c.Tell("net")
		if err != nil || !strings.Contains(text, "route 0.0.0.0/0 via "+bridgeAddr+" dev veth1") {
			t.Errorf("the container's network is (%v)\n%s", err, text)
		}
		if got := l.Host.Ruleset(); got != "" {
			t.Errorf("the ruleset is\n%s\nwant none", got)
		}
		all := listed(t, l.Host)
		if len(all) != 2 || all[0].Address != addr30 || all[1].Address != addr31 || all[0].Bridge != "br0" || told(all[0].Lost) || told(all[0].Isolated) || len(all[0].Ports) > 0 {
			t.Errorf("listed is %+v, want the two", all)
		}
		if got := says(t, l.Host.Main("exec", addr31, "cat", "/sys/class/net/veth1/address")); got != macOf(t, neighbour)+"\n" {
			t.Errorf("exec tells of the MAC %q, want %s", got, macOf(t, neighbour))
		}
		refusal := regexp.MustCompile(`^main: containers run: `)
		if _, stderr, status := l.Host.Main("down").Result(); status != 125 || !refusal.MatchString(stderr) {
			t.Errorf("down meanwhile: status %d, error %q; want 125 and that containers run", status, stderr)
		}
		succeed(t, l.Host.Main("gc"))
		reaches(t, "neighbour to container, after gc", neighbour, addr30+":8000", addr31)
		c.Stop(t)
		neighbour.Stop(t)
		lab.Eventually(t, func() error { return noVeth(l.Host) })
		succeed(t, l.Host.Main("down"))
		same(t, l.Host, before)
	})
}

// Nor does it speak to nf_tables at all, which a kernel without it would not
// understand.
func TestNoNATNoMessage(t *testing.T) {
	t.Parallel()
	need.Tool(t, "strace")
	n := lab.New(t).Host
	for _, tt := range []struct {
		args []string
		want bool
	}{
		{[]string{"-nat=false", addr30, "true"}, false},
		{[]string{"-network", "none", "true"}, false},
		{[]string{"-network", "host", "true"}, false},
		{[]string{addr30, "true"}, true},
	} {
		trace := filepath.Join(t.TempDir(), "trace")
		says(t, n.Command("strace", words([]string{"-f", "-qq", "-o", trace, "-e", "trace=socket", "-e", "signal=none", lab.MainBinary(t)}, tt.args)...))
		b, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(b), "NETLINK_NETFILTER"); got != tt.want {
			t.Errorf("%s: it speaks to netfilter: %t, want %t\n%s", strings.Join(tt.args, " "), got, tt.want, b)
		}
	}
}

// An address is one container's there too, also beside containers with rules.
func TestNoNATAddressInUse(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	holder := regexp.MustCompile(`^main: address 172\.16\.0\.30 is in use by veth[0-9a-f]+ \(pid \d+, probe\)\n$`)
	isRefused := func(args ...string) {
		t.Helper()
		was := fmt.Sprintf("%+v", list(t, n))
		stdout, stderr, status := n.Main(append(args, addr30, "echo", "started")...).Result()
		if status != 125 || stdout != "" || !holder.MatchString(stderr) {
			t.Errorf("%q: status %d, output %q, error %q; want 125 and %s", args, status, stdout, stderr, holder)
		}
		if now := fmt.Sprintf("%+v", list(t, n)); now != was {
			t.Errorf("%q, refused, made of the list %s: %s", args, was, now)
		}
	}
	c := n.Container(t, "-nat=false", addr30)
	isRefused("-nat=false")
	isRefused()
	c.Stop(t)
	c = n.Container(t, addr30)
	isRefused("-nat=false")
	isRefused()
	c.Stop(t)
	succeed(t, n.Main("-nat=false", addr30, "true"))
}

// It is free again when its run is over, or killed, without anything being run.
func TestNoNATAddressAgain(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for i := range 5 {
		if _, stderr, status := n.Main("-nat=false", addr30, "true").Result(); status != 0 {
			t.Fatalf("run %d: status %d: %s", i, status, stderr)
		}
	}
	c := n.Container(t, "-nat=false", addr30)
	first := listed(t, n)[0].PID
	kill(t, c.Process.Pid)
	await(c.Cmd)
	lab.Eventually(t, func() error {
		if err := noVeth(n); err != nil {
			return err
		}
		if _, stderr, status := n.Main("-nat=false", addr30, "true").Result(); status != 0 {
			return fmt.Errorf("status %d: %s", status, stderr)
		}
		return ended(first)
	})
	lab.Eventually(t, func() error { return noVeth(n) })
	succeed(t, n.Main("gc"))
	succeed(t, n.Main("down"))
}

// Of IPv6 addresses all bits count: what differs in the network alone is two.
func TestNoNATIPv6(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	serve(t, l.Host.Agent(), "[::]:7")
	first := l.Host.Container(t, "-nat=false", "-gateway", dualGateway, dual30)
	second := l.Host.Container(t, "-nat=false", "-bridge", "br1", "-gateway", "fd00:17::100/64", "fd00:17::30")
	third := l.Host.Container(t, "-nat=false", "-gateway", dualGateway, dual31)
	reaches(t, "the first to the bridge's address", first, at(bridgeAddr6, 7), addr30v6)
	reaches(t, "the second to the bridge's address", second, at("fd00:17::100", 7), "fd00:17::30")
	serve(t, first, "[::]:8000")
	reaches(t, "the third to the first", third, at(addr30v6, 8000), addr31v6)
	reaches(t, "the third to the first", third, addr30+":8000", addr31)
	// Each of the two addresses is in use.
	for _, a := range []string{addr30, addr30v6, addr30 + ",fd00:16::40", "172.16.0.40," + addr30v6} {
		saysNo(t, l.Host, []string{"address ", " is in use by "}, "-nat=false", "-gateway", dualGateway, a)
	}
	for _, a := range []*lab.Agent{first, second, third} {
		a.Stop(t)
	}
	lab.Eventually(t, noPorts(l.Host))
	succeed(t, l.Host.Main("down"))
}

// What takes rules is refused, in words.
func TestNoNATRefuses(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	for _, flags := range [][]string{{"-p", "80:8000"}, {"-isolate"}} {
		saysNo(t, n, []string{flags[0], "-nat"}, words([]string{"-nat=false"}, flags, []string{addr30})...)
	}
	same(t, n, before)
}

// Of many that want an address at once, one has it.
func TestNoNATManyForOneAddress(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	refusal := regexp.MustCompile(`^main: .*\baddress\b.*\n$`)
	type outcome struct {
		c      *lab.Cmd
		stderr *strings.Builder
		mine   bool
	}
	g := newGate(t)
	outcomes := make(chan outcome, many)
	var inputs []func()
	for range many {
		c := g.main(t, n, "-nat=false", addr30, "sh", "-c", "echo mine; exec cat")
		o := outcome{c: c, stderr: new(strings.Builder)}
		c.Stderr = o.stderr
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, func() { _ = stdin.Close() })
		said := listenTo(t, c)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			line, _ := said.lines.ReadString('\n')
			o.mine = line == "mine\n"
			outcomes <- o
		}()
	}
	g.open()
	var winners int
	var all []outcome
	for range many {
		o := <-outcomes
		if all = append(all, o); o.mine {
			winners++
		}
	}
	for _, end := range inputs {
		end()
	}
	for _, o := range all {
		await(o.c)
		if !o.mine && (o.c.Status() != 125 || !refusal.MatchString(o.stderr.String())) {
			t.Errorf("status %d, error %q; want 125 and that the address is in use", o.c.Status(), o.stderr)
		}
	}
	if winners != 1 {
		t.Errorf("%d have got it, want 1", winners)
	}
}
