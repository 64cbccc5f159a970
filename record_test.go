//go:build linux

package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"container/nat"
	"container/nl"
	"container/rtnl"
)

func TestFamiliesOf(t *testing.T) {
	of := func(families ...nat.Family) []nl.Request {
		var reqs []nl.Request
		for _, f := range families {
			reqs = append(reqs, nl.Request{Data: []byte{byte(f), 0, 0, 0}})
		}
		return reqs
	}
	for _, c := range []struct{ reqs, want []nat.Family }{
		{nil, nil},
		{[]nat.Family{nat.IPv4}, []nat.Family{nat.IPv4}},
		{[]nat.Family{nat.IPv6, nat.IPv6, nat.IPv4, nat.Bridge, nat.IPv6}, []nat.Family{nat.IPv6, nat.IPv4, nat.Bridge}},
	} {
		if got := familiesOf(of(c.reqs...)); !slices.Equal(got, c.want) {
			t.Errorf("messages of %s: got %s, want %s", c.reqs, got, c.want)
		}
	}
	for _, c := range []nat.Claim{
		{Addresses: addrList("172.16.0.30")},
		{Addresses: addrList("fd00:16::30")},
		aClaim(),
	} {
		got := familiesOf(c.Restore())
		for _, f := range c.Families() {
			if !slices.Contains(got, f) {
				t.Errorf("a claim in %s: got %s", c.Families(), got)
			}
		}
		if len(got) != len(c.Families()) {
			t.Errorf("a claim in %s: got %s", c.Families(), got)
		}
	}
}

// aClaim is one in all families.
func aClaim() nat.Claim {
	return nat.Claim{
		Bridge:    "br0",
		Networks:  prefixList("172.16.0.100/24,fd00:16::100/64"),
		Addresses: addrList("172.16.0.30,fd00:16::30"),
		Index:     7,
		MAC:       net.HardwareAddr{2, 0, 0, 0, 0, 5},
		Ports:     []nat.Port{{HostPort: 80, Port: 8000, Proto: 6}},
	}
}

// A process's name is its program's, and may look like the end of itself.
func TestProcStat(t *testing.T) {
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "a) Z 1 (b c")
	if err := os.WriteFile(program, sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"/bin/sleep", program} {
		pid := child(t, program)
		f, err := procStat(pid)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains("RSD", f[0]) || f[1] != strconv.Itoa(os.Getpid()) {
			t.Errorf("%s: state %s, parent %s; want one that runs or sleeps, and %d", program, f[0], f[1], os.Getpid())
		}
		if parent, err := parentOf(pid); err != nil || parent != os.Getpid() {
			t.Errorf("%s: got the parent %d (error %v), want %d", program, parent, err, os.Getpid())
		}
	}
	if _, err := procStat(ended(t)); !os.IsNotExist(err) {
		t.Errorf("of one that has ended: got the error %v", err)
	}
}

// What a runner has written down is found from its container's first process.
func TestRecord(t *testing.T) {
	pid := child(t, "/bin/sleep")
	if reqs, err := record(pid); !errors.Is(err, errNoRecord) {
		t.Fatalf("before it is kept: got %d requests and the error %v", len(reqs), err)
	}
	who := tenant{rtnl.Link{Name: "veth1f3a"}, occupant{addrList("172.16.0.30,fd00:16::30"), pid, "sleep", true}, addrList("172.16.0.30")}
	s := &inventory{live: []tenant{who}}
	if all, err := s.list(); err != nil || len(all) != 0 {
		t.Errorf("a container that is about to begin is in the list: %+v (error %v)", all, err)
	}
	if err := s.restore(); err != nil {
		t.Errorf("there is nothing to restore: %v", err)
	}

	t.Cleanup(func() { dropRecords(t) })
	claim := aClaim()
	if err := keepRecord(claim.Restore()); err != nil {
		t.Fatal(err)
	}
	got, err := record(pid)
	if err != nil {
		t.Fatal(err)
	}
	want := claim.Restore()
	if len(got) != len(want) {
		t.Fatalf("got %d requests of %d", len(got), len(want))
	}
	for i, r := range got {
		if w := want[i]; r.Type != w.Type || r.Flags != w.Flags || !bytes.Equal(r.Data, w.Data) || r.What != "what was leased and published" {
			t.Errorf("request %d: got %+v, want %+v", i, r, w)
		}
	}
	if all, err := s.list(); err != nil || len(all) != 1 || !all[0].Lost {
		t.Errorf("one that has lost an address: %+v (error %v)", all, err)
	}

	if reqs, err := record(ended(t)); !os.IsNotExist(err) {
		t.Errorf("of one that has ended: got %d requests and the error %v", len(reqs), err)
	}
}

// A record is larger than one message, or a pipe.
func TestRecordLarge(t *testing.T) {
	pid := child(t, "/bin/sleep")
	t.Cleanup(func() { dropRecords(t) })
	claim := aClaim()
	claim.Ports = ports(t, "1-65535:1-65535")
	if err := keepRecord(claim.Restore()); err != nil {
		t.Fatal(err)
	}
	got, err := record(pid)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := nl.Marshal(got), nl.Marshal(claim.Restore()); !bytes.Equal(a, b) || len(a) < 1<<20 {
		t.Errorf("got %d bytes of %d, or others", len(a), len(b))
	}
}

// dropRecords closes what keepRecord keeps until the process ends.
func dropRecords(t *testing.T) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "/memfd:"+recordName+" (deleted)" {
			n, err := strconv.Atoi(filepath.Base(fd))
			if err != nil {
				t.Fatal(err)
			}
			closeFD(n)
		}
	}
}
