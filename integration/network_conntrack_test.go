//go:build linux

package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// Whoever sends UDP without a pause, as a VPN or a telephone does, has one and
// the same flow before and after a container changes, and the kernel remembers
// where that led (conntrack, three minutes beyond the last packet).

// A port goes from one container to another, and a flow that is under way goes
// along.
func TestUDPFlowFollowsThePort(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		first := l.Host.Container(t, "-p", "80:8000/udp", addr30)
		first.Serve(t, "udp", "0.0.0.0:8000")
		places := flowFrom(t, l, "udp", hostAddr+":80")
		first.Stop(t)
		second := l.Host.Container(t, "-p", "80:8000/udp", addr31)
		second.Serve(t, "udp", "0.0.0.0:8000")
		for name, a := range places {
			if _, err := a.Flow("udp", hostAddr+":80"); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if _, err := second.Heard(); err != nil {
				t.Errorf("%s: the second container heard %v", name, err)
			}
		}
	})
}

// The container that gets the address next has published nothing, and must not
// inherit what is under way to its predecessor.
func TestUDPFlowEndsWithThePort(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		first := l.Host.Container(t, "-p", "80:8000/udp", addr30)
		first.Serve(t, "udp", "0.0.0.0:8000")
		places := flowFrom(t, l, "udp", hostAddr+":80")
		first.Stop(t)
		second := l.Host.Container(t, addr30)
		second.Serve(t, "udp", "0.0.0.0:8000")
		for name, a := range places {
			if got, err := a.Tell("flow", "udp", hostAddr+":80", "300ms"); err == nil {
				t.Errorf("%s was answered (seen as %s)", name, got)
			}
		}
		second.HeardNothing(t)
	})
}

// Who has sent to the port before it was published, and in vain, gets through
// afterwards.
func TestUDPFlowBeforeThePort(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		// Connections are tracked once the rules are there.
		l.Host.Container(t, addr31)
		// Something on the host has the port, and then has it no more.
		host := l.Host.Command(lab.Probe(t), "serve", "udp", hostAddr+":80")
		stdout, err := host.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := stdout.Read(make([]byte, 64)); err != nil { // "ready"
			t.Fatal(err)
		}
		outside := l.Outside.Agent()
		if _, err := outside.Flow("udp", hostAddr+":80"); err != nil {
			t.Fatal(err)
		}
		_ = host.Process.Kill()
		_ = host.Wait()

		server := l.Host.Container(t, "-p", "80:8000/udp", addr30)
		server.Serve(t, "udp", "0.0.0.0:8000")
		if _, err := outside.Flow("udp", hostAddr+":80"); err != nil {
			t.Error(err)
		}
	})
}

// A TCP connection to a container that has ended is over, and its client is
// told so by a reset, whether or not somebody has the address again, or the port.
func TestTCPOfTheDeadIsCut(t *testing.T) {
	t.Parallel()
	for name, next := range map[string][]string{
		"nobody comes after it":                     nil,
		"the next has its address and no port":      {addr30},
		"the next has its port, at another address": {"-p", "80:8000", addr31},
		"the next has both":                         {"-p", "80:8000", addr30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryHost(t, func(t *testing.T, l *lab.Lab) {
				first := l.Host.Container(t, "-p", "80:8000", addr30)
				first.Serve(t, "tcp", "0.0.0.0:8000")
				places := flowFrom(t, l, "tcp", hostAddr+":80")
				links := len(l.Host.Links())
				first.Stop(t)
				// While its network namespace is not gone, the container's own
				// kernel answers with a RST.
				lab.Eventually(t, func() error {
					if len(l.Host.Links()) == links {
						return errors.New("its veth is still there")
					}
					return nil
				})
				if next == nil {
					isOver(t, places)
					return
				}
				second := l.Host.Container(t, next...)
				second.Serve(t, "tcp", "0.0.0.0:8000")
				isOver(t, places)
				second.HeardNothing(t)
			})
		})
	}
}

