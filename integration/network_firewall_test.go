//go:build linux

package integration

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// firewall is a host's own, which forwards nothing that it does not know. An
// accept in one table never undoes a drop in another, so it takes rules of ours
// in its own chain.
type firewall struct {
	name  string
	tools []string
	setup string // a shell script
	chain string // "FAMILY TABLE CHAIN", of nf_tables; empty with iptables-legacy
	last  string // what is in the rule that ours must stand before; empty: they are the last
	six   bool   // it is about IPv6
	list  string // how its own tool lists it, if that is not nft(8)
}

var firewalls = []firewall{
	{
		name: "iptables-nft, policy drop", tools: []string{"iptables-nft"},
		setup: `iptables-nft -P FORWARD DROP`,
		chain: "ip filter FORWARD", list: "iptables-nft -S",
	},
	{
		name: "Docker", tools: []string{"iptables-nft"},
		setup: `
			iptables-nft -N DOCKER; iptables-nft -N DOCKER-USER; iptables-nft -N DOCKER-FORWARD; iptables-nft -N DOCKER-CT
			iptables-nft -P FORWARD DROP
			iptables-nft -A FORWARD -j DOCKER-USER
			iptables-nft -A FORWARD -j DOCKER-FORWARD
			iptables-nft -A DOCKER-USER -j RETURN
			iptables-nft -A DOCKER-FORWARD -j DOCKER-CT
			iptables-nft -A DOCKER-FORWARD -i docker0 -j ACCEPT
			iptables-nft -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
			iptables-nft -A DOCKER ! -i docker0 -o docker0 -j DROP
			iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE`,
		chain: "ip filter FORWARD", list: "iptables-nft -S",
	},
	{
		name: "ufw", tools: []string{"iptables-nft"},
		setup: `
			for c in ufw-before-logging-forward ufw-before-forward ufw-user-forward ufw-after-forward ufw-after-logging-forward ufw-reject-forward ufw-track-forward; do
				iptables-nft -N $c
			done
			iptables-nft -P FORWARD DROP
			for c in ufw-before-logging-forward ufw-before-forward ufw-after-forward ufw-after-logging-forward ufw-reject-forward ufw-track-forward; do
				iptables-nft -A FORWARD -j $c
			done
			iptables-nft -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
			iptables-nft -A ufw-before-forward -p icmp --icmp-type echo-request -j ACCEPT
			iptables-nft -A ufw-before-forward -j ufw-user-forward`,
		chain: "ip filter FORWARD", list: "iptables-nft -S",
	},
	{
		name: "iptables-nft, a last rule that rejects", tools: []string{"iptables-nft"},
		setup: `
			iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
			iptables-nft -A FORWARD -j REJECT --reject-with icmp-host-prohibited`,
		chain: "ip filter FORWARD", last: "reject", list: "iptables-nft -S",
	},
	{
		name: "nft, inet, policy drop", tools: []string{"nft"},
		setup: `nft -f - <<-'END'
			table inet filter {
				chain input { type filter hook input priority filter; policy accept; }
				chain forward {
					type filter hook forward priority filter; policy drop;
					ct state established,related accept
					iifname "lan0" oifname "wan0" accept
				}
			}
			END`,
		chain: "inet filter forward",
	},
	{
		name: "nft, inet, a last rule that rejects", tools: []string{"nft"},
		setup: `nft -f - <<-'END'
			table inet filter {
				chain forward {
					type filter hook forward priority filter; policy accept;
					ct state established,related accept
					reject with icmpx type admin-prohibited
				}
			}
			END`,
		chain: "inet filter forward", last: "reject",
	},
	{
		name: "nft, ip, a last rule that drops and counts", tools: []string{"nft"},
		setup: `nft -f - <<-'END'
			table ip mine {
				chain onward {
					type filter hook forward priority 10; policy accept;
					ct state established,related accept
					counter drop
				}
			}
			END`,
		chain: "ip mine onward", last: "drop",
	},
	{
		name: "nft, ip, only drop", tools: []string{"nft"},
		setup: `nft 'add table ip mine; add chain ip mine onward { type filter hook forward priority -5; policy drop; }; add rule ip mine onward drop'`,
		chain: "ip mine onward", last: "drop",
	},
	{
		name: "iptables-legacy, policy drop", tools: []string{"iptables-legacy"},
		setup: `
			iptables-legacy -w -P FORWARD DROP
			iptables-legacy -w -A FORWARD -i lan0 -j ACCEPT
			iptables-legacy -w -N mine
			iptables-legacy -w -A mine -p tcp -m tcp --dport 22 -j ACCEPT`,
		list: "iptables-legacy -w -S",
	},
	{
		name: "ip6tables-nft, policy drop", tools: []string{"ip6tables-nft"},
		setup: `ip6tables-nft -P FORWARD DROP`,
		chain: "ip6 filter FORWARD", list: "ip6tables-nft -S", six: true,
	},
	{
		name: "ip6tables-nft, a last rule that rejects", tools: []string{"ip6tables-nft"},
		setup: `
			ip6tables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
			ip6tables-nft -A FORWARD -j REJECT --reject-with icmp6-adm-prohibited`,
		chain: "ip6 filter FORWARD", last: "reject", list: "ip6tables-nft -S", six: true,
	},
	{
		name: "nft, inet, policy drop, for IPv6", tools: []string{"nft"},
		setup: `nft 'add table inet filter; add chain inet filter forward { type filter hook forward priority filter; policy drop; }'`,
		chain: "inet filter forward", six: true,
	},
	{
		name: "nft, ip6, a last rule that drops", tools: []string{"nft"},
		setup: `nft 'add table ip6 mine; add chain ip6 mine onward { type filter hook forward priority 10; policy accept; }; add rule ip6 mine onward drop'`,
		chain: "ip6 mine onward", last: "drop", six: true,
	},
}

