//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

var execText = regexp.MustCompile(`(?m)^\d+\s+execve(?:at)?\("([^"]*)".*= (.*)$`)

// executed traces a program and gives what was executed: the paths, where it
// succeeded.
func executed(t *testing.T, n *lab.Node, status int, program string, args ...string) []string {
	t.Helper()
	need.Tool(t, "strace")
	trace := filepath.Join(t.TempDir(), "trace")
	c := n.Command("strace", append([]string{"-f", "-qq", "-e", "trace=execve,execveat", "-e", "signal=none", "-o", trace, program}, args...)...)
	stdout, stderr, got := c.Result()
	if got != status {
		t.Fatalf("%s: status %d, output %q, error %q; want %d", c.Args, got, stdout, stderr, status)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, m := range execText.FindAllStringSubmatch(string(b), -1) {
		if m[2] == "0" {
			paths = append(paths, m[1])
		}
	}
	if strings.Contains(string(b), "unfinished") {
		t.Fatalf("the trace can't be read:\n%s", b)
	}
	return paths
}

// A whole run, with all that it does to the host and takes back, executes one
// program beyond itself: the command. So do the verbs none.
func TestNoHelpers(t *testing.T) {
	n := lab.New(t).Host
	main := lab.MainBinary(t)
	for _, c := range []struct {
		status int
		args   []string
		want   []string
	}{
		{0, []string{"-p", "8080:80", "-p", "5353:53/udp", address, "/bin/true"}, []string{main, "/bin/true"}}, // makes bridge and ruleset
		{1, []string{"-p", "8080:80", address, "/bin/false"}, []string{main, "/bin/false"}},
		{125, []string{"-bridge", "eth0", address, "/bin/true"}, []string{main}},
		{0, []string{"gc"}, []string{main}},
		{0, []string{"down"}, []string{main}},
	} {
		if got := executed(t, n, c.status, main, c.args...); !slices.Equal(got, c.want) {
			t.Errorf("main %s executes %q, want %q", strings.Join(c.args, " "), got, c.want)
		}
	}
	// That it would be noticed: a shell and what it starts.
	if got := executed(t, n, 0, "/bin/sh", "-c", "/bin/true; exit"); !slices.Equal(got, []string{"/bin/sh", "/bin/true"}) {
		t.Errorf("a shell executes %q: the trace does not tell", got)
	}
}
