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

func TestRuleset(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	goldenRuleset(t, "ruleset.nft")
}

func TestRulesetTwice(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	commit(t, aClaim().Take())
	refuse(t, unix.EEXIST, Ruleset())
}

// What `nft list ruleset` prints is what `nft -f` reads, whatever is in it. An
// index that is an interface's is shown by its name: 1 is lo.
func TestRulesetCanBeLoadedAgain(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	commit(t, aClaim().Take())
	lo := anotherClaim()
	lo.Index = 1
	commit(t, lo.Take())
	commit(t, Remember(0, settings))
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
	commit(t, Ruleset())
	commit(t, aClaim().Take())
	commit(t, []nl.Request{DeleteTable()})
	same(t, "the ruleset", ruleset(t), "")
	refuse(t, unix.ENOENT, []nl.Request{DeleteTable()})
}

// The command that a request names makes the same change. Commands run in one
// namespace and messages are sent in another, and after each transaction nft
// tells the two rulesets.
func TestCommands(t *testing.T) {
	need.Root(t)
	a, b := aClaim(), anotherClaim()
	transactions := [][]nl.Request{
		Ruleset(),
		a.Take(),
		b.Take(),
		Remember(0, settings),
		a.Release(),
		Drop([]Lease{{b.Address, b.Index}}, []Published{{b.Ports[0], b.Address}}),
		{DeleteTable()},
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
	commit(t, Ruleset())
	for _, s := range sets {
		run(t, "sh", "-c", s.getElements().Cmd)
	}
}

func TestBatchAt(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
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
	commit(t, Ruleset())
	c := dial(t)
	if got, err := Remembered(c); err != nil || len(got) != 0 {
		t.Fatalf("got %v (error %v) of nothing", got, err)
	}
	commit(t, Remember(0, settings))
	refuse(t, unix.EEXIST, Remember(0, settings))
	refuse(t, unix.EEXIST, Remember(0, []Sysctl{{"net.ipv4.ip_forward", "1"}}))
	if got, err := Remembered(c); err != nil || !slices.Equal(got, settings) {
		t.Errorf("got %v (error %v), want %v", got, err, settings)
	}
}

// A thousand settings with the longest comments that nft reads, 127 bytes:
// more than one message holds.
func TestRememberMany(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	var many []Sysctl
	for i := range 1000 {
		many = append(many, Sysctl{fmt.Sprintf("%04d.%s", i, strings.Repeat("x", 127-len("0000.=1"))), "1"})
	}
	commit(t, Remember(0, many))
	if got, err := Remembered(dial(t)); err != nil || !slices.Equal(got, many) {
		t.Errorf("got %d settings (error %v), want %d", len(got), err, len(many))
	}
}

// Elements that somebody else put there are no settings of ours.
func TestRememberedByOthers(t *testing.T) {
	netns(t)
	commit(t, Ruleset())
	commit(t, Remember(0, settings[:1]))
	run(t, "nft", "add", "element", "ip", "container", "sysctl", `{ 7, 8 comment "hello" }`)
	if got, err := Remembered(dial(t)); err != nil || !slices.Equal(got, settings[:1]) {
		t.Errorf("got %v (error %v), want %v", got, err, settings[:1])
	}
}

func TestWithoutTable(t *testing.T) {
	netns(t)
	c := dial(t)
	if _, err := Leases(c); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Leases: got the error %v, want %v", err, unix.ENOENT)
	}
	if _, err := PublishedPorts(c); !errors.Is(err, unix.ENOENT) {
		t.Errorf("PublishedPorts: got the error %v, want %v", err, unix.ENOENT)
	}
	if _, err := Remembered(c); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Remembered: got the error %v, want %v", err, unix.ENOENT)
	}
	// A refused transaction ends its connection.
	err := refuse(t, unix.ENOENT, aClaim().Take())
	if want := `set ip container bridges: add "br0": no such file or directory`; err.Error() != want {
		t.Errorf("Take: got the error %q, want %q", err, want)
	}
	refuse(t, unix.ENOENT, aClaim().Release())
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
	if err := Commit(dial(t), Ruleset()); !errors.Is(err, unix.EPERM) {
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
	commit(t, Ruleset())
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
