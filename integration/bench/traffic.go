//go:build linux

package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed traffic.c
var trafficSource string

// host is a machine with a container on it, at one of the addresses 10.0.N.1,
// and publishes the container's port 8000 as its own ports. What is measured
// with runs in the container's network namespace and in no other of its own: it
// is the network that is compared.
type host struct {
	name  string // of its network namespace, too
	title string
	ports int // how many are published
	up    func(g *ground, o options, h *host) error

	asked     [2][]float64 // round trips in µs: from outside, from the container
	connected [2][]float64 // and connections
	sent      [2][]float64 // and Gbit/s
}

const firstPort = 10000

// port is the one that is published last, and so the last of a list of rules.
func (h *host) port() int { return firstPort + h.ports - 1 }

// inside is the name of the container's network namespace.
func (h *host) inside() string { return "in" + h.name }

// byMain is the network that the runner makes.
func byMain(g *ground, o options, h *host) error {
	args := []string{o.runner}
	for p := firstPort; p <= h.port(); p++ {
		args = append(args, "-p", fmt.Sprintf("%d:8000", p))
	}
	if err := g.serve(h.name, append(args, "-p", "5201:5201", address, "sleep", "infinity")...); err != nil {
		return err
	}
	return until(func() error {
		out, err := output(g.in(h.name, o.runner, "ls", "-json"))
		if err != nil {
			return err
		}
		var all []struct{ PID int }
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			return err
		}
		if len(all) == 0 {
			return errors.New("main ls: there is no container")
		}
		_, err = g.ip("netns attach %s %d", h.inside(), all[0].PID)
		return err
	})
}

// byHand is the same network out of ip's commands, and nft's or iptables's
// rules: a bridge, a veth, masquerading, published ports for what is sent to
// the host, and what is not published closed.
func byHand(rules func(h *host) (text string, tool []string)) func(*ground, options, *host) error {
	return func(g *ground, _ options, h *host) error {
		text, tool := rules(h)
		return g.wire(h, "", text, tool...)
	}
}

// byCopy is that too, with the rules that the runner has made on another host,
// as nft prints them.
func byCopy(from *host) func(*ground, options, *host) error {
	return func(g *ground, _ options, h *host) error {
		text, err := output(g.in(from.name, "nft", "list", "ruleset"))
		if err != nil {
			return err
		}
		lease := regexp.MustCompile(`"(veth[0-9a-f]{8})" \. ([0-9a-f:]{17})`).FindStringSubmatch(text)
		if lease == nil {
			return fmt.Errorf("%s: no veth is guarded in %s", from.title, text)
		}
		return g.wire(h, "address "+lease[2], strings.ReplaceAll(text, lease[1], "veth0"), "nft", "-f", "-")
	}
}

// wire makes a network by hand, of which the container's link can be set up in
// some way.
func (g *ground) wire(h *host, link, rules string, tool ...string) error {
	inside := h.inside()
	for _, line := range []string{
		"netns add " + inside,
		"-n " + inside + " link set lo up",
		"-n " + h.name + " link add br0 up type bridge",
		"-n " + h.name + " address add 172.16.0.100/24 dev br0",
		"link add veth0 netns " + h.name + " type veth peer name veth1 netns " + inside,
		"-n " + h.name + " link set veth0 master br0 up",
		"-n " + inside + " address add " + address + "/24 dev veth1",
		"-n " + inside + " link set veth1 up " + link,
		"-n " + inside + " route add default via 172.16.0.100",
	} {
		if _, err := g.ip("%s", line); err != nil {
			return err
		}
	}
	return g.feed(h.name, rules, tool...)
}

// nftMap leads all ports by one map.
func nftMap(h *host) (string, []string) {
	var b strings.Builder
	for p := firstPort; p <= h.port(); p++ {
		fmt.Fprintf(&b, "%d : %s . 8000, ", p, address)
	}
	return `table ip byhand {
	map ports { type inet_service : ipv4_addr . inet_service; elements = { ` + b.String() + ` 5201 : ` + address + ` . 5201 }; }
	chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local dnat to tcp dport map @ports; }
	chain postrouting { type nat hook postrouting priority srcnat; oifname != "br0" ip saddr 172.16.0.0/24 masquerade; }
	chain forwarding {
		type filter hook forward priority filter
		ct state established,related accept
		oifname != "br0" accept
		ct status dnat accept
		drop
	}
}
`, []string{"nft", "-f", "-"}
}

