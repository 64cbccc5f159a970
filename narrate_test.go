//go:build linux

package main

import (
	"bytes"
	"flag"
	"io"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nat"
	"container/nl"
	"container/rtnl"
)

// -x once and twice, -xx, and taken back.
func TestNarrationFlags(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want narration
	}{
		{nil, narration{}},
		{[]string{"-x"}, narration{level: 1}},
		{[]string{"-x", "-x"}, narration{level: 2}},
		{[]string{"-x", "-x", "-x"}, narration{level: 2}},
		{[]string{"-xx"}, narration{level: 2}},
		{[]string{"-xx", "-x"}, narration{level: 2}},
		{[]string{"-x", "-x=false"}, narration{}},
		{[]string{"-pcap", "x.pcap"}, narration{capture: "x.pcap"}},
	} {
		var got narration
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		got.flags(fs)
		if err := fs.Parse(tt.args); err != nil || got != tt.want {
			t.Errorf("%q: got %+v and the error %v, want %+v", tt.args, got, err, tt.want)
		}
	}
}

// What a narrator of nobody's costs: nothing, and nobody need ask whether there
// is one.
func TestNoNarrator(t *testing.T) {
	x, err := narration{}.narrate(io.Discard)
	if x != nil || err != nil {
		t.Fatalf("got %v and %v", x, err)
	}
	if x.tracer() != nil || x.inside(1) != nil {
		t.Error("a tracer of nobody's is not nil")
	}
	x.note("nothing")
	x.held(3, nat.Port{}, true, true)
	x.cloned(&program{}, "child", 1)
	x.carriedOut(&program{}, true)
	x.group("", cgroup.Limits{PIDs: 5})
	x.close()
}

// conversation has a narrator of a level hear requests and their answers, which
// came so, errnos of 0 included.
func conversation(t *testing.T, level int, reqs []nl.Request, errnos ...unix.Errno) string {
	t.Helper()
	var out bytes.Buffer
	x, err := narration{level: level}.narrate(&out)
	if err != nil {
		t.Fatal(err)
	}
	c := nl.New(-1, unix.NETLINK_ROUTE, x.tracer())
	x.Send(c, reqs, nl.Marshal(reqs))
	for i, errno := range errnos {
		ack := nl.Marshal([]nl.Request{{Type: netlink.Error, Data: make([]byte, 20)}})
		ack[8] = byte(i + 1) // nlmsg_seq, on a little-endian machine; on others of the first alone
		if native := (nl.Request{Data: make([]byte, 4)}); nl.Marshal([]nl.Request{native})[0] == 0 {
			ack[8], ack[11] = 0, byte(i+1)
		}
		n := uint32(-int32(errno))
		for j := range 4 {
			ack[16+j] = byte(n >> (8 * j))
			if ack[8] == 0 {
				ack[16+j] = byte(n >> (24 - 8*j))
			}
		}
		x.Receive(c, ack)
	}
	x.close()
	return regexp.MustCompile(`(?m)^\+ [0-9]+\.[0-9]{3}ms `).ReplaceAllString(out.String(), "+ T ")
}

func TestNarrateMessages(t *testing.T) {
	up := rtnl.Up(1, "lo")
	for _, tt := range []struct {
		name   string
		reqs   []nl.Request
		errnos []unix.Errno
		want   string
	}{
		{"one", []nl.Request{up}, []unix.Errno{0}, "+ T ip link set dev lo up\n"},
		{"refused", []nl.Request{up}, []unix.Errno{unix.EPERM}, "+ T ip link set dev lo up\n  = link lo: set up: operation not permitted\n"},
		{"no answer", []nl.Request{up}, nil, "+ T ip link set dev lo up\n"},
		{"without a command", []nl.Request{{What: "transaction: begin", Data: make([]byte, 4)}}, nil, "+ T # transaction: begin\n"},
		{"a terminal's codes", []nl.Request{rtnl.SetAlias("lo", "\x1b[31m\n")}, nil, "+ T ip link set dev lo alias '?[31m?'\n"},
	} {
		if got := conversation(t, 1, tt.reqs, tt.errnos...); got != tt.want {
			t.Errorf("%s: got\n%swant\n%s", tt.name, got, tt.want)
		}
	}
}

