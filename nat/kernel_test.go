//go:build linux

package nat

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
)

// What nft shows are the texts of the rules, in their order: then the command
// that a rule's request names is a true one.
func TestRuleset(t *testing.T) {
	need.Root(t)
	for f, file := range map[Family]string{IPv4: "ruleset.nft", IPv6: "ruleset6.nft", Bridge: "guard.nft"} {
		t.Run(f.String(), func(t *testing.T) {
			netns(t)
			commit(t, whole(f))
			goldenRuleset(t, file)
			var shown []string
			for _, line := range strings.Split(ruleset(t), "\n") {
				rule, in := strings.CutPrefix(line, "\t\t")
				if in && !strings.HasPrefix(rule, "type") && !strings.HasPrefix(rule, "flags") {
					shown = append(shown, rule)
				}
			}
			var texts []string
			for _, c := range slices.Concat(f.chains(), f.cutChains()) {
				var first, rest []string
				for _, r := range allRules(f) {
					switch {
					case r.chain != c.name:
					case r.first:
						first = append(first, r.text)
					default:
						rest = append(rest, r.text)
					}
				}
				texts = slices.Concat(texts, first, rest)
			}
			same(t, "the rules", strings.Join(shown, "\n"), strings.Join(texts, "\n"))
		})
	}
}

func TestRulesetTwice(t *testing.T) {
	netns(t)
	makeTables(t)
	commit(t, bothClaim().Take())
	for _, f := range Families {
		refuse(t, unix.EEXIST, f.Ruleset())
	}
}

// Before Linux 5.19 a set's number was looked up in the whole transaction,
// whatever its table: no two sets have the same, so that the tables can be made
// together as well as apart.
func TestRulesetsTogether(t *testing.T) {
	netns(t)
	makeTables(t)
	apart := rulesetJSON(t)
	run(t, "nft", "flush", "ruleset")
	commit(t, slices.Concat(whole(IPv4), whole(IPv6), whole(Bridge)))
	same(t, "the ruleset", rulesetJSON(t), apart)
}

func TestSetNumbers(t *testing.T) {
	all := make(map[uint32]set)
	for _, f := range Families {
		for _, s := range f.sets() {
			if s.family != f {
				t.Errorf("%s is a set of %s, among those of %s", s.name, s.family, f)
			}
			if other, ok := all[s.id]; ok || s.id == 0 {
				t.Errorf("%s %s and %s %s are both number %d", s.family, s.name, other.family, other.name, s.id)
			}
			all[s.id] = s
		}
	}
}

// What a part of the ruleset needs can be tried by itself, and all of the rules
// are part of something.
func TestFeatures(t *testing.T) {
	need.Root(t)
	for _, f := range Families {
		tried := make(map[string]bool)
		for _, feature := range f.Features() {
			t.Run(f.String()+" "+feature.Name, func(t *testing.T) {
				netns(t)
				commit(t, feature.Requests)
				for _, r := range feature.Requests {
					tried[r.What] = true
				}
			})
		}
		for _, r := range allRules(f) {
			if what := r.request(f).What; r.needs != "" && !tried[what] {
				t.Errorf("%s is no part of a feature", what)
			}
		}
	}
}

// What `nft list ruleset` prints is what `nft -f` reads, whatever is in it. An
// index that is an interface's is shown by its name: 1 is lo.
func TestRulesetCanBeLoadedAgain(t *testing.T) {
	netns(t)
	makeTables(t)
	commit(t, bothClaim().Take())
	lo := anotherBothClaim()
	lo.Index, lo.Isolated = 1, true
	commit(t, lo.Take())
	commit(t, IPv4.Remember(0, settings))
	commit(t, IPv6.Remember(0, settings))
	before := ruleset(t)
	saved := filepath.Join(t.TempDir(), "saved.nft")
	if err := os.WriteFile(saved, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "nft", "flush", "ruleset")
	run(t, "nft", "-f", saved)
	same(t, "the ruleset", ruleset(t), before)
}

func TestDeleteTable(t *testing.T) {
	netns(t)
	makeTables(t)
	commit(t, bothClaim().Take())
	for _, f := range Families {
		commit(t, []nl.Request{f.DeleteTable()})
		refuse(t, unix.ENOENT, []nl.Request{f.DeleteTable()})
	}
	same(t, "the ruleset", ruleset(t), "")
}