// iptablesRules leads each port by a rule of its own, as Docker and CNI's
// portmap do.
func iptablesRules(restore string) func(h *host) (string, []string) {
	return func(h *host) (string, []string) {
		var b strings.Builder
		b.WriteString("*nat\n:PUBLISH - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j PUBLISH\n" +
			"-A POSTROUTING -s 172.16.0.0/24 ! -o br0 -j MASQUERADE\n")
		for p := firstPort; p <= h.port(); p++ {
			fmt.Fprintf(&b, "-A PUBLISH -p tcp --dport %d -j DNAT --to-destination %s:8000\n", p, address)
		}
		b.WriteString("-A PUBLISH -p tcp --dport 5201 -j DNAT --to-destination " + address + ":5201\nCOMMIT\n")
		b.WriteString("*filter\n-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n-A FORWARD ! -o br0 -j ACCEPT\n" +
			"-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT\n-A FORWARD -j DROP\nCOMMIT\n")
		return b.String(), []string{restore}
	}
}

// answer serves in a namespace, on a port and as an iperf3 server where there is
// one.
func (t *tools) answer(g *ground, name, port string) error {
	if installed("iperf3", nil) == nil {
		if err := g.serve(name, append(slices.Clone(atUsual), "iperf3", "-s", "--logfile", "/dev/null")...); err != nil {
			return err
		}
	}
	return g.serve(name, t.traffic, "serve", port)
}

// atUsual begins a command line that runs at the usual priority. At real-time
// priority a stream would starve the kernel thread that delivers it (ksoftirqd).
var atUsual = []string{"chrt", "--other", "0"}

// meet makes the hosts, each with a cable to a machine outside, and waits until
// their published ports answer.
func meet(t *tools, o options, hosts []*host) (*ground, error) {
	names := []string{"outside"}
	for _, h := range hosts {
		names = append(names, h.name)
	}
	g, err := newGround(names...)
	if err != nil {
		return nil, err
	}
	if err := t.answer(g, "outside", "9000"); err != nil {
		return g, err
	}
	for i, h := range hosts {
		for _, line := range []string{
			fmt.Sprintf("link add uplink netns %s type veth peer name %s netns outside", h.name, h.name),
			fmt.Sprintf("-n %s address add 10.0.%d.1/24 dev uplink", h.name, i),
			fmt.Sprintf("-n %s link set uplink up", h.name),
			fmt.Sprintf("-n outside address add 10.0.%d.2/24 dev %s", i, h.name),
			fmt.Sprintf("-n outside link set %s up", h.name),
			fmt.Sprintf("-n %s route add default via 10.0.%d.2", h.name, i),
		} {
			if _, err := g.ip("%s", line); err != nil {
				return g, err
			}
		}
		if err := g.feed(h.name, "1", "tee", "/proc/sys/net/ipv4/ip_forward"); err != nil {
			return g, err
		}
		err := h.up(g, o, h)
		if err == nil {
			err = t.answer(g, h.inside(), "8000")
		}
		if err != nil {
			return g, fmt.Errorf("%s, %d ports: %w", h.title, h.ports, err)
		}
		err = until(func() error {
			_, err := t.ask(g, i, h.port(), "ask", 1)
			return err
		})
		if err != nil {
			return g, fmt.Errorf("%s, %d ports: %w", h.title, h.ports, err)
		}
	}
	return g, nil
}

// ask measures from outside, and returns microseconds.
func (t *tools) ask(g *ground, host, port int, what string, n int) (float64, error) {
	return microseconds(g.in("outside", t.traffic, what, fmt.Sprintf("10.0.%d.1", host), strconv.Itoa(port), strconv.Itoa(n)))
}

func microseconds(c *exec.Cmd) (float64, error) {
	out, err := output(c)
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseFloat(out, 64)
	return ns / 1000, err
}

