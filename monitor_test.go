//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/file"
	"container/integration/need"
)

// The thread that is taken for the monitor is the one that sleeps for a time, and
// not until it is woken, while the program has something to do.
func TestMonitorIsTheMonitor(t *testing.T) {
	m := findMonitor()
	for n, end := 0, time.Now().Add(time.Minute); n < 20; {
		// Where it is in the kernel: a system call's number, and its arguments.
		b, err := file.Read(fmt.Sprintf("/proc/self/task/%d/syscall", m))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(b), fmt.Sprint(unix.SYS_NANOSLEEP, " ")) {
			n++
		}
		if time.Now().After(end) {
			t.Fatalf("thread %d was found asleep %d times in a minute; now %q", m, n, b)
		}
	}
}

func TestMonitorCanBeCalm(t *testing.T) {
	m := findMonitor()
	slack := func() string {
		b, err := file.Read(fmt.Sprintf("/proc/%d/timerslack_ns", m))
		if err != nil {
			need.Skip(t, "needs Linux 4.6 and CAP_SYS_NICE: "+err.Error())
		}
		return strings.TrimSpace(string(b))
	}
	before := slack()
	m.be(calm)
	if got, want := slack(), fmt.Sprint(calm); got != want {
		t.Errorf("calm is %s ns, not %s", got, want)
	}
	m.be(lively)
	if got := slack(); got != before {
		t.Errorf("lively is %s ns, not %s as before", got, before)
	}
	monitor(0).be(calm) // it was not found
}
