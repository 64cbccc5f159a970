//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"container/integration/lab"
)

// env prints what a command is told about its addresses.
var env = script(`echo "$CONTAINER_IP ${CONTAINER_IP6-none}"`)

var addressTold = regexp.MustCompile(`(?m)^main: address (\S+)$`)

// auto starts an agent in a container whose address is chosen, and gives that
// address, as it is told on standard error.
func auto(t *testing.T, n *lab.Node, flags ...string) (*lab.Agent, string) {
	t.Helper()
	a := n.Container(t, words(flags, []string{"auto"})...)
	told := addressTold.FindAllStringSubmatch(a.Said(t), -1)
	if len(told) != 1 {
		t.Fatalf("on standard error is %q, want one line with the address", a.Said(t))
	}
	return a, told[0][1]
}

// isGiven checks which address is chosen.
func isGiven(t *testing.T, n *lab.Node, want string, flags ...string) *lab.Agent {
	t.Helper()
	a, got := auto(t, n, flags...)
	if got != want {
		t.Errorf("the address that is chosen is %s, want %s", got, want)
	}
	return a
}

// mentions runs a program that must fail with the status 125 and one line of
// error that has some words in it, its command unstarted.
func mentions(t *testing.T, n *lab.Node, want string, args ...string) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	args = append(slices.Clone(args), "touch", trace)
	stdout, stderr, status := n.Main(args...).Result()
	if status != 125 || stdout != "" || !strings.HasPrefix(stderr, "main: ") ||
		!strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%s:\n got status %d, output %q, error %q\nwant status 125 and one line with %q",
			strings.Join(args, " "), status, stdout, stderr, want)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Errorf("%s: the command was started", strings.Join(args, " "))
	}
}

// The lowest address that is free is chosen, and told: to the caller on
// standard error, to the command in its environment. An address that the caller
// has chosen is told to the command alone.
func TestAuto(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		gateway, address string
		told, env        string
	}{
		{"", "auto", "172.16.0.1", "172.16.0.1 none"},
		{"", addr30, "", addr30 + " none"},
		{"", addr30 + "/16", "", addr30 + " none"},
		{"172.16.0.1/24", "auto", "172.16.0.2", "172.16.0.2 none"},
		{"10.9.255.254/16", "auto", "10.9.0.1", "10.9.0.1 none"},
		{"192.168.77.126/26", "auto", "192.168.77.65", "192.168.77.65 none"},
		{dualGateway, "auto", "172.16.0.1,fd00:16::1", "172.16.0.1 fd00:16::1"},
		{dualGateway, addr30, "", addr30 + " none"},
		{dualGateway, addr30 + "," + addr30v6, "", addr30 + " " + addr30v6},
		{dualGateway, addr30v6 + "," + addr30, "", addr30 + " " + addr30v6},
		{dualGateway, addr30v6, "", addr30v6 + " " + addr30v6},
		{gateway6, "auto", "fd00:16::1", "fd00:16::1 fd00:16::1"},
		{"fd00:16::1/64", "auto", "fd00:16::2", "fd00:16::2 fd00:16::2"},
		{gateway6, "FD00:16:0::0030", "", addr30v6 + " " + addr30v6},
		{gateway6, addr30v6 + "/48", "", addr30v6 + " " + addr30v6},
	} {
		name := strings.ReplaceAll(tt.gateway+" "+tt.address, "/", "_")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := lab.New(t).Host
			var flags []string
			if tt.gateway != "" {
				flags = []string{"-gateway", tt.gateway}
			}
			stderr := ""
			if tt.told != "" {
				stderr = "main: address " + tt.told + "\n"
			}
			expect(t, n.Main(words(flags, []string{tt.address}, env)...), 0, tt.env+"\n", stderr)
		})
	}
}

// What is in use is passed over, whoever chose it; what has been given back is
// chosen again.
func TestAutoLowestFree(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	first := isGiven(t, n, "172.16.0.1")
	second := isGiven(t, n, "172.16.0.2")
	n.Container(t, "172.16.0.4")
	isGiven(t, n, "172.16.0.3")
	isGiven(t, n, "172.16.0.5")
	second.Stop(t)
	isGiven(t, n, "172.16.0.2")
	first.Stop(t)
	isGiven(t, n, "172.16.0.1")
	isGiven(t, n, "172.16.0.6")
}

