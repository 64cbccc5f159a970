//go:build linux

package nat

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
)

// What the host routes between the containers of a bridge hangs on the tables
// that route: an isolated one is left out.
func TestIsolatedRouted(t *testing.T) {
	w := newWires(t)
	w.host(t)
	for _, f := range []Family{IPv4, IPv6} {
		saddr, daddr := f.String()+" saddr @isolated drop", f.String()+" daddr @isolated drop"
		const inside = `iifname . oifname @inside accept`
		frame := func(from, to byte) []byte {
			if f == IPv6 {
				return eth(macOf('h'), macOf(from), 0x86dd, udp6(ip6Of(from), ip6Of(to)))
			}
			return eth(macOf('h'), macOf(from), 0x0800, ip4(ip4Of(from), ip4Of(to)))
		}
		for _, without := range []string{"", saddr, daddr, inside} {
			reqs := f.Ruleset()
			left := len(reqs)
			reqs = slices.DeleteFunc(reqs, func(r nl.Request) bool { return without != "" && strings.HasSuffix(r.Cmd, "'"+without+"'") })
			if without != "" && len(reqs) != left-1 {
				t.Fatalf("%s: there is no rule %s", f, without)
			}
			commit(t, reqs)
			for _, end := range "abi" {
				claim := w.claim(byte(end))
				commit(t, claim.bridge()[3*slices.Index(Families[:], f):][:3])
				for _, r := range claim.isolation(unix.NFT_MSG_NEWSETELEM, add) {
					if Family(r.Data[0]) == f {
						commit(t, []nl.Request{r})
					}
				}
			}
			for _, c := range []struct {
				from, to string
				passes   bool
				rule     string
			}{
				{"a", "b", true, inside},
				{"i", "b", false, saddr},
				{"b", "i", false, daddr},
			} {
				want := c.passes != (c.rule == without)
				if got := w.passes(t, c.from, c.to, frame(c.from[0], c.to[0]), "d"); got != want {
					t.Errorf("%s without the rule %q: from %s to %s: passes: got %v, want %v", f, without, c.from, c.to, got, want)
				}
			}
			commit(t, []nl.Request{f.DeleteTable()})
		}
	}
}

// A port that a neighbour publishes is reached from an isolated container where
// br_netfilter rewrites the destination at the bridge, too: the frame never
// leaves the bridge, and is one for the host (pkttype).
func TestIsolatedPublished(t *testing.T) {
	w := newWires(t)
	if _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables"); err != nil {
		need.Skip(t, "needs br_netfilter: "+err.Error())
	}
	w.host(t)
	sysctl(t, "net/bridge/bridge-nf-call-iptables", "1")
	commit(t, IPv4.Ruleset())
	for _, end := range "abij" {
		claim := w.claim(byte(end))
		claim.Networks, claim.Addresses, claim.MAC = claim.Networks[:1], claim.Addresses[:1], nil
		if end == 'b' || end == 'j' {
			claim.Ports = []Port{{HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP}}
			if end == 'j' {
				claim.Ports[0].HostIP = netip.MustParseAddr("172.16.1.1")
			}
		}
		commit(t, claim.Take())
	}
	frame := func(from byte, to netip.Addr) []byte {
		return eth(macOf('h'), macOf(from), 0x0800, ip4(ip4Of(from), to))
	}
	host, another := ip4Of('h'), netip.MustParseAddr("172.16.1.1")
	check := func(want bool) {
		t.Helper()
		for _, c := range []struct {
			from, to string
			at       netip.Addr
			passes   bool
		}{
			{"a", "b", host, true},
			{"i", "b", host, want},
			{"a", "j", another, want},
			{"i", "j", another, want},
		} {
			if got := w.passes(t, c.from, c.to, frame(c.from[0], c.at), "d"); got != c.passes {
				t.Errorf("from %s to %s: passes: got %v, want %v", c.from, c.to, got, c.passes)
			}
		}
	}
	w.guard(t, guardRules())
	check(true)

	// Without what the two rules say of pkttype nothing would come.
	commit(t, []nl.Request{Bridge.DeleteTable()})
	rules := guardRules()
	for i, r := range rules {
		if strings.HasPrefix(r.text, "meta pkttype != host ") {
			rules[i].exprs = r.exprs[2:]
		}
	}
	w.guard(t, rules)
	check(false)
}
