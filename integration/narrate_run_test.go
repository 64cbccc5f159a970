//go:build linux

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// Lines of a narration: what this process does, with the time, and what a child
// will do.
var (
	toldLine = regexp.MustCompile(`^\+ [0-9]+\.[0-9]{3}ms (\S.*)$`)
	stepLine = regexp.MustCompile(`^\+ \[(child|command|guardian|keeper)(?: if [^]]+)?\] (\S.*)$`)
	callLine = regexp.MustCompile(`^[a-z_0-9]+\(`)
)

// thing is a thing of a narration: a command, or a system call, and how the
// kernel refused it.
type thing struct{ text, refused string }

// narrated runs ./main, which must end with a status, and gives what it told. All
// of standard error must be of the narration's form.
func narrated(t *testing.T, c *lab.Cmd, status int) (things []thing, steps map[string][]string) {
	t.Helper()
	_, stderr, got := c.Result()
	if got != status {
		t.Fatalf("%s: status %d, want %d\n%s", strings.Join(c.Args[1:], " "), got, status, stderr)
	}
	steps = map[string][]string{}
	for line := range strings.Lines(stderr) {
		line = strings.TrimSuffix(line, "\n")
		if m := toldLine.FindStringSubmatch(line); m != nil {
			things = append(things, thing{text: m[1]})
		} else if m := stepLine.FindStringSubmatch(line); m != nil {
			steps[m[1]] = append(steps[m[1]], m[2])
		} else if why, ok := strings.CutPrefix(line, "  = "); ok && len(things) > 0 {
			things[len(things)-1].refused = why
		} else {
			t.Errorf("what is the line %q?", line)
		}
	}
	return things, steps
}

// Each command that -x tells is one that the real tools take, and that does what
// it says: typed one after another on a host that is the same, all of them
// succeed but those that the kernel refused here as well, and what they have made
// is what ./main has.
func TestNarrationIsTrue(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"ip", "nft", "sysctl", "bridge", "nsenter"} {
		need.Tool(t, tool)
	}
	host, other := lab.New(t).Host, lab.New(t)
	box := other.Machine("container").Agent()
	things, _ := narrated(t, host.Main("-x", "-gateway", "172.16.0.100/24,fd00:16::100/64", "-p", "80:8000",
		"-isolate", "-mac", "02:00:00:00:00:05", "172.16.0.30,fd00:16::30", "true"), 0)

	pid := regexp.MustCompile(`\b(nsenter -t|netns) [0-9]+\b`)
	typed := 0
	for _, th := range things {
		cmd, _, _ := strings.Cut(th.text, " | ") // | grep, by an index that differs
		if callLine.MatchString(cmd) || strings.HasPrefix(cmd, "# ") {
			continue
		}
		typed++
		cmd = pid.ReplaceAllString(cmd, fmt.Sprintf("$1 %d", box.Process.Pid))
		out, err := other.Host.Command("sh", "-c", cmd).CombinedOutput()
		if (err != nil) != (th.refused != "") {
			t.Errorf("%s: %v, and ./main was told %q\n%s", cmd, err, th.refused, out)
		}
	}
	if typed < 60 {
		t.Errorf("only %d commands", typed)
	}
	// The claim's elements are gone with the run.
	elements := regexp.MustCompile(`(?s)\n\s*elements = \{.*?\}\n`)
	byHand, byMain := elements.ReplaceAllString(other.Host.Ruleset(), "\n"), elements.ReplaceAllString(host.Ruleset(), "\n")
	if byHand != byMain {
		t.Errorf("by hand\n%s\nby ./main\n%s", byHand, byMain)
	}
}

