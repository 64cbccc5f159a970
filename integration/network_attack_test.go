//go:build linux

package integration

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// party is somebody on a bridge, in a container or not.
type party struct {
	*lab.Agent
	in       func(name string, args ...string) *lab.Cmd // a program where the agent is
	dev      string
	mac      string
	addr, v6 string
	program  string // the attacker
}

// attack sends a frame; see integration/attacker.
func (p party) attack(t *testing.T, verb string, words ...string) {
	t.Helper()
	says(t, p.in(p.program, append([]string{verb, p.dev}, words...)...))
}

// stage is a bridge with an attacker and a victim on it, and the host's own
// address.
type stage struct {
	lab              *lab.Lab
	guard            bool // attacks are to fail
	host             *lab.Node
	attacker, victim party
	gateway          party
}

// stages are where attacks are tried: between machines on a bridge without any
// guard, where they must succeed, or to have them refused proves nothing; and
// in containers, where they must fail.
var stages = []struct {
	name   string
	nfCall string
	guard  bool
	build  func(t *testing.T, s *stage, six bool)
}{
	{"on a plain bridge", "0", false, func(t *testing.T, s *stage, six bool) {
		adminBridge(t, s.host, "br0", bridgeAddr+"/24", bridgeAddr6+"/64")
		s.attacker = onWire(t, s.lab, "port0", addr30, addr30v6)
		s.victim = onWire(t, s.lab, "port1", addr31, addr31v6)
	}},
	{"between containers", "0", true, func(t *testing.T, s *stage, six bool) {
		s.attacker = boxed(t, s.host, six, addr30, addr30v6)
		s.victim = boxed(t, s.host, six, addr31, addr31v6)
	}},
	{"between containers, bridge-nf-call-iptables=1", "1", true, func(t *testing.T, s *stage, six bool) {
		s.attacker = boxed(t, s.host, six, addr30, addr30v6)
		s.victim = boxed(t, s.host, six, addr31, addr31v6)
	}},
	{"container against a machine on the administrator's bridge", "0", true, func(t *testing.T, s *stage, six bool) {
		adminBridge(t, s.host, "br0", bridgeAddr+"/24", bridgeAddr6+"/64")
		s.victim = onWire(t, s.lab, "port1", addr31, addr31v6)
		s.attacker = boxed(t, s.host, six, addr30, addr30v6)
	}},
}

// onStages tries an attack on every stage. It tells whether it succeeds.
func onStages(t *testing.T, six bool, attack func(t *testing.T, s stage) bool) {
	t.Helper()
	need.Tool(t, "ip")
	for _, at := range stages {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			s := stage{lab: l, host: l.Host, guard: at.guard}
			lab.NeedFile(t, s.host, "/proc/sys/"+nfCallIptables)
			s.host.SetSysctl(nfCallIptables, at.nfCall)
			s.host.SetSysctl("net/bridge/bridge-nf-call-ip6tables", at.nfCall)
			s.host.SetSysctl("net/bridge/bridge-nf-call-arptables", at.nfCall)
			at.build(t, &s, six)
			s.gateway = party{
				Agent: s.host.Agent(), in: s.host.Command, dev: "br0", mac: s.host.Link("br0").MAC.String(),
				addr: bridgeAddr, v6: bridgeAddr6, program: attackerProgram(t),
			}
			// Everybody knows everybody.
			for _, a := range []string{addr30, addr31, bridgeAddr} {
				meet(t, s, a+":7")
			}
			if six {
				for _, a := range []string{addr30v6, addr31v6, bridgeAddr6} {
					meet(t, s, "["+a+"]:7")
				}
			}
			switch got := attack(t, s); {
			case !at.guard && !got:
				t.Error("the attack fails where nothing is in its way: this test proves nothing")
			case at.guard && got:
				t.Error("the attack succeeds")
			}
		})
	}
}