// The two families are chosen from each by itself.
func TestAutoLowestFreeOfEach(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	dual := []string{"-gateway", dualGateway}
	n.Container(t, words(dual, []string{"172.16.0.1"})...)
	isGiven(t, n, "172.16.0.2,fd00:16::1", dual...)
	n.Container(t, words(dual, []string{"fd00:16::2"})...)
	isGiven(t, n, "172.16.0.3,fd00:16::3", dual...)
}

// One after the other, each at once: an address is free when the run before has
// ended.
func TestAutoAgainAtOnce(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for range 5 {
		expect(t, n.Main("auto", "true"), 0, "", "main: address 172.16.0.1\n")
	}
}

// A network has so many addresses, and who comes then is told.
func TestAutoNoneFree(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		gateway string
		given   []string
		network string
	}{
		{"172.16.0.1/30", []string{"172.16.0.2"}, "172.16.0.0/30"},
		{"172.16.0.6/29", []string{"172.16.0.1", "172.16.0.2", "172.16.0.3", "172.16.0.4", "172.16.0.5"}, "172.16.0.0/29"},
		{"fd00:16::1/126", []string{"fd00:16::2", "fd00:16::3"}, "fd00:16::/126"},
		{"172.16.0.1/30,fd00:16::1/64", []string{"172.16.0.2,fd00:16::2"}, "172.16.0.0/30"},
	} {
		t.Run(strings.ReplaceAll(tt.gateway, "/", "_"), func(t *testing.T) {
			t.Parallel()
			n := lab.New(t).Host
			var last *lab.Agent
			for _, want := range tt.given {
				last = isGiven(t, n, want, "-gateway", tt.gateway)
			}
			refused(t, n, "auto: no free address in "+tt.network, "-gateway", tt.gateway, "auto")
			last.Stop(t)
			isGiven(t, n, tt.given[len(tt.given)-1], "-gateway", tt.gateway)
		})
	}
}

// Fifty at once, on a host where nothing is made yet: each gets an address, and
// a port, and answers at them.
func TestAutoFiftyAtOnce(t *testing.T) {
	t.Parallel()
	const fifty = 50
	l := lab.New(t)
	g := newGate(t)
	var runs []*lab.Cmd
	var says []*speech
	for i := range fifty {
		c := g.main(t, l.Host, words([]string{"-p", fmt.Sprintf("%d:8000", 9000+i), "auto"},
			script(`echo "$CONTAINER_IP"; exec "$0" serve tcp :8000`), []string{lab.Probe(t)})...)
		stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		c.Stderr = stderr
		says = append(says, listenTo(t, c))
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, c)
	}
	g.open()
	holder := map[netip.Addr]int{}
	for i, c := range runs {
		line, err := says[i].lines.ReadString('\n')
		stderr, _ := os.ReadFile(c.Stderr.(*os.File).Name())
		addr, parseErr := netip.ParseAddr(strings.TrimSpace(line))
		if err != nil || parseErr != nil || string(stderr) != "main: address "+addr.String()+"\n" {
			t.Fatalf("run %d is at %q (%v), and says %q", i, line, err, stderr)
		}
		if j, ok := holder[addr]; ok {
			t.Errorf("run %d and run %d are both at %s", i, j, addr)
		}
		holder[addr] = i
		says[i].hear(t, "ready")
	}
	outside, host := l.Outside.Agent(), l.Host.Agent()
	for addr, i := range holder {
		if got, err := outside.Ask("tcp", fmt.Sprintf("%s:%d", hostAddr, 9000+i)); err != nil || got != outsideAddr {
			t.Errorf("run %d, at %s: outside was seen as %q (%v)", i, addr, got, err)
		}
		if got, err := host.Ask("tcp", addr.String()+":8000"); err != nil || got != bridgeAddr {
			t.Errorf("run %d, at %s: the host was seen as %q (%v)", i, addr, got, err)
		}
	}
}