// The command that a request names makes the same change. Commands run in one
// namespace and messages are sent in another, and after each transaction nft
// tells the two rulesets.
func TestCommands(t *testing.T) {
	need.Root(t)
	a, b, four := bothClaim(), anotherBothClaim(), anotherClaim()
	four.Addresses, four.Index, four.Ports = addrs("172.16.0.32"), 4109, nil
	gone := b
	gone.Isolated = true // it was not; all the same
	transactions := [][]nl.Request{
		whole(IPv4),
		whole(IPv6),
		whole(Bridge),
		a.Take(),
		b.Take(),
		four.Take(),
		IPv4.Remember(0, settings),
		IPv6.Remember(7, settings),
		a.Release(),
		Drop(leasesOf(b, four), publishedBy(b), []Claim{gone}),
		{IPv4.DeleteTable()},
		{IPv6.DeleteTable()},
		{Bridge.DeleteTable()},
	}
	var sent []string
	if !t.Run("messages", func(t *testing.T) {
		netns(t)
		for _, reqs := range transactions {
			commit(t, reqs)
			sent = append(sent, rulesetJSON(t))
		}
	}) {
		return
	}
	t.Run("commands", func(t *testing.T) {
		netns(t)
		for i, reqs := range transactions {
			for _, r := range reqs {
				run(t, "sh", "-c", r.Cmd)
			}
			same(t, "the ruleset after "+reqs[len(reqs)-1].Cmd, rulesetJSON(t), sent[i])
		}
	})
}

func TestListCommands(t *testing.T) {
	netns(t)
	makeTables(t)
	for _, f := range Families {
		for _, s := range f.sets() {
			if got := run(t, "sh", "-c", s.getElements().Cmd); !strings.Contains(got, "table "+f.String()+" container") {
				t.Errorf("%s: got %s", s.getElements().Cmd, got)
			}
		}
	}
	if got, want := run(t, "sh", "-c", getTables().Cmd), "table ip container\ntable ip6 container\ntable bridge container\n"; got != want {
		t.Errorf("%s: got %s", getTables().Cmd, got)
	}
}

