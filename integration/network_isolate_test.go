//go:build linux

package integration

import (
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

// Further addresses, and those of containers that have both.
const (
	addr32   = "172.16.0.32"
	addr32v6 = "fd00:16::32"
	dual30   = addr30 + "," + addr30v6
	dual31   = addr31 + "," + addr31v6
	dual32   = addr32 + "," + addr32v6
)

// An isolated container knows nobody on its bridge, and nobody there knows it:
// not by the bridge, not by the host as a router, not by ARP. It is a stranger:
// what is published it reaches as one, and is reached.
func TestIsolated(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		host, outside := l.Host.Agent(), l.Outside.Agent()
		alone := l.Host.Container(t, with(both("80:8000"), []string{"-isolate", addr30})...)
		other := l.Host.Container(t, with(both("81:8000"), []string{"-isolate", addr31})...)
		open := l.Host.Container(t, with(both("82:8000"), []string{addr32})...)
		friend := l.Host.Container(t, "172.16.0.33")
		serve(t, outside, "0.0.0.0:7")
		for _, a := range []*lab.Agent{alone, other, open, friend} {
			serve(t, a, "0.0.0.0:8000")
			serve(t, a, "0.0.0.0:9000")
		}

		for _, port := range []string{":8000", ":9000"} {
			closed(t, "isolated to open", alone, addr32+port)
			closed(t, "open to isolated", open, addr30+port)
			closed(t, "isolated to isolated", alone, addr31+port)
			closed(t, "isolated to isolated, the other way", other, addr30+port)
			reaches(t, "open to open", open, "172.16.0.33"+port, addr32)
			reaches(t, "open to open, the other way", friend, addr32+port, "172.16.0.33")
		}

		serve(t, host, bridgeAddr+":7")
		reaches(t, "isolated to the gateway", alone, bridgeAddr+":7", addr30)
		reaches(t, "isolated to outside", alone, outsideAddr+":7", hostAddr)
		reaches(t, "host to isolated", host, addr30+":9000", bridgeAddr)

		for _, tt := range []struct {
			who  string
			from *lab.Agent
			port string
		}{
			{"isolated to itself", alone, ":80"},
			{"isolated to another isolated", alone, ":81"},
			{"isolated to open", alone, ":82"},
			{"open to isolated", open, ":80"},
		} {
			for _, to := range []string{hostAddr, bridgeAddr} {
				reaches(t, tt.who+", published", tt.from, to+tt.port, bridgeAddr)
			}
		}
		reaches(t, "outside to isolated, published", outside, hostAddr+":80", outsideAddr)
		reaches(t, "host to isolated, published", host, "127.0.0.1:80", bridgeAddr)
	})
}

// ARP does not pass either: nobody learns who is there. (Linux remembers whoever
// asks for its address.)
func TestIsolatedARP(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		alone := l.Host.Container(t, "-isolate", addr30)
		open := l.Host.Container(t, addr31)
		friend := l.Host.Container(t, addr32)
		for _, a := range []*lab.Agent{alone, open, friend} {
			serve(t, a, "0.0.0.0:8000")
		}
		closed(t, "isolated to open", alone, addr31+":8000")
		closed(t, "open to isolated", friend, addr30+":8000")
		reaches(t, "open to open", friend, addr31+":8000", addr32)

		if got := arpEntry(t, open, addr32); got != macOf(t, friend) {
			t.Errorf("a neighbour that asked is known as %q, want %s", got, macOf(t, friend))
		}
		for _, tt := range []struct {
			who   string
			a     *lab.Agent
			about string
		}{
			{"open, of the isolated one that asked", open, addr30},
			{"isolated, of the open one that asked", alone, addr32},
			{"isolated, of the open one that it asked", alone, addr31},
			{"open, of the isolated one that it asked", friend, addr30},
		} {
			if got := arpEntry(t, tt.a, tt.about); got != "" {
				t.Errorf("%s: it is known to be at %s", tt.who, got)
			}
		}
	})
}

