//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

// testCase is a case: what a user can do, seen from outside of ./main.
type testCase struct {
	name  string
	run   func(*machine) error
	asked bool // it is run when it is asked for by its name only
}

// cases are run one after another; the last leaves the host as it was.
var cases = []testCase{
	{name: "modules", run: testModules, asked: true},
	{name: "check", run: testCheck},
	{name: "run", run: testRun},
	{name: "status", run: testStatus},
	{name: "nat", run: testNAT},
	{name: "publish", run: testPublish},
	{name: "exec", run: testExec},
	{name: "ls", run: testLs},
	{name: "terminal", run: testTerminal},
	{name: "limits", run: testLimits},
	{name: "rootfs", run: testRootfs},
	{name: "narrate", run: testNarrate},
	{name: "killed", run: testKilled},
	{name: "gc", run: testGC},
	{name: "clock", run: testClock},
	{name: "full", run: testFull},
	{name: "down", run: testDown},
	{name: "missing", run: testMissing, asked: true},
}

const (
	address  = "172.16.0.30"
	address6 = "fd00:16::30"
)

// both is the flags and the address of a container that has an address of each
// family; flags stand before it.
func both(flags ...string) []string {
	return slices.Concat([]string{"-gateway", "172.16.0.100/24,fd00:16::100/64"}, flags, []string{address + "," + address6})
}

// Where the modules are left to ./main, "main check" says what a run loads, and
// a run loads it.
func testModules(*machine) error {
	const loads = "the modules that a run loads: "
	err := errors.Join(
		expect(0, loads, "", "check"),
		expect(0, "", "finit_module(", append(both("-x"), "/init", "exit", "0")...),
		expect(0, "", "", "down"),
	)
	r, err2 := run("check")
	if err2 == nil && strings.Contains(r.stdout, loads) {
		err2 = fmt.Errorf("there are some yet:\n%s", r.stdout)
	}
	return errors.Join(err, err2)
}

