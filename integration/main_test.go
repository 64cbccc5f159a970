//go:build linux

// Package integration holds the tests that see the program from outside: they
// run the built binary in a lab of network namespaces (package lab) and look at
// what can be seen of it: exit status, output, packets, links, rules, settings.
package integration

import (
	"flag"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

func TestMain(m *testing.M) {
	// Most tests wait for silence, and in machines of their own: more of them
	// than there are processors can do that at once.
	if !flag.Parsed() {
		flag.Parse()
	}
	if n := 4 * runtime.GOMAXPROCS(0); !given("test.parallel") {
		_ = flag.Set("test.parallel", strconv.Itoa(n))
	}
	// Under nohup(1), or as a job in the background, these are ignored, and so
	// they would be by every program that a test starts. One that is caught
	// has its default action there.
	for _, s := range []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	status := m.Run()
	lab.Cleanup()
	os.Exit(status)
}

// given tells whether a flag is on the command line.
func given(name string) (yes bool) {
	flag.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}
