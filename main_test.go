//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// runCommand is carryOut with what it writes.
func runCommand(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = carryOut(args, &out, &err)
	return status, out.String(), err.String()
}

func TestUsage(t *testing.T) {
	status, stdout, stderr := runCommand()
	if status != statusSetup || stdout != "" || stderr != usage {
		t.Errorf("status %d, standard output %q, standard error %q; want 125, nothing, and the usage", status, stdout, stderr)
	}
}

func TestVersion(t *testing.T) {
	first, _, _ := strings.Cut(version(), "\n")
	if want := "main " + source + ", " + runtime.Version() + " linux/" + runtime.GOARCH; first != want {
		t.Errorf("got %q, want %q", first, want)
	}
	if status, stdout, stderr := runCommand("version"); status != 0 || stdout != version()+"\n" || stderr != "" {
		t.Errorf("main version: status %d, standard output %q, standard error %q; want 0, %q and nothing", status, stdout, stderr, version()+"\n")
	}
}

// Who is not root hears that before anything else, however wrong the rest is.
func TestTakesRoot(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("for an ordinary user; integration.TestOrdinaryUser does this as root")
	}
	const want = "main: this takes root: it makes namespaces, links and firewall rules (try sudo)\n"
	for _, args := range []string{"172.16.0.30 true", "nonsense", "-q", "gc", "down", "gc more"} {
		status, stdout, stderr := runCommand(strings.Fields(args)...)
		if status != statusSetup || stdout != "" || stderr != want {
			t.Errorf("main %s: status %d, standard output %q, standard error %q; want 125, nothing, %q", args, status, stdout, stderr, want)
		}
	}
}

func TestNoArguments(t *testing.T) {
	called := 0
	verb := func(*narrator, io.Writer) error { called++; return nil }
	err := noArguments([]string{"down", "now"}, io.Discard, verb)
	if want := `down takes no arguments, and here is "now"`; err == nil || err.Error() != want {
		t.Errorf("got the error %v, want %q", err, want)
	}
	if called != 0 {
		t.Error("it was carried out all the same")
	}
	if err := noArguments([]string{"down"}, io.Discard, verb); err != nil || called != 1 {
		t.Errorf("without arguments: error %v, carried out %d times", err, called)
	}
}

func TestStatusError(t *testing.T) {
	cause := errors.New("cause")
	err := error(&statusError{statusNotFound, cause})
	if err.Error() != "cause" || !errors.Is(err, cause) {
		t.Errorf("got %q, which is its cause: %t", err, errors.Is(err, cause))
	}
}

func TestUndo(t *testing.T) {
	var u undo
	var got strings.Builder
	for _, s := range []string{"a", "b", "c"} {
		u.add(func() { got.WriteString(s) })
	}
	u.all()
	u.all()
	if got.String() != "cba" {
		t.Errorf("undone in the order %q, want the last first and each once", got.String())
	}
	// A step back that adds one is not forgotten.
	u.add(func() { u.add(func() { got.WriteString("d") }) })
	u.all()
	if got.String() != "cbad" {
		t.Errorf("got %q, want cbad", got.String())
	}
}
