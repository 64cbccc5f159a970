//go:build linux

package lab

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// mustRun says that nothing may be skipped: a skipped test proves nothing,
// and in CI nobody would see it.
func mustRun() bool {
	return os.Getenv("MUST_RUN") == "1" || os.Getenv("CI") == "true" && os.Geteuid() == 0
}

func skip(t testing.TB, why string) {
	t.Helper()
	if mustRun() {
		t.Fatal(why)
	}
	t.Skip(why)
}

// NeedRoot skips a test that an ordinary user has started. With MUST_RUN=1 it
// fails instead, as does every need where the privilege is there and CI=true.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root, to make a network namespace")
	}
}

// NeedTool skips a test for which a program is missing; it fails instead where
// nothing may be skipped.
func NeedTool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		skip(t, "needs the tool "+name+": "+err.Error())
	}
}

// NeedFile is NeedTool for what the kernel shows as a file.
func NeedFile(t testing.TB, n *Node, path string) {
	t.Helper()
	if err := n.Do(func() error { _, err := os.Stat(path); return err }); err != nil {
		skip(t, "needs "+err.Error())
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
const patience = 20 * time.Second
