//go:build linux

package nat

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"container/nl"
)

// What a neighbour sends to 127.0.0.1 is dropped at the input too: connections
// that began when there were no rules are not asked about by NAT any more.
func TestLoopbackEstablished(t *testing.T) {
	w := newWires(t)
	w.host(t)
	run(t, "ip", "link", "set", "lo", "up")
	sysctl(t, "net/ipv4/conf/br0/route_localnet", "1")
	sysctl(t, "net/ipv4/conf/all/rp_filter", "0")
	sysctl(t, "net/ipv4/conf/br0/rp_filter", "0")
	// Connections are tracked for as long as somebody's rules want it.
	run(t, "nft", "add", "table", "ip", "other")
	run(t, "nft", "add", "chain", "ip", "other", "c", "{ type filter hook input priority 0; }")
	run(t, "nft", "add", "rule", "ip", "other", "c", "ct state new counter")

	local := net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53} // as udpHead says
	service, err := net.ListenUDP("udp4", &local)
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	frame := eth(macOf('h'), macOf('a'), 0x0800, ip4(ip4Of('a'), local.AddrPort().Addr().Unmap()))
	// hears tells whether the service gets a frame, before another that it is
	// sent by the host itself.
	hears := func() bool {
		t.Helper()
		w.send(t, "a", frame)
		w.passes(t, "d", "br0", hello('d'), "e") // what a said has been dealt with
		if _, err := service.WriteToUDP([]byte("end"), &local); err != nil {
			t.Fatal(err)
		}
		if err := service.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		heard := false
		for b := make([]byte, 100); ; {
			n, from, err := service.ReadFromUDP(b)
			if err != nil {
				t.Fatal(err)
			}
			if string(b[:n]) == "end" {
				return heard
			}
			heard = true
			if _, err := service.WriteToUDP([]byte("answer"), from); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !hears() {
		t.Fatal("without the rules, 127.0.0.1 is not reached at all")
	}
	const input = `ip daddr 127.0.0.0/8 iifname != "lo" drop`
	for _, without := range []bool{true, false} {
		reqs := slices.DeleteFunc(IPv4.Ruleset(), func(r nl.Request) bool {
			return without && strings.HasPrefix(r.Cmd, "nft add rule ip container input '"+input)
		})
		commit(t, reqs)
		if got := hears(); got != without {
			t.Errorf("without the rule at the input: %v; 127.0.0.1 is reached: %v", without, got)
		}
		commit(t, []nl.Request{IPv4.DeleteTable()})
	}
}