// view is how a container sees and is seen on a network of one family.
type view struct {
	flags                  []string
	addr, neighbourAddr    string
	gateway, host, outside string // in brackets, if need be
	seenGateway, seenHost  string
	seenOutside            string
}

func viewOf(six bool) view {
	if six {
		return view{
			flags: []string{"-gateway", bridgeAddr6 + "/64"}, addr: addr30v6, neighbourAddr: addr31v6,
			gateway: "[" + bridgeAddr6 + "]", host: "[" + hostAddr6 + "]", outside: "[" + outsideAddr6 + "]",
			seenGateway: bridgeAddr6, seenHost: hostAddr6, seenOutside: outsideAddr6,
		}
	}
	return view{
		addr: addr30, neighbourAddr: addr31,
		gateway: bridgeAddr, host: hostAddr, outside: outsideAddr,
		seenGateway: bridgeAddr, seenHost: hostAddr, seenOutside: outsideAddr,
	}
}

func (v view) at(addr string) string {
	if strings.Contains(addr, ":") {
		return "[" + addr + "]"
	}
	return addr
}

// whole is all firewalls of a host as text, without what they have counted.
func whole(t *testing.T, n *lab.Node, f firewall) string {
	t.Helper()
	text := nftList(t, n, "ruleset")
	if f.chain == "" {
		text += legacyState(t, n)
	}
	return text
}

// nftList is what nft(8) lists, without what was counted. It warns of tables that
// it takes for iptables-nft's.
func nftList(t *testing.T, n *lab.Node, what string) string {
	t.Helper()
	text, err := n.Command("nft", append([]string{"-s", "list"}, strings.Fields(what)...)...).Output()
	if err != nil {
		t.Fatalf("nft list %s: %v", what, err)
	}
	return string(text)
}

// legacyState is what iptables-legacy has, less comments, in which stands the
// time, and counters.
func legacyState(t *testing.T, n *lab.Node) string {
	t.Helper()
	var s strings.Builder
	for _, tool := range []string{"iptables-legacy-save", "ip6tables-legacy-save"} {
		need.Tool(t, tool)
		for line := range strings.Lines(says(t, n.Command(tool))) {
			if !strings.HasPrefix(line, "#") {
				s.WriteString(counted.ReplaceAllString(line, ""))
			}
		}
	}
	return s.String()
}

var counted = regexp.MustCompile(` \[\d+:\d+\]`)

// chainRules lists a chain's rules.
func chainRules(t *testing.T, n *lab.Node, f firewall) []string {
	t.Helper()
	var rules []string
	if f.chain == "" {
		for line := range strings.Lines(says(t, n.Command("iptables-legacy", "-w", "-S", "FORWARD"))) {
			if strings.HasPrefix(line, "-A") {
				rules = append(rules, strings.TrimSpace(line))
			}
		}
		return rules
	}
	text := nftList(t, n, "chain "+f.chain)
	for line := range strings.Lines(text) {
		if rule, ok := strings.CutPrefix(line, "\t\t"); ok && !strings.HasPrefix(rule, "type ") {
			rules = append(rules, strings.TrimSpace(rule))
		}
	}
	return rules
}

// ours is the two rules for a bridge.
func (f firewall) ours(bridge string) []string {
	if f.chain == "" {
		return []string{
			fmt.Sprintf(`-A FORWARD -i %s -m comment --comment "container: %s" -j ACCEPT`, bridge, bridge),
			fmt.Sprintf(`-A FORWARD -o %s -m comment --comment "container: %s" -j ACCEPT`, bridge, bridge),
		}
	}
	return []string{
		fmt.Sprintf(`iifname "%s" accept comment "container: %s"`, bridge, bridge),
		fmt.Sprintf(`oifname "%s" accept comment "container: %s"`, bridge, bridge),
	}
}

