//go:build linux

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// The script that "main -n" prints is run with the real tools in one lab, and
// ./main with the same arguments in another. Then the two are compared, outside
// and in.

// scripted is a kind of run, by its flags and its address.
type scripted struct {
	name string
	args []string // up to the command
	host []string // lines for ip(8) that are true of the host before
	ask  []string // addresses that the container is asked at, by TCP, from outside
	asks []string // the same from the host itself
	udp  bool     // by UDP too
}

// scriptTools are what the scripts need.
func scriptTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"ip", "nft", "sysctl", "mount", "unshare", "nsenter", "setpriv", "capsh", "flock", "script", "ss"} {
		need.Tool(t, tool)
	}
}

// printed is the script for arguments, in a file.
func printed(t *testing.T, n *lab.Node, args ...string) string {
	t.Helper()
	text := says(t, n.Main(words([]string{"-n"}, args)...))
	file := filepath.Join(t.TempDir(), "script")
	put(t, file, text, 0o644)
	for _, shell := range [][]string{{"sh", "-n"}, {"busybox", "sh", "-n"}} {
		if _, stderr, status := n.Command(shell[0], append(shell[1:], file)...).Result(); status != 0 || stderr != "" {
			t.Fatalf("%v: status %d, %s\n%s", shell, status, stderr, text)
		}
	}
	return file
}

var (
	scriptDual = []string{"-gateway", dualGateway}
	scriptMany = []string{"-p", "8000-8999:8000-8999", "-p", "8000-8999:8000-8999/udp"}
)

// scriptRuns are what TestScript compares.
var scriptRuns = []scripted{
	{name: "plain", args: []string{addr30}, asks: []string{addr30 + ":8000"}},
	{name: "published", args: []string{"-p", "80:8000", "-p", "80:8000/udp", addr30},
		ask: []string{hostAddr + ":80"}, asks: []string{addr30 + ":8000", hostAddr + ":80", "127.0.0.1:80"}, udp: true},
	{name: "published on one address", args: []string{"-p", "127.0.0.1:80:8000", "-p", hostAddr + ":81:8000", "-p", "0.0.0.0:82:8000", "-p", "9:9/sctp", addr30},
		ask: []string{hostAddr + ":81", hostAddr + ":82"}, asks: []string{"127.0.0.1:80"}},
	{name: "many ports", args: words(scriptMany, []string{addr30}), ask: []string{hostAddr + ":8000"}},
	{name: "IPv6", args: []string{"-gateway", gateway6, "-p", "80:8000", "-p", "[::]:81:8000", "-p", "[" + hostAddr6 + "]:82:8000", addr30v6},
		ask: []string{at(hostAddr6, 80), at(hostAddr6, 81), at(hostAddr6, 82)}, asks: []string{at(addr30v6, 8000), at(hostAddr6, 80)}},
	{name: "both", args: words(scriptDual, []string{"-p", "80:8000", "-isolate", addr30v6 + "," + addr30}),
		ask: []string{hostAddr + ":80", at(hostAddr6, 80)}, asks: []string{addr30 + ":8000", at(addr30v6, 8000), "127.0.0.1:80"}},
	{name: "auto", args: words(scriptDual, []string{"auto"}), asks: []string{"172.16.0.1:8000", at("fd00:16::1", 8000)}},
	{name: "a prefix of its own", args: []string{addr30 + "/16"}, asks: []string{addr30 + ":8000"}},
	{name: "another bridge", args: []string{"-bridge", "lan.7", "-gateway", "10.9.0.1/16", "10.9.0.2"}, asks: []string{"10.9.0.2:8000"}},
	{name: "a bridge's name for which a shell has a use", args: []string{"-bridge", "a$b'c`;&", addr30}, asks: []string{addr30 + ":8000"}},
	{name: "an administrator's bridge", args: []string{"-p", "80:8000", addr30}, asks: []string{addr30 + ":8000"}, ask: []string{hostAddr + ":80"},
		host: []string{"link add br0 address 02:00:00:00:00:07 type bridge", "link set br0 up", "addr add " + bridgeAddr + "/24 dev br0"}},
	{name: "MTU and MAC", args: words(scriptDual, []string{"-mtu", "1380", "-mac", "02:00:00:00:00:05", addr30 + "," + addr30v6}), asks: []string{addr30 + ":8000"}},
	{name: "a small MTU", args: []string{"-mtu", "1000", addr30}, asks: []string{addr30 + ":8000"}},
	{name: "the uplink's MTU", args: []string{addr30}, host: []string{"link set eth0 mtu 1400"}, asks: []string{addr30 + ":8000"}},
	{name: "no uplink", args: []string{addr30}, host: []string{"route del default", "-6 route flush default"}, asks: []string{addr30 + ":8000"}},
	{name: "isolated", args: []string{"-isolate", addr30}, asks: []string{addr30 + ":8000"}},
	{name: "without nf_tables", args: []string{"-nat=false", addr30}, asks: []string{addr30 + ":8000"}},
	{name: "without nf_tables, IPv6", args: words(scriptDual, []string{"-nat=false", addr30v6}), asks: []string{at(addr30v6, 8000)}},
	{name: "limits", args: []string{"-memory", "64m", "-cpus", "0.5", "-pids-limit", "50", addr30}, asks: []string{addr30 + ":8000"}},
	{name: "network none", args: []string{"-network", "none"}},
	{name: "network host", args: []string{"-network", "host"}, ask: []string{hostAddr + ":8000"}},
}