// succeeds tells whether an attempt does. Where nothing is in its way it is made
// until it does: what others say of themselves at that moment may undo it, or
// be late and come after what was said later by another processor.
func (s stage) succeeds(t *testing.T, attempt func() bool) bool {
	t.Helper()
	if s.guard {
		return attempt()
	}
	lab.Eventually(t, func() error {
		if !attempt() {
			return errors.New("the attack fails where nothing is in its way")
		}
		return nil
	})
	return true
}

// meet has all that are on a stage talk to one of them.
func meet(t *testing.T, s stage, to string) {
	t.Helper()
	var server party
	var rest []party
	for _, p := range []party{s.attacker, s.victim, s.gateway} {
		if p.addr+":7" == to || "["+p.v6+"]:7" == to {
			server = p
		} else {
			rest = append(rest, p)
		}
	}
	server.Serve(t, "udp", to)
	for _, p := range rest {
		if _, err := p.Ask("udp", to); err != nil {
			t.Fatalf("%s: %v", p.addr, err)
		}
		if _, err := server.Heard(); err != nil {
			t.Fatal(err)
		}
	}
}

// boxed is a container that may configure its own link.
func boxed(t *testing.T, n *lab.Node, six bool, addr, v6 string) party {
	t.Helper()
	args := []string{"-cap-add", "NET_ADMIN", addr}
	if six {
		args = []string{"-cap-add", "NET_ADMIN", "-gateway", dualGateway, addr + "," + v6}
	}
	a := n.Container(t, args...)
	in := func(name string, words ...string) *lab.Cmd {
		return n.Main(append([]string{"exec", addr, name}, words...)...)
	}
	return party{Agent: a, in: in, dev: "veth1", mac: macOf(t, a), addr: addr, v6: v6, program: attackerProgram(t)}
}

// onWire is a further machine with a cable to a port of br0.
func onWire(t *testing.T, l *lab.Lab, port, addr, v6 string) party {
	t.Helper()
	m := plugged(t, l, l.Host, "br0", port, addr+"/24", v6+"/64")
	a := m.Agent()
	return party{Agent: a, in: m.Command, dev: "eth0", mac: macOf(t, a), addr: addr, v6: v6, program: attackerProgram(t)}
}

// attackerProgram builds integration/attacker, once, beside the probe, which is
// removed with it. Those who set PROBE_BINARY set ATTACKER_BINARY too.
func attackerProgram(t *testing.T) string {
	t.Helper()
	path, err := buildAttacker(filepath.Dir(lab.Probe(t)))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var attackerBuilt struct {
	once sync.Once
	path string
	err  error
}

func buildAttacker(dir string) (string, error) {
	b := &attackerBuilt
	b.once.Do(func() {
		if b.path = os.Getenv("ATTACKER_BINARY"); b.path != "" {
			b.path, b.err = filepath.Abs(b.path)
			return
		}
		b.path = filepath.Join(dir, "attacker")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", b.path, "container/integration/attacker")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("go build attacker: %w\n%s", err, out)
		}
	})
	return b.path, b.err
}

func macOf(t *testing.T, a *lab.Agent) string {
	t.Helper()
	for _, dev := range []string{"veth1", "eth0"} {
		if mac, err := a.Tell("mac", dev); err == nil {
			return mac
		}
	}
	t.Fatal("neither veth1 nor eth0 is there")
	return ""
}

// arpEntry is the MAC that somebody has for an IPv4 address, "" if none.
func arpEntry(t *testing.T, a *lab.Agent, addr string) string {
	t.Helper()
	text, err := a.Tell("read", "/proc/thread-self/net/arp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		// IP address, HW type, Flags, HW address, Mask, Device
		if f := strings.Fields(line); len(f) == 6 && f[0] == addr && f[2] != "0x0" {
			return f[3]
		}
	}
	return ""
}

// neighbourEntry is the same for IPv6.
func neighbourEntry(t *testing.T, p party, addr string) string {
	t.Helper()
	f := strings.Fields(iprouteIn(t, p, "-6 neigh show "+addr+" dev "+p.dev))
	if i := slices.Index(f, "lladdr"); i >= 0 && i+1 < len(f) {
		return f[i+1]
	}
	return ""
}

