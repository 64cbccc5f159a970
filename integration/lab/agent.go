//go:build linux

package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Agent is a probe that does what it is told, in a node or in a container: a
// place that packets are sent from and arrive at. Its methods are the verbs of
// integration/probe.
type Agent struct {
	*Cmd

	mu      sync.Mutex
	stdin   io.WriteCloser
	answers *bufio.Reader
	stderr  string // a file
}

// Agent is the agent in the node itself, started on first use.
func (n *Node) Agent() *Agent {
	n.t.Helper()
	if n.agent == nil {
		n.agent = StartAgent(n.t, n.Command(Probe(n.t), "agent"))
	}
	return n.agent
}

// Container runs the probe as an agent in a container: args are the flags and
// the address, what stands before the command. It returns when the agent
// answers, and fails the test if it does not.
func (n *Node) Container(t testing.TB, args ...string) *Agent {
	t.Helper()
	return StartAgent(t, n.Main(append(args[:len(args):len(args)], Probe(t), "agent")...))
}

// StartAgent starts a command that becomes an agent. It returns when the agent
// answers, and fails the test if it does not.
func StartAgent(t testing.TB, c *Cmd) *Agent {
	t.Helper()
	a := &Agent{Cmd: c}
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	c.Stderr, a.stderr = stderr, stderr.Name()
	if a.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.answers = bufio.NewReader(stdout)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Tell("hello"); err != nil {
		_ = c.Wait()
		t.Fatalf("%s: %v: status %d\n%s", c.Args, err, c.Status(), a.Said(t))
	}
	return a
}

// answer is a line of the agent's output.
type answer struct{ Text, Error string }

// Tell has the agent do something, and gives its answer.
func (a *Agent) Tell(words ...string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	line, err := json.Marshal(words)
	if err != nil {
		return "", err
	}
	if _, err := a.stdin.Write(append(line, '\n')); err != nil {
		return "", fmt.Errorf("agent: %w", err)
	}
	if line, err = a.answers.ReadBytes('\n'); err != nil {
		return "", fmt.Errorf("agent: %w", err)
	}
	var got answer
	if err := json.Unmarshal(line, &got); err != nil {
		return "", fmt.Errorf("agent: %q: %w", line, err)
	}
	if got.Error != "" {
		return got.Text, errors.New(strings.Join(words, " ") + ": " + got.Error)
	}
	return got.Text, nil
}

// must is Tell for what can't fail unless something is broken.
func (a *Agent) must(t testing.TB, words ...string) string {
	t.Helper()
	text, err := a.Tell(words...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Serve answers whoever sends to an address ("tcp", "172.16.0.30:8000") with
// its own address, as the agent sees it. With port 0 the kernel chooses one;
// the address is returned.
func (a *Agent) Serve(t testing.TB, network, addr string) string {
	t.Helper()
	return a.must(t, "serve", network, addr)
}

// Ask sends to an address and gives what is answered: the address, without the
// port, that the other side saw this come from. UDP is sent once only.
func (a *Agent) Ask(network, addr string) (string, error) {
	return a.Tell("ask", network, addr, "5s")
}

// AskAtOnce is Ask to which the loss of any one packet is an error: it gives up
// before TCP (TCP_TIMEOUT_INIT) and ARP (retrans_time) try a second time, after
// a second.
func (a *Agent) AskAtOnce(network, addr string) (string, error) {
	return a.Tell("ask", network, addr, AtOnce)
}

// AtOnce is how long AskAtOnce waits.
const AtOnce = "900ms"

// Flow is AskAtOnce over one and the same socket each time, which is opened by
// the first.
func (a *Agent) Flow(network, addr string) (string, error) {
	return a.Tell("flow", network, addr, AtOnce)
}

// AskBriefly is Ask for those who expect silence, and believe in it after a third of
// a second: an answer takes less than a thousandth of that.
func (a *Agent) AskBriefly(network, addr string) (string, error) {
	return a.Tell("ask", network, addr, "300ms")
}

// Heard waits for what the agent's servers hear next: "tcp 10.0.0.2", or
// "udp 10.0.0.2 TEXT". It fails after a while.
func (a *Agent) Heard() (string, error) {
	return a.Tell("heard", patience.String())
}

// HeardNothing fails the test if the agent's servers have heard anything that
// nobody has asked about.
func (a *Agent) HeardNothing(t testing.TB) {
	t.Helper()
	if what, err := a.Tell("heard", "0s"); err == nil {
		t.Errorf("heard %q", what)
	}
}

// Said is what has been written to standard error: by the agent, and by ./main
// if that has started it.
func (a *Agent) Said(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(a.stderr)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Stop ends the agent and waits for the end of what it runs in.
func (a *Agent) Stop(t testing.TB) {
	t.Helper()
	_ = a.stdin.Close()
	if err := a.Wait(); err != nil {
		t.Errorf("%s: %v", a.Args, err)
	}
}

// Patience is how long something may take that must happen.
func Patience() time.Duration { return patience }