// What a container has written last arrives, also when its process has ended and
// the client, which answers with nothing but ACKs, takes its time.
func TestTCPTailOfTheDeadArrives(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		const all, rest = 2 << 20, 96 << 10
		server := l.Host.Main("-p", "80:8000", addr30, lab.Probe(t), "pour", ":8000", fmt.Sprint(all))
		awaitLine(t, server, "ready")
		c := dialFrom(t, l.Outside, hostAddr+":80")
		if err := c.SetReadBuffer(8 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, c, all-rest); err != nil {
			t.Fatal(err)
		}
		await(server)
		if err := noAddress(l.Host, addr30); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(lab.Patience())); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, c); err != nil || n != rest {
			t.Errorf("got %d bytes more (%v), want %d", n, err, rest)
		}
		lab.Eventually(t, func() error { return noVeth(l.Host) })
	})
}

// Of a long write that is under way, all that is sent again may be a segment
// that is not pushed.
func TestTCPUploadToTheDeadIsCut(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		server := l.Host.Container(t, "-p", "80:8000", addr30)
		server.Serve(t, "tcp", "0.0.0.0:8000")
		c := dialFrom(t, l.Outside, hostAddr+":80")
		setDown(t, l.Host, vethOf(t, l.Host, addr30))
		if _, err := c.Write(make([]byte, 32<<10)); err != nil {
			t.Fatal(err)
		}
		kill(t, server.Process.Pid)
		lab.Eventually(t, func() error { return noAddress(l.Host, addr30) })
		if err := c.SetReadDeadline(time.Now().Add(lab.Patience())); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("got %v, want %v", err, unix.ECONNRESET)
		}
	})
}

// What somebody else's rules lead to a machine on the bridge is nobody's
// business here.
func TestTCPOfOthersIsNotCut(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		l.Host.Container(t, addr30)
		machine := l.Machine("machine")
		l.Plug("br0", "uplink", machine, "eth0", netip.MustParsePrefix("172.16.0.77/24"))
		machine.Route(lab.Everything, netip.MustParseAddr(bridgeAddr))
		machine.Agent().Serve(t, "tcp", "0.0.0.0:8000")
		rules := l.Host.Command("nft", "-f", "-")
		rules.Stdin = strings.NewReader(`table ip other {
			chain prerouting {
				type nat hook prerouting priority dstnat
				ip daddr 10.0.0.1 tcp dport 80 dnat to 172.16.0.77:8000
			}
			chain output {
				type nat hook output priority -100
				ip daddr 10.0.0.1 tcp dport 80 dnat to 172.16.0.77:8000
			}
		}`)
		if err := rules.Run(); err != nil {
			t.Fatal(err)
		}
		for name, a := range map[string]*lab.Agent{"outside": l.Outside.Agent(), "host": l.Host.Agent()} {
			for range 2 {
				if _, err := a.Flow("tcp", hostAddr+":80"); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}

// dialFrom is a connection of a node's.
func dialFrom(t *testing.T, n *lab.Node, addr string) (c *net.TCPConn) {
	t.Helper()
	err := n.Do(func() error {
		any, err := net.Dial("tcp4", addr)
		if err == nil {
			c = any.(*net.TCPConn)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// isOver uses connections until it is told that there are none.
func isOver(t *testing.T, places map[string]*lab.Agent) {
	t.Helper()
	for name, a := range places {
		lab.Eventually(t, func() error {
			got, err := a.Flow("tcp", hostAddr+":80")
			switch {
			case err == nil:
				t.Fatalf("%s was answered (seen as %s)", name, got)
			case strings.Contains(err.Error(), unix.ECONNRESET.Error()), strings.Contains(err.Error(), unix.EPIPE.Error()):
				return nil
			}
			return fmt.Errorf("%s: %w", name, err)
		})
	}
}

// flowFrom begins a flow from every kind of place.
func flowFrom(t *testing.T, l *lab.Lab, network, to string) map[string]*lab.Agent {
	t.Helper()
	places := map[string]*lab.Agent{
		"outside":   l.Outside.Agent(),
		"host":      l.Host.Agent(),
		"neighbour": l.Host.Container(t, "172.16.0.32"),
	}
	for name, a := range places {
		if _, err := a.Flow(network, to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return places
}
