//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAlive(t *testing.T) {
	if !alive(os.Getpid()) {
		t.Error("this process is said to have ended")
	}
	if !alive(1) { // another user's, perhaps
		t.Error("the first process is said to have ended")
	}
	if pid := ended(t); alive(pid) {
		t.Errorf("process %d, which has ended, is said to be there", pid)
	}
	if pid := zombie(t); alive(pid) {
		t.Errorf("process %d, which has ended and not been waited for, is said to be there", pid)
	}
}

// The number of a process in a lease is its own, and not that of the next which
// has its process id.
func TestHolderNumber(t *testing.T) {
	pid := os.Getpid()
	number := holderNumber(pid)
	if number < 0 || int64(number) >= 1<<31 || holderPID(number) != pid {
		t.Errorf("process %d has the number %#x", pid, number)
	}
	if !holderAlive(number) {
		t.Error("this process is said to have ended")
	}
	for bit := pidBits; bit < 31; bit++ {
		if holderAlive(number ^ 1<<bit) {
			t.Errorf("so is not a process %d that started at another time: bit %d", pid, bit)
		}
	}
	if pid := ended(t); holderAlive(holderNumber(pid)) {
		t.Errorf("process %d, which has ended, is said to be there", pid)
	}
}

// ended is the number of a process that was.
func ended(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("/bin/true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// zombie is the number of a process that has ended, and that nobody has waited
// for.
func zombie(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("/bin/true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			return cmd.Process.Pid
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
}
