//go:build linux

package integration

import (
	"testing"

	"container/integration/lab"
)

// A machine on the administrator's bridge says that another's address is at its
// MAC. It is believed if that is a machine's, and not if it is a container's;
// nor in any case if it hides behind a header that has no business there.
func TestAttackByMachine(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"arp reply", "arp request", "na", "na+options"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			adminBridge(t, l.Host, "br0", bridgeAddr+"/24", bridgeAddr6+"/64")
			me := onWire(t, l, "port0", addr30, addr30v6)
			s := stage{lab: l, host: l.Host, attacker: me, gateway: party{
				Agent: l.Host.Agent(), in: l.Host.Command, dev: "br0", mac: l.Host.Link("br0").MAC.String(),
				addr: bridgeAddr, v6: bridgeAddr6, program: attackerProgram(t),
			}}
			serve(t, s.gateway.Agent, bridgeAddr+":7")
			serve(t, s.gateway.Agent, at(bridgeAddr6, 7))
			for _, about := range []struct {
				party
				believed bool
			}{
				{onWire(t, l, "port1", addr31, addr31v6), verb != "na+options"},
				{boxed(t, l.Host, true, addr32, addr32v6), false},
			} {
				for _, to := range []string{bridgeAddr + ":7", at(bridgeAddr6, 7)} {
					if _, err := about.Ask("udp", to); err != nil {
						t.Fatalf("%s: %v", about.addr, err)
					}
					if _, err := s.gateway.Heard(); err != nil {
						t.Fatal(err)
					}
				}
				entry := func() string {
					if verb[:2] == "na" {
						return neighbourEntry(t, s.gateway, about.v6)
					}
					return arpEntry(t, s.gateway.Agent, about.addr)
				}
				if got := entry(); got != about.mac {
					t.Fatalf("%s is known to be at %s before, want %s", about.addr, got, about.mac)
				}
				s.guard = !about.believed
				got := s.succeeds(t, func() bool {
					for _, to := range []string{s.gateway.mac, "all"} {
						if verb[:2] == "na" {
							me.attack(t, verb, "own", to, me.v6, bridgeAddr6, about.v6, "own")
						} else {
							me.attack(t, "arp", verb[len("arp "):], "own", to, "own", about.addr, "own", about.addr)
						}
					}
					hears(t, s, s.gateway, "")
					return entry() == me.mac
				})
				if got != about.believed {
					t.Errorf("believed about %s: got %v, want %v", about.addr, got, about.believed)
				}
			}
		})
	}
}
