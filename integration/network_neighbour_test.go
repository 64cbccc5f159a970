//go:build linux

package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

// noPorts waits for the kernel to take away the veths of containers that have
// ended.
func noPorts(n *lab.Node) func() error {
	return func() error {
		for _, l := range n.Links() {
			if strings.HasPrefix(l.Name, "veth") {
				return fmt.Errorf("link %s is there yet", l.Name)
			}
		}
		return nil
	}
}

// arpRequest is an ARP message about Ethernet and IPv4 (RFC 826), 28 bytes.
type arpRequest struct {
	senderMAC        string
	sender, receiver netip.Addr
}

// arpSocket is a packet socket that takes the ARP messages of a link.
func arpSocket(t *testing.T, n *lab.Node, dev string) int {
	t.Helper()
	index := int(n.Link(dev).Index)
	// ETH_P_ARP, in network order.
	arp := binary.NativeEndian.Uint16([]byte{0x08, 0x06})
	fd := -1
	err := n.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(arp)); err != nil {
			return err
		}
		timeout := unix.NsecToTimeval(lab.Patience().Nanoseconds())
		return errors.Join(
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: arp, Ifindex: index}))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// nextARP reads the next request for an address by its own holder.
func nextARP(t *testing.T, fd int, about netip.Addr) arpRequest {
	t.Helper()
	b := make([]byte, 64)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			t.Fatalf("no announcement of %s: %v", about, err)
		}
		if n < 28 {
			continue
		}
		r := arpRequest{
			senderMAC: fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[8], b[9], b[10], b[11], b[12], b[13]),
			sender:    netip.AddrFrom4([4]byte(b[14:18])),
			receiver:  netip.AddrFrom4([4]byte(b[24:28])),
		}
		if r.sender == about && r.receiver == about {
			return r
		}
	}
}

// A container that starts tells the network who has its address now.
func TestAnnounced(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Host.Container(t, addr31) // which makes the bridge
	fd := arpSocket(t, l.Host, "br0")
	c := l.Host.Container(t, addr30)

	got := nextARP(t, fd, netip.MustParseAddr(addr30))
	mac, err := c.Tell("mac", "veth1")
	if err != nil {
		t.Fatal(err)
	}
	if got.senderMAC != mac {
		t.Errorf("%s was announced to be at %s, and is at %s", addr30, got.senderMAC, mac)
	}
}

// An address moves from a container that has ended to a new one. Whoever has
// talked to the first remembers its MAC for many seconds to come; the second
// must be found at once all the same, also by a socket that is connected.
func TestAddressMoves(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		neighbour, host := l.Host.Container(t, addr31), l.Host.Agent()
		// More than once: a new veth could have got the old MAC.
		for i := range 3 {
			c := l.Host.Container(t, addr30)
			serve(t, c, "0.0.0.0:7")
			for name, a := range map[string]*lab.Agent{"neighbour": neighbour, "host": host} {
				if _, err := a.Flow("udp", addr30+":7"); err != nil {
					t.Errorf("container %d: %s: %v", i, name, err)
				}
				if _, err := a.AskAtOnce("tcp", addr30+":7"); err != nil {
					t.Errorf("container %d: %s: %v", i, name, err)
				}
			}
			c.Stop(t)
		}
	})
}

// noCarrier waits until a bridge without ports has no carrier, and the kernel has
// noticed.
func noCarrier(n *lab.Node, bridge string) func() error {
	return func() error {
		if n.HasLink(bridge) && n.Link(bridge).IsRunning() {
			return fmt.Errorf("bridge %s has a carrier yet", bridge)
		}
		return noPorts(n)()
	}
}

// The command's very first packet arrives, and so does the answer: the link,
// the bridge and its port, and the route are in service when it starts. What is
// lost would be sent again after a second, and the probe waits for less.
//
// Each run finds a bridge without a carrier, and has an address of its own, so
// that nobody remembers anything.
func TestFirstPacket(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	serve(t, l.Outside.Agent(), "0.0.0.0:7")
	serve(t, l.Host.Agent(), "0.0.0.0:7")
	last := 0
	for range 5 {
		for _, network := range networks {
			for _, to := range []string{outsideAddr, bridgeAddr} {
				lab.Eventually(t, noCarrier(l.Host, "br0"))
				last++
				addr := fmt.Sprintf("172.16.0.%d", last)
				seenAs := map[string]string{outsideAddr: hostAddr, bridgeAddr: addr}[to]
				stdout, stderr, status := l.Host.Main(addr, lab.Probe(t), "ask", network, to+":7", lab.AtOnce).Result()
				if status != 0 || stdout != seenAs+"\n" {
					t.Errorf("%s to %s: status %d, seen as %q, want %q\n%s", network, to, status, stdout, seenAs, stderr)
				}
			}
		}
	}
}

// An address can be had again as soon as the run before has ended, though the
// kernel takes its veth away in its own time.
func TestAddressAgainAtOnce(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for i := range 10 {
		if _, stderr, status := l.Host.Main("-p", "80:8000", addr30, lab.Probe(t), "hello").Result(); status != 0 {
			t.Fatalf("run %d: status %d: %s", i, status, stderr)
		}
	}
}
