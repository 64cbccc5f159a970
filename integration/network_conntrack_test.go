//go:build linux

package integration

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
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
// told so: by the end of what it reads, or by a reset; also when somebody has
// the address again, or the port.
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

// isOver uses connections until it is told that there are none.
func isOver(t *testing.T, places map[string]*lab.Agent) {
	t.Helper()
	for name, a := range places {
		lab.Eventually(t, func() error {
			got, err := a.Flow("tcp", hostAddr+":80")
			switch {
			case err == nil:
				t.Fatalf("%s was answered (seen as %s)", name, got)
			case strings.Contains(err.Error(), unix.ECONNRESET.Error()), strings.Contains(err.Error(), unix.EPIPE.Error()), strings.HasSuffix(err.Error(), io.EOF.Error()):
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
