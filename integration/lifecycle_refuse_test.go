//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/rtnl"
)

// foreignBridge makes a bridge as an administrator would: with addresses, and
// with a port that is none of ours.
func foreignBridge(t *testing.T, n *lab.Node, name string, up bool, addrs ...string) {
	t.Helper()
	n.Apply(rtnl.Bridge(name, []byte{0x02, 0, 0x5e, 0, 0, 1}))
	index := n.Link(name).Index
	for _, a := range addrs {
		n.Apply(rtnl.Address(index, name, netip.MustParsePrefix(a)))
	}
	const port, end = "port0", "end0"
	err := n.Do(func() error {
		c, err := rtnl.Dial(nil)
		if err != nil {
			return err
		}
		defer c.Close()
		// Both ends are here, where this thread is.
		return c.Do(rtnl.Veth(port, nil, name, index, 0, rtnl.VethPeer{Name: end, PID: unix.Gettid()}))
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Apply(rtnl.Up(n.Link(end).Index, end))
	for _, dev := range []string{port, end, name} {
		n.AwaitUp(dev)
	}
	if !up {
		setDown(t, n, name)
	}
}

// setDown is "ip link set dev NAME down", for which the runner has no use.
func setDown(t *testing.T, n *lab.Node, name string) {
	t.Helper()
	err := n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr) // no flags
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Bad input has one line about it, the right status, and no effect.
func TestBadInput(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"bash", 125, `"bash" is not an address`},
		{"172.16.0.256 true", 125, `"172.16.0.256" is not an address`},
		{"172.16.0.30", 125, "a COMMAND is missing: main 172.16.0.30 bash"},
		{"-p 80:80", 125, "an ADDRESS and a COMMAND are missing: main 172.16.0.30 bash"},
		{"10.0.0.30 true", 125, "address 10.0.0.30 is outside the bridge's network 172.16.0.0/24"},
		{"172.16.0.100 true", 125, "address 172.16.0.100 is the gateway's own"},
		{"172.16.0.0 true", 125, "address 172.16.0.0 is the network's own address"},
		{"172.16.0.255 true", 125, "address 172.16.0.255 is the network's broadcast address"},
		{"-p 80: 172.16.0.30 true", 125, `invalid value "80:" for flag -p: "" is not a port: they go from 1 to 65535`},
		{"-p 80:0 172.16.0.30 true", 125, `invalid value "80:0" for flag -p: "0" is not a port: they go from 1 to 65535`},
		{"-p 80-81:80 172.16.0.30 true", 125, `invalid value "80-81:80" for flag -p: ranges of different lengths: 80-81 has 2, 80 has 1`},
		{"-p [::1]:80:80 172.16.0.30 true", 125, "port [::1]:80:80/tcp: the container has no IPv6 address"},
		{"-p 80:65536 172.16.0.30 true", 125, `invalid value "80:65536" for flag -p: "65536" is not a port: they go from 1 to 65535`},
		{"-p 80:80/icmp 172.16.0.30 true", 125, `invalid value "80:80/icmp" for flag -p: protocol "icmp": it takes tcp, udp or sctp`},
		{"-p 80:80 -p 80:81 172.16.0.30 true", 125, "port 80:81/tcp: 80:80/tcp publishes it already"},
		{"-p 10.0.0.77:80:80 172.16.0.30 true", 125, "port 10.0.0.77:80/tcp: bind: cannot assign requested address"},
		{"-q 172.16.0.30 true", 125, "flag provided but not defined: -q"},
		{"-bridge sixteen.letters. 172.16.0.30 true", 125, `bridge "sixteen.letters.": a link's name has at most 15 bytes, and this has 16`},
		{"-bridge lo 172.16.0.30 true", 125, `bridge "lo": the kernel keeps this name for itself`},
		{"-bridge eth0 172.16.0.30 true", 125, "bridge eth0: that is a veth, not a bridge"},
		{"-gateway 172.16.0.100 172.16.0.30 true", 125, `invalid value "172.16.0.100" for flag -gateway: not an address with a prefix length, as 172.16.0.100/24`},
		{"-hostname a/b 172.16.0.30 true", 125, `hostname "a/b": it takes 1 to 64 bytes without slashes and spaces`},
		{"172.16.0.30 no-such-command", 127, "no-such-command: command not found in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"172.16.0.30 /etc/passwd", 126, "/etc/passwd: permission denied"},
	} {
		expect(t, n.Main(strings.Fields(c.args)...), c.status, "", "main: "+c.want+"\n")
	}
	same(t, n, before)
}

// Without arguments it says how it is used.
func TestUsage(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	stdout, stderr, status := n.Main().Result()
	if status != 125 || stdout != "" || !strings.HasPrefix(stderr, "usage: main [flags] ADDRESS COMMAND [ARG...] ") {
		t.Errorf("status %d, output %q, error %q; want 125, nothing and the usage", status, stdout, stderr)
	}
	same(t, n, before)
}

// Who is not root hears that first, and only that.
func TestOrdinaryUser(t *testing.T) {
	n := lab.New(t).Host
	binary := copyForAll(t)
	before := n.Snapshot()
	for _, args := range []string{"172.16.0.30 true", "-q nonsense", "172.16.0.30 no-such-command", "gc", "down"} {
		c := n.Command(binary, strings.Fields(args)...)
		c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		expect(t, c, 125, "", "main: this takes root: it makes namespaces, links and firewall rules (try sudo)\n")
	}
	c := n.Command(binary, "version")
	c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	if stdout, stderr, status := c.Result(); status != 0 || stderr != "" || !strings.HasPrefix(stdout, "main ") {
		t.Errorf("version: status %d, output %q, error %q", status, stdout, stderr)
	}
	same(t, n, before)
}

// What is in the way of the bridge is named, and left alone.
func TestForeignBridge(t *testing.T) {
	for name, c := range map[string]struct {
		up    bool
		addrs []string
		want  string // empty: it is used
	}{
		"another address":   {true, []string{"172.16.0.1/24"}, "bridge br0: it has the address 172.16.0.1/24, not 172.16.0.100/24 (-gateway tells the bridge's own address)"},
		"another length":    {true, []string{"172.16.0.100/16"}, "bridge br0: it has the address 172.16.0.100/16, not 172.16.0.100/24 (-gateway tells the bridge's own address)"},
		"two others":        {true, []string{"10.1.0.1/24", "10.2.0.1/24"}, "bridge br0: it has the address 10.1.0.1/24, 10.2.0.1/24, not 172.16.0.100/24 (-gateway tells the bridge's own address)"},
		"no address":        {true, nil, "bridge br0: it has no address, and somebody else made it (ip addr add 172.16.0.100/24 dev br0)"},
		"it is down":        {false, []string{"172.16.0.100/24"}, "bridge br0: it is down (ip link set dev br0 up)"},
		"the right address": {true, []string{"172.16.0.100/24"}, ""},
		"one more before":   {true, []string{"10.1.0.1/24", "172.16.0.100/24"}, ""},
		"one more behind":   {true, []string{"172.16.0.100/24", "10.1.0.1/24"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := lab.New(t).Host
			foreignBridge(t, n, "br0", c.up, c.addrs...)
			before := n.Snapshot()
			if c.want != "" {
				expect(t, n.Main(address, "true"), 125, "", "main: "+c.want+"\n")
			} else {
				succeed(t, n.Main(address, "true"))
				idle(t, n)
				succeed(t, n.Main("down"))
			}
			same(t, n, before)
		})
	}
}

// refused runs what must be refused with a message, its command unstarted.
func refused(t *testing.T, n *lab.Node, want string, args ...string) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	args = append(args, "touch", trace)
	expect(t, n.Main(args...), 125, "", "main: "+want+"\n")
	if _, err := os.Stat(trace); err == nil {
		t.Errorf("%s: the command was started", strings.Join(args, " "))
	}
}

