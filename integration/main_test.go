//go:build linux

// Package integration holds the tests that see the program from outside: they
// run the built binary in a lab of network namespaces (package lab) and look at
// what can be seen of it: exit status, output, packets, links, rules, settings.
package integration

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

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
	status := m.Run()
	lab.Cleanup()
	os.Exit(status)
}

// given tells whether a flag is on the command line.
func given(name string) (yes bool) {
	flag.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}