// What an isolated container hands to the gateway itself, as if the neighbour
// were on another network, the host does not carry over either; nor what a
// neighbour hands it.
func TestIsolatedByTheHost(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		need.Tool(t, "ip")
		admin := []string{"-cap-add", "NET_ADMIN"}
		alone := l.Host.Container(t, with(admin, []string{"-isolate", addr30})...)
		open := l.Host.Container(t, with(admin, []string{addr31})...)
		friend := l.Host.Container(t, with(admin, []string{addr32})...)
		serve(t, l.Host.Agent(), bridgeAddr+":7")
		mac := l.Host.Link("br0").MAC.String()
		for _, tt := range []struct {
			from, to         *lab.Agent
			fromAddr, toAddr string
		}{
			{alone, open, addr30, addr31},
			{open, alone, addr31, addr30},
		} {
			serve(t, tt.to, "0.0.0.0:8000")
			if _, err := tt.from.Tell("packet", "veth1", mac, tt.fromAddr+":1000", tt.toAddr+":8000", "by the gateway"); err != nil {
				t.Fatal(err)
			}
			// What was sent before this answer has been dealt with.
			reaches(t, "container to the gateway", tt.from, bridgeAddr+":7", tt.fromAddr)
			tt.to.HeardNothing(t)
			// TCP too, by a route.
			says(t, l.Host.Main("exec", tt.fromAddr, "ip", "route", "add", tt.toAddr, "via", bridgeAddr))
			closed(t, "by the host as a router", tt.from, tt.toAddr+":8000")
		}
		// Others can go that way.
		says(t, l.Host.Main("exec", addr32, "ip", "route", "add", addr31, "via", bridgeAddr))
		reaches(t, "open to open by the host as a router", friend, addr31+":8000", addr32)
	})
}

// The same with IPv6.
func TestIsolatedIPv6(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		alone := l.Host.Container(t, with(both("80:8000"), []string{"-isolate", "-gateway", dualGateway, dual30})...)
		open := l.Host.Container(t, with(both("81:8000"), []string{"-gateway", dualGateway, dual31})...)
		friend := l.Host.Container(t, "-gateway", dualGateway, dual32)
		serve(t, l.Host.Agent(), at(bridgeAddr6, 7))
		for _, a := range []*lab.Agent{alone, open, friend} {
			serve(t, a, "[::]:8000")
		}
		closed(t, "isolated to open", alone, at(addr31v6, 8000))
		closed(t, "open to isolated", open, at(addr30v6, 8000))
		closed(t, "isolated to open", alone, addr31+":8000")
		closed(t, "open to isolated", open, addr30+":8000")
		reaches(t, "open to open", open, at(addr32v6, 8000), addr31v6)
		reaches(t, "isolated to the gateway", alone, at(bridgeAddr6, 7), addr30v6)
		reaches(t, "host to isolated", l.Host.Agent(), at(addr30v6, 8000), bridgeAddr6)
		reaches(t, "isolated to open, published", alone, at(bridgeAddr6, 81), bridgeAddr6)
		reaches(t, "open to isolated, published", open, at(bridgeAddr6, 80), bridgeAddr6)
	})
}

// That one is isolated can be seen, and is over with it: the address's next
// container is isolated if it asks for that.
func TestIsolatedIsOver(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	open := l.Host.Container(t, addr31)
	serve(t, open, "0.0.0.0:8000")
	for i, args := range [][]string{{"-isolate", addr30}, {addr30}, {"-isolate", addr30}} {
		c := l.Host.Container(t, args...)
		if i == 1 {
			reaches(t, "an open one after an isolated one", c, addr31+":8000", addr30)
		} else {
			closed(t, "isolated", c, addr31+":8000")
		}
		isolated := map[string]bool{}
		for _, one := range listed(t, l.Host) {
			isolated[one.Address] = told(one.Isolated)
		}
		if want := i != 1; isolated[addr30] != want || isolated[addr31] {
			t.Errorf("listed as isolated is %v; want %s %t and %s false", isolated, addr30, want, addr31)
		}
		c.Stop(t)
	}
}

