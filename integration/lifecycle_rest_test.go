//go:build linux

package integration

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"container/integration/lab"
)

// sumOf adds up the numbers in the lines of a file that begin with a word.
func sumOf(t *testing.T, path, word string) int {
	t.Helper()
	sum := 0
	for line := range strings.Lines(readFile(t, path)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], word) {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			sum += n
		}
	}
	return sum
}

// wakeUps is how often the threads of processes have gone to sleep so far,
// which they do once for each time that they were woken.
func wakeUps(t *testing.T, pids ...int) int {
	t.Helper()
	sum := 0
	for _, pid := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(tasks) == 0 {
			t.Fatalf("process %d has the threads %q, %v", pid, tasks, err)
		}
		for _, task := range tasks {
			sum += sumOf(t, task, "voluntary_ctxt_switches:")
		}
	}
	return sum
}

// While the command waits, nothing of ours does anything, and what the runner
// and the container's first process hold for themselves is 4 MB at most.
func TestAtRest(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{address},
		append(slices.Clone(published), address),
		{"-gateway", "172.16.0.100/24,fd00:16::100/64", "-p", "8080:80", "-p", "5353:53/udp", address + ",fd00:16::30"}, // by way of [::1], too
		{"-memory", "64m", "-pids-limit", "50", address},
		{"-isolate", address},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			if strings.Contains(args[len(args)-1], ",") && !l.Host.HasIPv6() {
				args = []string{"-p", "8080:80", address}
			}
			h := hold(t, l.Host, args...)
			all := []int{h.main, h.init, h.guardian}
			const window = 3 * time.Second
			private := func(pid int) int { return sumOf(t, fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Private_") }
			lab.Eventually(t, func() error {
				before := wakeUps(t, all...)
				time.Sleep(window) // nothing is waited for: this is how long is looked at
				if n := wakeUps(t, all...) - before; n > 0 {
					return fmt.Errorf("%d wake-ups in %s", n, window)
				}
				const most = 4096
				if got := private(h.main) + private(h.init); got > most {
					return fmt.Errorf("the runner and process 1 hold %d kB, want %d at most", got, most)
				}
				return nil
			})
			t.Logf("private kB: runner %d, process 1 %d, guardian %d", private(h.main), private(h.init), private(h.guardian))
			h.end(t)
		})
	}
}