// With -xx each answer stands below its request, and what gets none is told all
// the same.
func TestNarrateBytes(t *testing.T) {
	got := conversation(t, 2, []nl.Request{rtnl.Up(1, "lo"), rtnl.Up(2, "eth0"), rtnl.Up(3, "eth1")}, 0, unix.ENODEV)
	var outline []string
	for line := range strings.Lines(got) {
		if !strings.HasPrefix(line, "    ") {
			outline = append(outline, strings.TrimSpace(line))
		}
	}
	want := []string{
		"+ T ip link set dev lo up", "= ack",
		"+ T ip link set dev eth0 up", "= link eth0: set up: no such device",
		"+ T ip link set dev eth1 up",
	}
	if !slices.Equal(outline, want) {
		t.Errorf("got %q, want %q", outline, want)
	}
	for _, words := range []string{"nlmsg_type RTM_NEWLINK", "ifi_flags IFF_UP", "error -ENODEV"} {
		if !strings.Contains(got, words) {
			t.Errorf("no %q in\n%s", words, got)
		}
	}
}

// The commands of a network namespace that isn't the caller's say so.
func TestNarrateInside(t *testing.T) {
	var out bytes.Buffer
	x, err := narration{level: 1}.narrate(&out)
	if err != nil {
		t.Fatal(err)
	}
	reqs := []nl.Request{rtnl.Up(1, "lo")}
	tr := x.inside(4711)
	tr.Send(nl.New(-1, unix.NETLINK_ROUTE, tr), reqs, nl.Marshal(reqs))
	if want := "ms nsenter -t 4711 -n ip link set dev lo up\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("got %q, want %q at its end", out.String(), want)
	}
}

func TestNarrateSysctl(t *testing.T) {
	for name, want := range map[string]string{
		"net/ipv4/ip_forward":                 "sysctl -w net.ipv4.ip_forward=1",
		"net/ipv4/conf/eth0.5/route_localnet": "sysctl -w net/ipv4/conf/eth0.5/route_localnet=1",
		"net/ipv6/conf/wlan-1/accept_ra":      "sysctl -w net.ipv6.conf.wlan-1.accept_ra=1",
	} {
		var out bytes.Buffer
		x, _ := narration{level: 1}.narrate(&out)
		x.sysctl(name, "1")
		if !strings.HasSuffix(out.String(), "ms "+want+"\n") {
			t.Errorf("%s: got %q, want %q", name, out.String(), want)
		}
	}
}

// A capture that can't be begun is an error; one that can't go on is not.
func TestCaptureFails(t *testing.T) {
	if _, err := (narration{capture: filepath.Join(t.TempDir(), "no/such/dir")}).narrate(io.Discard); err == nil || !strings.HasPrefix(err.Error(), "-pcap: ") {
		t.Errorf("got the error %v, want one of -pcap", err)
	}
	var out bytes.Buffer
	x, err := narration{capture: filepath.Join(t.TempDir(), "x.pcap")}.narrate(&out)
	if err != nil {
		t.Fatal(err)
	}
	_ = x.file.Close()
	reqs := []nl.Request{rtnl.Up(1, "lo")}
	for range 2 {
		x.Send(nl.New(-1, unix.NETLINK_ROUTE, x), reqs, nl.Marshal(reqs))
	}
	if got := out.String(); !strings.HasPrefix(got, "main: warning: -pcap: ") || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q, want one warning", got)
	}
}