// told is what "main ls -json" says, if it says so.
func told(b *bool) bool { return b != nil && *b }

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
			s := stage{lab: l, host: l.Host}
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

// adminBridge makes a bridge as an administrator does with ip(8): without a word
// of ours about it. Its MAC is its own, or it would be its first port's.
func adminBridge(t *testing.T, n *lab.Node, name string, addrs ...string) {
	t.Helper()
	iproute(t, n, "link add "+name+" address 02:00:5e:00:00:01 type bridge")
	for _, a := range addrs {
		iproute(t, n, "addr add "+a+" dev "+name+nodad(a))
	}
	iproute(t, n, "link set "+name+" up")
}

// onWire is a further machine with a cable to a port of br0.
func onWire(t *testing.T, l *lab.Lab, port, addr, v6 string) party {
	t.Helper()
	m := plugged(t, l, l.Host, "br0", port, addr+"/24", v6+"/64")
	a := m.Agent()
	return party{Agent: a, in: m.Command, dev: "eth0", mac: macOf(t, a), addr: addr, v6: v6, program: attackerProgram(t)}
}

// plugged makes a machine, and lays a cable from its eth0 to a new port of a
// bridge.
func plugged(t *testing.T, l *lab.Lab, n *lab.Node, bridge, port string, addrs ...string) *lab.Node {
	t.Helper()
	m := l.Machine(port)
	iproute(t, n, fmt.Sprintf("link add %s up master %s type veth peer name eth0 netns %d", port, bridge, m.Agent().Process.Pid))
	iproute(t, m, "link set eth0 up")
	for _, a := range addrs {
		m.Address("eth0", netip.MustParsePrefix(a))
	}
	m.AwaitUp("eth0")
	n.AwaitUp(port)
	n.AwaitUp(bridge)
	return m
}

// nodad spares an IPv6 address the second in which it can't be used.
func nodad(addr string) string {
	if strings.Contains(addr, ":") {
		return " nodad"
	}
	return ""
}

// iproute runs ip(8), which must have nothing to complain about.
func iproute(t *testing.T, n *lab.Node, line string) string {
	t.Helper()
	need.Tool(t, "ip")
	return says(t, n.Command("ip", strings.Fields(line)...))
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
	f := strings.Fields(says(t, p.in("ip", "-6", "neigh", "show", addr, "dev", p.dev)))
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

// Addresses that are nobody's.
const (
	nobody    = "172.16.0.77"
	nobody6   = "fd00:16::77"
	nobodyMAC = "02:00:5e:00:00:77"
)

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
				me.attack(t, "arp", tt.op, "own", deceived.mac, "own", about.addr, "own", about.addr)
				me.attack(t, "arp", tt.op, "own", "all", "own", about.addr, "own", about.addr)
				hears(t, s, deceived, "")
				return arpEntry(t, deceived.Agent, about.addr) == me.mac
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
				s.attacker.attack(t, "udp", tt.mac(s), to.mac, src, dst, "spoofed")
				return hears(t, s, to, "udp "+from+" spoofed")
			})
		})
	}
}

func victim(s stage) party   { return s.victim }
func gateway(s stage) party  { return s.gateway }
func ownMAC(stage) string    { return "own" }
func ownAddr(s stage) string { return s.attacker.addr }

// Somebody sends with the neighbour's MAC, so that the bridge takes his port for
// the neighbour's, and what is for the neighbour goes to him.
func TestAttackPort(t *testing.T) {
	t.Parallel()
	onStages(t, false, func(t *testing.T, s stage) bool {
		s.attacker.attack(t, "udp", s.victim.mac, s.gateway.mac, s.attacker.addr+":1000", bridgeAddr+":9", "I am the neighbour")
		_, err := s.gateway.AskBriefly("udp", s.victim.addr+":7")
		return err != nil
	})
}