func TestScript(t *testing.T) {
	t.Parallel()
	scriptTools(t)
	for _, tt := range scriptRuns {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.compare(t)
		})
	}
}

func (tt scripted) compare(t *testing.T) {
	real, told := lab.New(t), lab.New(t)
	for _, l := range []*lab.Lab{real, told} {
		for _, line := range tt.host {
			iproute(t, l.Host, line)
		}
	}
	before := told.Host.Snapshot()
	command := []string{lab.Probe(t), "agent"}
	file := printed(t, told.Host, words(tt.args, command)...)

	a := real.Host.Container(t, tt.args...)
	b := lab.StartAgent(t, told.Host.Command("sh", file))
	pa, pb := boxOf(t, real.Host, a), boxOf(t, told.Host, b)
	tt.alike(t, "the host", func(n *lab.Node) string {
		return state(t, n, 0, map[*lab.Node]int{real.Host: pa, told.Host: pb}[n])
	}, real, told)
	tt.alike(t, "the container", func(n *lab.Node) string {
		pid := map[*lab.Node]int{real.Host: pa, told.Host: pb}[n]
		return state(t, n, pid, pid)
	}, real, told)
	differ(t, "its cgroups", cgroupState(t, pb), cgroupState(t, pa))

	networks := []string{"tcp"}
	if tt.udp {
		networks = append(networks, "udp")
	}
	for _, l := range []struct {
		name string
		*lab.Lab
		box *lab.Agent
	}{{"main", real, a}, {"the script", told, b}} {
		for _, network := range networks {
			if len(tt.ask)+len(tt.asks) > 0 {
				l.box.Serve(t, network, ":8000")
			}
			for _, to := range tt.ask {
				if _, err := l.Outside.Agent().Ask(network, to); err != nil {
					t.Errorf("%s: from outside to %s %s: %v", l.name, network, to, err)
				}
			}
			for _, to := range tt.asks {
				if _, err := l.Host.Agent().Ask(network, to); err != nil {
					t.Errorf("%s: from the host to %s %s: %v", l.name, network, to, err)
				}
			}
		}
	}

	a.Stop(t)
	b.Stop(t)
	if said := strings.ReplaceAll(b.Said(t), interrupted, ""); said != "" {
		t.Errorf("on standard error is %q", said)
	}
	lab.Eventually(t, func() error { return noVeth(real.Host) })
	lab.Eventually(t, func() error { return noVeth(told.Host) })
	tt.alike(t, "what stays", func(n *lab.Node) string { return state(t, n, 0, 0) }, real, told)
	if strings.Contains(tt.name, "network ") {
		if after := told.Host.Snapshot(); after != before {
			differ(t, "the host after", after, before)
		}
		return
	}
	for _, l := range []struct {
		*lab.Lab
		down *lab.Cmd
	}{{real, real.Host.Main("down")}, {told, told.Host.Command("sh", file, "down")}} {
		says(t, l.down)
	}
	if tt.host == nil {
		lab.Eventually(t, func() error { return unchanged(before, told.Host.Snapshot()) })
	}
	tt.alike(t, "what stays after down", func(n *lab.Node) string { return state(t, n, 0, 0) }, real, told)
}