// The container's prefix can be another than the bridge's: it is on veth1, and
// so is the route to it.
func TestAddressPrefix(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	got := says(t, l.Host.Main(addr30+"/16", lab.Probe(t), "net"))
	differ(t, "the network", withoutLinkLocal(got), strings.Join([]string{
		"interface lo up 127.0.0.1/8 ::1/128",
		"interface veth1 up 172.16.0.30/16",
		"route 0.0.0.0/0 via 172.16.0.100 dev veth1",
		"route 172.16.0.0/16 dev veth1",
		"",
	}, "\n"))
	c := l.Host.Container(t, addr30+"/16")
	serve(t, l.Outside.Agent(), "0.0.0.0:7")
	serve(t, c, "0.0.0.0:7")
	reaches(t, "container to outside", c, outsideAddr+":7", hostAddr)
	reaches(t, "host to container", l.Host.Agent(), addr30+":7", bridgeAddr)
	// It is the same address, whatever its prefix.
	mentions(t, l.Host, "address "+addr30+" is in use by veth", addr30)
	mentions(t, l.Host, "address "+addr30+" is in use by veth", addr30+"/25")
	if got := says(t, l.Host.Main("exec", addr30, "echo", "here")); got != "here\n" {
		t.Errorf("exec says %q", got)
	}
}

// The same with IPv6, alone and along with IPv4.
func TestAddressPrefix6(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, addr := range []string{addr30v6 + "/48", addr30 + "/16," + addr30v6 + "/48"} {
		got := says(t, l.Host.Main("-gateway", dualGateway, addr, lab.Probe(t), "net6"))
		differ(t, "the network of "+addr, got, strings.Join([]string{
			"address ::1/128 dev lo",
			"address fd00:16::30/48 dev veth1",
			"route ::/0 via fd00:16::100 dev veth1",
			"route fd00:16::/48 dev veth1",
			"",
		}, "\n"))
	}
	got := says(t, l.Host.Main("-gateway", dualGateway, addr30+"/16,"+addr30v6+"/48", lab.Probe(t), "net"))
	if !strings.Contains(got, "route 172.16.0.0/16 dev veth1\n") {
		t.Errorf("the IPv4 network is\n%s", got)
	}
}

// What is no address, or not one that a container here could have, is refused
// with a line about it, and without an effect.
func TestAddressRefused(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	for _, tt := range []struct {
		gateway, address string
	}{
		{"", "172.16.0.30/33"},
		{"", "172.16.0.30/"},
		{"", "172.16.0.30/a"},
		{"", "172.16.0.30/-1"},
		{"", "172.16.0.30/024"},
		{"", "172.16.0.30,172.16.0.31"},
		{"", "172.16.0.30,"},
		{"", ",172.16.0.30"},
		{"", "auto,172.16.0.30"},
		{"", "172.16.0.30,auto"},
		{"", addr30v6},                // there is no IPv6 network
		{"", addr30 + "," + addr30v6}, // the same
		{"", "::ffff:172.16.0.30"},
		{gateway6, addr30},
		{gateway6, addr30v6 + "/129"},
		{gateway6, "fd00:17::30"},
		{gateway6, "fd00:16::100"},
		{gateway6, "fd00:16::"},
		{gateway6, "fe80::30"},
		{gateway6, "ff02::30"},
		{gateway6, "fd00:16::30%eth0"},
		{dualGateway, addr30v6 + "," + addr31v6},
		{dualGateway, addr30 + "," + addr30v6 + "," + addr31},
		{dualGateway, "172.16.1.30," + addr30v6},
		{dualGateway, addr30 + ",fd00:17::30"},
		{dualGateway, addr30 + ",fd00:16::100"},
		{"fd00:16::100/129", addr30v6},
		{"fd00:16::100", addr30v6},
		{"fd00:16::100/64,", addr30v6},
		{"fd00:16::100/64,fd00:17::100/64", addr30v6},
		{"172.16.0.100/24,172.17.0.100/24", addr30},
		{"172.16.0.100/24,fd00:16::/64", addr30},
		{"::1/64", "::2"},
	} {
		args := []string{tt.address, "true"}
		if tt.gateway != "" {
			args = append([]string{"-gateway", tt.gateway}, args...)
		}
		fails(t, n.Main(args...), 125, "")
	}
	same(t, n, before)
}

// An address is one container's, of either family; and who is refused one of
// two has not got the other.
func TestAddressInUse6(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	dual := []string{"-gateway", dualGateway}
	holder := n.Container(t, words(dual, []string{addr30 + "," + addr30v6})...)
	with := arrangement(n)
	mentions(t, n, "address "+addr30+" is in use by veth", addr30)
	for _, tt := range []struct{ address, in string }{
		{addr30v6, addr30v6},
		{addr31 + "," + addr30v6, addr30v6},
		{addr30 + "," + addr31v6, addr30},
	} {
		mentions(t, n, "address "+tt.in+" is in use by veth", append(dual, tt.address)...)
	}
	lab.Eventually(t, func() error { return unchanged(with, arrangement(n)) })
	succeed(t, n.Main(append(dual, addr31+","+addr31v6, "true")...))
	holder.Stop(t)
	succeed(t, n.Main(append(dual, addr30v6+","+addr30, "true")...))
}