// linkLocal is the address that the kernel makes of a MAC (RFC 4291, appendix A).
func linkLocal(t *testing.T, mac string) string {
	t.Helper()
	m, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	return net.IP{0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}.String()
}

// hears tells whether somebody's server is sent a text by the attacker's frames,
// before one that is honest.
func hears(t *testing.T, s stage, to party, want string) bool {
	t.Helper()
	const honest = "honest"
	s.attacker.attack(t, "udp", "own", to.mac, s.attacker.addr+":1000", to.addr+":7", honest)
	found := false
	for {
		got, err := to.Heard()
		if err != nil {
			t.Fatalf("not even what is honest: %v", err)
		}
		if got == "udp "+s.attacker.addr+" "+honest {
			return found
		}
		found = found || got == want
	}
}

// Somebody tells the others that the gateway, or a neighbour, is at his MAC.
func TestAttackARP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		about   func(s stage) party
		deceive func(s stage) party
		op      string
	}{
		{"the gateway is me, announced", func(s stage) party { return s.gateway }, func(s stage) party { return s.victim }, "reply"},
		{"the gateway is me, by asking", func(s stage) party { return s.gateway }, func(s stage) party { return s.victim }, "request"},
		{"the neighbour is me, announced to the host", func(s stage) party { return s.victim }, func(s stage) party { return s.gateway }, "reply"},
		{"the neighbour is me, by asking the host", func(s stage) party { return s.victim }, func(s stage) party { return s.gateway }, "request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onStages(t, false, func(t *testing.T, s stage) bool {
				about, deceived, me := tt.about(s), tt.deceive(s), s.attacker
				if got := arpEntry(t, deceived.Agent, about.addr); got != about.mac {
					t.Fatalf("%s is known to be at %s before, want %s", about.addr, got, about.mac)
				}
				return s.succeeds(t, func() bool {
					me.attack(t, "arp", tt.op, "own", deceived.mac, "own", about.addr, "own", about.addr)
					me.attack(t, "arp", tt.op, "own", "all", "own", about.addr, "own", about.addr)
					hears(t, s, deceived, "")
					return arpEntry(t, deceived.Agent, about.addr) == me.mac
				})
			})
		})
	}
}

// Somebody sends from an address or a MAC that is not his.
func TestAttackSource(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		six  bool
		to   func(s stage) party
		mac  func(s stage) string
		from func(s stage) string
	}{
		{"from nobody's address, to the neighbour", false, victim, ownMAC, func(stage) string { return nobody }},
		{"from nobody's address, to the host", false, gateway, ownMAC, func(stage) string { return nobody }},
		{"from the neighbour's address, to the host", false, gateway, ownMAC, func(s stage) string { return s.victim.addr }},
		{"from an address of another network, to the neighbour", false, victim, ownMAC, func(stage) string { return "172.17.0.77" }},
		{"from nobody's MAC, to the neighbour", false, victim, func(stage) string { return nobodyMAC }, ownAddr},
		{"from nobody's MAC, to the host", false, gateway, func(stage) string { return nobodyMAC }, ownAddr},
		{"from the neighbour's MAC, to the host", false, gateway, func(s stage) string { return s.victim.mac }, ownAddr},
		{"from nobody's address, to the neighbour, IPv6", true, victim, ownMAC, func(stage) string { return nobody6 }},
		{"from nobody's address, to the host, IPv6", true, gateway, ownMAC, func(stage) string { return nobody6 }},
		{"from the neighbour's address, to the host, IPv6", true, gateway, ownMAC, func(s stage) string { return s.victim.v6 }},
		{"from nobody's MAC, to the neighbour, IPv6", true, victim, func(stage) string { return nobodyMAC }, func(s stage) string { return s.attacker.v6 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onStages(t, tt.six, func(t *testing.T, s stage) bool {
				for _, dev := range []string{"all", "default", "br0"} {
					s.host.SetSysctl("net/ipv4/conf/"+dev+"/rp_filter", "0")
				}
				to, from := tt.to(s), tt.from(s)
				src, dst := from+":1000", to.addr+":7"
				if tt.six {
					src, dst = "["+from+"]:1000", "["+to.v6+"]:7"
				}
				return s.succeeds(t, func() bool {
					s.attacker.attack(t, "udp", tt.mac(s), to.mac, src, dst, "spoofed")
					return hears(t, s, to, "udp "+from+" spoofed")
				})
			})
		})
	}
}

