//go:build linux

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"container/integration/lab"
)

// A range of ports, one to one, each of which leads to its own and to no other.
func TestPortRange(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	server := l.Host.Container(t, words(both("8000-8003:9000-9003"), both("127.0.0.1:7000-7001:9002-9003"), []string{addr30})...)
	host, outside := l.Host.Agent(), l.Outside.Agent()
	for i := range 4 {
		outer := fmt.Sprintf("%s:%d", hostAddr, 8000+i)
		closed(t, "before anybody listens", outside, outer)
		serve(t, server, fmt.Sprintf("0.0.0.0:%d", 9000+i))
		reaches(t, "outside", outside, outer, outsideAddr)
	}
	reaches(t, "host", host, "127.0.0.1:8003", bridgeAddr)
	reaches(t, "host", host, "127.0.0.1:7001", bridgeAddr)
	reaches(t, "itself", server, hostAddr+":8001", bridgeAddr)
	for _, to := range []string{hostAddr + ":7999", hostAddr + ":8004", hostAddr + ":7000", hostAddr + ":9000"} {
		closed(t, "what is not published", outside, to)
	}
	closed(t, "what is not published", host, "127.0.0.1:7002")
}

// What can't be meant is refused in a line, without an effect.
func TestPortRefused(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	dual := []string{"-gateway", dualGateway, addr30 + "," + addr30v6}
	only4, only6 := []string{addr30}, []string{"-gateway", gateway6, addr30v6}
	for _, tt := range []struct {
		ports string
		args  []string
	}{
		{"8000-8003:9000-9002", only4}, // of different lengths
		{"8000-8003:9000", only4},
		{"8000:9000-9003", only4},
		{"8003-8000:9003-9000", only4},
		{"8003-8000:9000-9003", only4},
		{"8000-:9000", only4},
		{"-8000:9000", only4},
		{"8000-8001-8002:9000-9002", only4},
		{"65535-65536:80-81", only4},
		{"80-81:65535-65536", only4},
		{"0-1:80-81", only4},
		{"80:0", only4},
		{"80:", only4},
		{":", only4},
		{"", only4},
		{"70000", only4},
		{"10.0.0.1:80", only4}, // the container's port is missing
		{"[::1]:80", dual},
		{"::1:80:80", dual},
		{"[::1:80:80", dual},
		{"[10.0.0.1]:80:80", only4},
		{"[fe80::1%eth0]:80:80", dual},
		{"host:80:80", only4},
		{"80:80/icmp", only4},
		{"80:80/", only4},
		{"10.0.0.77:80:80", only4}, // not the host's
		{"[fd00:10::77]:80:80", dual},
		{"[::1]:80:80", only4}, // the container has no such address
		{"[::]:80:80", only4},
		{"[" + hostAddr6 + "]:80:80", only4},
		{"127.0.0.1:80:80", only6},
		{"0.0.0.0:80:80", only6},
		{hostAddr + ":80:80", only6},
	} {
		fails(t, n.Main(words([]string{"-p", "7777:77", "-p", tt.ports}, tt.args, []string{"true"})...), 125, "")
	}
	for _, twice := range [][2]string{
		{"80:80", "80:81"},
		{"80:80", "80:80/tcp"},
		{"80:80/udp", "80:80/udp"},
		{"80:80", "79-81:179-181"},
		{"8000-8010:8000-8010", "8010-8020:8010-8020"},
		{"127.0.0.1:80:80", "127.0.0.1:80:81"},
		{"127.0.0.1:80-89:80-89", "127.0.0.1:85:85"},
		{"[::1]:80:80", "[0:0::1]:80:81"},
		{"[::]:80:80", "[::]:80:81"},
		{"0.0.0.0:80:80", "0.0.0.0:80:81"},
	} {
		fails(t, n.Main(words([]string{"-p", twice[0], "-p", twice[1]}, dual, []string{"true"})...), 125, "port ")
	}
	lab.Eventually(t, func() error { return noVeth(n) })
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// One number is as many ports as there are protocols and addresses.
func TestPortOfSameNumber(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	server := h.container(t, 30, "-p", "80:8000", "-p", "80:8001/udp", "-p", "80:8002/sctp",
		"-p", "127.0.0.1:81:8003", "-p", hostAddr+":81:8004", "-p", "[::1]:81:8005", "-p", at(hostAddr6, 81)+":8006",
		"-p", "0.0.0.0:82:8007", "-p", "[::]:82:8008",
		"-p", "0.0.0.0:83:8009", "-p", "[::]:84:8010")
	host, outside := h.Host.Agent(), h.Outside.Agent()
	for _, tt := range []struct {
		from    *lab.Agent
		network string
		to      string
		port    int // of the container
	}{
		{outside, "tcp", hostAddr + ":80", 8000},
		{outside, "tcp", at(hostAddr6, 80), 0},
		{outside, "udp", hostAddr + ":80", 8001},
		{outside, "udp", at(hostAddr6, 80), 0},
		{host, "tcp", "127.0.0.1:81", 8003},
		{outside, "tcp", hostAddr + ":81", 8004},
		{host, "tcp", "[::1]:81", 8005},
		{outside, "tcp", at(hostAddr6, 81), 8006},
		{outside, "tcp", hostAddr + ":82", 8007},
		{outside, "tcp", at(hostAddr6, 82), 8008},
		{host, "tcp", "[::1]:82", 0},
		{outside, "tcp", hostAddr + ":83", 8009},
		{host, "tcp", "127.0.0.1:83", 0},
		{host, "tcp", "[::1]:84", 8010},
		{outside, "tcp", at(hostAddr6, 84), 0},
	} {
		// A port that is listened to here for the first time was closed.
		if tt.port != 0 {
			if _, err := tt.from.AskBriefly(tt.network, tt.to); err == nil {
				t.Errorf("%s %s was answered before anybody listened to %d", tt.network, tt.to, tt.port)
			}
			server.Serve(t, tt.network, fmt.Sprintf("[::]:%d", tt.port))
		}
		if _, err := tt.from.Ask(tt.network, tt.to); err != nil {
			t.Errorf("%s to %d: %v", tt.network, tt.port, err)
		}
	}
	closed(t, "published by IPv4 alone", outside, at(hostAddr6, 83))
	closed(t, "published by IPv4 alone", host, "[::1]:83")
	closed(t, "published by IPv6 alone", outside, hostAddr+":84")
	closed(t, "published by IPv6 alone", host, "127.0.0.1:84")
	for _, to := range []string{"127.0.0.2:81", at(bridgeAddr6, 81), bridgeAddr + ":81"} {
		closed(t, "published at other addresses", host, to)
	}
}

// A port is one container's, in whatever range it stands; and who is refused
// one of many has got none.
func TestPortRangeInUse(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	n := h.Host
	holder := h.container(t, 30, "-p", "8000-8010:8000-8010", "-p", "127.0.0.1:7000-7001:80-81/udp", "-p", "[::1]:7100:80")
	before := arrangement(n)
	for _, tt := range []struct{ port, words string }{
		{"8000:80", "port 8000/tcp: it is in use by veth"},
		{"8010:80", "port 8010/tcp: it is in use by veth"},
		{"8010-8020:80-90", "port 8010/tcp: it is in use by veth"},
		{"7990-8000:80-90", "port 8000/tcp: it is in use by veth"},
		{"7990-8020:80-110", "is in use by veth"},
		{"127.0.0.1:8005:80", "port 127.0.0.1:8005/tcp: it is in use by veth"},
		{hostAddr + ":8005:80", "port " + hostAddr + ":8005/tcp: it is in use by veth"},
		{"7001:80/udp", "port 7001/udp: it is in use by veth"},
		{"127.0.0.1:7001:80/udp", "port 127.0.0.1:7001/udp: it is in use by veth"},
	} {
		mentions(t, n, tt.words, "-p", "9999:80", "-p", tt.port, addr31)
	}
	for _, tt := range []struct{ port, words string }{
		{"[::]:8000:80", "8000/tcp: it is in use by veth"},
		{at(hostAddr6, 8005) + ":80", "port [" + hostAddr6 + "]:8005/tcp: it is in use by veth"},
		{"[::1]:8005:80", "port [::1]:8005/tcp: it is in use by veth"},
		{"[::1]:7100:80", "port [::1]:7100/tcp: it is in use by veth"},
		{"7100:80", "7100/tcp: it is in use by veth"},
	} {
		mentions(t, n, tt.words, h.args(31, "-p", "9999:80", "-p", tt.port)...)
	}
	lab.Eventually(t, func() error { return unchanged(before, arrangement(n)) })
	if err := portFree(n, "tcp", "0.0.0.0:9999"); err != nil {
		t.Error(err)
	}
	// What is beside it is free.
	succeed(t, n.Main("-p", "7990-7999:80-89", "-p", "8011-8020:80-89", "-p", "8000-8010:80-90/udp", "-p", hostAddr+":7000:80/udp", "-p", "7100:80", addr31, "true"))
	holder.Stop(t)
	succeed(t, n.Main(append(h.args(31, "-p", "7990-8020:80-110"), "true")...))
}

// holdPort has a process of the host take a port: this one. What another test
// starts at that moment has the last socket that was closed here for a little
// longer, so it is tried until it succeeds.
func holdPort(t *testing.T, n *lab.Node, network, addr string) (held io.Closer) {
	t.Helper()
	lab.Eventually(t, func() error {
		return n.Do(func() (err error) { held, err = listen(network, addr); return err })
	})
	return held
}

// A process of the host that has one port of a range is named.
func TestPortRangeOfHostProcess(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	n := h.Host
	for _, tt := range []struct {
		network, addr, port, words string
	}{
		{"tcp4", "0.0.0.0:8005", "8000-8010:80-90", "port 8005/tcp: it is in use by pid "},
		{"tcp6", at(hostAddr6, 8005), "8000-8010:80-90", "8005/tcp: it is in use by pid "},
		{"tcp6", "[::1]:8005", "8000-8010:80-90", "8005/tcp: it is in use by pid "},
		{"tcp6", "[::1]:8005", "[::1]:8005:80", "port [::1]:8005/tcp: it is in use by pid "},
		{"tcp6", "[::]:8005", at(hostAddr6, 8005) + ":80", "port [" + hostAddr6 + "]:8005/tcp: it is in use by pid "},
		{"udp6", "[::1]:8005", "8005:80/udp", "8005/udp: it is in use by pid "},
	} {
		held := holdPort(t, n, tt.network, tt.addr)
		mentions(t, n, tt.words, h.args(30, "-p", "9999:80", "-p", tt.port)...)
		held.Close()
	}
	// Another family's is not in the way.
	held := holdPort(t, n, "tcp6", "[::1]:8005")
	defer held.Close()
	succeed(t, n.Main("-p", "8000-8010:80-90", addr30, "true"))
	succeed(t, n.Main(append(h.args(30, "-p", "0.0.0.0:8005:80"), "true")...))
}

var portTold = regexp.MustCompile(`(?m)^main: published (.*:)?([0-9]+):([0-9]+)/(tcp|udp|sctp)$`)

// chosen is what a run tells of the ports that were chosen for it: the
// host's address, with a colon, if one was given; the host's port; the
// container's; the protocol.
func chosen(t *testing.T, a *lab.Agent, want int) [][]string {
	t.Helper()
	said := a.Said(t)
	told := portTold.FindAllStringSubmatch(said, -1)
	if len(told) != want || strings.Count(said, "\n") != want {
		t.Fatalf("on standard error is %q, want %d lines about a port", said, want)
	}
	for i, m := range told {
		told[i] = m[1:]
	}
	return told
}

// Where the host's port is left open a free one is chosen, and told.
func TestPortChosen(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	host, outside := h.Host.Agent(), h.Outside.Agent()
	for i, tt := range []struct {
		spec   string
		at     string // as it is told
		from   *lab.Agent
		to     string
		seenAs string
	}{
		{"8000", "", outside, hostAddr, outsideAddr},
		{":8000", "", outside, "[" + hostAddr6 + "]", outsideAddr6},
		{"0:8000", "", host, "127.0.0.1", bridgeAddr},
		{"127.0.0.1::8000", "127.0.0.1:", host, "127.0.0.1", bridgeAddr},
		{"127.0.0.1:0:8000", "127.0.0.1:", host, "127.0.0.1", bridgeAddr},
		{hostAddr + "::8000", hostAddr + ":", outside, hostAddr, outsideAddr},
		{"[::1]::8000", "[::1]:", host, "[::1]", bridgeAddr6},
		{"[" + hostAddr6 + "]:0:8000", "[" + hostAddr6 + "]:", outside, "[" + hostAddr6 + "]", outsideAddr6},
	} {
		c := h.container(t, 30+i, both(tt.spec)...)
		serve(t, c, "[::]:8000")
		ports := map[string]string{}
		for _, m := range chosen(t, c, 2) {
			if m[0] != tt.at || m[1] == "0" || m[2] != "8000" {
				t.Errorf("%s: told is %q", tt.spec, m)
			}
			ports[m[3]] = m[1]
		}
		for _, network := range networks {
			got, err := tt.from.Ask(network, tt.to+":"+ports[network])
			if err != nil || got != tt.seenAs {
				t.Errorf("%s: %s, seen as %q (%v), want %q", tt.spec, network, got, err, tt.seenAs)
			}
		}
		var listed []string
		for _, network := range networks {
			listed = append(listed, fmt.Sprintf("%s%s:8000/%s", tt.at, ports[network], network))
		}
		lastListed(t, h.Host, fmt.Sprintf("172.16.0.%d", 30+i), listed)
	}
}

// lastListed checks which ports "ls" shows of the container at an address.
func lastListed(t *testing.T, n *lab.Node, address string, ports []string) {
	t.Helper()
	for _, c := range listed(t, n) {
		if c.Address == address {
			if got := slices.Sorted(slices.Values(c.Ports)); !slices.Equal(got, slices.Sorted(slices.Values(ports))) {
				t.Errorf("%s: listed are the ports %q, want %q", address, got, ports)
			}
			return
		}
	}
	t.Errorf("%s is not listed", address)
}

// Each port of a range can be left open too.
func TestPortRangeChosen(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for i, spec := range []string{":8000-8002", "0:8000-8002", "8000-8002"} {
		c := l.Host.Container(t, "-p", spec, fmt.Sprintf("172.16.0.%d", 30+i))
		told := chosen(t, c, 3)
		slices.SortFunc(told, func(a, b []string) int { return strings.Compare(a[2], b[2]) })
		for j, m := range told {
			if m[0] != "" || m[2] != fmt.Sprint(8000+j) || m[3] != "tcp" {
				t.Errorf("%s: told is %q", spec, m)
			}
			to := hostAddr + ":" + m[1]
			if _, err := l.Outside.Agent().AskBriefly("tcp", to); err == nil {
				t.Errorf("%s: %s was answered before anybody listened to %s", spec, to, m[2])
			}
			c.Serve(t, "tcp", "0.0.0.0:"+m[2])
			if got, err := l.Outside.Agent().Ask("tcp", to); err != nil || got != outsideAddr {
				t.Errorf("%s: seen as %q (%v)", spec, got, err)
			}
		}
	}
}

// An address and a port that are chosen, twenty times at once: all differ, and
// each is told what is true.
func TestPortChosenAtOnce(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	g := newGate(t)
	var runs []*held
	for range many {
		h := &held{Cmd: g.main(t, n, "-p", ":80", "auto", "cat"), stderr: new(bytes.Buffer)}
		h.Stderr = h.stderr
		var err error
		if h.stdin, err = h.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		h.stdout = listenTo(t, h.Cmd)
		if err := h.Start(); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, h)
	}
	g.open()
	for _, h := range runs {
		h.echo(t)
	}
	ports := map[string]string{} // of an address
	taken := map[string]bool{}
	for _, c := range listed(t, n) {
		if len(c.Ports) != 1 || taken[c.Ports[0]] {
			t.Errorf("%s has the ports %q", c.Address, c.Ports)
			continue
		}
		taken[c.Ports[0]], ports[c.Address] = true, c.Ports[0]
	}
	if len(ports) != many {
		t.Errorf("%d containers are listed, want %d", len(ports), many)
	}
	for _, h := range runs {
		_ = h.stdin.Close()
		await(h.Cmd)
		said := h.stderr.String()
		port, addr := portTold.FindStringSubmatch(said), addressTold.FindStringSubmatch(said)
		if h.Status() != 0 || port == nil || addr == nil || strings.Count(said, "\n") != 2 || ports[addr[1]] != port[2]+":80/tcp" {
			t.Errorf("status %d, standard error %q", h.Status(), said)
			continue
		}
		delete(ports, addr[1])
	}
}

