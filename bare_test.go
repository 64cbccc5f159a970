//go:build linux

package main

import (
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"container/rtnl"
)

// The name tells the address, whole if it is an IPv4 one, and is one that a
// link can have.
func TestLeasedName(t *testing.T) {
	for address, want := range map[string]string{
		"172.16.0.30":                            "vethac10001e",
		"0.0.0.1":                                "veth00000001",
		"255.255.255.254":                        "vethfffffffe",
		"fd00:16::30":                            "veth0000000030",
		"fd00:16::1:2:30":                        "veth0100020030",
		"2001:db8:1234:5678:9abc:def0:1234:5678": "vethf012345678",
	} {
		got := leasedName(netip.MustParseAddr(address))
		if got != want || len(got) > rtnl.MaxName {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
		if err := checkBridgeName(got); err != nil {
			t.Error(err)
		}
	}
}

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