func victim(s stage) party { return s.victim }

func gateway(s stage) party { return s.gateway }

func ownMAC(stage) string { return "own" }

func ownAddr(s stage) string { return s.attacker.addr }

// Somebody sends with the neighbour's MAC, so that the bridge takes his port for
// the neighbour's, and what is for the neighbour goes to him.
func TestAttackPort(t *testing.T) {
	t.Parallel()
	onStages(t, false, func(t *testing.T, s stage) bool {
		ask := s.gateway.AskBriefly
		if s.guard { // and an answer comes
			ask = s.gateway.Ask
		}
		return s.succeeds(t, func() bool {
			s.attacker.attack(t, "udp", s.victim.mac, s.gateway.mac, s.attacker.addr+":1000", bridgeAddr+":9", "I am the neighbour")
			_, err := ask("udp", s.victim.addr+":7")
			return err != nil
		})
	})
}

// Somebody who may configure his own link gives it another MAC.
func TestAttackLinkMAC(t *testing.T) {
	t.Parallel()
	onStages(t, false, func(t *testing.T, s stage) bool {
		says(t, s.attacker.in("ip", "link", "set", "dev", s.attacker.dev, "address", nobodyMAC))
		return s.succeeds(t, func() bool {
			_, _ = s.attacker.AskBriefly("udp", s.victim.addr+":7")
			_, err := s.victim.Tell("heard", "0s")
			return err == nil
		})
	})
}

// Or another address.
func TestAttackLinkAddress(t *testing.T) {
	t.Parallel()
	onStages(t, false, func(t *testing.T, s stage) bool {
		says(t, s.attacker.in("ip", "addr", "del", s.attacker.addr+"/24", "dev", s.attacker.dev))
		says(t, s.attacker.in("ip", "addr", "add", nobody+"/24", "dev", s.attacker.dev))
		return s.succeeds(t, func() bool {
			_, err := s.attacker.AskBriefly("udp", s.victim.addr+":7")
			return err == nil
		})
	})
}

// Somebody advertises that an IPv6 address is at his MAC.
func TestAttackNeighbourDiscovery(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"na", "na+options", "ns", "ns+options"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			onStages(t, true, func(t *testing.T, s stage) bool {
				if got := neighbourEntry(t, s.victim, bridgeAddr6); got != s.gateway.mac {
					t.Fatalf("the gateway is known to be at %s before, want %s", got, s.gateway.mac)
				}
				return s.succeeds(t, func() bool {
					if strings.HasPrefix(verb, "na") {
						s.attacker.attack(t, verb, "own", s.victim.mac, s.attacker.v6, s.victim.v6, bridgeAddr6, "own")
					} else {
						s.attacker.attack(t, verb, "own", s.victim.mac, bridgeAddr6, s.victim.v6, s.victim.v6, "own")
					}
					hears(t, s, s.victim, "")
					return neighbourEntry(t, s.victim, bridgeAddr6) == s.attacker.mac
				})
			})
		})
	}
}