// Somebody who may configure his own link gives it another MAC.
func TestAttackLinkMAC(t *testing.T) {
	t.Parallel()
	onStages(t, false, func(t *testing.T, s stage) bool {
		says(t, s.attacker.in("ip", "link", "set", "dev", s.attacker.dev, "address", nobodyMAC))
		_, _ = s.attacker.AskBriefly("udp", s.victim.addr+":7")
		_, err := s.victim.Tell("heard", "0s")
		return err == nil
	})
}

// Or another address.
func TestAttackLinkAddress(t *testing.T) {
	t.Parallel()
	onStages(t, false, func(t *testing.T, s stage) bool {
		says(t, s.attacker.in("ip", "addr", "del", s.attacker.addr+"/24", "dev", s.attacker.dev))
		says(t, s.attacker.in("ip", "addr", "add", nobody+"/24", "dev", s.attacker.dev))
		_, err := s.attacker.AskBriefly("udp", s.victim.addr+":7")
		return err == nil
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
				if strings.HasPrefix(verb, "na") {
					s.attacker.attack(t, verb, "own", s.victim.mac, s.attacker.v6, s.victim.v6, bridgeAddr6, "own")
				} else {
					s.attacker.attack(t, verb, "own", s.victim.mac, bridgeAddr6, s.victim.v6, s.victim.v6, "own")
				}
				hears(t, s, s.victim, "")
				return neighbourEntry(t, s.victim, bridgeAddr6) == s.attacker.mac
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
							if text := says(t, p.in("ip", "-6", what, "show", "dev", p.dev)); strings.Contains(text, "fd00:bad:") || strings.Contains(text, "proto ra") {
								return true
							}
						}
					}
					return false
				}
				if believed() {
					t.Fatal("somebody believes it before it is said")
				}
				s.attacker.attack(t, verb, "own", "33:33:00:00:00:01", linkLocal(t, s.attacker.mac), "ff02::1", "fd00:bad::/64")
				hears(t, s, s.victim, "")
				return believed()
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
		s.attacker.attack(t, "redirect", "own", s.victim.mac, router, s.victim.v6, mine, far)
		hears(t, s, s.victim, "")
		return strings.Contains(iprouteIn(t, s.victim, "-6 route get "+far), mine)
	})
}

func iprouteIn(t *testing.T, p party, line string) string {
	t.Helper()
	return says(t, p.in("ip", strings.Fields(line)...))
}

// Somebody hands the host a packet for its own 127.0.0.1. That a bridge lets such
// in is its setting, which published ports need.
func TestAttackLoopback(t *testing.T) {
	t.Parallel()
	onStages(t, false, func(t *testing.T, s stage) bool {
		s.host.SetSysctl("net/ipv4/conf/br0/route_localnet", "1")
		s.gateway.Serve(t, "udp", "127.0.0.1:631")
		s.attacker.attack(t, "udp", "own", s.gateway.mac, s.attacker.addr+":1000", "127.0.0.1:631", "to 127.0.0.1")
		return hears(t, s, s.gateway, "udp "+s.attacker.addr+" to 127.0.0.1")
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
		server := l.Host.Container(t, with(both("80:8000"), []string{"-gateway", dualGateway, dual31})...)
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

// Where the router is elsewhere on the bridge, it is not one of the containers
// that an isolated one is apart from.
func TestIsolatedRouterElsewhere(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		n := newLAN(t, l)
		serve(t, n.client.Agent(), "0.0.0.0:7")
		alone := l.Host.Container(t, with([]string{"-isolate"}, lanFlags, []string{lan30})...)
		open := l.Host.Container(t, with(lanFlags, []string{lan31})...)
		for _, a := range []*lab.Agent{alone, open} {
			serve(t, a, "0.0.0.0:8000")
		}
		closed(t, "isolated to open", alone, lan31+":8000")
		closed(t, "open to isolated", open, lan30+":8000")
		reaches(t, "isolated to the client", alone, lanClient+":7", lan30)
		reaches(t, "client to isolated", n.client.Agent(), lan30+":8000", lanClient)
	})
}
