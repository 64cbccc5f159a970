//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"container/integration/lab"
)

// What goes through a container in a pipeline comes out byte for byte, and the
// end of the one is the end of the other.
func TestPipeline(t *testing.T) {
	n := lab.New(t).Host
	data := make([]byte, 8<<20)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(data)
	c := n.Main(address, "cat")
	c.Stdin = bytes.NewReader(data)
	stdout, stderr, status := c.Result()
	if status != 0 || stderr != "" {
		t.Errorf("status %d, standard error %q", status, stderr)
	}
	if stdout != string(data) {
		t.Errorf("of %d bytes %d have come, and not the same", len(data), len(stdout))
	}
	idle(t, n)
}

// Standard output and standard error are kept apart.
func TestOutputs(t *testing.T) {
	n := lab.New(t).Host
	expect(t, n.Main(address, "sh", "-c", "echo out; echo err >&2; exit 3"), 3, "out\n", "err\n")
}

// Nobody reads any more: the command is told so, by SIGPIPE.
func TestBrokenPipe(t *testing.T) {
	n := lab.New(t).Host
	c := n.Main(address, "yes")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	for range 10 {
		if line, err := lines.ReadString('\n'); line != "y\n" {
			t.Fatalf("yes says %q (error %v)", line, err)
		}
	}
	_ = stdout.Close()
	await(c)
	if c.Status() != 141 {
		t.Errorf("status %d, want 141, of SIGPIPE", c.Status())
	}
	idle(t, n)
}

// The end of the output is the end of the run: no process of the runner's holds
// it for any longer.
func TestEndOfOutput(t *testing.T) {
	n := lab.New(t).Host
	c := n.Main("-p", "8080:80", address, "sh", "-c", "echo ready; exec cat >/dev/null")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout = w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	lines := bufio.NewReader(r)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the command says %q (error %v)", line, err)
	}
	// The guardian lives yet, as it does for a while after the run.
	guardian := awaitChild(t, c.Process.Pid, "guardian")
	lab.Eventually(t, func() error { return leads(guardian) })
	for _, fd := range []string{"0", "1", "2"} {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", guardian, fd)); err == nil {
			t.Errorf("the guardian has %s open: %s", fd, to)
		}
	}
	_ = stdin.Close()
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("behind it comes %q (error %v)", rest, err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	idle(t, n)
}

// Closed standard input reads as an empty one.
func TestClosedInput(t *testing.T) {
	n := lab.New(t).Host
	c := n.Command("sh", "-c", `exec "$0" "$@" <&-`, lab.MainBinary(t), address, "sh", "-c", "wc -c; echo end")
	stdout, stderr, status := c.Result()
	if status != 0 || strings.Join(strings.Fields(stdout), " ") != "0 end" || stderr != "" {
		t.Errorf("status %d, output %q, error %q; want 0, no bytes, the end", status, stdout, stderr)
	}
}