func TestBatchAt(t *testing.T) {
	netns(t)
	commit(t, IPv4.Ruleset())
	c := dial(t)
	gen, err := Generation(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(BatchAt(gen, aClaim().Take())...); err != nil {
		t.Fatal(err)
	}
	next, err := Generation(c)
	if err != nil || next == gen {
		t.Fatalf("got the generation %d (error %v) after %d and a transaction", next, err, gen)
	}
	// Somebody else's transaction came between the look and this one.
	before := ruleset(t)
	if err := c.Do(BatchAt(gen, anotherClaim().Take())...); !errors.Is(err, unix.ERESTART) {
		t.Fatalf("got the error %v, want %v", err, unix.ERESTART)
	}
	same(t, "the ruleset", ruleset(t), before)
}

var settings = []Sysctl{
	{"net.ipv4.ip_forward", "0"},
	{"net.ipv4.conf.all.accept_redirects", "1"},
	{"net.ipv4.conf.br0.route_localnet", "0"},
	{"net.ipv4.conf.eth0.forwarding", "1"},
	{"an.empty.one", ""},
	{"one.with.two.words", "a b=c"},
}

func TestRemember(t *testing.T) {
	netns(t)
	makeTables(t)
	c := dial(t)
	for i, f := range []Family{IPv4, IPv6} {
		if got, err := f.Remembered(c); err != nil || len(got) != 0 {
			t.Fatalf("%v: got %v (error %v) of nothing", f, got, err)
		}
		settings := settings[i:] // other ones in each table
		commit(t, f.Remember(0, settings[:2]))
		refuse(t, unix.EEXIST, f.Remember(0, settings))
		refuse(t, unix.EEXIST, f.Remember(1, []Sysctl{{"net.ipv4.ip_forward", "1"}}))
		commit(t, f.Remember(2, settings[2:]))
		if got, err := f.Remembered(c); err != nil || !slices.Equal(got, settings) {
			t.Errorf("%v: got %v (error %v), want %v", f, got, err, settings)
		}
	}
}

// A thousand settings with the longest comments that nft reads, 127 bytes:
// more than one message holds.
func TestRememberMany(t *testing.T) {
	netns(t)
	commit(t, IPv4.Ruleset())
	var many []Sysctl
	for i := range 1000 {
		many = append(many, Sysctl{fmt.Sprintf("%04d.%s", i, strings.Repeat("x", 127-len("0000.=1"))), "1"})
	}
	commit(t, IPv4.Remember(0, many))
	if got, err := IPv4.Remembered(dial(t)); err != nil || !slices.Equal(got, many) {
		t.Errorf("got %d settings (error %v), want %d", len(got), err, len(many))
	}
}

// Elements that somebody else put there are no settings of ours.
func TestRememberedByOthers(t *testing.T) {
	netns(t)
	commit(t, IPv4.Ruleset())
	commit(t, IPv4.Remember(0, settings[:1]))
	run(t, "nft", "add", "element", "ip", "container", "sysctl", `{ 7, 8 comment "hello" }`)
	if got, err := IPv4.Remembered(dial(t)); err != nil || !slices.Equal(got, settings[:1]) {
		t.Errorf("got %v (error %v), want %v", got, err, settings[:1])
	}
}

func TestWithoutTable(t *testing.T) {
	netns(t)
	c := dial(t)
	if got, err := Leases(c); err != nil || len(got) != 0 {
		t.Errorf("Leases: got %v (error %v), want none", got, err)
	}
	if got, err := PublishedPorts(c); err != nil || len(got) != 0 {
		t.Errorf("PublishedPorts: got %v (error %v), want none", got, err)
	}
	if got, err := Guards(c); err != nil || len(got) != 0 {
		t.Errorf("Guards: got %v (error %v), want none", got, err)
	}
	for _, f := range []Family{IPv4, IPv6} {
		if got, err := f.Remembered(c); err != nil || len(got) != 0 {
			t.Errorf("%v: Remembered: got %v (error %v), want none", f, got, err)
		}
	}
	if got, err := Tables(c); err != nil || len(got) != 0 {
		t.Errorf("Tables: got %v (error %v), want none", got, err)
	}
	// A refused transaction ends its connection.
	refuse(t, unix.ENOENT, aClaim().Release())
	for _, f := range Families { // the last of them is the one that isn't there
		claim := only6(bothClaim())
		if f == IPv4 {
			claim = aClaim()
		}
		err := refuse(t, unix.ENOENT, claim.Take())
		if want := map[Family]string{
			IPv4:   `set ip container bridges: add "br0": no such file or directory`,
			IPv6:   `set ip6 container bridges: add "br0": no such file or directory`,
			Bridge: `set bridge container ports: add 4107: no such file or directory`,
		}[f] + " (" + otherTable[0].Text + ")"; err.Error() != want {
			t.Errorf("Take: got the error %q, want %q", err, want)
		}
		commit(t, f.Ruleset())
	}
}

// Whoever may not configure the network is told so, and not left waiting for
// answers that do not come.
func TestWithoutPrivilege(t *testing.T) {
	netns(t)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	// Of this thread alone, which nobody else is going to use.
	caps[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	if err := Commit(dial(t), IPv4.Ruleset()); !errors.Is(err, unix.EPERM) {
		t.Errorf("got the error %v, want %v", err, unix.EPERM)
	}
}

// What the host says to its own address on the bridge goes out by lo, and not
// into the world, although it is from the bridge's network: nothing is
// masqueraded.
//
//	eth0 192.0.2.1/24 (an uplink)
//	br0  172.16.0.100/24
func TestHostToItself(t *testing.T) {
	netns(t)
	for _, args := range []string{
		"link set lo up",
		"link add eth0 type veth peer name eth1",
		"address add 192.0.2.1/24 dev eth0",
		"link set eth0 up",
		"link set eth1 up",
		"link add br0 type bridge",
		"address add 172.16.0.100/24 dev br0",
		"link set br0 up",
	} {
		run(t, "ip", strings.Fields(args)...)
	}
	commit(t, IPv4.Ruleset())
	commit(t, aClaim().Take())

	l, err := net.Listen("tcp4", "172.16.0.100:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got, want := in.RemoteAddr().String(), out.LocalAddr().String(); got != want {
		t.Errorf("the server sees %s, the client is %s", got, want)
	}
	if got := netip.MustParseAddrPort(in.RemoteAddr().String()).Addr(); got != netip.MustParseAddr("172.16.0.100") {
		t.Errorf("the server sees %s", got)
	}
}

// In the table of a kernel that lacks what publishing takes there are leases, and
// no port can be had; what lists and releases doesn't mind.
func TestUnpublished(t *testing.T) {
	netns(t)
	for _, f := range Families {
		commit(t, f.Unpublished())
	}
	c := dial(t)
	address := netip.MustParseAddr("172.16.0.30")
	claim := Claim{Bridge: "br0", Networks: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/24")}, Addresses: []netip.Addr{address}, Index: 7}
	port := claim
	port.Ports = []Port{{Proto: unix.IPPROTO_TCP, HostPort: 80, Port: 8000}}
	err := Commit(c, port.Take())
	const advice = "the kernel lacked what publishing takes: CONFIG_NFT_FIB_IPV4 and CONFIG_NFT_NAT, modules nft_fib_ipv4 and nft_nat"
	if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), advice) {
		t.Errorf("a port is refused with %v", err)
	}
	if leases, err := Leases(c); err != nil || len(leases) > 0 {
		t.Errorf("after that there are the leases %v (error %v)", leases, err)
	}
	if err := Commit(c, claim.Take()); err != nil {
		t.Fatal(err)
	}
	if ports, err := PublishedPorts(c); err != nil || len(ports) > 0 {
		t.Errorf("the published ports are %v (error %v)", ports, err)
	}
	if err := Commit(c, claim.Release()); err != nil {
		t.Error(err)
	}
	// It needs none of what is missing.
	for _, f := range Families {
		for _, r := range f.Unpublished() {
			if f != Bridge && (strings.Contains(r.What, "fib ") || strings.Contains(r.What, "dnat ip") || strings.Contains(r.What, "prerouting")) {
				t.Errorf("in it is %s", r.What)
			}
		}
	}
}