// alike checks that two machines come to be in the same state: a link-local
// address is tentative for a while, and that a link has no carrier any more is
// noticed by and by.
func (tt scripted) alike(t *testing.T, what string, state func(*lab.Node) string, real, told *lab.Lab) {
	t.Helper()
	lab.Eventually(t, func() error {
		want, got := state(real.Host), state(told.Host)
		if want == got {
			return nil
		}
		return fmt.Errorf("%s: - is with main, + is with the script:\n%s", what, difference(want, got))
	})
}

// boxOf is the first process of the container that an agent is in: of the
// runner's children the one in another PID namespace, or below.
func boxOf(t *testing.T, n *lab.Node, a *lab.Agent) int {
	t.Helper()
	own := namespace(t, "self", "pid")
	var find func(pid int) int
	find = func(pid int) int {
		for _, c := range children(pid) {
			if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c)); err == nil && ns != own {
				return c
			}
			if found := find(c); found != 0 {
				return found
			}
		}
		return 0
	}
	pid := find(a.Process.Pid)
	if pid == 0 {
		t.Fatal("no process is in a PID namespace of its own")
	}
	return pid
}

// cgroupState is the groups that a process is in, and what they may have.
func cgroupState(t *testing.T, pid int) string {
	t.Helper()
	var s strings.Builder
	for line := range strings.Lines(readProc(t, pid, "cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		fmt.Fprintln(&s, f[1], vethName.ReplaceAllString(f[2], "VETH"))
		if !strings.Contains(f[2], "/container/") {
			continue
		}
		for _, name := range []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "cpu.cfs_period_us", "pids.max", "memory.max", "memory.swap.max", "cpu.max"} {
			found, _ := filepath.Glob("/sys/fs/cgroup/*" + f[2] + "/" + name)
			again, _ := filepath.Glob("/sys/fs/cgroup" + f[2] + "/" + name)
			for _, file := range append(found, again...) {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&s, "%s %s", vethName.ReplaceAllString(file, "VETH"), b)
			}
		}
	}
	return s.String()
}

var (
	vethName = regexp.MustCompile(`\bveth[0-9a-f]{8}\b`)
	aliasPID = regexp.MustCompile(` pid \d+ `)
)

// state is all that ip(8), nft(8) and /proc/sys tell of a machine's network, or
// of the one that a process is in, without what is different for every run:
// indexes, handles, times, random names and hardware addresses, those of the
// container that box is a process of among them.
func state(t *testing.T, n *lab.Node, pid, box int) string {
	t.Helper()
	inside := func(pid int) func(args ...string) string {
		return func(args ...string) string {
			if pid != 0 {
				args = append([]string{"nsenter", "--target", fmt.Sprint(pid), "--net"}, args...)
			}
			return dumped(t, func() *lab.Cmd { return n.Command(args[0], args[1:]...) })
		}
	}
	run := inside(pid)
	scrub := newScrubber(t, inside(box))
	if box != 0 {
		scrub.pairs = append(scrub.pairs, newScrubber(t, inside(0)).pairs...)
	}
	scrub.words = strings.NewReplacer(scrub.pairs...)
	var s strings.Builder
	for _, line := range []string{
		"ip -d -j link", "ip -d -j addr", "ip -d -j route show table all", "ip -d -j -6 route show table all", "ip -j rule", "nft -j list ruleset",
	} {
		fmt.Fprintf(&s, "== %s\n%s\n", line, scrub.json(t, run(strings.Fields(line)...)))
	}
	s.WriteString("== settings\n")
	settings := run("sh", "-c", `cd /proc/sys/net; grep -rs "" ipv4 ipv6 bridge || :`)
	s.WriteString(scrub.text(sorted(settings)))
	return s.String()
}

