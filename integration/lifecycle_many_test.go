//go:build linux

package integration

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"container/integration/lab"
)

const many = 20

// gate holds programs back, so that they begin at the same time.
type gate struct{ r, w *os.File }

func newGate(t *testing.T) *gate {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		_ = w.Close()
	})
	return &gate{r, w}
}

// main is ./main behind the gate: a shell waits for the end of its descriptor
// 3, and becomes ./main.
func (g *gate) main(t *testing.T, n *lab.Node, args ...string) *lab.Cmd {
	t.Helper()
	c := n.Command("sh", append([]string{"-c", `read x <&3; exec "$0" "$@" 3<&-`, lab.MainBinary(t)}, args...)...)
	c.ExtraFiles = []*os.File{g.r}
	return c
}

// open lets all go that have been started.
func (g *gate) open() { _ = g.w.Close() }

// Twenty at once on a host where the bridge and the ruleset have yet to be
// made: each finds its place.
func TestManyAtOnce(t *testing.T) {
	for range 5 {
		n := lab.New(t).Host
		before := n.Snapshot()
		g := newGate(t)
		var all sync.WaitGroup
		for i := range many {
			c := g.main(t, n, "-p", fmt.Sprintf("%d:80", 8000+i), fmt.Sprintf("172.16.0.%d", 1+i), "sh", "-c", fmt.Sprintf("exit %d", i))
			var stderr strings.Builder
			c.Stderr = &stderr
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				if await(c); c.Status() != i || stderr.String() != "" {
					t.Errorf("run %d: status %d, error %q; want %d and nothing", i, c.Status(), stderr.String(), i)
				}
			})
		}
		g.open()
		all.Wait()
		idle(t, n)
		succeed(t, n.Main("down"))
		same(t, n, before)
	}
}

// oneOfMany starts many at once, of which one can have what it wants, and
// checks that one gets it and the others are refused in the right words.
func oneOfMany(t *testing.T, n *lab.Node, refusal *regexp.Regexp, args func(i int) []string) {
	t.Helper()
	g := newGate(t)
	winners := make(chan *lab.Cmd, many)
	var losers, all sync.WaitGroup
	var inputs []io.Closer
	losers.Add(many - 1)
	for i := range many {
		c := g.main(t, n, append(args(i), "sh", "-c", "echo mine; exec cat")...)
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, stdin)
		var stdout, stderr strings.Builder
		c.Stdout, c.Stderr = &stdout, &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			await(c)
			switch {
			case c.Status() == 0 && stdout.String() == "mine\n" && stderr.String() == "":
				winners <- c
				return
			case c.Status() != 125 || stdout.String() != "" || !refusal.MatchString(stderr.String()):
				t.Errorf("status %d, output %q, error %q; want 125 and the right refusal", c.Status(), stdout.String(), stderr.String())
			}
			losers.Done()
		})
	}
	g.open()
	// Whoever has it keeps it until all others have been refused.
	losers.Wait()
	for _, in := range inputs {
		_ = in.Close()
	}
	all.Wait()
	if len(winners) != 1 {
		t.Errorf("%d have got it, want 1", len(winners))
	}
}

// Twenty at once for one address, on such a host: one has it.
func TestManyForOneAddress(t *testing.T) {
	refusal := regexp.MustCompile(`^main: address 172\.16\.0\.30 is in use by veth[0-9a-f]{8} \(pid \d+, sh\)\n$`)
	for range 5 {
		n := lab.New(t).Host
		before := n.Snapshot()
		oneOfMany(t, n, refusal, func(int) []string { return []string{address} })
		idle(t, n)
		succeed(t, n.Main("down"))
		same(t, n, before)
	}
}

// Twenty for one port: the same. Before it is published, the port is a runner's
// as any process's.
func TestManyForOnePort(t *testing.T) {
	refusal := regexp.MustCompile(`^main: port 8080/tcp: it is in use by (pid \d+, main|veth[0-9a-f]{8} \(pid \d+, sh\)|another process)\n$`)
	n := lab.New(t).Host
	before := n.Snapshot()
	oneOfMany(t, n, refusal, func(i int) []string { return []string{"-p", "8080:80", fmt.Sprintf("172.16.0.%d", 1+i)} })
	idle(t, n)
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// One after the other at one address, without a pause between: none is told
// that the one before is in its way.
func TestOneAfterTheOther(t *testing.T) {
	n := lab.New(t).Host
	for range 50 {
		succeed(t, n.Main("-p", "8080:80", "-p", "5353:53/udp", address, "true"))
	}
	idle(t, n)
}

// down and runs that start at the same time: whoever comes second is told, or
// finds all made anew. No container runs on a host that was taken from under
// it, and nothing stays.
func TestDownMeanwhile(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	var runs, downs sync.WaitGroup
	stop := make(chan struct{})
	downs.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, stderr, status := n.Main("down").Result(); status != 0 && (status != 125 || !refusal.MatchString(stderr)) {
				t.Errorf("down: status %d, %q", status, stderr)
			}
		}
	})
	var worked atomic.Int32
	for i := range 3 {
		runs.Go(func() {
			for range 30 {
				// Nothing listens there, and the gateway says so, if it is there.
				c := n.Main("-p", fmt.Sprintf("%d:80", 8000+i), fmt.Sprintf("172.16.0.%d", 1+i), lab.Probe(t), "ask", "tcp", "172.16.0.100:1", "5s")
				stdout, stderr, status := c.Result()
				switch {
				case status == 1 && strings.HasSuffix(stderr, "connection refused\n"):
					worked.Add(1)
				case status != 125 || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "main: "):
					t.Errorf("status %d, output %q, error %q; want an answer of the gateway's, or the reason why nothing was started", status, stdout, stderr)
				}
			}
		})
	}
	runs.Wait()
	close(stop)
	downs.Wait()
	if worked.Load() == 0 {
		t.Error("none has run")
	}
	lab.Eventually(t, func() error { return noVeth(n) })
	succeed(t, n.Main("down"))
	same(t, n, before)
}

var refusal = regexp.MustCompile(`^main: (containers run: .*|the ruleset was changed meanwhile: .*)\n$`)