// checkRules checks that a chain has two rules for each bridge beside those that
// it had, at their place.
func (f firewall) checkRules(t *testing.T, n *lab.Node, before []string, bridges ...string) {
	t.Helper()
	want := slices.Clone(before)
	var end []string
	if f.last != "" {
		if len(before) == 0 || !strings.Contains(before[len(before)-1], f.last) {
			t.Fatalf("the last rule has no %q: %q", f.last, before)
		}
		want, end = want[:len(want)-1], before[len(before)-1:]
	}
	for _, b := range bridges {
		want = append(want, f.ours(b)...)
	}
	want = append(want, end...)
	if got := chainRules(t, n, f); !slices.Equal(got, want) {
		t.Errorf("the rules are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// What goes on behind a host's own firewall is what goes on without one; and it
// is the host's own again after "main down".
func TestFirewalls(t *testing.T) {
	t.Parallel()
	for _, f := range firewalls {
		for _, nfCall := range []string{"0", "1"} {
			t.Run(f.name+",bridge-nf-call-iptables="+nfCall, func(t *testing.T) {
				t.Parallel()
				behindFirewall(t, f, nfCall)
			})
		}
	}
}

func behindFirewall(t *testing.T, f firewall, nfCall string) {
	for _, tool := range append([]string{"nft"}, f.tools...) {
		need.Tool(t, tool)
	}
	l := lab.New(t)
	lab.NeedFile(t, l.Host, "/proc/sys/"+nfCallIptables)
	l.Host.SetSysctl(nfCallIptables, nfCall)
	l.Host.SetSysctl("net/bridge/bridge-nf-call-ip6tables", nfCall)
	says(t, l.Host.Command("sh", "-euc", f.setup))
	before := l.Host.Snapshot()
	all, rules := whole(t, l.Host, f), chainRules(t, l.Host, f)

	v := viewOf(f.six)
	outside := l.Outside.Agent()
	any := map[bool]string{false: "0.0.0.0", true: "[::]"}[f.six]
	serve(t, outside, any+":7")
	server := l.Host.Container(t, words(both("80:8000"), v.flags, []string{v.addr})...)
	neighbour := l.Host.Container(t, words(v.flags, []string{v.neighbourAddr})...)
	serve(t, server, any+":8000")
	serve(t, server, any+":9000")

	reaches(t, "container to outside", server, v.outside+":7", v.seenHost)
	if t.Failed() {
		return // and so would the rest, with much patience
	}
	reaches(t, "outside to the published port", outside, v.host+":80", v.seenOutside)
	reaches(t, "neighbour to the published port", neighbour, v.host+":80", v.seenGateway)
	reaches(t, "container to itself by the published port", server, v.host+":80", v.seenGateway)
	reaches(t, "host to the published port", l.Host.Agent(), v.host+":80", v.seenHost)
	reaches(t, "neighbour to the container", neighbour, v.at(v.addr)+":9000", v.neighbourAddr)
	closed(t, "outside to what is not published", outside, v.host+":9000")

	// Two rules, however many containers there are; two more for another bridge.
	f.checkRules(t, l.Host, rules, "br0")
	gateway := map[bool]string{false: "172.18.0.1/24", true: "fd00:18::1/64"}[f.six]
	elsewhere := map[bool]string{false: "172.18.0.2", true: "fd00:18::2"}[f.six]
	second := l.Host.Container(t, "-bridge", "br1", "-gateway", gateway, elsewhere)
	reaches(t, "container on the second bridge to outside", second, v.outside+":7", v.seenHost)
	f.checkRules(t, l.Host, rules, "br0", "br1")
	if f.list != "" {
		for _, bridge := range []string{"br0", "br1"} {
			text := says(t, l.Host.Command("sh", "-euc", f.list))
			for _, direction := range []string{"-i", "-o"} {
				if want := fmt.Sprintf(`-A FORWARD %s %s -m comment --comment "container: %s" -j ACCEPT`, direction, bridge, bridge); !strings.Contains(text, want+"\n") {
					t.Errorf("%s has no line %s:\n%s", f.list, want, text)
				}
			}
		}
	}

	for _, a := range []*lab.Agent{second, neighbour, server} {
		a.Stop(t)
	}
	lab.Eventually(t, func() error { return noVeth(l.Host) })
	f.checkRules(t, l.Host, rules, "br0", "br1") // for the next run
	succeed(t, l.Host.Main("down"))
	differ(t, "the host's firewalls after down", whole(t, l.Host, f), all)
	if err := unchanged(counts.ReplaceAllString(before, ""), counts.ReplaceAllString(l.Host.Snapshot(), "")); err != nil {
		t.Error(err)
	}
}

// counts is what rules have counted, in nft(8)'s words.
var counts = regexp.MustCompile(`counter packets \d+ bytes \d+ ?`)

// A firewall that is in nobody's way gets no rule, and one that was there
// already when the rules were made is not given them twice.
func TestFirewallsThatAccept(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	n := lab.New(t).Host
	says(t, n.Command("nft", `
		add table inet open
		add chain inet open forward { type filter hook forward priority filter; policy accept; }
		add rule inet open forward ct state invalid drop
		add chain inet open input { type filter hook input priority filter; policy drop; }
		add rule inet open input iifname "lo" accept
		add chain inet open other
		add rule inet open other drop
		add table bridge open
		add chain bridge open forward { type filter hook forward priority filter; policy accept; }`))
	before := n.Ruleset()
	for range 2 {
		succeed(t, n.Main(address, "true"))
	}
	for line := range strings.SplitSeq(before, "\n") {
		if !strings.Contains(n.Ruleset(), line) {
			t.Errorf("the line %q is gone", line)
		}
	}
	if got := strings.Count(n.Ruleset(), `comment "container: br0"`); got != 0 {
		t.Errorf("%d rules were added to who accepts", got)
	}
	says(t, n.Command("nft", "add chain inet open late { type filter hook forward priority 20; policy drop; }"))
	for range 3 {
		succeed(t, n.Main(address, "true"))
	}
	if got := strings.Count(n.Ruleset(), `comment "container: br0"`); got != 2 {
		t.Errorf("%d rules were added to who drops, want 2:\n%s", got, n.Ruleset())
	}
	succeed(t, n.Main("down"))
	says(t, n.Command("nft", "delete chain inet open late"))
	if after := n.Ruleset(); after != before {
		t.Errorf("after down it is\n%s\nwant\n%s", after, before)
	}
}

// A table with an owner is changed by nobody else. The run says so, says what to
// type, and goes on.
func TestFirewallWithOwner(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	l := lab.New(t)
	owned(t, l.Host, `add table inet firewalld { flags owner; }`,
		`add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy drop; }`,
		`add rule inet firewalld filter_FORWARD ct state established,related accept`)
	before := l.Host.Ruleset()
	stdout, stderr, status := l.Host.Main(addr30, "echo", "goes on").Result()
	if status != 0 || stdout != "goes on\n" {
		t.Errorf("status %d, output %q; want 0 and that it goes on", status, stdout)
	}
	if !strings.HasPrefix(stderr, "main: ") || strings.Count(stderr, "\n") != 1 ||
		!strings.Contains(stderr, "firewalld") || !strings.Contains(stderr, "br0") {
		t.Errorf("standard error is %q, want one line about firewalld and br0", stderr)
	}
	if !strings.Contains(stderr, "firewall-cmd ") && !strings.Contains(stderr, "nft ") {
		t.Errorf("standard error is %q, want a command to type in it", stderr)
	}
	succeed(t, l.Host.Main("down"))
	if after := l.Host.Ruleset(); after != before {
		t.Errorf("after down the ruleset is\n%s\nwant\n%s", after, before)
	}
}

// owned gives commands to an nft(8) that stays, and with it the table that it
// owns. It returns when all are carried out.
func owned(t *testing.T, n *lab.Node, commands ...string) {
	t.Helper()
	c := n.Command("nft", "-i")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		await(c)
		if t.Failed() {
			t.Logf("nft -i said: %s", said.String())
		}
	})
	const last = "carried-out"
	for _, command := range append(commands, "add table ip "+last, "delete table ip "+last, "add table ip "+last) {
		if _, err := io.WriteString(stdin, command+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	lab.Eventually(t, func() error {
		if !strings.Contains(n.Ruleset(), "table ip "+last) {
			return fmt.Errorf("nft -i has not done yet what it was told")
		}
		return nil
	})
	says(t, n.Command("nft", "delete", "table", "ip", last))
}

// A firewall that is loaded anew under a running container has no place for it
// any more. "main gc" makes one.
func TestFirewallLoadedAnew(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	l := lab.New(t)
	const ruleset = "table inet fw {\n chain forward { type filter hook forward priority 0; policy drop; ct state established accept; }\n}\n"
	load := func() {
		t.Helper()
		c := l.Host.Command("nft", "-f", "-")
		c.Stdin = strings.NewReader(ruleset)
		succeed(t, c)
	}
	load()
	c := l.Host.Container(t, words(both("80:8000"), []string{addr30})...)
	serve(t, c, "0.0.0.0:8000")
	outside := l.Outside.Agent()
	reaches(t, "outside", outside, hostAddr+":80", outsideAddr)
	succeed(t, l.Host.Command("nft", "delete", "table", "inet", "fw"))
	load()
	closed(t, "outside, when the firewall was loaded anew", outside, hostAddr+":80")
	succeed(t, l.Host.Main("gc"))
	reaches(t, "outside, after gc", outside, hostAddr+":80", outsideAddr)
}
