//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"container/nat"
	"container/rtnl"
)

// published is ports that lead to an address, as nf_tables has them: on all
// addresses of a family means that family's unspecified one.
func published(t *testing.T, to string, all ...string) []nat.Published {
	t.Helper()
	var list []nat.Published
	for _, p := range ports(t, all...) {
		list = append(list, nat.Published{Port: p, Address: addrList(to)[0]})
	}
	return list
}

// Each port is told as it was asked for, in one family, the other, or both.
func TestPortsOf(t *testing.T) {
	const v4, v6 = "172.16.0.30", "fd00:16::30"
	others := append(published(t, "172.16.0.31", "0.0.0.0:80:1", "127.0.0.1:81:1"), published(t, "fd00:16::31", "[::]:80:1")...)
	for _, c := range []struct {
		name      string
		addresses string
		in4, in6  []string
		want      []string
	}{
		{"none", v4 + "," + v6, nil, nil, nil},
		{"of one that has IPv4", v4, []string{"0.0.0.0:80:8000"}, nil, []string{"80:8000/tcp"}},
		{"of one that has IPv6", v6, nil, []string{"[::]:80:8000/udp"}, []string{"80:8000/udp"}},
		{"in both families", v4 + "," + v6, []string{"0.0.0.0:80:8000"}, []string{"[::]:80:8000"}, []string{"80:8000/tcp"}},
		{"in one of two", v4 + "," + v6, []string{"0.0.0.0:80:8000"}, nil, []string{"0.0.0.0:80:8000/tcp"}},
		{"in the other of two", v4 + "," + v6, nil, []string{"[::]:80:8000"}, []string{"[::]:80:8000/tcp"}},
		{"two that lead to different ports", v4 + "," + v6, []string{"0.0.0.0:80:8000"}, []string{"[::]:80:8001"},
			[]string{"0.0.0.0:80:8000/tcp", "[::]:80:8001/tcp"}},
		{"two protocols", v4 + "," + v6, []string{"0.0.0.0:53:53", "0.0.0.0:53:53/udp"}, []string{"[::]:53:53/udp"},
			[]string{"0.0.0.0:53:53/tcp", "53:53/udp"}},
		{"at addresses", v4 + "," + v6, []string{"127.0.0.1:80:8000", "10.0.0.1:80:8000"}, []string{"[::1]:80:8000"},
			[]string{"10.0.0.1:80:8000/tcp", "127.0.0.1:80:8000/tcp", "[::1]:80:8000/tcp"}},
		{"in order, however they come", v4, []string{"0.0.0.0:82:2", "0.0.0.0:80:9/udp", "127.0.0.1:1:1", "0.0.0.0:81:1"}, nil,
			[]string{"81:1/tcp", "82:2/tcp", "127.0.0.1:1:1/tcp", "80:9/udp"}},
	} {
		s := &inventory{ports: slices.Concat(published(t, v4, c.in4...), others, published(t, v6, c.in6...))}
		var got []string
		for _, p := range s.portsOf(tenant{who: occupant{addresses: addrList(c.addresses)}}) {
			got = append(got, p.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// Ports that follow one upon another, on both sides, are one range.
func TestPortList(t *testing.T) {
	for _, c := range []struct{ ports, want []string }{
		{nil, nil},
		{[]string{"80:8000"}, []string{"80:8000/tcp"}},
		{[]string{"80:8000", "81:8001"}, []string{"80-81:8000-8001/tcp"}},
		{[]string{"8000-8099:8000-8099"}, []string{"8000-8099:8000-8099/tcp"}},
		{[]string{"1-65535:1-65535/udp"}, []string{"1-65535:1-65535/udp"}},
		{[]string{"65534-65535:65534-65535"}, []string{"65534-65535:65534-65535/tcp"}},
		{[]string{"80:8000", "82:8002"}, []string{"80:8000/tcp", "82:8002/tcp"}},
		{[]string{"80:8000", "81:8002"}, []string{"80:8000/tcp", "81:8002/tcp"}},
		{[]string{"80:8000", "81:8000"}, []string{"80:8000/tcp", "81:8000/tcp"}},
		{[]string{"80-81:80-81", "82:9", "83-84:83-84"}, []string{"80-81:80-81/tcp", "82:9/tcp", "83-84:83-84/tcp"}},
		{[]string{"80-81:80-81", "82:82/udp"}, []string{"80-81:80-81/tcp", "82:82/udp"}},
		{[]string{"80:80", "127.0.0.1:81:81"}, []string{"80:80/tcp", "127.0.0.1:81:81/tcp"}},
		{[]string{"[::1]:80-89:80-89/udp"}, []string{"[::1]:80-89:80-89/udp"}},
		// In the order of the host's ports.
		{[]string{"443:1", "8000-8001:1-2", "127.0.0.1:22:22", "53:53/udp"}, []string{"127.0.0.1:22:22/tcp", "53:53/udp", "443:1/tcp", "8000-8001:1-2/tcp"}},
	} {
		got := portList(ports(t, c.ports...))
		if got == nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.ports, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	since := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	var b bytes.Buffer
	err := table(&b, []listed{
		{Addresses: []string{"172.16.0.1"}, PID: 7, Bridge: "br0", Started: since(90 * time.Second), Ports: []string{}, Command: "bash"},
		{Addresses: []string{"172.16.0.30", "fd00:16::30"}, PID: 4242, Bridge: "br-office", Started: since(50 * time.Hour),
			Ports: []string{"80:8000/tcp", "8000-8099:8000-8099/tcp"}, Command: "nginx -g x"},
		{Addresses: []string{"fd00:16::31"}, PID: 10000, Bridge: "br0", Started: since(2 * time.Hour), Ports: []string{"1:1/udp"}, Lost: true, Command: "sleep 5"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `
ADDRESS                  PID    UP  NETWORK    PORTS                                COMMAND
172.16.0.1               7      1m  br0        -                                    bash
172.16.0.30,fd00:16::30  4242   2d  br-office  80:8000/tcp,8000-8099:8000-8099/tcp  nginx -g x
fd00:16::31              10000  2h  br0        lost                                 sleep 5
`[1:]
	if got := b.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	b.Reset()
	if err := table(&b, nil); err != nil || b.String() != "ADDRESS  PID  UP  NETWORK  PORTS  COMMAND\n" {
		t.Errorf("of none: %q (error %v)", b.String(), err)
	}
}

func TestUpTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                            "0s",
		59*time.Second + 999e6:       "59s",
		time.Minute:                  "1m",
		time.Hour - 1:                "59m",
		time.Hour:                    "1h",
		48*time.Hour - 1:             "47h",
		48 * time.Hour:               "2d",
		(24*365 + 23) * time.Hour:    "365d",
		90*time.Minute + time.Second: "1h",
	} {
		if got := upTime(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}

func TestStartTime(t *testing.T) {
	const tick = 10 * time.Millisecond
	before := time.Now()
	pid := child(t, "/bin/sleep")
	started, err := startTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel counts in ticks, and the answer is a whole one.
	if after := time.Now(); started.Before(before.Add(-2*tick)) || started.After(after.Add(2*tick)) {
		t.Errorf("it began at %s, not between %s and %s", started, before, after)
	}
	if _, err := startTime(ended(t)); !os.IsNotExist(err) {
		t.Errorf("of one that has ended: got the error %v", err)
	}
}

// child is a process of a program that sleeps until the test ends.
func child(t *testing.T, program string) (pid int) {
	t.Helper()
	cmd := exec.Command(program, "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// Without the bridge family's table there is nobody to ask who is isolated.
func TestList(t *testing.T) {
	keep := func(addresses string, index uint32, pid, leased int, command string, nat bool) tenant {
		return tenant{rtnl.Link{Index: index, Name: "veth1f3a", Master: 5}, occupant{addrList(addresses), pid, command, nat}, addrList(addresses)[:leased]}
	}
	self := os.Getpid()
	s := &inventory{
		families: []nat.Family{nat.IPv4, nat.IPv6},
		bridges:  map[uint32]string{5: "br7", 6: "br0"},
		ports:    published(t, "172.16.0.9", "0.0.0.0:80-81:1-2"),
		live: []tenant{
			keep("172.16.0.30,fd00:16::30", 12, self, 2, "sleep 5", true),
			keep("172.16.0.9", 10, self, 1, "bash", true),
			keep("172.16.0.100", 11, self, 0, "bare", false),
			keep("172.16.0.10", 13, ended(t), 1, "gone", true),
			keep("172.16.0.11", 14, self, 0, "about to begin", true), // it has no record yet
		},
	}
	all, err := s.list()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range all {
		if l.Address != l.Addresses[0] || l.PID != self || l.Veth != "veth1f3a" || l.Bridge != "br7" || l.Isolated || l.Lost || l.Started.IsZero() || l.Ports == nil {
			t.Errorf("%+v", l)
		}
		got = append(got, strings.Join(l.Addresses, ",")+" "+strings.Join(l.Ports, ",")+" "+l.Command)
	}
	want := []string{"172.16.0.9 80-81:1-2/tcp bash", "172.16.0.30,fd00:16::30  sleep 5", "172.16.0.100  bare"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// "[]", not "null", is what a program reads that there are none.
	s.live = nil
	if all, err := s.list(); all == nil || len(all) > 0 || err != nil {
		t.Errorf("of none: got %#v (error %v)", all, err)
	}
}
