//go:build linux

package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// neighbourAdvertisement waits for what a container tells unasked about its own
// address (RFC 4861, 4.4), and gives the MAC in it.
func neighbourAdvertisement(t *testing.T, fd int, about netip.Addr) string {
	t.Helper()
	const ipLen, icmpLen = 40, 24
	b := make([]byte, 256)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			t.Fatalf("no announcement of %s: %v", about, err)
		}
		if n < ipLen+icmpLen+8 || b[6] != unix.IPPROTO_ICMPV6 || b[ipLen] != 136 {
			continue
		}
		to, _ := netip.AddrFromSlice(b[24:40])
		target, _ := netip.AddrFromSlice(b[ipLen+8 : ipLen+24])
		if target != about || !to.IsMulticast() {
			continue
		}
		if override := b[ipLen+4] & 0x20; override == 0 {
			t.Errorf("the announcement of %s does not override what neighbours know", about)
		}
		if option := b[ipLen+icmpLen:]; option[0] != 2 || option[1] != 1 { // ND_OPT_TARGET_LL_ADDR
			t.Fatalf("the announcement of %s has the option %d of %d times 8 bytes", about, option[0], option[1])
		}
		mac := b[ipLen+icmpLen+2:]
		return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
	}
}

// A container that starts tells the network who has its address now.
func TestIPv6Announced(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	h.container(t, 31) // which makes the bridge
	index := int(h.Host.Link("br0").Index)
	protocol := binary.NativeEndian.Uint16([]byte{0x86, 0xdd}) // ETH_P_IPV6, in network order
	fd := -1
	err := h.Host.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(protocol)); err != nil {
			return err
		}
		timeout := unix.NsecToTimeval(lab.Patience().Nanoseconds())
		return errors.Join(
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	c := h.container(t, 30)
	got := neighbourAdvertisement(t, fd, netip.MustParseAddr(addr30v6))
	mac, err := c.Tell("mac", "veth1")
	if err != nil {
		t.Fatal(err)
	}
	if got != mac {
		t.Errorf("%s was announced to be at %s, and is at %s", addr30v6, got, mac)
	}
}

// An address moves from a container that has ended to a new one, and is found
// at once, also by a socket that is connected; see TestAddressMoves.
func TestIPv6AddressMoves(t *testing.T) {
	t.Parallel()
	onEveryHost6(t, func(t *testing.T, h host6) {
		neighbour, host := h.container(t, 31), h.Host.Agent()
		for i := range 3 {
			c := h.container(t, 30)
			serve(t, c, "[::]:7")
			for name, a := range map[string]*lab.Agent{"neighbour": neighbour, "host": host} {
				if _, err := a.Flow("udp", at(addr30v6, 7)); err != nil {
					t.Errorf("container %d: %s: %v", i, name, err)
				}
				if _, err := a.AskAtOnce("tcp", at(addr30v6, 7)); err != nil {
					t.Errorf("container %d: %s: %v", i, name, err)
				}
			}
			c.Stop(t)
		}
	})
}

