//go:build linux

package integration

import (
	"strings"
	"testing"
)

// The link-local groups that a bridge takes for its own (802.1X, LLDP, link
// aggregation): what is sent to them is given to the host by the port, past the
// bridge.
var linkLocalGroups = []string{"01:80:c2:00:00:02", "01:80:c2:00:00:03", "01:80:c2:00:00:0e"}

// Somebody sends from another's address to such a group.
func TestAttackSourceByGroup(t *testing.T) {
	t.Parallel()
	for _, group := range linkLocalGroups {
		for name, six := range map[string]bool{"IPv4": false, "IPv6": true} {
			t.Run(group+", "+name, func(t *testing.T) {
				t.Parallel()
				onStages(t, six, func(t *testing.T, s stage) bool {
					for _, dev := range append([]string{"all", "default", "br0"}, portsOf(t, s)...) {
						s.host.SetSysctl("net/ipv4/conf/"+dev+"/rp_filter", "0")
					}
					from, src, dst := nobody, nobody+":1000", bridgeAddr+":7"
					if six {
						from, src, dst = nobody6, "["+nobody6+"]:1000", "["+bridgeAddr6+"]:7"
					}
					return s.succeeds(t, func() bool {
						s.attacker.attack(t, "udp", "own", group, src, dst, "spoofed")
						return hears(t, s, s.gateway, "udp "+from+" spoofed")
					})
				})
			})
		}
	}
}

// Somebody tells such a group that he is a router. The host is one that
// listens, at every link.
func TestAttackRouterByGroup(t *testing.T) {
	t.Parallel()
	for _, group := range linkLocalGroups {
		for _, verb := range []string{"ra", "ra+options"} {
			t.Run(group+", "+verb, func(t *testing.T) {
				t.Parallel()
				onStages(t, true, func(t *testing.T, s stage) bool {
					for _, dev := range append([]string{"br0"}, portsOf(t, s)...) {
						s.host.SetSysctl("net/ipv6/conf/"+dev+"/accept_ra", "2")
					}
					believed := func() bool {
						text := iproute(t, s.host, "-6 addr show") + iproute(t, s.host, "-6 route show")
						return strings.Contains(text, "fd00:bad:") || strings.Contains(text, "proto ra")
					}
					if believed() {
						t.Fatal("the host believes it before it is said")
					}
					return s.succeeds(t, func() bool {
						s.attacker.attack(t, verb, "own", group, linkLocal(t, s.attacker.mac), "ff02::1", "fd00:bad::/64")
						hears(t, s, s.gateway, "")
						return believed()
					})
				})
			})
		}
	}
}

// portsOf are the names of the bridge's ports.
func portsOf(t *testing.T, s stage) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(iproute(t, s.host, "-o link show master br0")) {
		// 5: veth0@if2: <…
		name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
		all = append(all, strings.TrimSuffix(name, ":"))
	}
	return all
}