// scrubber takes out what is different for every run.
type scrubber struct {
	pairs []string
	words *strings.Replacer
}

func newScrubber(t *testing.T, run func(...string) string) scrubber {
	t.Helper()
	var links []struct {
		Name  string `json:"ifname"`
		MAC   string `json:"address"`
		Index int    `json:"ifindex"`
	}
	if err := json.Unmarshal([]byte(run("ip", "-j", "link")), &links); err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, l := range links {
		switch {
		case vethName.MatchString(l.Name) || strings.HasPrefix(l.Name, "vethac10") || strings.HasPrefix(l.Name, "veth0"):
			pairs = append(pairs, l.MAC, "MAC OF VETH")
		case l.Name == "veth1" || l.Name == "eth0":
			own := linkLocal(t, l.MAC)
			bytes := netip.MustParseAddr(own).As16()
			pairs = append(pairs, l.MAC, "MAC", own, "LINK-LOCAL", fmt.Sprintf("%x", bytes), "LINK-LOCAL")
		}
	}
	return scrubber{pairs: pairs}
}

func (s scrubber) text(text string) string {
	return aliasPID.ReplaceAllString(vethName.ReplaceAllString(s.words.Replace(text), "VETH"), " pid N ")
}

func (s scrubber) json(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s.text(text)), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	b, err := json.MarshalIndent(lasting("", v), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// lasting is a value without members that time changes, and its sets sorted.
func lasting(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range []string{
			"ifindex", "link_index", "link_netnsid", "handle", "metainfo", "permaddr", "txqlen",
			"hello_timer", "tcn_timer", "topology_change_timer", "gc_timer", "message_age_timer", "forward_delay_timer", "hold_timer",
		} {
			delete(v, key)
		}
		for key, value := range v {
			v[key] = lasting(key, value)
		}
	case []any:
		for i := range v {
			v[i] = lasting("", v[i])
		}
		if name == "elem" {
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	}
	return v
}

// scriptLook prints what a command sees of itself.
const scriptLook = `
	id -u; id -g; grep -E "^(Uid|Gid|Groups|Cap|NoNewPrivs|Umask)" /proc/self/status
	pwd; ulimit -Sn; hostname; env | grep -v ^_= | sort
	for f in hostname hosts resolv.conf; do cat /etc/$f; done
	ls -l /dev | grep -v ^total | sed "s/ root .* \\([^ ]* -> \\)/\\1/;s/  *[A-Z][a-z][a-z] .*[0-9] / /" ; ls /proc/acpi /sys/firmware
	(: > /dev/null) && echo null; cat /proc/self/cgroup | sed "s/veth[0-9a-f]*/VETH/"
	[ -w /proc/sys/kernel/hostname ] && echo writable; [ -w / ] && echo "/ too"; set -- /proc/[0-9]*; echo $#
	cat /proc/self/mountinfo | sed "s/^[0-9]* [0-9]* [^ ]* //;s/ shared:[0-9]*//;s/ master:[0-9]*//" | grep -v nsfs | awk '{m[$2]=$0} END {for (i in m) print m[i]}' | sort`

var scriptShow = script(scriptLook)

// scriptInside are what TestScriptInside compares: whether the container has a
// tree of its own, flags, and the command. @data is a directory of the host, and
// @one a file.
var scriptInside = []struct {
	name string
	tree bool
	args []string
	run  []string
}{
	{"plain", false, nil, scriptShow},
	{"tree", true, nil, scriptShow},
	{"names", false, []string{"-hostname", "deb", "-dns", "10.0.0.2", "-dns", "fd00:10::2"}, scriptShow},
	{"tree, names", true, []string{"-hostname", "deb", "-dns", "10.0.0.2"}, scriptShow},
	{"environment", false, []string{"-e", "A=b c", "-e", "B='$x`", "-e", "HOME", "-e", "NOT_SET_ANYWHERE", "-e", "X=a\nINSIDE\nb", "-w", "/usr"}, scriptShow},
	{"tree, environment", true, []string{"-e", "A=b c", "-e", "PATH=/bin", "-w", "/new/dir"}, scriptShow},
	{"user", false, []string{"-u", "65534:12"}, scriptShow},
	{"tree, user", true, []string{"-u", "jo"}, scriptShow},
	{"fewer capabilities", false, []string{"-cap-drop", "ALL", "-cap-add", "CHOWN"}, scriptShow},
	{"more capabilities", false, []string{"-cap-add", "SYS_PTRACE", "-cap-drop", "cap_net_raw"}, scriptShow},
	{"tree, no capability", true, []string{"-cap-drop", "ALL"}, scriptShow},
	{"tree, fewer capabilities, user, directory", true, []string{"-cap-drop", "ALL", "-cap-add", "CHOWN", "-u", "1000:7", "-w", "/bin"}, scriptShow},
	{"privileged", false, []string{"-privileged"}, scriptShow},
	{"tree, privileged", true, []string{"-privileged"}, scriptShow},
	{"read-only", false, []string{"-read-only"}, scriptShow},
	{"tree, read-only", true, []string{"-read-only", "-w", "/there"}, scriptShow},
	{"volumes", false, []string{"-v", "@data:/mnt", "-v", "@one:/dev/one:ro"}, script(scriptLook + "; cat /mnt/file /dev/one; [ -w /dev/one ] || echo ro")},
	{"tree, volumes", true, []string{"-v", "@data:/a/b:ro", "-v", "@one:/etc/hosts", "-v", "/dev/null:/null"}, script(scriptLook + "; cat /a/b/file /etc/hosts; [ -w /a/b/file ] || echo ro; : > /null && echo device")},
	{"tree, a command on a volume", true, []string{"-v", "@data:/usr/bin"}, []string{"tool", "a b"}},
	{"limits", false, []string{"-pids-limit", "20", "-memory", "64m"}, scriptShow},
	{"status", false, nil, script("exit 7")},
	{"killed", false, nil, script("kill -TERM $$")},
	{"arguments", false, nil, []string{"printf", "%s\\n", "a b", "", "'", "$x", "-n", "*", "INSIDE", "a\nINSIDE\nNFT\n"}},
	{"tree, arguments", true, []string{"-w", "/bin"}, []string{"printf", "%s\\n", "a b", "", "'", "$x", "-n", "*"}},
	{"none", false, []string{"-network", "none"}, script(scriptLook + "; cat /proc/net/dev | wc -l; cat /proc/net/if_inet6")},
}

// The command finds itself in the same place: who it is, what it may do, what it
// sees of files, what is told to it.
func TestScriptInside(t *testing.T) {
	t.Parallel()
	scriptTools(t)
	need.Tool(t, "busybox")
	for _, tt := range scriptInside {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := lab.New(t).Host
			dir := t.TempDir()
			put(t, filepath.Join(dir, "data/file"), "text\n", 0o644)
			put(t, filepath.Join(dir, "data/tool"), "#!/bin/sh\necho \"$0 $*\"; pwd\n", 0o755)
			put(t, filepath.Join(dir, "a file"), "more\n", 0o644)
			var args []string
			if tt.tree {
				args = []string{"-rootfs", busyboxTree(t,
					"etc/passwd", "root:x:0:0::/root:/bin/sh\njo:x:1000:1001::/home/jo:/bin/sh\n",
					"etc/group", "jo:x:1001:\nteam:x:2000:jo\n")}
			}
			for _, a := range tt.args {
				args = append(args, strings.NewReplacer("@data", filepath.Join(dir, "data"), "@one", filepath.Join(dir, "a file")).Replace(a))
			}
			if !slices.Contains(args, "none") {
				args = append(args, addr30)
			}
			args = append(args, tt.run...)
			file := printed(t, n, args...)
			want, wantErr, wantStatus := n.Main(args...).Result()
			for _, shell := range [][]string{{"sh"}, {"busybox", "sh"}, {"sh", "-c", `cat "$0" | sh`}} {
				c := n.Command(shell[0], append(shell[1:], file)...)
				tmp := t.TempDir()
				c.Env = append(os.Environ(), "TMPDIR="+tmp)
				got, gotErr, status := c.Result()
				// A shell tells of a signal, and ip of a list that changed while
				// it was read.
				gotErr = strings.TrimPrefix(gotErr, "Terminated\n")
				gotErr = strings.ReplaceAll(gotErr, interrupted, "")
				if status != wantStatus || gotErr != wantErr {
					t.Errorf("%v: status %d, error %q; want %d and %q", shell, status, gotErr, wantStatus, wantErr)
				}
				differ(t, strings.Join(shell, " "), got, want)
				if left := entries(t, tmp); len(left) > 0 {
					t.Errorf("%v leaves %v", shell, left)
				}
			}
		})
	}
}