// A host that forwards, and still hears its own routers: accept_ra becomes 2
// where it was 1 and would else mean nothing any more. What somebody has
// decided otherwise stays, and "down" puts everything back.
func TestIPv6HostSettings(t *testing.T) {
	t.Parallel()
	for _, forwards := range []string{"0", "1"} {
		t.Run("forwarding="+forwards, func(t *testing.T) {
			t.Parallel()
			// Links without addresses that come by and by.
			h := newHost6(t, false, false)
			for i, dev := range []string{"eth1", "eth2", "eth3"} {
				h.Join(h.Host, dev, netip.MustParsePrefix(fmt.Sprintf("10.0.%d.1/24", i+1)), h.Outside, dev, netip.MustParsePrefix(fmt.Sprintf("10.0.%d.2/24", i+1)))
			}
			set := func(dev, name, value string) { h.Host.SetSysctl("net/ipv6/conf/"+dev+"/"+name, value) }
			set("all", "forwarding", forwards)
			set("eth1", "accept_ra", "0")
			set("eth2", "accept_ra", "2")
			set("eth3", "forwarding", "1")
			before := h.Host.Snapshot()

			want := map[string]string{
				"all/forwarding":    "1",
				"eth0/accept_ra":    "2",
				"eth0/forwarding":   "1",
				"eth1/accept_ra":    "0",
				"eth2/accept_ra":    "2",
				"eth3/accept_ra":    "1",
				"default/accept_ra": "2",
			}
			if forwards == "1" {
				want["eth0/accept_ra"], want["default/accept_ra"] = "1", "1"
			}
			check := func(when string) {
				t.Helper()
				for name, value := range want {
					if got := h.Host.Sysctl("net/ipv6/conf/" + name); got != value {
						t.Errorf("%s: %s is %s, want %s", when, name, got, value)
					}
				}
			}
			c := h.container(t, 30)
			check("with a container")
			c.Stop(t)
			lab.Eventually(t, noPorts(h.Host))
			// A second run finds what the first has set, and remembers what was before.
			h.container(t, 30).Stop(t)
			lab.Eventually(t, noPorts(h.Host))
			check("after two")
			succeed(t, h.Host.Main("down"))
			same(t, h.Host, before)
		})
	}
}