// Ten thousand ports are one run's as one is.
func TestTenThousandPorts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		dual bool
	}{{"IPv4", false}, {"dual", true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost6(t, false, true)
			const spec = "10000-19999:10000-19999"
			args := []string{"-p", spec, addr30}
			if tt.dual {
				args = h.args(30, "-p", spec)
			}
			for range 2 { // as soon as one has ended another has them
				server := h.Host.Container(t, args...)
				for _, port := range []int{10000, 14567, 19999} {
					server.Serve(t, "tcp", fmt.Sprintf("[::]:%d", port))
					asks := map[string]string{fmt.Sprintf("%s:%d", hostAddr, port): outsideAddr}
					if tt.dual {
						asks[at(hostAddr6, port)] = outsideAddr6
					}
					for to, seenAs := range asks {
						if got, err := h.Outside.Agent().Ask("tcp", to); err != nil || got != seenAs {
							t.Errorf("%s: seen as %q (%v), want %q", to, got, err, seenAs)
						}
					}
					if got, err := h.Host.Agent().Ask("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil || got != bridgeAddr {
						t.Errorf("127.0.0.1: seen as %q (%v)", got, err)
					}
				}
				for _, port := range []int{9999, 20000} {
					closed(t, "beside them", h.Outside.Agent(), fmt.Sprintf("%s:%d", hostAddr, port))
				}
				lastListed(t, h.Host, addr30, []string{spec + "/tcp"})
				mentions(t, h.Host, "port 14567/tcp: it is in use by veth", "-p", "14567:80", addr31)
				server.Stop(t)
			}
		})
	}
}