// Somebody says that he is a router, and everyone has an address of his.
func TestAttackRouter(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"ra", "ra+options"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			onStages(t, true, func(t *testing.T, s stage) bool {
				if s.victim.dev == "eth0" { // a machine, and one that would listen to it
					setBy(t, s.victim, "net/ipv6/conf/eth0/forwarding", "0")
					setBy(t, s.victim, "net/ipv6/conf/eth0/accept_ra", "1")
					setBy(t, s.victim, "net/ipv6/conf/eth0/addr_gen_mode", "0")
				}
				believed := func() bool {
					for _, p := range []party{s.victim, s.gateway} {
						for _, what := range []string{"addr", "route"} {
							if text := iprouteIn(t, p, "-6 "+what+" show dev "+p.dev); strings.Contains(text, "fd00:bad:") || strings.Contains(text, "proto ra") {
								return true
							}
						}
					}
					return false
				}
				if believed() {
					t.Fatal("somebody believes it before it is said")
				}
				return s.succeeds(t, func() bool {
					s.attacker.attack(t, verb, "own", "33:33:00:00:00:01", linkLocal(t, s.attacker.mac), "ff02::1", "fd00:bad::/64")
					hears(t, s, s.victim, "")
					return believed()
				})
			})
		})
	}
}

// setBy writes a setting of a machine that is no container.
func setBy(t *testing.T, p party, name, value string) {
	t.Helper()
	says(t, p.in("sh", "-c", "echo "+value+" >/proc/sys/"+name))
}

// Somebody says in the gateway's name that there is a better way.
func TestAttackRedirect(t *testing.T) {
	t.Parallel()
	const router, far = "fe80::100", "fd00:99::5"
	onStages(t, true, func(t *testing.T, s stage) bool {
		iproute(t, s.host, "addr add "+router+"/64 dev br0 nodad")
		mine := linkLocal(t, s.attacker.mac)
		for _, p := range []party{s.victim, s.attacker} {
			if p.dev == "eth0" {
				iprouteIn(t, p, "addr add "+linkLocal(t, p.mac)+"/64 dev eth0 nodad")
				setBy(t, p, "net/ipv6/conf/eth0/accept_redirects", "1")
			}
		}
		iprouteIn(t, s.victim, "-6 route add fd00:99::/64 via "+router+" dev "+s.victim.dev)
		return s.succeeds(t, func() bool {
			s.attacker.attack(t, "redirect", "own", s.victim.mac, router, s.victim.v6, mine, far)
			hears(t, s, s.victim, "")
			return strings.Contains(iprouteIn(t, s.victim, "-6 route get "+far), mine)
		})
	})
}

func iprouteIn(t *testing.T, p party, line string) string {
	t.Helper()
	return dumped(t, func() *lab.Cmd { return p.in("ip", strings.Fields(line)...) })
}

// Somebody hands the host a packet for its own 127.0.0.1. That a bridge lets such
// in is its setting, which published ports need.
func TestAttackLoopback(t *testing.T) {
	t.Parallel()
	onStages(t, false, func(t *testing.T, s stage) bool {
		s.host.SetSysctl("net/ipv4/conf/br0/route_localnet", "1")
		s.gateway.Serve(t, "udp", "127.0.0.1:631")
		return s.succeeds(t, func() bool {
			s.attacker.attack(t, "udp", "own", s.gateway.mac, s.attacker.addr+":1000", "127.0.0.1:631", "to 127.0.0.1")
			return hears(t, s, s.gateway, "udp "+s.attacker.addr+" to 127.0.0.1")
		})
	})
}

// The same for ::1, which the kernel lets nobody in to; nor may the relay that
// serves a published port there.
func TestLoopbackIPv6Closed(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		program := attackerProgram(t)
		host := l.Host.Agent()
		host.Serve(t, "udp", "[::1]:631")
		host.Serve(t, "udp", "[::]:632")
		server := l.Host.Container(t, words(both("80:8000"), []string{"-gateway", dualGateway, dual31})...)
		serve(t, server, "[::]:8000")
		attacker := l.Host.Container(t, "-gateway", dualGateway, dual30)
		mac := l.Host.Link("br0").MAC.String()
		send := func(from, to, text string) {
			t.Helper()
			says(t, l.Host.Main("exec", addr30, program, "udp", "veth1", "own", mac, from, to, text))
		}
		own := at(addr30v6, 1000)
		send(own, "[::1]:631", "to ::1 by the wire")
		send("[::1]:1000", at(bridgeAddr6, 632), "from ::1 by the wire")
		send(own, "[::1]:80", "to a port that is published there")
		send(own, at(bridgeAddr6, 632), "honest")
		if got, err := host.Heard(); err != nil || got != "udp "+addr30v6+" honest" {
			t.Errorf("the host heard %q (%v), want what is honest", got, err)
		}
		server.HeardNothing(t)
		attacker.HeardNothing(t)
	})
}