// scriptTerminal is a run with a terminal of its own.
var scriptTerminal = words([]string{"-t", "-u", "1000", addr30}, script(`tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; echo "$TERM"; stat -c %u "$(tty)"; ls /dev/pts; exit 3`))

func TestScriptTerminal(t *testing.T) {
	t.Parallel()
	scriptTools(t)
	n := lab.New(t).Host
	file := printed(t, n, scriptTerminal...)
	want, wantErr, wantStatus := n.Main(scriptTerminal...).Result()
	if !strings.Contains(want, "three") || wantStatus != 3 {
		t.Fatalf("main has status %d and prints %q", wantStatus, want)
	}
	expect(t, n.Command("sh", file), wantStatus, want, wantErr)
}

// There is no flag of a run that the script has not been compared with.
func TestScriptFlags(t *testing.T) {
	l := lab.New(t)
	used := words(scriptTerminal, scriptChosen)
	for _, tt := range scriptRuns {
		used = append(used, tt.args...)
	}
	for _, tt := range scriptInside {
		used = append(used, tt.args...)
		if tt.tree {
			used = append(used, "-rootfs")
		}
	}
	help := says(t, l.Host.Main("help"))
	flags := regexp.MustCompile(`(?m)^  (-[a-z-]+)`).FindAllStringSubmatch(help, -1)
	if len(flags) < 20 {
		t.Fatalf("help tells of the flags %v", flags)
	}
	for _, f := range flags {
		// Those that say how a run is told, not what it is.
		if slices.Contains([]string{"-n", "-x", "-xx", "-pcap"}, f[1]) {
			continue
		}
		if !slices.ContainsFunc(used, func(a string) bool { return a == f[1] || strings.HasPrefix(a, f[1]+"=") }) {
			t.Errorf("no script is compared for %s", f[1])
		}
	}
}