// gigabits is what an iperf3 client receives or has received, in Gbit/s.
func gigabits(c *exec.Cmd) (float64, error) {
	out, err := output(c)
	if err != nil {
		return 0, err
	}
	var r struct {
		End struct {
			Sum struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	err = json.Unmarshal([]byte(out), &r)
	return r.End.Sum.Rate / 1e9, err
}

// measure takes one round of a host's traffic, both ways.
func (h *host) measure(t *tools, g *ground, number int, throughput bool) error {
	theirs := fmt.Sprintf("10.0.%d.1", number)
	outside := fmt.Sprintf("10.0.%d.2", number)
	type one struct {
		into *[]float64
		unit func(*exec.Cmd) (float64, error)
		cmd  *exec.Cmd
	}
	in := func(argv ...string) *exec.Cmd { return g.in("outside", argv...) }
	out := func(argv ...string) *exec.Cmd { return g.in(h.inside(), argv...) }
	stream := append(slices.Clone(atUsual), "iperf3", "-J", "-n", "256M", "-c")
	all := []one{
		{&h.asked[0], microseconds, in(t.traffic, "ask", theirs, strconv.Itoa(h.port()), "2000")},
		{&h.asked[1], microseconds, out(t.traffic, "ask", outside, "9000", "2000")},
		{&h.connected[0], microseconds, in(t.traffic, "connect", theirs, strconv.Itoa(h.port()), "300")},
		{&h.connected[1], microseconds, out(t.traffic, "connect", outside, "9000", "300")},
	}
	if throughput {
		all = append(all,
			one{&h.sent[0], gigabits, in(append(slices.Clone(stream), theirs)...)},
			one{&h.sent[1], gigabits, out(append(slices.Clone(stream), outside)...)})
	}
	for _, m := range all {
		v, err := m.unit(m.cmd)
		if err != nil {
			return fmt.Errorf("%s: %w", h.title, err)
		}
		*m.into = append(*m.into, v)
	}
	return nil
}

// oneProcessor has this thread, and what it starts, run on one processor alone,
// at real-time priority: a round trip is then what the kernel does for it, and no
// processor's waking up.
func oneProcessor() error {
	runtime.LockOSThread()
	var one unix.CPUSet
	one.Set(runtime.NumCPU() - 1)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	return priority(unix.SCHED_FIFO, 1)
}

// traffic measures round trips and throughput, from outside to a published port
// and from the container to the outside, beside the same network made by hand,
// without the runner's guard and with it. They take turns, in rounds that are
// short; the ratio is the median of the rounds' ratios.
func traffic(w io.Writer, t *tools, o options) error {
	if o.fifo {
		if err := oneProcessor(); err != nil {
			return err
		}
		defer func() { _ = priority(unix.SCHED_NORMAL, 0) }()
	}
	ours := &host{name: "main", title: "main", ports: 1, up: byMain}
	hosts := []*host{
		ours,
		{name: "hand", title: "by hand", ports: 1, up: byHand(nftMap)},
		{name: "copy", title: "by hand, main's rules", ports: 1, up: byCopy(ours)},
	}
	g, err := meet(t, o, hosts)
	if g != nil {
		defer g.leave()
	}
	if err != nil {
		return err
	}
	iperf := installed("iperf3", nil) == nil
	for range o.rounds {
		for _, i := range rand.Perm(len(hosts)) {
			if err := hosts[i].measure(t, g, i, iperf); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(w, "| | main | %s | ratio | %s | ratio |\n", hosts[1].title, hosts[2].title)
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: | ---: | ---: |")
	for way, title := range []string{"outside → published port", "container → outside"} {
		for _, m := range []struct {
			unit string
			of   func(h *host) []float64
		}{
			{"round trip, µs", func(h *host) []float64 { return h.asked[way] }},
			{"connection, µs", func(h *host) []float64 { return h.connected[way] }},
			{"Gbit/s", func(h *host) []float64 { return h.sent[way] }},
		} {
			if len(m.of(ours)) == 0 {
				continue
			}
			fmt.Fprintf(w, "| %s: %s | %.2f", title, m.unit, median(m.of(ours)))
			for _, other := range hosts[1:] {
				fmt.Fprintf(w, " | %.2f | %.3f", median(m.of(other)), median(ratios(m.of(ours), m.of(other))))
			}
			fmt.Fprintln(w, " |")
		}
	}
	if o.fifo {
		fmt.Fprintln(w, "\nAll on one processor (-fifo), round trips and connections at real-time priority.")
	}
	return nil
}

// ratios are those of two that took turns.
func ratios(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return all
}

// connections measures what a connection takes through the last of many
// published ports.
func connections(w io.Writer, t *tools, o options) error {
	var hosts []*host
	for _, way := range []struct {
		name, title string
		up          func(*ground, options, *host) error
		needs       string
	}{
		{"m", "main", byMain, "sh"},
		{"n", "iptables-nft, a rule a port", byHand(iptablesRules("iptables-nft-restore")), "iptables-nft-restore"},
		{"l", "iptables-legacy, a rule a port", byHand(iptablesRules("iptables-legacy-restore")), "iptables-legacy-restore"},
	} {
		if installed(way.needs, nil) != nil {
			continue
		}
		for _, ports := range []int{1, 1000, 10000} {
			hosts = append(hosts, &host{name: fmt.Sprint(way.name, ports), title: way.title, ports: ports, up: way.up})
		}
	}
	g, err := meet(t, o, hosts)
	if g != nil {
		defer g.leave()
	}
	if err != nil {
		return err
	}
	for range o.rounds {
		for i, h := range hosts {
			v, err := t.ask(g, i, h.port(), "connect", 500)
			if err != nil {
				return fmt.Errorf("%s, %d ports: %w", h.title, h.ports, err)
			}
			h.connected[0] = append(h.connected[0], v)
		}
	}
	fmt.Fprintln(w, "| a connection through | 1 port, µs | 1,000 | 10,000 | 1,000 : 1 | 10,000 : 1 |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: | ---: | ---: |")
	for three := range slices.Chunk(hosts, 3) {
		one, some, many := median(three[0].connected[0]), median(three[1].connected[0]), median(three[2].connected[0])
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %.1f | %.2f | %.2f |\n", three[0].title, one, some, many, some/one, many/one)
	}
	return nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