// An address is one container's.
func TestAddressInUse(t *testing.T) {
	n := lab.New(t).Host
	h := hold(t, n, "-p", "8080:80", address)
	holder := fmt.Sprintf("%s (pid %d, cat)", h.veth(t, n), h.init)
	with := arrangement(n)
	refused(t, n, "address "+address+" is in use by "+holder, address)
	refused(t, n, "address "+address+" is in use by "+holder, "-p", "8081:80", address)
	lab.Eventually(t, func() error { // the veths that were refused
		return unchanged(with, arrangement(n))
	})
	h.end(t)
	idle(t, n)
	succeed(t, n.Main(address, "true"))
}

// A port of the host is one container's, or a process's of the host, before
// anything starts.
func TestPortInUse(t *testing.T) {
	n := lab.New(t).Host
	h := hold(t, n, "-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "5353:53/udp", address)
	holder := fmt.Sprintf("%s (pid %d, cat)", h.veth(t, n), h.init)
	with := arrangement(n)
	const other = "172.16.0.31"
	for _, c := range []struct{ port, words string }{
		{"8080:80", "8080/tcp"},
		{"8080:81", "8080/tcp"},
		{"0.0.0.0:8080:80", "0.0.0.0:8080/tcp"},
		{"127.0.0.1:8080:80", "127.0.0.1:8080/tcp"},
		{"10.0.0.1:8080:80", "10.0.0.1:8080/tcp"},
		{"127.0.0.1:8081:80", "127.0.0.1:8081/tcp"},
		{"8081:80", "8081/tcp"},
		{"5353:53/udp", "5353/udp"},
		{"10.0.0.1:5353:53/udp", "10.0.0.1:5353/udp"},
	} {
		refused(t, n, "port "+c.words+": it is in use by "+holder, "-p", "9999:80", "-p", c.port, other)
	}
	if err := unchanged(with, arrangement(n)); err != nil {
		t.Error(err)
	}
	// The same number of another protocol, or another address, is free.
	for _, port := range []string{"8080:80/udp", "5353:53", "10.0.0.1:8081:80"} {
		succeed(t, n.Main("-p", port, other, "true"))
	}
	h.end(t)
	idle(t, n)
}

// A process of the host that has the port is named.
func TestPortOfHostProcess(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	by := fmt.Sprintf("it is in use by pid %d, %s", os.Getpid(), strings.TrimSpace(string(comm)))
	for _, c := range []struct{ network, addr, port, words string }{
		{"tcp4", "0.0.0.0:8080", "8080:80", "8080/tcp"},
		{"tcp4", "0.0.0.0:8080", "10.0.0.1:8080:80", "10.0.0.1:8080/tcp"},
		{"tcp4", "127.0.0.1:8080", "8080:80", "8080/tcp"},
		{"tcp4", "10.0.0.1:8080", "10.0.0.1:8080:80", "10.0.0.1:8080/tcp"},
		{"tcp6", "[::]:8080", "8080:80", "8080/tcp"}, // takes the IPv4 port as well
		{"udp4", "0.0.0.0:8080", "8080:80/udp", "8080/udp"},
		{"udp4", "127.0.0.1:8080", "8080:80/udp", "8080/udp"},
	} {
		var held interface{ Close() error }
		network := c.network
		if c.addr == "[::]:8080" {
			network = "tcp" // both families
		}
		if err := n.Do(func() (err error) { held, err = listen(network, c.addr); return err }); err != nil {
			t.Fatal(err)
		}
		refused(t, n, "port "+c.words+": "+by, "-p", "9999:80", "-p", c.port, address)
		held.Close()
		if err := portFree(n, "tcp", "0.0.0.0:9999"); err != nil {
			t.Error(err)
		}
	}
	same(t, n, before)
}

// While a container runs no process of the host can take its port, and when it
// has ended any can.
func TestPortIsHeld(t *testing.T) {
	n := lab.New(t).Host
	h := hold(t, n, "-p", "8080:80", "-p", "127.0.0.1:8081:80/udp", address)
	for _, c := range [][2]string{{"tcp", "0.0.0.0:8080"}, {"tcp", "127.0.0.1:8080"}, {"udp", "127.0.0.1:8081"}} {
		if err := portFree(n, c[0], c[1]); err == nil {
			t.Errorf("a process of the host can have %s %s", c[0], c[1])
		}
	}
	h.end(t)
	for _, c := range [][2]string{{"tcp", "0.0.0.0:8080"}, {"udp", "127.0.0.1:8081"}} {
		if err := portFree(n, c[0], c[1]); err != nil {
			t.Error(err)
		}
	}
}

// A run that finds out late that the host can't be made ready leaves it as it
// was, with its ruleset and without.
func TestSettingsAreReadOnly(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	run := func(args ...string) *lab.Cmd {
		return behind(t, n, "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys", args...)
	}
	const want = "main: sysctl net/ipv4/ip_forward: set to 1: read-only file system (/proc/sys is read-only here: set it outside)\n"
	expect(t, run("-p", "8080:80", address, "true"), 125, "", want)
	expect(t, run("-gateway", "172.16.0.100/24", "auto", "true"), 125, "", want)
	lab.Eventually(t, func() error { return unchanged(before, n.Snapshot()) })

	// What runs meanwhile keeps what it has.
	h := hold(t, n, "-p", "8080:80", address)
	n.SetSysctl("net/ipv4/ip_forward", "0")
	rules := n.Ruleset()
	expect(t, run("-gateway", "172.16.0.100/24", "172.16.0.31", "true"), 125, "", want)
	if now := n.Ruleset(); now != rules {
		t.Errorf("the ruleset is\n%s\nand was\n%s", now, rules)
	}
	h.end(t)
}
