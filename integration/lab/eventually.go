//go:build linux

package lab

import (
	"os"
	"testing"
	"time"

	"container/integration/need"
)

// NeedFile is need.Tool for what the kernel shows as a file.
func NeedFile(t testing.TB, n *Node, path string) {
	t.Helper()
	if err := n.Do(func() error { _, err := os.Stat(path); return err }); err != nil {
		need.Skip(t, "needs "+err.Error())
	}
}

// Eventually returns when a condition holds. It is for what the kernel does in
// its own time, as ending a veth some milliseconds after its last process, and
// asks again until a deadline that only a failure ever reaches. The condition
// is an error, nil when it holds.
func Eventually(t testing.TB, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", patience, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// patience is how long something may take that must happen: long enough for
// any machine, as only a failure takes so long.
const patience = 60 * time.Second
