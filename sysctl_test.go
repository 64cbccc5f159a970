//go:build linux

package main

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nat"
	"container/rtnl"
)

// ownNetns puts a test's thread into a new network namespace, for good: Go ends
// the thread with the test. What is cloned from there is in that namespace too,
// and what is found below /proc/sys/net is that namespace's.
func ownNetns(t *testing.T) {
	t.Helper()
	need.Root(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		need.Skip(t, "needs a new network namespace: "+err.Error())
	}
}

// addLink makes a link in the thread's network namespace.
func addLink(t *testing.T, name string) {
	t.Helper()
	c, err := rtnl.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Do(rtnl.Bridge(name, []byte{2, 0, 0, 0, 0, 1})); err != nil {
		t.Fatal(err)
	}
}

// settings checks what settings are.
func settings(t *testing.T, when string, want map[string]string) {
	t.Helper()
	for name, want := range want {
		if got, err := readSysctl(name); err != nil || got != want {
			t.Errorf("%s: %s is %q (error %v), want %q", when, name, got, err, want)
		}
	}
}

// setAll makes settings.
func setAll(t *testing.T, all ...nat.Sysctl) {
	t.Helper()
	for _, s := range all {
		if err := writeSysctl(s.Name, s.Value); err != nil {
			t.Fatal(err)
		}
	}
}

