//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"container/integration/lab"
)

// What a run says to the kernel, and hears, is the same on an empty host and on
// one with many containers and published ports, but for an element of the map of
// leases for each. (What others may have left behind is looked for in each run,
// and a list of links or ports would be the easy way.)
func TestCostOfOthers(t *testing.T) {
	t.Parallel()
	const others, ports, allowed = 20, 2000, 500
	n := lab.New(t).Host
	succeed(t, n.Main(address, "true"))
	conversation := func(args ...string) int64 {
		t.Helper()
		file := filepath.Join(t.TempDir(), "pcap")
		if _, stderr, status := n.Main(append(append([]string{"-pcap", file, "-p", "80:8000"}, args...), "true")...).Result(); status != 0 {
			t.Fatalf("status %d, error %q", status, stderr)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	alone := make(map[string]int64)
	for _, a := range []string{address, "auto"} {
		alone[a] = conversation(a)
	}
	all := []*held{hold(t, n, "-p", fmt.Sprintf("20000-%d:1-%d", 20000+ports-1, ports), "172.16.0.200")}
	for i := 1; i < others; i++ {
		all = append(all, hold(t, n, fmt.Sprintf("172.16.0.%d", 200+i)))
	}
	for a, before := range alone {
		if now := conversation(a); now > before+others*allowed {
			t.Errorf("%s: a run's netlink messages are %d bytes alone, and %d beside %d containers with %d ports; want no more than %d for each container",
				a, before, now, others, ports, allowed)
		}
	}
	for _, h := range all {
		h.end(t)
	}
	idle(t, n)
}
