//go:build linux

package integration

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"container/integration/lab"
)

const many = 20

// Twenty at once on a host where the bridge and the ruleset have yet to be
// made: each finds its place.
func TestManyAtOnce(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	var wg sync.WaitGroup
	for i := range many {
		c := n.Main("-p", fmt.Sprintf("%d:80", 8000+i), fmt.Sprintf("172.16.0.%d", 1+i), "sh", "-c", fmt.Sprintf("exit %d", i))
		wg.Go(func() {
			if stdout, stderr, status := c.Result(); status != i || stdout != "" || stderr != "" {
				t.Errorf("%s: status %d, output %q, error %q; want %d and nothing", c.Args[3], status, stdout, stderr, i)
			}
		})
	}
	wg.Wait()
	idle(t, n)
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// Twenty at once for one address, on such a host: one has it.
func TestManyForOneAddress(t *testing.T) {
	n := lab.New(t).Host
	before := n.Snapshot()
	inUse := regexp.MustCompile(`^main: address 172\.16\.0\.30 is in use by veth[0-9a-f]{8} \(pid \d+, sh\)\n$`)
	var mu sync.Mutex
	winners := 0
	release := make(chan struct{})
	var losers, all sync.WaitGroup
	losers.Add(many - 1)
	for range many {
		c := n.Main(address, "sh", "-c", "echo mine; exec cat")
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			// Whoever has it keeps it until all others have been refused.
			<-release
			_ = stdin.Close()
		}()
		all.Go(func() {
			stdout, stderr, status := c.Result()
			switch {
			case status == 0 && stdout == "mine\n" && stderr == "":
				mu.Lock()
				winners++
				mu.Unlock()
				return
			case status != 125 || stdout != "" || !inUse.MatchString(stderr):
				t.Errorf("status %d, output %q, error %q; want 125, and that the address is in use", status, stdout, stderr)
			}
			losers.Done()
		})
	}
	losers.Wait()
	close(release)
	all.Wait()
	if winners != 1 {
		t.Errorf("%d have got the address, want 1", winners)
	}
	idle(t, n)
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// Twenty for one port: the same.
func TestManyForOnePort(t *testing.T) {
	n := lab.New(t).Host
	succeed(t, n.Main(address, "true"))
	inUse := regexp.MustCompile(`^main: port 8080/tcp: it is in use by (pid \d+, main|veth[0-9a-f]{8} \(pid \d+, sh\)|another process)\n$`)
	var mu sync.Mutex
	winners := 0
	release := make(chan struct{})
	var losers, all sync.WaitGroup
	losers.Add(many - 1)
	for i := range many {
		c := n.Main("-p", "8080:80", fmt.Sprintf("172.16.0.%d", 1+i), "sh", "-c", "echo mine; exec cat")
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-release
			_ = stdin.Close()
		}()
		all.Go(func() {
			stdout, stderr, status := c.Result()
			switch {
			case status == 0 && stdout == "mine\n" && stderr == "":
				mu.Lock()
				winners++
				mu.Unlock()
				return
			case status != 125 || stdout != "" || !inUse.MatchString(stderr):
				t.Errorf("status %d, output %q, error %q; want 125, and that the port is in use", status, stdout, stderr)
			}
			losers.Done()
		})
	}
	losers.Wait()
	close(release)
	all.Wait()
	if winners != 1 {
		t.Errorf("%d have got the port, want 1", winners)
	}
	idle(t, n)
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