// Steps as a C program would have them.
func TestSystemCallWords(t *testing.T) {
	p := &program{line: 3}
	dot := p.str(".")
	for _, tt := range []struct {
		step step
		want string
	}{
		{call("pivot_root . .", unix.SYS_PIVOT_ROOT, dot, dot), `pivot_root(".", ".")`},
		{call("umount the old root", unix.SYS_UMOUNT2, dot, unix.MNT_DETACH), `umount2(".", MNT_DETACH)`},
		{newSession(), `setsid()`},
		{dieWithParent(), `prctl(PR_SET_PDEATHSIG, SIGKILL)`},
		{noNewPrivs(), `prctl(PR_SET_NO_NEW_PRIVS, 1)`},
		{p.mount("make mounts private", "", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), `mount(NULL, "/", NULL, MS_REC|MS_PRIVATE, NULL)  # make mounts private`},
		{p.mount("mount proc on /proc", "proc", "/proc", "proc", noNothing, ""), `mount("proc", "/proc", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)`},
		{call("mknod /dev/null", unix.SYS_MKNODAT, atFDCWD(), p.str("/dev/null"), unix.S_IFCHR|0o666, uintptr(unix.Mkdev(1, 3))), `mknodat(AT_FDCWD, "/dev/null", S_IFCHR|0666, makedev(1, 3))`},
		{p.exec("/bin/sh", []string{"sh", "-c", "a b"}, []string{"A=1"}), `execve("/bin/sh", ["sh", "-c", "a b"], ["A=1"])`},
		{p.hostname("box"), `sethostname("box", 3)`},
		{p.setCaps(1 << unix.CAP_KILL), `capset(…, {CAP_KILL})`},
		{p.setCaps(noCaps), `capset(…, {none})`},
		{p.setAttr("restrict mounts", atFDCWD(), "/", 0, mountAttr{set: unix.MS_RDONLY}), `mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY}, 32)  # restrict mounts`},
		{p.sendFD("send the netlink socket", 5), `sendmsg(3, {SCM_RIGHTS, [5]}, 0)`},
		{p.waitForGo(), `read(3, …, 1)  # wait for the network`},
		{call("unshare the cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP), `unshare(CLONE_NEWCGROUP)`},
		{call("close all descriptors", unix.SYS_CLOSE_RANGE, 0, uintptr(^uint32(0))), `close_range(0, ~0U, 0)`},
		{call("tell the runner", unix.SYS_WRITE, 4, p.data(make([]byte, 1)), 1), `write(4, "\x00", 1)  # tell the runner`},
	} {
		if got := tt.step.words(p.objects()); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.step.text, got, tt.want)
		}
	}
}

// Every system call of every step that there is has a name here.
func TestSystemCallNames(t *testing.T) {
	if got := call("what", 1<<20).words(nil); got != "syscall(1048576)  # what" {
		t.Errorf("an unknown one is %q", got)
	}
	o, err := parseOptions([]string{"-t", "-rootfs", t.TempDir(), "-v", "/proc:/v", "-v", "/dev/null:/n:ro", "-read-only", "-u", "5:6", "-gateway", "172.16.0.100/24,fd00:16::100/64", "172.16.0.30,fd00:16::30", "sh"})
	if err != nil {
		t.Fatal(err)
	}
	p := &program{line: 3}
	tree, err := p.filesystem(o)
	if err != nil {
		t.Fatal(err)
	}
	bound, err := p.bound(defaultCaps)
	if err != nil {
		t.Fatal(err)
	}
	c := &command{argv: []string{"sh"}, paths: []string{"/bin/sh"}, user: user{uid: 5, gid: 6, groups: []uint32{7, 8}}, terminal: true, confined: true}
	if err := p.run(c); err != nil {
		t.Fatal(err)
	}
	claim := nat.Claim{Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.30")}, Index: 7, Ports: []nat.Port{{HostPort: 53, Port: 53, Proto: unix.IPPROTO_UDP}}}
	for _, s := range slices.Concat(tree, bound, p.prepareIPv6("", o), p.loopbackUp(), p.makeTerminal(), p.setUp, p.command, p.after,
		keepOnly(5), p.sendSocket(unix.NETLINK_ROUTE, 0), p.takeBack(6, claim), p.removeWhenDead(9, []string{"/sys/fs/cgroup/x"})) {
		got := s.words(p.objects())
		if strings.HasPrefix(got, "syscall(") || strings.Contains(got, "0x") {
			t.Errorf("%s: %s", s.text, got)
		}
	}
}