func testCheck(*machine) error {
	r, err := run("check")
	if err == nil && r.status != 0 {
		err = fmt.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	return err
}

func testRun(*machine) error {
	return expect(0, "container\n", "", append(both(), "/init", "hostname")...)
}

func testStatus(*machine) error {
	return errors.Join(
		expect(7, "", "", address, "/init", "exit", "7"),
		expect(128+9, "", "", address, "/init", "die", "9"),
		expect(127, "", "main: ", address, "/nothing"),
		expect(126, "", "main: ", address, "/lib"),
	)
}

// A container reaches the machine outside with the host's address.
func testNAT(*machine) error {
	var errs []error
	for i, out := range outsidePrefixes {
		for _, network := range []string{"tcp", "udp"} {
			to := netip.AddrPortFrom(out.Addr(), 7).String()
			errs = append(errs, expect(0, hostPrefixes[i].Addr().String()+"\n", "", append(both(), "/init", "ask", network, to)...))
		}
	}
	return errors.Join(errs...)
}

// published is what a container of some cases publishes.
var published = []string{"-p", "8080:80", "-p", "8080:80/udp"}

// A published port is reached from outside, where the client's own address is
// seen, and from the host in each way.
func testPublish(m *machine) error {
	h, err := hold(both(published...)...)
	if err != nil {
		return err
	}
	var errs []error
	for _, network := range []string{"tcp", "udp"} {
		for i, in := range hostPrefixes {
			errs = append(errs, m.away(func() error {
				return answered(network, netip.AddrPortFrom(in.Addr(), 8080), outsidePrefixes[i].Addr().String())
			}))
			errs = append(errs, answered(network, netip.AddrPortFrom(in.Addr(), 8080), ""))
		}
		for _, in := range []string{"127.0.0.1:8080", "[::1]:8080"} {
			errs = append(errs, answered(network, netip.MustParseAddrPort(in), ""))
		}
	}
	return errors.Join(append(errs, h.end())...)
}

// answered asks, and wants an answer, of one client's address if that is given.
func answered(network string, at netip.AddrPort, want string) error {
	got, err := ask(network, at.String())
	if err == nil && (got == "" || want != "" && got != want) {
		err = fmt.Errorf("the client is %q, want %q", got, want)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w", network, at, err)
	}
	return err
}

func testExec(*machine) error {
	h, err := hold(both()...)
	if err != nil {
		return err
	}
	return errors.Join(
		expect(0, "127.0.0.1\n", "", "exec", address, "/init", "ask", "tcp", "127.0.0.1:80"),
		expect(9, "", "", "exec", address6, "/init", "exit", "9"),
		h.end(),
	)
}

func testLs(*machine) error {
	h, err := hold(both(published...)...)
	if err != nil {
		return err
	}
	return errors.Join(
		expect(0, "8080:80/tcp", "", "ls"),
		expect(0, `"`+address6+`"`, "", "ls", "-json"),
		h.end(),
		expect(0, "[]\n", "", "ls", "-json"),
	)
}

func testLimits(*machine) error {
	h, err := hold("-memory", "64m", "-cpus", "0.25", "-pids-limit", "50", address)
	if err != nil {
		return err
	}
	var errs []error
	for _, limit := range [][2]string{{"memory.max", "67108864"}, {"cpu.max", "25000 100000"}, {"pids.max", "50"}} {
		files, _ := filepath.Glob("/sys/fs/cgroup/container/*/" + limit[0])
		if len(files) != 1 {
			errs = append(errs, fmt.Errorf("%d containers have a %s", len(files), limit[0]))
			continue
		}
		b, err := os.ReadFile(files[0])
		if got := strings.TrimSpace(string(b)); err == nil && got != limit[1] {
			err = fmt.Errorf("%s is %s, want %s", files[0], got, limit[1])
		}
		errs = append(errs, err)
	}
	errs = append(errs, h.end(), expect(128+9, "", "", "-memory", "24m", address, "/init", "eat", "64"))
	if left, _ := filepath.Glob("/sys/fs/cgroup/container/*/cgroup.procs"); len(left) > 0 {
		errs = append(errs, fmt.Errorf("control groups are left: %q", left))
	}
	return errors.Join(errs...)
}

// A tree of busybox alone, in which a volume, another user and a read-only root
// file system are seen, and out of which chroot(2) does not lead.
func testRootfs(*machine) error {
	return errors.Join(
		expect(0, "container 1000 init", "", "-rootfs", "/tree", "-v", "/init:/tmp/init", "-u", "guest", "-w", "/tmp", address,
			"/bin/sh", "-c", "echo $(hostname) $(id -u) $(ls)"),
		expect(1, "", "Read-only file system", "-rootfs", "/tree", "-read-only", address, "/bin/sh", "-c", "echo > /new"),
		expect(0, "bin dev etc proc sys tmp\n", "", "-rootfs", "/tree", "-v", "/init:/tmp/init", address, "/tmp/init", "flee", "/tmp"),
		expect(0, "172.16.0.30/24", "", "-rootfs", "/tree", address, "/bin/busybox", "ip", "address"),
	)
}

func testNarrate(*machine) error {
	return errors.Join(
		expect(0, "ip link add", "", "-n", address, "/init", "exit", "0"),
		expect(0, "", "execve(\"/init\"", "-x", address, "/init", "exit", "0"),
		expect(0, "", "IFLA_IFNAME", "-xx", address, "/init", "exit", "0"),
	)
}

// soon is within what time of a SIGKILL a container's ports are closed, and it
// is said that the kernel lacks something: within a second, by a clock that
// counts the machine's instructions, 125 million a second. By that on the wall it
// depends on how busy the machine is that plays this one.
func soon() time.Duration {
	if word("vm.clock") == "wall" {
		return patience
	}
	return time.Second
}

// A SIGKILL to ./main alone takes the container, its link and its ports away.
func testKilled(m *machine) error {
	h, err := hold(both(published...)...)
	if err != nil {
		return err
	}
	if n, err := leases(); n == 0 {
		return fmt.Errorf("the running container has no lease: %v", err)
	}
	began := time.Now()
	if err := h.kill(); err != nil {
		return err
	}
	err = eventually(func() error {
		return gone(m)
	})
	if took := time.Since(began); err == nil && took > soon() {
		err = fmt.Errorf("it took %v", took)
	}
	return err
}

// With the guardian killed too, gc takes back what is left, and nobody else.
func testGC(m *machine) error {
	h, err := hold(both(published...)...)
	if err != nil {
		return err
	}
	if err := h.killAll(); err != nil {
		return err
	}
	if n, err := leases(); n == 0 {
		return fmt.Errorf("the lease is gone without gc: %v", err)
	}
	return errors.Join(
		eventually(noVeth),
		expect(0, "", "", "gc"),
		gone(m),
	)
}

// gone is a condition: nothing is left of any container.
func gone(m *machine) error {
	if n, err := leases(); n != 0 || err != nil {
		return fmt.Errorf("%d addresses are leased: %w", n, err)
	}
	if err := noVeth(); err != nil {
		return err
	}
	return m.away(func() error {
		_, err := ask("tcp", netip.AddrPortFrom(hostPrefixes[0].Addr(), 8080).String())
		if !errors.Is(err, unix.ECONNREFUSED) {
			return fmt.Errorf("port 8080 is not closed: %v", err)
		}
		return nil
	})
}

// noVeth is a condition: no link of a container is there.
func noVeth() error {
	c, err := rtnl.Dial(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	links, err := rtnl.List(c)
	for _, l := range links {
		if strings.HasPrefix(l.Name, "veth") {
			return fmt.Errorf("link %s is there", l.Name)
		}
	}
	return err
}

// leases counts the addresses that are leased.
func leases() (n int, err error) {
	c, err := nl.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		ae := netlink.NewAttributeEncoder()
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, "container")
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, "lease")
		b, err := ae.Encode()
		if err != nil {
			return 0, err
		}
		answers, err := c.Query(nl.Request{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM,
			Flags: netlink.Request | netlink.Dump,
			Data:  append([]byte{family, 0, 0, 0}, b...), // struct nfgenmsg
			What:  "list leases",
		})
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return 0, err
		}
		for _, a := range answers {
			ad, err := netlink.NewAttributeDecoder(a.Data[4:])
			if err != nil {
				return 0, err
			}
			for ad.Next() {
				if ad.Type() == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
					ad.Nested(func(ad *netlink.AttributeDecoder) error {
						for ad.Next() {
							n++
						}
						return nil
					})
				}
			}
		}
	}
	return n, nil
}