// scriptChosen is a run whose ports are to be chosen.
var scriptChosen = []string{"-p", "8000-8001", "-p", "127.0.0.1::8000", addr30}

// A port that is to be chosen is told, and leads to the container.
func TestScriptChosenPort(t *testing.T) {
	t.Parallel()
	scriptTools(t)
	l := lab.New(t)
	file := printed(t, l.Host, words(scriptChosen, []string{lab.Probe(t), "agent"})...)
	a := lab.StartAgent(t, l.Host.Command("sh", file))
	told := regexp.MustCompile(`(?m)^published (?:(127\.0\.0\.1):)?(\d+):(\d+)/tcp$`).FindAllStringSubmatch(a.Said(t), -1)
	if len(told) != 3 || told[0][3] != "8000" || told[1][3] != "8001" || told[2][1] != "127.0.0.1" {
		t.Fatalf("on standard error is %q", a.Said(t))
	}
	a.Serve(t, "tcp", ":8000")
	a.Serve(t, "tcp", ":8001")
	for _, to := range []string{hostAddr + ":" + told[0][2], hostAddr + ":" + told[1][2]} {
		if _, err := l.Outside.Agent().Ask("tcp", to); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.Host.Agent().Ask("tcp", "127.0.0.1:"+told[2][2]); err != nil {
		t.Error(err)
	}
	a.Stop(t)
	if c := claims(l.Host); c != "" {
		t.Errorf("what is claimed afterwards: %s", c)
	}
}

// Two that want the same address, and one that is interrupted: what was done is
// undone.
func TestScriptUndo(t *testing.T) {
	t.Parallel()
	scriptTools(t)
	n := lab.New(t).Host
	before := n.Snapshot()
	file := printed(t, n, "-p", "80:8000", "-memory", "64m", addr30, "cat")
	first := n.Command("sh", file)
	// A terminal's ^C reaches all of them.
	first.SysProcAttr.Setpgid = true
	h := &held{Cmd: first, address: addr30, stderr: new(bytes.Buffer)}
	h.start(t)
	veth := hostEndOf(t, n, addr30).Name
	if listed := says(t, n.Main("ls")); !strings.Contains(listed, addr30) || !strings.Contains(listed, "80:8000/tcp") {
		t.Errorf("main ls does not tell of it:\n%s", listed)
	}
	if got := says(t, n.Main("exec", addr30, "hostname")); got != "container\n" {
		t.Errorf("main exec prints %q", got)
	}

	state := claims(n)
	for _, args := range [][]string{{addr30}, {"-p", "80:80", addr31}} {
		second := n.Command("sh", printed(t, n, append(args, "echo", "started")...))
		stdout, stderr, status := second.Result()
		if status != 125 || stdout != "" || !strings.Contains(stderr, "File exists") {
			t.Errorf("the second with %v: status %d, output %q, error %q", args, status, stdout, stderr)
		}
	}
	if got := claims(n); got != state {
		differ(t, "what is claimed", got, state)
	}

	if err := unix.Kill(-first.Process.Pid, unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	if first.Status() != 130 {
		t.Errorf("it ends with the status %d, want 130: %s", first.Status(), h.stderr)
	}
	idle(t, n)
	for _, dir := range []string{"/sys/fs/cgroup/*/container/", "/sys/fs/cgroup/container/"} {
		if left, _ := filepath.Glob(dir + veth); len(left) > 0 {
			t.Errorf("it leaves %v", left)
		}
	}
	says(t, n.Command("sh", file, "down"))
	lab.Eventually(t, func() error { return unchanged(before, n.Snapshot()) })
}

// What goes wrong in the container ends all of it.
func TestScriptFails(t *testing.T) {
	t.Parallel()
	scriptTools(t)
	n := lab.New(t).Host
	before := n.Snapshot()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"-v", filepath.Join(dir, "none") + ":/mnt", addr30},
		{"-v", dir + ":/mnt", "-w", filepath.Join(dir, "none"), addr30},
		{"-network", "none", "-w", filepath.Join(dir, "none")},
	} {
		file := printed(t, n, append(args, "echo", "started")...)
		stdout, stderr, status := n.Command("sh", file).Result()
		if status != 125 || stdout != "" || !strings.Contains(stderr, filepath.Join(dir, "none")) {
			t.Errorf("%v: status %d, output %q, error %q; want 125, nothing and what is missing", args, status, stdout, stderr)
		}
		if args[0] == "-v" {
			idle(t, n)
			says(t, n.Command("sh", file, "down"))
		}
		lab.Eventually(t, func() error { return unchanged(before, n.Snapshot()) })
	}
}

// Anyone can print the script, and printing it does nothing.
func TestScriptOrdinaryUser(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	dir, err := os.MkdirTemp("", "container-test-") // where others may look
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program, err := os.ReadFile(lab.MainBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "main"), string(program), 0o755)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{addr30, "sh"},
		{"-gateway", dualGateway, "-p", "80:8000", "-p", "81", "-memory", "64m", "-cap-add", "SYS_ADMIN", "auto", "sh"},
		{"-nat=false", "-privileged", "-e", "HOME", addr30, "sh"},
	} {
		args = append([]string{"-n"}, args...)
		want := says(t, n.Main(args...))
		c := n.Command(filepath.Join(dir, "main"), args...)
		c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		differ(t, strings.Join(args, " "), says(t, c), want)
	}
	if after := n.Snapshot(); after != before {
		differ(t, "the host", after, before)
	}
	// What can't be meant is refused as it is for a run.
	fails(t, n.Main("-n", "-p", "0.0.0.0:80:80", "-gateway", gateway6, addr30v6, "sh"), 125, "port 0.0.0.0:80:80/tcp: the container has no IPv4 address")
	fails(t, n.Main("-n", addr30), 125, "a COMMAND is missing")
}