// A link's name may have dots, and stays one part of the path.
func TestSysctlNames(t *testing.T) {
	for got, want := range map[string]string{
		routeLocalnet("br0"):  "net/ipv4/conf/br0/route_localnet",
		routeLocalnet("br.5"): "net/ipv4/conf/br.5/route_localnet",
		acceptRA("eth0.100"):  "net/ipv6/conf/eth0.100/accept_ra",
		acceptRA("all"):       "net/ipv6/conf/all/accept_ra",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	// That the kernel has them is seen by their names alone.
	for _, name := range []string{ipForward, acceptRedirects, ipv6Forward, routeLocalnet("lo"), acceptRA("lo")} {
		if _, err := os.Stat("/proc/sys/" + name); err != nil {
			t.Error(err)
		}
	}
}

func TestReadSysctl(t *testing.T) {
	for _, name := range []string{"kernel/ostype", "kernel/pid_max"} {
		want, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readSysctl(name); err != nil || got+"\n" != string(want) {
			t.Errorf("%s: got %q (error %v), want %q", name, got, err, want)
		}
	}
}

func TestSysctlErrors(t *testing.T) {
	const advice = "no such file or directory (is /proc mounted, and CONFIG_SYSCTL in the kernel?)"
	_, err := readSysctl("net/ipv4/nonesuch")
	if want := "sysctl net/ipv4/nonesuch: read: " + advice; !errors.Is(err, unix.ENOENT) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	err = writeSysctl("net/ipv4/nonesuch", "1")
	if want := "sysctl net/ipv4/nonesuch: set to 1: " + advice; !errors.Is(err, unix.ENOENT) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	err = sysctlError(ipForward, "set to 1", &os.PathError{Op: "open", Path: "/proc/sys/x", Err: unix.EROFS})
	if want := "sysctl net/ipv4/ip_forward: set to 1: read-only file system (/proc/sys is read-only here: set it outside)"; err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What is written down before forwarding is turned on brings back all that it
// changes, and that brings back what was before.
func TestBeforeForwarding(t *testing.T) {
	ownNetns(t)
	const lo, all = "net/ipv4/conf/lo/forwarding", "net/ipv4/conf/default/forwarding"
	setAll(t, nat.Sysctl{Name: ipForward, Value: "1"}, nat.Sysctl{Name: ipForward, Value: "0"}) // off, everywhere
	settings(t, "off", map[string]string{acceptRedirects: "1", lo: "0", all: "0"})
	plain := []nat.Sysctl{{Name: ipForward, Value: "0"}}
	if old, err := beforeForwarding(); err != nil || !slices.Equal(old, plain) {
		t.Errorf("got %v (error %v), want %v", old, err, plain)
	}

	before := map[string]string{ipForward: "0", acceptRedirects: "0", lo: "1", all: "0"}
	setAll(t, nat.Sysctl{Name: acceptRedirects, Value: "0"}, nat.Sysctl{Name: lo, Value: "1"})
	old, err := beforeForwarding()
	if want := append(plain, nat.Sysctl{Name: acceptRedirects, Value: "0"}, nat.Sysctl{Name: lo, Value: "1"}); err != nil || !slices.Equal(old, want) {
		t.Errorf("got %v (error %v), want %v", old, err, want)
	}
	setAll(t, nat.Sysctl{Name: ipForward, Value: "1"})
	old = append(old, nat.Sysctl{Name: "net/ipv4/conf/nonesuch/forwarding", Value: "1"}) // of one that is gone
	changed, err := putBack(nil, old)
	if err != nil {
		t.Fatal(err)
	}
	settings(t, "put back", before)
	if _, err := putBack(nil, changed); err != nil {
		t.Fatal(err)
	}
	settings(t, "put back again", map[string]string{ipForward: "1", all: "1"})
}

// hasIPv6 skips where the kernel has no IPv6.
func hasIPv6(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		need.Skip(t, err.Error())
	}
}

// A container that has an IPv6 address listens to no router and tells its
// neighbours when its address has come to be elsewhere; one that has none has
// no IPv6 on its link. That goes for a link that is there and for one that is
// yet to come, and for no other.
func TestPrepareIPv6(t *testing.T) {
	hasIPv6(t)
	const conf = "net/ipv6/conf/"
	for _, c := range []struct {
		name      string
		addresses string
		early     bool // the link is there before
		meant     map[string]string
		atLast    map[string]string
	}{
		{"IPv4, a link that is yet to come", "172.16.0.30/24", false,
			map[string]string{"default/accept_ra": "0", "default/ndisc_notify": "0"},
			map[string]string{"veth1/accept_ra": "0", "veth1/ndisc_notify": "0"}},
		{"IPv4, a link that is there", "172.16.0.30/24", true,
			map[string]string{"veth1/accept_ra": "0"},
			map[string]string{"veth1/accept_ra": "0", "veth1/ndisc_notify": "0"}},
		{"IPv6, a link that is yet to come", "172.16.0.30/24,fd00:16::30/64", false,
			map[string]string{"default/accept_ra": "0", "default/ndisc_notify": "1"},
			map[string]string{"veth1/accept_ra": "0", "veth1/ndisc_notify": "1"}},
		{"IPv6, a link that is there", "fd00:16::30/64", true,
			map[string]string{"default/accept_ra": "0", "veth1/accept_ra": "0", "veth1/ndisc_notify": "1"},
			map[string]string{"veth1/accept_ra": "0", "veth1/ndisc_notify": "1"}},
	} {
		// A namespace each. The thread stays locked.
		ownNetns(t)
		setAll(t, nat.Sysctl{Name: conf + "default/accept_ra", Value: "1"})
		if c.early {
			addLink(t, insideName)
		}
		l, err := newLine()
		if err != nil {
			t.Fatal(err)
		}
		p := &program{line: uintptr(l.theirs)}
		p.setUp = keepOnly(l.theirs)
		p.setUp = append(p.setUp, p.prepareIPv6("", &options{addresses: prefixList(c.addresses)})...)
		p.setUp = append(p.setUp, p.sendFD("say that it is done", 0), p.waitForGo())
		pid, err := p.spawn()
		if err != nil {
			t.Fatal(err)
		}
		l.handOver()
		m, err := l.hear()
		if err != nil || m.fd < 0 {
			t.Fatalf("%s: got %+v (error %v): %v", c.name, m, err, p.told(m))
		}
		closeFD(m.fd)
		below := func(short map[string]string) map[string]string {
			whole := make(map[string]string)
			for name, value := range short {
				whole[conf+name] = value
			}
			return whole
		}
		settings(t, c.name, below(c.meant))
		if !c.early {
			addLink(t, insideName)
		}
		if err := l.release(); err != nil {
			t.Error(err)
		}
		if m, err := l.hear(); err != nil || !m.end {
			t.Errorf("%s: got %+v (error %v), want the end: %v", c.name, m, err, p.told(m))
		}
		l.close()
		if _, err := ignoringEINTR(func() (int, error) { return unix.Wait4(pid, nil, 0, nil) }); err != nil {
			t.Fatal(err)
		}
		settings(t, c.name+", at last", below(c.atLast))
	}
}

// told is what a child has said of its failure.
func (p *program) told(m message) error {
	if m.report == nil {
		return nil
	}
	return p.failed(*m.report)
}

func TestLoopbackUp(t *testing.T) {
	ownNetns(t)
	up := func() bool {
		c, err := rtnl.Dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		lo, err := rtnl.Get(c, rtnl.GetLinkIndex(rtnl.LoopbackIndex))
		if err != nil {
			t.Fatal(err)
		}
		return lo.IsUp()
	}
	if up() {
		t.Fatal("lo is up from the first")
	}
	bring := func(before ...step) error {
		p, report, _ := perform(t, 0, func(p *program) {
			p.setUp = append(keepOnly(int(p.line)), before...)
			p.setUp = append(p.setUp, p.loopbackUp()...)
		})
		return p.told(message{report: report})
	}
	// The kernel's refusal, of which sendto(2) says nothing, is heard.
	noneOf := new(program)
	if err := bring(noneOf.setCaps(noCaps)); err == nil || !strings.HasPrefix(err.Error(), "link lo: set up: operation not permitted") || up() {
		t.Errorf("without CAP_NET_ADMIN: got the error %v, and lo is up: %t", err, up())
	}
	if err := bring(); err != nil || !up() {
		t.Errorf("got the error %v, and lo is up: %t", err, up())
	}
	runtime.KeepAlive(noneOf)
}