// The order of things, and of what is told of them.
func TestNarrationOrder(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	things, steps := narrated(t, n.Main("-x", "-p", "80:8000", address, "sh", "-c", "exit 3"), 3)
	at := 0
	for _, want := range []string{
		`^clone3?\(.*\) = [0-9]+$`, // the guardian
		`^bind\([0-9]+, 0\.0\.0\.0:80\)`,
		`^ip link add name br0 group 1835100526 address 02:42:ac:10:00:64 up type bridge$`,
		`^sysctl -w net\.ipv4\.conf\.br0\.route_localnet=1$`,
		`^ip addr add 172\.16\.0\.100/24 dev br0`,
		`^ip link add name veth[0-9a-f]{8} .*type veth peer name veth1 .*netns [0-9]+$`,
		`^nft create table ip container$`,
		`^nft create element ip container lease '\{ 172\.16\.0\.30 : [0-9]+ \}'$`,
		`^nft create element ip container publish '\{ tcp \. 80 : 172\.16\.0\.30 \. 8000 \}'$`,
		`^nsenter -t [0-9]+ -n ip link set dev lo up$`,
		`^nsenter -t [0-9]+ -n ip addr add 172\.16\.0\.30/24 dev veth1`,
		`^nsenter -t [0-9]+ -n ip route add default via 172\.16\.0\.100$`,
		`^write\(.*  # let the child go on$`,
		`^wait4\([0-9]+\) = exit status 3$`,
		`^write\(.*guardian`,
		`^exit_group\(3\)$`,
	} {
		for ; at < len(things) && !regexp.MustCompile(want).MatchString(things[at].text); at++ {
		}
		if at == len(things) {
			t.Fatalf("no %s where it should be in %q", want, things)
		}
		at++
	}
	for label, want := range map[string][]string{
		"child":    {`setsid()`, `mount("proc", "/proc", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)`, `prctl(PR_SET_NO_NEW_PRIVS, 1)`, `seccomp(SECCOMP_SET_MODE_FILTER`, `clone(SIGCHLD)`},
		"command":  {`  # wait for the network`, `setresuid(0, 0, 0)`, `capset(`, `["sh", "-c", "exit 3"]`},
		"guardian": {`  # wait for the end of the run`, `clone3(CLONE_NEWNS|`, `nft delete element ip container lease '{ 172.16.0.30 :`, `nft delete element ip container publish '{ tcp . 80 :`},
	} {
		inOrder(t, label, strings.Join(steps[label], "\n"), want...)
	}

	// In a tree of its own.
	root := t.TempDir()
	_, steps = narrated(t, n.Main("-x", "-network", "none", "-rootfs", root, "-v", lab.Probe(t)+":/probe", "/probe", "agent"), 0)
	inOrder(t, "child", strings.Join(steps["child"], "\n"), "ip link set dev lo up", "open_tree(", `pivot_root(".", ".")`, `umount2(".", MNT_DETACH)`, "move_mount(")
}

// inOrder checks that words are in a text, one behind the other.
func inOrder(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		i := strings.Index(text, w)
		if i < 0 {
			t.Errorf("%s: no %q where it should be in\n%s", what, w, text)
			return
		}
		text = text[i:]
	}
}

// Neither the command's output nor its status nor its input are touched, and a
// run that fails says why in its last line.
func TestNarrationIsApart(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for _, x := range []string{"-x", "-xx"} {
		for _, network := range [][]string{{address}, {"-network", "none"}} {
			c := n.Main(words([]string{x}, network, []string{"sh", "-c", "cat; exit 7"})...)
			c.Stdin = strings.NewReader("in and out\n")
			stdout, stderr, status := c.Result()
			if stdout != "in and out\n" || status != 7 || !strings.HasSuffix(stderr, "exit_group(7)\n") {
				t.Errorf("%s: status %d, output %q; want 7 and what came in", c.Args[1:], status, stdout)
			}
			if strings.Contains(stderr, "\x1b") || strings.Contains(stderr, "\r") {
				t.Errorf("%s: colour, or carriage returns, in a pipe", c.Args[1:])
			}
		}
	}
	_, stderr, status := n.Main("-x", "-bridge", "lo0", "-gateway", "10.0.0.1/24", "10.0.0.9", "true").Result()
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if status != 125 || len(lines) < 3 || !strings.HasPrefix(lines[len(lines)-1], "main: ") {
		t.Errorf("status %d, and it ends with %q; want 125 and the error", status, lines[len(lines)-1])
	}
	// Without -x, not a word.
	succeed(t, n.Main(address, "true"))
}

// -xx shows the message itself and what the kernel says to it.
func TestNarrationBytes(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for _, x := range [][]string{{"-xx"}, {"-x", "-x"}} {
		_, stderr, status := n.Main(words(x, []string{"-p", "80:8000", address, "true"})...).Result()
		if status != 0 {
			t.Fatalf("status %d\n%s", status, stderr)
		}
		_, veth, ok := strings.Cut(stderr, "type veth peer name veth1 ")
		veth, port, _ := strings.Cut(veth, "\n+ ")
		port, _, _ = strings.Cut(port, "\n+ ")
		inOrder(t, fmt.Sprint(x, ok), veth, "nlmsg_type RTM_NEWLINK", "NLM_F_REQUEST|NLM_F_EXCL|NLM_F_CREATE",
			"76 65 74 68", `IFLA_IFNAME "veth`, `IFLA_INFO_KIND "veth"`, `IFLA_IFNAME "veth1"`, "IFLA_NET_NS_PID")
		inOrder(t, "the other message of the same send", port, "nlmsg_type RTM_NEWLINK", "NLM_F_REQUEST|NLM_F_ACK", "\n  = ack")
		inOrder(t, "a lease, whose set may be there already", stderr, "nft create element ip container lease", "NFTA_DATA_VALUE 172.16.0.30")
		inOrder(t, "an answer", stderr, "ip -d link show dev veth", "\n  = answer\n", "RTM_NEWLINK", `IFLA_IFNAME "veth`)
		inOrder(t, "the guardian's", stderr, "+ [guardian] nft delete element ip container lease", "NFT_MSG_DELSETELEM")
	}
	n.Container(t, address)
	_, stderr, _ := n.Main("-xx", address, "true").Result()
	inOrder(t, "a refusal", stderr, "nft create element ip container lease", "\n  = ", "file exists", "error -EEXIST", "main: address ")
}