// A container that was given no IPv6 address has none to send from, nor has one
// without an IPv4 address one of these.
func TestAttackOfTheOtherFamily(t *testing.T) {
	t.Parallel()
	need.Tool(t, "ip")
	for _, nfCall := range []string{"0", "1"} {
		t.Run("bridge-nf-call="+nfCall, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			lab.NeedFile(t, l.Host, "/proc/sys/"+nfCallIptables)
			l.Host.SetSysctl(nfCallIptables, nfCall)
			l.Host.SetSysctl("net/bridge/bridge-nf-call-ip6tables", nfCall)
			both := boxed(t, l.Host, true, addr31, addr31v6)
			only4 := boxed(t, l.Host, false, addr30, "")
			a := l.Host.Container(t, "-gateway", dualGateway, addr32v6)
			only6 := party{Agent: a, dev: "veth1", mac: macOf(t, a), program: attackerProgram(t), in: func(name string, words ...string) *lab.Cmd {
				return l.Host.Main(append([]string{"exec", addr32v6, name}, words...)...)
			}}
			both.Serve(t, "udp", addr31+":7")
			both.Serve(t, "udp", at(addr31v6, 7))
			for _, to := range []string{addr30, addr32v6, bridgeAddr, bridgeAddr6} {
				_, _ = both.AskBriefly("udp", netip.AddrPortFrom(netip.MustParseAddr(to), 9).String())
			}

			local := linkLocal(t, only4.mac)
			only4.attack(t, "udp", "own", both.mac, at(local, 1000), at(addr31v6, 7), "by IPv6")
			only4.attack(t, "udp", "own", both.mac, at(nobody6, 1000), at(addr31v6, 7), "by IPv6")
			only4.attack(t, "ra", "own", "33:33:00:00:00:01", local, "ff02::1", "fd00:bad::/64")
			only4.attack(t, "na", "own", both.mac, local, addr31v6, bridgeAddr6, "own")
			only6.attack(t, "udp", "own", both.mac, nobody+":1000", addr31+":7", "by IPv4")
			only6.attack(t, "udp", "own", both.mac, "0.0.0.0:1000", addr31+":7", "by IPv4")
			only6.attack(t, "arp", "reply", "own", both.mac, "own", bridgeAddr, "own", bridgeAddr)

			only4.attack(t, "udp", "own", both.mac, addr30+":1000", addr31+":7", "honest")
			if got, err := both.Heard(); err != nil || got != "udp "+addr30+" honest" {
				t.Errorf("heard is %q (%v), want what is honest", got, err)
			}
			only6.attack(t, "udp", "own", both.mac, at(addr32v6, 1000), at(addr31v6, 7), "honest")
			if got, err := both.Heard(); err != nil || got != "udp "+addr32v6+" honest" {
				t.Errorf("heard is %q (%v), want what is honest", got, err)
			}
			if got := arpEntry(t, both.Agent, bridgeAddr); got == only6.mac {
				t.Error("the gateway is believed to be the one without IPv4")
			}
			if got := neighbourEntry(t, both, bridgeAddr6); got == only4.mac {
				t.Error("the gateway is believed to be the one without IPv6")
			}
			if text := iprouteIn(t, both, "-6 addr show") + iprouteIn(t, both, "-6 route show"); strings.Contains(text, "fd00:bad:") || strings.Contains(text, "proto ra") {
				t.Errorf("the router is believed:\n%s", text)
			}
		})
	}
}