// entry is what "main ls -json" prints of a container.
type entry struct {
	Address   string
	Addresses []string
	PID       int
	Veth      string
	Bridge    string
	Ports     []string
	Command   string
	Isolated  *bool
	Lost      *bool
}

func listed(t *testing.T, n *lab.Node) []entry {
	t.Helper()
	var all []entry
	if err := json.Unmarshal([]byte(says(t, n.Main("ls", "-json"))), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// A line for each container, with its network and its ports, and a fuller one
// in JSON.
func TestListNetwork(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	n := h.Host
	expect(t, n.Main("ls"), 0, "ADDRESS  PID  UP  NETWORK  PORTS  COMMAND\n", "")
	n.Container(t, "-p", "8000-8099:9000-9099", "-p", "8100:80", "-p", "127.0.0.1:81:80", "-p", "53:5353/udp", "-p", "54-55:54-55/sctp", "172.16.0.9")
	h.container(t, 30, "-p", "8101-8103:80-82", "-p", "[::1]:82:80", "-p", at(hostAddr6, 83)+":80", "-p", "0.0.0.0:84:80", "-p", "[::]:85:80", "-p", "0.0.0.0:86:80", "-p", "[::]:86:90")
	n.Container(t, "-bridge", "a.bridge-of-15b", "-gateway", "fd00:17::100/64", "-p", "[::1]:87:80", "fd00:17::30")
	probe := lab.Probe(t) + " agent"
	want := map[string]entry{
		"172.16.0.9": {Addresses: []string{"172.16.0.9"}, Bridge: "br0",
			Ports: []string{"127.0.0.1:81:80/tcp", "53:5353/udp", "54-55:54-55/sctp", "8000-8099:9000-9099/tcp", "8100:80/tcp"}},
		addr30: {Addresses: []string{addr30, addr30v6}, Bridge: "br0",
			Ports: []string{"0.0.0.0:84:80/tcp", "0.0.0.0:86:80/tcp", "8101-8103:80-82/tcp", "[::1]:82:80/tcp", "[::]:85:80/tcp", "[::]:86:90/tcp", "[fd00:10::1]:83:80/tcp"}},
		"fd00:17::30": {Addresses: []string{"fd00:17::30"}, Bridge: "a.bridge-of-15b", Ports: []string{"[::1]:87:80/tcp"}},
	}
	all := listed(t, n)
	if len(all) != len(want) {
		t.Errorf("%d containers are listed, want %d", len(all), len(want))
	}
	for _, got := range all {
		w, ok := want[got.Address]
		if !ok {
			t.Errorf("listed is %+v", got)
			continue
		}
		if !slices.Equal(got.Addresses, w.Addresses) || got.Bridge != w.Bridge || got.Command != probe ||
			got.Isolated == nil || *got.Isolated || got.Lost == nil || *got.Lost ||
			!slices.Equal(slices.Sorted(slices.Values(got.Ports)), slices.Sorted(slices.Values(w.Ports))) {
			t.Errorf("listed is %+v, want %+v", got, w)
		}
	}
	// The table: the same in words.
	rows := strings.Split(strings.TrimSuffix(says(t, n.Main("ls")), "\n"), "\n")
	if len(rows) != 4 || strings.Join(strings.Fields(rows[0]), " ") != "ADDRESS PID UP NETWORK PORTS COMMAND" {
		t.Fatalf("the table is\n%s", strings.Join(rows, "\n"))
	}
	column := strings.Index(rows[0], "COMMAND")
	for i, c := range all {
		f := strings.Fields(rows[i+1])
		first, _, _ := strings.Cut(f[0], ",")
		if first != c.Address || f[1] != fmt.Sprint(c.PID) || f[3] != c.Bridge || f[4] != strings.Join(c.Ports, ",") || rows[i+1][column:] != c.Command {
			t.Errorf("the table has %q of %+v", rows[i+1], c)
		}
	}
	var keys []map[string]any
	if err := json.Unmarshal([]byte(says(t, n.Main("ls", "-json"))), &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if names := slices.Sorted(maps.Keys(k)); !slices.Equal(names, []string{
			"address", "addresses", "bridge", "command", "isolated", "lost", "pid", "ports", "started", "veth"}) {
			t.Errorf("a container's keys are %q", names)
		}
	}
}