// A machine that is no container, as a virtual machine on the same bridge, has
// its address by its own right: who answers for it is asked. Only what is in
// use is refused, or passed over, and only while it is.
func TestAddressOfForeigner(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	serve(t, l.Host.Container(t, addr31), "0.0.0.0:7") // which makes the bridge
	foreign := l.Machine("foreign")
	l.Plug("br0", "port1", foreign, "eth0", netip.MustParsePrefix("172.16.0.30/24"), netip.MustParsePrefix("172.16.0.1/24"))
	serve(t, foreign.Agent(), "0.0.0.0:7")

	mentions(t, l.Host, "address "+addr30+" is in use by", addr30)
	isGiven(t, l.Host, "172.16.0.2")
	other := l.Host.Container(t, "172.16.0.32")
	reaches(t, "another container to the foreign machine", other, addr30+":7", "172.16.0.32")
	reaches(t, "the foreign machine to a container", foreign.Agent(), addr31+":7", addr30)

	setDown(t, l.Host, "port1")
	succeed(t, l.Host.Main(addr30, "true"))
	isGiven(t, l.Host, "172.16.0.1")
}

// The same with IPv6.
func TestAddressOfForeigner6(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	dual := []string{"-gateway", dualGateway}
	l.Host.Container(t, words(dual, []string{addr31 + "," + addr31v6})...)
	foreign := l.Machine("foreign")
	l.Plug("br0", "port1", foreign, "eth0", netip.MustParsePrefix("fd00:16::30/64"), netip.MustParsePrefix("fd00:16::1/64"))
	serve(t, foreign.Agent(), at(addr30v6, 7))

	mentions(t, l.Host, "address "+addr30v6+" is in use by", words(dual, []string{addr30v6})...)
	mentions(t, l.Host, "address "+addr30v6+" is in use by", words(dual, []string{addr30 + "," + addr30v6})...)
	succeed(t, l.Host.Main(addr30, "true"))
	isGiven(t, l.Host, "172.16.0.1,fd00:16::2", dual...)
	other := l.Host.Container(t, words(dual, []string{"fd00:16::32"})...)
	reaches(t, "another container to the foreign machine", other, at(addr30v6, 7), "fd00:16::32")

	setDown(t, l.Host, "port1")
	succeed(t, l.Host.Main(append(dual, addr30v6, "true")...))
}

// A foreign machine on a bridge of somebody else's.
func TestAddressOfForeignerOnBridgeOfOthers(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Host.Bridge("br7", netip.MustParsePrefix("172.16.0.100/24"))
	foreign := l.Machine("foreign")
	l.Plug("br7", "port1", foreign, "eth0", netip.MustParsePrefix("172.16.0.30/24"))
	before := arrangement(l.Host)
	mentions(t, l.Host, "address "+addr30+" is in use by", "-bridge", "br7", addr30)
	lab.Eventually(t, func() error { return noVeth(l.Host) })
	succeed(t, l.Host.Main("-bridge", "br7", addr31, "true"))
	lab.Eventually(t, func() error { return noVeth(l.Host) })
	succeed(t, l.Host.Main("down"))
	if err := unchanged(before, arrangement(l.Host)); err != nil {
		t.Error(err)
	}
}

// What the host has itself, by whatever link, no container gets.
func TestAddressOfHost(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	n.Address("lo", netip.MustParsePrefix("172.16.0.30/32"), netip.MustParsePrefix("172.16.0.1/32"))
	n.Address("lo", netip.MustParsePrefix("fd00:16::30/128"))
	before := n.Snapshot()
	mentions(t, n, "address "+addr30+" is the host's own", addr30)
	mentions(t, n, "address "+addr30v6+" is the host's own", "-gateway", dualGateway, addr30v6)
	mentions(t, n, "address "+addr30v6+" is the host's own", "-gateway", dualGateway, addr31+","+addr30v6)
	lab.Eventually(t, func() error { return noVeth(n) })
	isGiven(t, n, "172.16.0.2").Stop(t)
	lab.Eventually(t, func() error { return noVeth(n) })
	succeed(t, n.Main("down"))
	same(t, n, before)
}