// The other verbs have -x too.
func TestNarrationOfVerbs(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	n.Container(t, address)
	for _, verb := range []struct {
		args []string
		want string
	}{
		{[]string{"ls", "-x"}, `^nft list map ip container lease$`},
		{[]string{"exec", "-x", address, "true"}, `^clone3?\(.*\) = [0-9]+$`},
		{[]string{"gc", "-x"}, `^ip -d link show$`},
		{[]string{"check", "-x"}, `^nsenter -t [0-9]+ -n nft create table ip container$`},
	} {
		things, _ := narrated(t, n.Main(verb.args...), 0)
		found := false
		for _, th := range things {
			found = found || regexp.MustCompile(verb.want).MatchString(th.text)
		}
		if !found {
			t.Errorf("%s: no %s in %q", verb.args, verb.want, things)
		}
	}
	other := lab.New(t).Host
	succeed(t, other.Main(address, "true"))
	things, _ := narrated(t, other.Main("down", "-x"), 0)
	var all strings.Builder
	for _, th := range things {
		fmt.Fprintln(&all, th.text)
	}
	inOrder(t, "down", all.String(), "sysctl -w net.ipv4.ip_forward=0", "nft delete table ip container", "ip link del dev br0")
}

// A terminal gets colour, unless it is asked not to; what is written while the
// command has the terminal begins at the line's start.
func TestNarrationColour(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	for _, tt := range []struct {
		env  string
		want bool
	}{{"TERM=vt100", true}, {"NO_COLOR=1", false}, {"TERM=dumb", false}, {"NO_COLOR=", true}} {
		y := newConsole(t)
		c := y.on(n.Main("-x", address, "true"))
		c.Env = append(c.Env, tt.env)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		y.ends(t, c, 0)
		_ = y.slave.Close()
		<-y.end
		got := y.shown.String()
		if colour := strings.Contains(got, "\x1b[2m"); colour != tt.want || !strings.Contains(got, "ip link add name br0") && !strings.Contains(got, "ip -d link show dev br0") {
			t.Errorf("%s: colour %t, want %t\n%q", tt.env, colour, tt.want, got)
		}
		if strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\n") {
			t.Errorf("%s: a line feed alone, on a terminal that does nothing else for it\n%q", tt.env, got)
		}
	}
}

// The capture is one that tshark reads, with both sides of the conversation in it.
func TestCapture(t *testing.T) {
	t.Parallel()
	need.Tool(t, "tshark")
	n := lab.New(t).Host
	file := filepath.Join(t.TempDir(), "run.pcap")
	stdout, stderr, status := n.Main("-pcap", file, "-p", "80:8000", address, "sh", "-c", "echo out; exit 5").Result()
	if stdout != "out\n" || stderr != "" || status != 5 {
		t.Errorf("status %d, output %q, error %q; want 5, out and nothing", status, stdout, stderr)
	}
	// RTM_NEWLINK with the names of both ends of the veth, from this side and
	// from the kernel's.
	frames := func(filter string, fields ...string) []string {
		args := []string{"-r", file, "-Y", filter, "-T", "fields"}
		for _, f := range fields {
			args = append(args, "-e", f)
		}
		out, err := exec.Command("tshark", args...).Output()
		if err != nil {
			t.Fatalf("tshark %s: %v", args, err)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	made := frames(`netlink-route.nltype == 16 && netlink.hdr_flags.request == 1`, "frame.number", "netlink-route.ifla_ifname")
	if !regexp.MustCompile(`\bveth[0-9a-f]{8}\b`).MatchString(strings.Join(made, "\n")) {
		t.Errorf("no RTM_NEWLINK with a veth's name from this side: %q", made)
	}
	answered := frames(`netlink-route.nltype == 16 && netlink.hdr_flags.request == 0`, "frame.number", "netlink-route.ifla_ifname")
	if !regexp.MustCompile(`\bveth1\b`).MatchString(strings.Join(answered, "\n")) {
		t.Errorf("no RTM_NEWLINK with veth1 from the kernel: %q", answered)
	}
	// The ruleset and the claim; the guardian's taking it back, the only one to
	// ask for no acknowledgement of an NFT_MSG_DELSETELEM; and nothing that
	// can't be read.
	for filter, want := range map[string]bool{
		`netlink-netfilter.subsys == 10 && frame contains "lease"`: true,
		`frame contains 0e:0a:01:00 || frame contains 0a:0e:00:01`: true,
		`_ws.malformed`: false,
	} {
		if got := frames(filter, "frame.number"); (got[0] != "") != want {
			t.Errorf("%s: frames %q; some: %t", filter, got, want)
		}
	}

	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, status = n.Main("-pcap", file+"/no", address, "true").Result()
	if status != 125 || !strings.HasPrefix(stderr, "main: -pcap: ") {
		t.Errorf("a file that can't be made: status %d, error %q", status, stderr)
	}
}
