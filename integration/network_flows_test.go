//go:build linux

package integration

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"container/integration/lab"
)

// What connection tracking remembers of a published port must not outlast it:
// tables are asked about a flow's first packet alone.

// flow is somebody who keeps sending to the host's port 80, over one socket for
// each protocol.
type flow struct {
	name   string
	from   *lab.Agent
	to     string
	seenAs string
}

// flows are those that have different ways to a container of a dual host.
func (h host6) flows(neighbour *lab.Agent) []flow {
	host, outside := h.Host.Agent(), h.Outside.Agent()
	return []flow{
		{"outside", outside, hostAddr + ":80", outsideAddr},
		{"outside, by IPv6", outside, at(hostAddr6, 80), outsideAddr6},
		{"host to 127.0.0.1", host, "127.0.0.1:80", bridgeAddr},
		{"host to its own address", host, hostAddr + ":80", hostAddr},
		{"host to its own address, by IPv6", host, at(hostAddr6, 80), hostAddr6},
		{"host to ::1", host, "[::1]:80", bridgeAddr6},
		{"neighbour", neighbour, hostAddr + ":80", bridgeAddr},
		{"neighbour, by IPv6", neighbour, at(hostAddr6, 80), bridgeAddr6},
	}
}

// arrives sends once more. What is heard first may be the end of something
// that was sent before: then it is sent a second time.
func (f flow) arrives(t *testing.T, when string) {
	t.Helper()
	got, err := f.from.Flow("udp", f.to)
	if err != nil {
		got, err = f.from.Flow("udp", f.to)
	}
	if err != nil || got != f.seenAs {
		t.Errorf("%s: %s was seen as %q (%v), want %q", when, f.name, got, err, f.seenAs)
	}
}

// A client that keeps sending meets a new container as soon as that has
// published the port, and never one that has not.
func TestUDPFlowMeetsWhoPublishes(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	neighbour := h.container(t, 99)
	flows := h.flows(neighbour)
	nobody := func(when string) {
		t.Helper()
		for _, f := range flows {
			if got, err := f.from.Flow("udp", f.to); err == nil {
				t.Errorf("%s: %s was answered (seen as %q)", when, f.name, got)
			}
		}
	}
	nobody("before anybody has published it")
	for i, last := range []int{30, 31, 31, 32} {
		c := h.container(t, last, "-p", "80:8000/udp")
		serve(t, c, "[::]:8000")
		for _, f := range flows {
			f.arrives(t, fmt.Sprintf("container %d", i))
		}
		c.Stop(t)
		if t.Failed() {
			return // each silence takes a while
		}
	}
	nobody("when nobody publishes it any more")
	// At an old one's address.
	c := h.container(t, 32, "-p", "81:8000/udp")
	serve(t, c, "[::]:8000")
	nobody("with somebody at the old address")
	c.HeardNothing(t)
}

// A client that connects while a run has not published the port yet, or not any
// more, is refused. One that heard nothing would try again on the same
// connection, which connection tracking by then takes for one to the host: it
// would hear nothing for two minutes, whoever publishes the port.
func TestTCPBeforeAndAfterPublishing(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	flows := h.flows(h.container(t, 99))
	refusedAt := func(when string) (err error) {
		for _, f := range flows {
			_, asked := f.from.AskAtOnce("tcp", f.to)
			if asked == nil || !strings.HasSuffix(asked.Error(), syscall.ECONNREFUSED.Error()) {
				err = errors.Join(err, fmt.Errorf("%s: %s: %w, want %w", when, f.name, asked, syscall.ECONNREFUSED))
			}
		}
		return err
	}
	run, goOn := stuck(t, h.Host, h.args(30, "-p", "80:8000")...)
	if err := refusedAt("before"); err != nil {
		t.Error(err)
	}
	goOn()
	run.echo(t)
	run.main = run.Process.Pid
	run.findProcesses(t, h.Host)

	// Its end is held up, and what its guardian is about to do is done for it.
	if err := syscall.Kill(run.guardian, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_ = run.stdin.Close()
	lab.Eventually(t, func() error { return ended(run.init) })
	for _, family := range []string{"ip", "ip6"} {
		if out, err := h.Host.Command("nft", "flush", "map", family, "container", "publish").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	lab.Eventually(t, func() error { return refusedAt("after") })
	if err := syscall.Kill(run.guardian, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if await(run.Cmd); run.Status() != 0 {
		t.Errorf("status %d, want 0", run.Status())
	}
}

// A port that a process of the host takes when a run has bound it, and does not
// listen yet, is refused like any other that somebody has.
func TestPortTakenMeanwhile(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	succeed(t, n.Main(addr30, "true"))
	run, goOn := stuck(t, n, "-p", "80:8000", addr30)
	defer holdPort(t, n, "tcp", "0.0.0.0:80").Close()
	said := goOn()
	if await(run.Cmd); run.Status() != 125 {
		t.Errorf("status %d, want 125", run.Status())
	}
	lab.Eventually(t, func() error {
		const want = "\nmain: port 80/tcp: it is in use by pid "
		select {
		case text := <-said:
			if !strings.Contains(text, want) {
				t.Errorf("it says\n%s\nand not %q", text, want)
			}
			return nil
		default:
			return errors.New("somebody has its standard error open yet")
		}
	})
	lab.Eventually(t, func() error { return errors.Join(noClaims(n), noVeth(n)) })
}

// A client whose container died without a word is told with its next segment.
func TestTCPOfDeadContainerIsCut(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"nobody publishes it": false, "another container publishes it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryHost6(t, func(t *testing.T, h host6) {
				neighbour := h.container(t, 99)
				c := h.container(t, 30, "-p", "80:8000")
				serve(t, c, "[::]:8000")
				var flows []flow
				for _, f := range h.flows(neighbour) {
					if !h.alone || strings.HasPrefix(f.to, "[") {
						flows = append(flows, f)
					}
				}
				for _, f := range flows {
					if got, err := f.from.Flow("tcp", f.to); err != nil || got != f.seenAs {
						t.Fatalf("%s: seen as %q (%v)", f.name, got, err)
					}
				}
				// Nothing of its end gets out.
				setDown(t, h.Host, vethOf(t, h.Host, addr30v6))
				kill(t, c.Process.Pid)
				lab.Eventually(t, func() error {
					return errors.Join(portFree(h.Host, "tcp", "[::]:80"), noAddress(h.Host, addr30), noAddress(h.Host, addr30v6))
				})
				await(c.Cmd)
				if again {
					serve(t, h.container(t, 31, "-p", "80:8000"), "[::]:8000")
				}
				for _, f := range flows {
					_, err := f.from.Flow("tcp", f.to)
					// The runner's own connection, at ::1, ends with the runner.
					if f.to == "[::1]:80" && err != nil && strings.HasSuffix(err.Error(), "EOF") {
						continue
					}
					if err == nil || !strings.Contains(err.Error(), syscall.ECONNRESET.Error()) {
						t.Errorf("%s: %v, want %v", f.name, err, syscall.ECONNRESET)
					}
				}
			})
		})
	}
}

// vethOf is the host's end of the veth of the container at an address.
func vethOf(t *testing.T, n *lab.Node, address string) string {
	t.Helper()
	for _, c := range listed(t, n) {
		if slices.Contains(c.Addresses, address) {
			return c.Veth
		}
	}
	t.Fatalf("%s is not listed", address)
	return ""
}

// noAddress is a condition: the ruleset does not have an address.
func noAddress(n *lab.Node, address string) error {
	if strings.Contains(n.Ruleset(), address) {
		return fmt.Errorf("%s is in the ruleset yet", address)
	}
	return nil
}