// The host has its default route of a router that advertises itself. It keeps
// it when it begins to forward, and goes on listening.
func TestIPv6RouterAdvertisement(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	const far = "fd00:99::1"
	h.Outside.Address("lo", netip.MustParsePrefix(far+"/128"))
	h.Host.Unroute(lab.Everything6, lab.OutsidePrefix6.Addr())
	host, outside := h.Host.Agent(), h.Outside.Agent()
	serve(t, outside, at(far, 7))

	advertise := func(seconds string) {
		t.Helper()
		if _, err := outside.Tell("advertise", "eth0", seconds); err != nil {
			t.Fatal(err)
		}
	}
	const route = "route ::/0 via fe80::2 dev eth0"
	hasRoute := func(want bool) error {
		got, err := host.Tell("net6")
		if err == nil && strings.Contains(got+"\n", route+"\n") != want {
			return fmt.Errorf("is there a default route? want %t:\n%s", want, got)
		}
		return err
	}
	check := func(when string, want bool) {
		t.Helper()
		if err := hasRoute(want); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	comesAndGoes := func() {
		t.Helper()
		advertise("0")
		lab.Eventually(t, func() error { return hasRoute(false) })
		advertise("1800")
		lab.Eventually(t, func() error { return hasRoute(true) })
	}

	check("before", false)
	advertise("1800")
	lab.Eventually(t, func() error { return hasRoute(true) })
	before := h.Host.Snapshot()

	c := h.container(t, 30)
	check("with a container", true)
	reaches(t, "container to the world", c, at(far, 7), hostAddr6)
	comesAndGoes()
	reaches(t, "container to the world, by a route that is renewed", c, at(far, 7), hostAddr6)
	if got := h.Host.Sysctl("net/ipv6/conf/eth0/accept_ra"); got != "2" {
		t.Errorf("accept_ra is %s, want 2", got)
	}
	c.Stop(t)
	lab.Eventually(t, noPorts(h.Host))
	check("with no container any more", true)

	succeed(t, h.Host.Main("down"))
	check("after down", true)
	same(t, h.Host, before)
	comesAndGoes()
}

// When all is taken away again, nothing is left of it.
func TestIPv6Down(t *testing.T) {
	t.Parallel()
	onEveryHost6(t, func(t *testing.T, h host6) {
		before := h.Host.Snapshot()
		c := h.container(t, 30, words(both("80:8000"), both("[::1]:81:8001"), both("["+hostAddr6+"]:82:8002"))...)
		fails(t, h.Host.Main("down"), 125, "containers run: ")
		serve(t, c, "[::]:8000")
		reaches(t, "outside", h.Outside.Agent(), at(hostAddr6, 80), outsideAddr6)
		c.Stop(t)
		lab.Eventually(t, noPorts(h.Host))
		succeed(t, h.Host.Main("down"))
		same(t, h.Host, before)
	})
}

// A run that ends takes what it published along, also when it is killed, and
// leaves alone what others have.
func TestIPv6OthersStay(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	outside := h.Outside.Agent()
	stays := h.container(t, 30, both("80:8000")...)
	serve(t, stays, "[::]:8000")
	for _, end := range []string{"ends", "is killed"} {
		goes := h.container(t, 31, both("81:8000")...)
		serve(t, goes, "[::]:8000")
		reaches(t, "outside to the one that "+end, outside, at(hostAddr6, 81), outsideAddr6)
		reaches(t, "host to the one that "+end, h.Host.Agent(), "[::1]:81", bridgeAddr6)
		if end == "ends" {
			goes.Stop(t)
		} else {
			kill(t, goes.Process.Pid)
			lab.Eventually(t, func() error {
				if ruleset := h.Host.Ruleset(); strings.Contains(ruleset, addr31v6) || strings.Contains(ruleset, addr31) {
					return errors.New("it is in the ruleset yet")
				}
				return errors.Join(portFree(h.Host, "tcp", "[::]:81"), portFree(h.Host, "udp", "[::1]:81"))
			})
			await(goes.Cmd)
		}
		closed(t, "outside to the one that "+end, outside, at(hostAddr6, 81))
		closed(t, "host to the one that "+end, h.Host.Agent(), "[::1]:81")
		reaches(t, "outside to the one that stays", outside, at(hostAddr6, 80), outsideAddr6)
		reaches(t, "host to the one that stays", h.Host.Agent(), "[::1]:80", bridgeAddr6)
	}
	serve(t, h.Host.Agent(), at(hostAddr6, 81))
	reaches(t, "outside to the host itself", outside, at(hostAddr6, 81), outsideAddr6)
}

// What is left of a run that was killed along with its guardian is cleared by
// gc, and by the next run.
func TestIPv6GuardianKilledToo(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	for _, clears := range []string{"gc", "run"} {
		t.Run(clears, func(t *testing.T) {
			t.Parallel()
			h := newHost6(t, false, true)
			goes := h.container(t, 30, both("80:8000")...)
			below := children(goes.Process.Pid)
			// Stopped, the runner doesn't see the container's end, and take back
			// itself what the guardian can't.
			if err := syscall.Kill(goes.Process.Pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			kill(t, append(below, goes.Process.Pid)...)
			lab.Eventually(t, func() error { return ended(below...) })
			await(goes.Cmd)
			lab.Eventually(t, func() error { return noVeth(h.Host) })
			if !strings.Contains(h.Host.Ruleset(), addr30v6) {
				t.Fatal("nothing is left, so there is nothing to test")
			}
			if clears == "gc" {
				succeed(t, h.Host.Main("gc"))
				if ruleset := h.Host.Ruleset(); strings.Contains(ruleset, addr30v6) {
					t.Errorf("after gc there is\n%s", ruleset)
				}
			}
			again := h.container(t, 30, both("80:8000")...)
			serve(t, again, "[::]:8000")
			reaches(t, "outside", h.Outside.Agent(), at(hostAddr6, 80), outsideAddr6)
		})
	}
}

// Either address names the container.
func TestIPv6ExecAtEither(t *testing.T) {
	t.Parallel()
	for _, first := range []string{addr30 + "," + addr30v6, addr30v6 + "," + addr30} {
		n := newHost6(t, false, true).Host
		n.Container(t, "-gateway", dualGateway, "-hostname", "here", first)
		n.Container(t, "-gateway", dualGateway, "-hostname", "there", addr31+","+addr31v6)
		for _, addr := range []string{addr30, addr30v6, "FD00:16:0::30"} {
			if got := says(t, n.Main("exec", addr, "hostname")); got != "here\n" {
				t.Errorf("at %s says %q", addr, got)
			}
		}
		fails(t, n.Main("exec", "fd00:16::32", "true"), 125, "")
	}
}
