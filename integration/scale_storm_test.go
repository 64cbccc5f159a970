//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/nl"
)

// What many containers at once do to each other, scale_*_test.go. As a rule they
// are as many as a test may take time for; with -storm (make storm) as many as
// the kernel lets be.
var storm = flag.Bool("storm", false, "tests of many containers have as many as there can be, and take minutes")

// inStorm is one number or, with -storm, another.
func inStorm(usual, most int) int {
	if *storm {
		return most
	}
	return usual
}

// crowd is containers that run until they are told to end.
type crowd struct {
	mu   sync.Mutex
	cmds []*lab.Cmd
	errs []*bytes.Buffer
}

// start starts one, whose command says a line on standard output before it goes
// on, and returns that line when it has been said.
func (w *crowd) start(c *lab.Cmd) (string, error) {
	stdout, err := c.StdoutPipe()
	if err != nil {
		return "", err
	}
	stderr := new(bytes.Buffer)
	c.Stderr = stderr
	if err := c.Start(); err != nil {
		return "", err
	}
	w.mu.Lock()
	w.cmds, w.errs = append(w.cmds, c), append(w.errs, stderr)
	w.mu.Unlock()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = c.Wait()
		return "", fmt.Errorf("%s: status %d, error %q", strings.Join(c.Args, " "), c.Status(), stderr)
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// end has all of them end, as a SIGTERM does, and checks that they do, and what
// they have said on standard error.
func (w *crowd) end(t *testing.T, said *regexp.Regexp) {
	t.Helper()
	for _, c := range w.cmds {
		if err := c.Process.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	for i, c := range w.cmds {
		await(c)
		if c.Status() != 128+int(unix.SIGTERM) || !said.MatchString(w.errs[i].String()) {
			t.Errorf("%s: status %d, error %q; want 143 and %s", strings.Join(c.Args, " "), c.Status(), w.errs[i], said)
		}
	}
}

// Many at once on a host where the bridge and the ruleset have yet to be made,
// each with an address that is free and a port that is its own: all run, no two
// have one address, and each answers at its port.
func TestStorm(t *testing.T) {
	count := inStorm(60, 200)
	l := lab.New(t)
	n := l.Host
	before := n.Snapshot()
	outside := l.Outside.Agent()
	g := newGate(t)
	var w crowd
	var all sync.WaitGroup
	addresses := make([]string, count)
	since := time.Now()
	for i := range count {
		// The command says its address when it is reached there: it is not
		// asked before all are.
		c := g.main(t, n, "-p", fmt.Sprintf("%d:80", 9000+i), "auto",
			"sh", "-c", `exec 3>&1 >/dev/null; echo $CONTAINER_IP >&3; exec "$0" serve tcp :80`, lab.Probe(t))
		all.Go(func() {
			line, err := w.start(c)
			if err != nil {
				t.Error(err)
			}
			addresses[i] = line
		})
	}
	g.open()
	all.Wait()
	t.Logf("%d containers were started in %v", count, time.Since(since).Round(time.Millisecond))
	if t.Failed() {
		return
	}
	// The lowest ones of the network, less the gateway's.
	var want []string
	for a := netip.MustParseAddr("172.16.0.1"); len(want) < count; a = a.Next() {
		if a.String() != bridgeAddr {
			want = append(want, a.String())
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(addresses)); !slices.Equal(got, want) {
		t.Errorf("the addresses are %v; want %v", got, want)
	}
	for i := range count {
		at := fmt.Sprintf("%s:%d", hostAddr, 9000+i)
		lab.Eventually(t, func() error { // until it listens
			got, err := outside.Ask("tcp", at)
			if err == nil && got != outsideAddr {
				t.Errorf("at %s the container at %s sees %s", at, addresses[i], got)
			}
			return err
		})
	}
	w.end(t, regexp.MustCompile(`^main: address [0-9.]+\n$`))
	idle(t, n)
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// A bridge has as many ports as the kernel gives it, and whoever asks for one
// more is told what to do.
func TestFullBridge(t *testing.T) {
	t.Parallel()
	const most = 1023 // BR_MAX_PORTS less one, net/bridge/br_private.h
	const network = "172.16.0.100/21"
	l := lab.New(t)
	n := l.Host
	hosts := n.Agent()
	var w crowd
	// Which containers, and which links of nobody's, take up the ports.
	containers := inStorm(3, most)
	succeed(t, n.Main("-gateway", network, address, "true"))
	br := n.Link("br0").Index
	for i := range most - containers {
		n.Apply(portOfNobody(fmt.Sprintf("nobody%d", i), br))
	}
	addresses := make([]string, containers)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("172.16.%d.%d", 1+i/250, 1+i%250)
	}
	since := time.Now()
	var all sync.WaitGroup
	places := make(chan struct{}, 8) // so many at a time
	for _, a := range addresses {
		c := n.Main("-gateway", network, a, "sh", "-c", "echo up; exec sleep 1000")
		places <- struct{}{}
		all.Go(func() {
			if _, err := w.start(c); err != nil {
				t.Error(err)
			}
			<-places
		})
	}
	all.Wait()
	t.Logf("%d containers were started in %v", containers, time.Since(since).Round(time.Millisecond))
	if t.Failed() {
		return
	}
	if *storm {
		t.Logf("of a runner's memory, on the average: %s", memory(w.cmds))
	}
	refusal := regexp.MustCompile(`^main: bridge br0: add port veth[0-9a-f]{8}: exchange full.* \(a bridge holds 1,023 ports: choose another with -bridge\)\n$`)
	for range 3 {
		if _, stderr, status := n.Main("-gateway", network, "172.16.7.1", "true").Result(); status != 125 || !refusal.MatchString(stderr) {
			t.Errorf("one more: status %d, error %q; want 125 and %s", status, stderr, refusal)
		}
	}
	// Nothing listens there, and it is the container's kernel that says so. All
	// network namespaces together have room for 1,024 neighbours
	// (net.ipv4.neigh.default.gc_thresh3), and one that was reached keeps its
	// place for half a minute and more: so this may have to wait, with storm.
	last := time.Now().Add(5 * time.Minute)
	for _, a := range addresses {
		_, err := hosts.AskAtOnce("tcp", a+":1")
		for timedOut(err) && time.Now().Before(last) {
			_, err = hosts.AskAtOnce("tcp", a+":1")
		}
		if err == nil || !strings.HasSuffix(err.Error(), "connection refused") {
			t.Fatalf("%s: %v; want a refusal of the container's", a, err)
		}
	}
	// Whether or not there is room for a neighbour.
	elsewhere := []string{"-bridge", "br1", "-gateway", "10.9.0.1/24"}
	h := hold(t, n, append(slices.Clone(elsewhere), "10.9.0.2")...)
	succeed(t, n.Main(append(elsewhere, "10.9.0.3", "true")...))
	h.end(t)
	w.end(t, regexp.MustCompile(`^$`))
	idle(t, n)
}

func timedOut(err error) bool { return err != nil && strings.HasSuffix(err.Error(), "i/o timeout") }

// portOfNobody makes a pair of veths of which one is a port of a bridge.
func portOfNobody(name string, bridge uint32) nl.Request {
	nested := func(ae *netlink.AttributeEncoder, typ uint16, f func(ae *netlink.AttributeEncoder)) {
		ae.Nested(unix.NLA_F_NESTED|typ, func(ae *netlink.AttributeEncoder) error { f(ae); return nil })
	}
	ae := netlink.NewAttributeEncoder()
	ae.String(unix.IFLA_IFNAME, name)
	ae.Uint32(unix.IFLA_MASTER, bridge)
	nested(ae, unix.IFLA_LINKINFO, func(ae *netlink.AttributeEncoder) { ae.String(unix.IFLA_INFO_KIND, "veth") })
	attrs, err := ae.Encode()
	if err != nil {
		panic(err)
	}
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: netlink.Request | netlink.Acknowledge | netlink.Create | netlink.Excl,
		Data:  append(make([]byte, unix.SizeofIfInfomsg), attrs...),
		What:  "link " + name + ": create",
		Cmd:   "ip link add name " + name + " master br0 type veth",
	}
}

// memory is the average of what processes take up, from /proc/PID/smaps_rollup.
func memory(cmds []*lab.Cmd) string {
	sum := make(map[string]int)
	for _, c := range cmds {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", c.Process.Pid))
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 3 {
				kib, _ := strconv.Atoi(f[1])
				sum[f[0]] += kib
			}
		}
	}
	var words []string
	for _, key := range []string{"Rss:", "Pss:", "Private_Dirty:"} {
		words = append(words, fmt.Sprintf("%s %d KiB", key, sum[key]/max(1, len(cmds))))
	}
	return strings.Join(words, ", ")
}
