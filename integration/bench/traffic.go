//go:build linux

package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

//go:embed traffic.c
var trafficSource string

// host is a machine with a container on it, at one of the addresses 10.0.N.1,
// and publishes the container's port 8000 as its own ports.
type host struct {
	name  string // of its network namespace, too
	title string
	ports int // how many are published
	up    func(g *ground, t *tools, o options, h *host) error

	// inside is the command line that runs a program in the container, from
	// the namespace named first.
	inside func(o options, h *host) (from string, argv []string)

	asked     [2][]float64 // round trips in µs: from outside, from the container
	connected [2][]float64 // and connections
	sent      [2][]float64 // and Gbit/s
}

const firstPort = 10000

// port is the one that is published last, and so the last of a list of rules.
func (h *host) port() int { return firstPort + h.ports - 1 }

// byMain is the network that the runner makes.
func byMain(g *ground, t *tools, o options, h *host) error {
	args := []string{o.runner}
	for p := firstPort; p <= h.port(); p++ {
		args = append(args, "-p", fmt.Sprintf("%d:8000", p))
	}
	return g.serve(h.name, append(args, "-p", "5201:5201", address, "sh", "-c", t.serving("8000"))...)
}

func joined(o options, h *host) (string, []string) {
	return h.name, []string{o.runner, "exec", address}
}

// byHand is the same network out of ip's commands, and nft's or iptables's
// rules: a bridge, a veth, masquerading, published ports for what is sent to
// the host, and what is not published closed.
func byHand(rules func(h *host) (text string, tool []string)) func(*ground, *tools, options, *host) error {
	return func(g *ground, t *tools, _ options, h *host) error {
		inside := "in" + h.name
		for _, line := range []string{
			"netns add " + inside,
			"-n " + inside + " link set lo up",
			"-n " + h.name + " link add br0 up type bridge",
			"-n " + h.name + " address add 172.16.0.100/24 dev br0",
			"link add veth0 netns " + h.name + " type veth peer name veth1 netns " + inside,
			"-n " + h.name + " link set veth0 master br0 up",
			"-n " + inside + " address add " + address + "/24 dev veth1",
			"-n " + inside + " link set veth1 up",
			"-n " + inside + " route add default via 172.16.0.100",
		} {
			if _, err := g.ip("%s", line); err != nil {
				return err
			}
		}
		text, tool := rules(h)
		if err := g.feed(h.name, text, tool...); err != nil {
			return err
		}
		return g.serve(inside, "sh", "-c", t.serving("8000"))
	}
}

func entered(_ options, h *host) (string, []string) {
	return "in" + h.name, nil
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

// serving is a shell command that answers on a port, and as an iperf3 server
// where there is one.
func (t *tools) serving(port string) string {
	return "iperf3 -s >/dev/null 2>&1 & exec " + t.traffic + " serve " + port
}

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
	if err := g.serve("outside", "sh", "-c", t.serving("9000")); err != nil {
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
		if err := h.up(g, t, o, h); err != nil {
			return g, fmt.Errorf("%s: %w", h.title, err)
		}
		err := until(func() error {
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
func (h *host) measure(t *tools, g *ground, o options, number int, throughput bool) error {
	from, enter := h.inside(o, h)
	theirs := fmt.Sprintf("10.0.%d.1", number)
	outside := fmt.Sprintf("10.0.%d.2", number)
	type one struct {
		into *[]float64
		unit func(*exec.Cmd) (float64, error)
		cmd  *exec.Cmd
	}
	in := func(argv ...string) *exec.Cmd { return g.in("outside", argv...) }
	out := func(argv ...string) *exec.Cmd { return g.in(from, slices.Concat(enter, argv)...) }
	all := []one{
		{&h.asked[0], microseconds, in(t.traffic, "ask", theirs, strconv.Itoa(h.port()), "5000")},
		{&h.asked[1], microseconds, out(t.traffic, "ask", outside, "9000", "5000")},
		{&h.connected[0], microseconds, in(t.traffic, "connect", theirs, strconv.Itoa(h.port()), "1000")},
		{&h.connected[1], microseconds, out(t.traffic, "connect", outside, "9000", "1000")},
	}
	if throughput {
		all = append(all,
			one{&h.sent[0], gigabits, in("iperf3", "-J", "-t", "1", "-c", theirs)},
			one{&h.sent[1], gigabits, out("iperf3", "-J", "-t", "1", "-c", outside)})
	}
	for _, m := range all {
		v, err := m.unit(m.cmd)
		if err != nil {
			return err
		}
		*m.into = append(*m.into, v)
	}
	return nil
}

// traffic measures round trips and throughput, from outside to a published port
// and from the container to the outside, beside the same network made by hand.
func traffic(w io.Writer, t *tools, o options) error {
	hosts := []*host{
		{name: "main", title: "main", ports: 1, up: byMain, inside: joined},
		{name: "hand", title: "by hand, with ip and nft", ports: 1, up: byHand(nftMap), inside: entered},
	}
	g, err := meet(t, o, hosts)
	if g != nil {
		defer g.leave()
	}
	if err != nil {
		return err
	}
	iperf := installed("iperf3", nil) == nil
	for round := range o.rounds {
		for i, h := range hosts {
			if err := h.measure(t, g, o, i, iperf && round%5 == 0); err != nil {
				return fmt.Errorf("%s: %w", h.title, err)
			}
		}
	}
	ours, hand := hosts[0], hosts[1]
	fmt.Fprintln(w, "| | main | by hand | ratio |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: |")
	for way, title := range []string{"outside → published port", "container → outside"} {
		for _, m := range []struct {
			unit       string
			ours, hand []float64
		}{
			{"round trip, µs", ours.asked[way], hand.asked[way]},
			{"connection, µs", ours.connected[way], hand.connected[way]},
			{"Gbit/s", ours.sent[way], hand.sent[way]},
		} {
			if len(m.ours) > 0 {
				fmt.Fprintf(w, "| %s: %s | %.1f | %.1f | %.3f |\n", title, m.unit, median(m.ours), median(m.hand), median(m.ours)/median(m.hand))
			}
		}
	}
	return nil
}

// connections measures what a connection takes through the last of many
// published ports.
func connections(w io.Writer, t *tools, o options) error {
	var hosts []*host
	for _, way := range []struct {
		name, title string
		up          func(*ground, *tools, options, *host) error
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