// When ./main has taken its things away, the host is as it was before it came.
func testDown(m *machine) error {
	if err := expect(0, "", "", "down"); err != nil {
		return err
	}
	return eventually(func() error {
		after, err := snapshot()
		if err != nil {
			return err
		}
		return differences(m.before, after)
	})
}

// On a host that lacks something ./main says at once what that is, and leaves
// everything as it was; unless it can do without.
func testMissing(m *machine) error {
	began := time.Now()
	r, err := run(append(both("-p", "8080:80"), "/init", "exit", "0")...)
	if err != nil {
		return err
	}
	took := time.Since(began).Round(time.Millisecond)
	say("said %d in %v: %s", r.status, took, r.stderr)
	want := word("vm.want")
	if want == "ok" {
		if r.status != 0 {
			return fmt.Errorf("status %d, want 0", r.status)
		}
		return testDown(m)
	}
	if r.status != 125 {
		return fmt.Errorf("status %d, want 125", r.status)
	}
	if took > soon() {
		err = errors.Join(err, fmt.Errorf("it took %v", took))
	}
	for w := range strings.SplitSeq(want, ",") {
		if !strings.Contains(r.stderr, w) {
			err = errors.Join(err, fmt.Errorf("it does not say %s", w))
		}
	}
	after, err2 := snapshot()
	if err = errors.Join(err, err2, differences(m.before, after)); err != nil {
		return err
	}
	// What does without it is not refused.
	rest := append(both(), "/init", "exit", "0")
	switch {
	case strings.Contains(want, "CONFIG_NFT_FIB"):
	case strings.Contains(want, "CONFIG_NF"):
		rest = append([]string{"-nat=false"}, rest...)
	default:
		return expect(0, "", "", "-network", "none", "/init", "exit", "0")
	}
	return errors.Join(expect(0, "", "", rest...), testDown(m))
}

// The packages' own tests, of which most ask for nothing but a kernel: messages
// and structures are what they must be on this architecture.
func testPackages(*machine) error {
	programs, err := filepath.Glob("/tests/*/test")
	if err != nil || len(programs) == 0 {
		return fmt.Errorf("there are no tests: %v", err)
	}
	var errs []error
	for _, program := range programs {
		cmd := exec.Command(program, "-test.v", "-test.timeout=5m")
		cmd.Dir = filepath.Dir(program)
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w\n%s", program, err, out))
		}
		passed, skipped := strings.Count(string(out), "\n--- PASS"), strings.Count(string(out), "\n--- SKIP")
		say("tests of %s: %d passed, %d skipped, %v", filepath.Base(cmd.Dir), passed, skipped, time.Since(began).Round(10*time.Millisecond))
	}
	return errors.Join(errs...)
}
