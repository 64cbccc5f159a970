//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

const listHeader = "ADDRESS  PID  UP  NETWORK  PORTS  COMMAND\n"

// listing is what "main ls -json" prints of a container.
type listing struct {
	Address string
	PID     int
	Veth    string
	Started time.Time
	Ports   []string
	Command string
}

func list(t *testing.T, n *lab.Node) []listing {
	t.Helper()
	var all []listing
	if err := json.Unmarshal([]byte(says(t, n.Main("ls", "-json"))), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// Where nothing runs, or has ever run, the list is its header; and looking
// changes nothing.
func TestListEmpty(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	expect(t, n.Main("ls"), 0, listHeader, "")
	expect(t, n.Main("ls", "-json"), 0, "[]\n", "")
	same(t, n, before)
	succeed(t, n.Main(address, "true"))
	expect(t, n.Main("ls"), 0, listHeader, "")
	expect(t, n.Main("ls", "-json"), 0, "[]\n", "")
	expect(t, n.Main("ls", "now"), 125, "", `main: ls takes no arguments, and here is "now"`+"\n")
	fails(t, n.Main("ls", "-q"), 125, "flag provided but not defined: -q")
}

// A line for each container, by address, with what it publishes and runs.
func TestList(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	start := time.Now()
	a := hold(t, n, "172.16.0.9")
	b := hold(t, n, "-p", "8081:80", "-p", "10.0.0.1:53:5353/udp", "-p", "8080:80", "172.16.0.200")
	_ = b
	c := holdCommand(t, n, n.Main("-hostname", "box", "-e", "SECRET=x", "172.16.0.10", "sh", "-c", "exec cat  # and more", "a b"), "172.16.0.10")
	_ = c
	checkList(t, n, start, a, b, c)
	a.end(t)
	b.end(t)
	c.end(t)
	expect(t, n.Main("ls"), 0, listHeader, "")
}

func checkList(t *testing.T, n *lab.Node, start time.Time, a, b, c *held) {
	t.Helper()
	var keys []map[string]any
	if err := json.Unmarshal([]byte(says(t, n.Main("ls", "-json"))), &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		var names []string
		for name := range k {
			names = append(names, name)
		}
		if slices.Sort(names); !slices.Equal(names, []string{"address", "addresses", "bridge", "command", "isolated", "lost", "pid", "ports", "started", "veth"}) {
			t.Errorf("a container's keys are %q", names)
		}
	}
	all := list(t, n)
	want := []listing{
		{"172.16.0.9", a.init, a.veth(t, n), time.Time{}, []string{}, "cat"},
		{"172.16.0.10", c.init, c.veth(t, n), time.Time{}, []string{}, "sh -c exec cat  # and more a b"},
		{"172.16.0.200", b.init, b.veth(t, n), time.Time{}, []string{"10.0.0.1:53:5353/udp", "8080:80/tcp", "8081:80/tcp"}, "cat"},
	}
	if len(all) != len(want) {
		t.Fatalf("%d containers are listed, want %d: %+v", len(all), len(want), all)
	}
	for i, w := range want {
		got := all[i]
		// A process's start is counted in hundredths of a second.
		if got.Started.Before(start.Add(-20*time.Millisecond)) || got.Started.After(time.Now().Add(20*time.Millisecond)) {
			t.Errorf("%s started at %v, which is not between %v and now", got.Address, got.Started, start)
		}
		got.Started = time.Time{}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", w) {
			t.Errorf("listed is %+v, want %+v", got, w)
		}
	}
	// The table: the same in words.
	table := strings.Split(strings.TrimSuffix(says(t, n.Main("ls")), "\n"), "\n")
	if len(table) != 4 || strings.Join(strings.Fields(table[0]), " ") != "ADDRESS PID UP NETWORK PORTS COMMAND" {
		t.Fatalf("the table is\n%s", strings.Join(table, "\n"))
	}
	column := strings.Index(table[0], "COMMAND")
	for i, w := range want {
		f := strings.Fields(table[i+1])
		ports := strings.Join(w.Ports, ",")
		if ports == "" {
			ports = "-"
		}
		if f[0] != w.Address || f[1] != fmt.Sprint(w.PID) || !strings.HasSuffix(f[2], "s") || f[3] != "br0" || f[4] != ports || table[i+1][column:] != w.Command {
			t.Errorf("the table has %q of %+v", table[i+1], w)
		}
	}
}

// A container is listed while it runs: as soon as its command does, and no more
// when its run is over; a killed runner's goes by itself.
func TestListFollows(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, "-p", "8080:80", address)
	if got := list(t, n); len(got) != 1 || got[0].PID != h.init {
		t.Fatalf("listed is %+v, want %d alone", got, h.init)
	}
	kill9(t, h.main)
	lab.Eventually(t, func() error {
		if got := list(t, n); len(got) > 0 {
			return fmt.Errorf("listed is %+v yet", got)
		}
		return nil
	})
	// With its guardian too: what is leased yet is nobody's.
	h = hold(t, n, "172.16.0.31")
	kill9(t, h.guardian)
	lab.Eventually(t, func() error { return ended(h.guardian) })
	kill9(t, h.main)
	lab.Eventually(t, func() error {
		if got := says(t, n.Main("ls")); got != listHeader {
			return fmt.Errorf("listed is\n%s", got)
		}
		return nil
	})
	// Another host's are not listed here.
	other := lab.New(t).Host
	h = hold(t, other, address)
	expect(t, n.Main("ls"), 0, listHeader, "")
	h.end(t)
}

// finding is what "main check -json" prints of one thing.
type finding struct {
	Name   string
	OK     bool
	Needed bool
	Config string
	Lost   string
	Error  string
}

func findings(t *testing.T, text string) map[string]finding {
	t.Helper()
	var all []finding
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	found := map[string]finding{}
	for _, f := range all {
		if found[f.Name] != (finding{}) {
			t.Errorf("%s is there twice", f.Name)
		}
		found[f.Name] = f
	}
	return found
}

// checked is what a check is about, at least.
var checked = []string{
	"mount namespace", "pid namespace", "uts namespace", "ipc namespace", "net namespace", "cgroup namespace",
	"bridge", "veth", "forwarding", "seccomp", "cgroup memory", "cgroup cpu", "cgroup pids",
}

// Where a plain run works a check says so, line by line, and leaves nothing.
func TestCheck(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	// In a mount namespace that others on the machine have no part in.
	dir := t.TempDir()
	c := n.Command("sh", "-euc", `busybox mount --make-rshared /; cat /proc/self/mountinfo >`+dir+`/before; "$0" check; cat /proc/self/mountinfo >`+dir+`/after`, lab.MainBinary(t))
	c.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	text := says(t, c)
	found := findings(t, says(t, n.Main("check", "-json")))
	if got := strings.Count(text, "\n"); got != len(found) {
		t.Errorf("there are %d lines for %d things", got, len(found))
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); f[0] != "ok" || !strings.Contains(line, "CONFIG_") {
			t.Errorf("a line is %q, want it ok, with a CONFIG_", line)
		}
	}
	for _, name := range checked {
		f, ok := found[name]
		if !ok || !f.OK || f.Error != "" || !strings.Contains(f.Config, "CONFIG_") || f.Lost == "" || f.Needed == strings.HasPrefix(name, "cgroup ") && name != "cgroup namespace" {
			t.Errorf("of %s it says %+v", name, f)
		}
		if !strings.Contains(text, "  "+name+"  ") {
			t.Errorf("no line is about %s:\n%s", name, text)
		}
	}
	for _, about := range []string{"nf_tables", "nat", "masquerade", "fib", "ct"} {
		if !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool { return slices.Contains(strings.Fields(line), about) }) {
			t.Errorf("no line is about %s:\n%s", about, text)
		}
	}
	for _, l := range limits {
		where := find(t, l.controller)
		version := "cgroup v1 at "
		if where.v2 {
			version = "cgroup v2 at "
		}
		if got := found["cgroup "+l.controller].Config; !strings.HasSuffix(got, version+where.top) {
			t.Errorf("of %s it says %q, want %s%s", l.controller, got, version, where.top)
		}
	}
	same(t, n, before)
	noNewMount(t, "after the check", readFile(t, dir+"/before")+"\n", readFile(t, dir+"/after")+"\n")
	expect(t, n.Main("check", "now"), 125, "", `main: check takes no arguments, and here is "now"`+"\n")

	// Also beside a container, and in it nobody notices.
	h := hold(t, n, address)
	says(t, n.Main("check"))
	h.echo(t)
	h.end(t)
}

// What is missing has a line that says what, what is lost without it, and what
// the kernel said; and the status is 1 if a plain run needs it.
func TestCheckFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	need.Tool(t, "setpriv")
	need.Tool(t, "strace")
	n := lab.New(t).Host
	without := func(call string) []string {
		return []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + call + ":error=ENOSYS", "-e", "signal=none"}
	}
	for name, c := range map[string]struct {
		before  string   // in a mount namespace of its own
		through []string // what starts ./main
		status  int
		missing map[string]string // a word of the error
	}{
		"settings can't be written": {
			before: "busybox mount -o bind /proc/sys /proc/sys; busybox mount -o remount,bind,ro /proc/sys",
			status: 1, missing: map[string]string{"forwarding": "read-only file system"},
		},
		"a limit's controller is not mounted": {
			before: "busybox umount " + find(t, "pids").top,
			status: 0, missing: map[string]string{"cgroup pids": "-pids-limit: "},
		},
		"no capability but one": {
			through: []string{"setpriv", "--bounding-set", "-all,+net_admin"},
			status:  1, missing: map[string]string{"mount namespace": "clone: operation not permitted", "net namespace": "clone: operation not permitted", "bridge": "operation not permitted"},
		},
		"no seccomp filters": {
			through: without("seccomp"),
			status:  1, missing: map[string]string{"seccomp": "function not implemented"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.before == "" {
				c.before = ":"
			}
			run := func(args ...string) *lab.Cmd {
				script := c.before + "\n" + `exec "$@"`
				cmd := n.Command("sh", words([]string{"-euc", script, "sh"}, c.through, []string{lab.MainBinary(t)}, args)...)
				cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
				return cmd
			}
			text, stderr, status := run("check").Result()
			if status != c.status || stderr != "" {
				t.Errorf("status %d, error %q; want %d and nothing", status, stderr, c.status)
			}
			asJSON, _, status := run("check", "-json").Result()
			if status != c.status {
				t.Errorf("-json: status %d, want %d", status, c.status)
			}
			found := findings(t, asJSON)
			for what, word := range c.missing {
				f := found[what]
				if f.OK || !strings.Contains(f.Error, word) {
					t.Errorf("of %s it says %+v, want %q", what, f, word)
				}
				want := fmt.Sprintf("without it: %s (%s)", f.Lost, f.Error)
				if !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
					return strings.HasPrefix(line, "missing  "+what+"  ") && strings.Contains(line, f.Config) && strings.Contains(line, want)
				}) {
					t.Errorf("no line says that %s is missing, and %q:\n%s", what, want, text)
				}
			}
			if name != "no capability but one" {
				for what, f := range found {
					if _, expected := c.missing[what]; !f.OK && !expected {
						t.Errorf("%s is missing too: %s", what, f.Error)
					}
				}
			}
		})
	}
}

// Who is not root hears that, from each verb that takes root.
func TestNobody(t *testing.T) {
	t.Parallel()
	need.Tool(t, "setpriv")
	n := lab.New(t).Host
	for _, args := range [][]string{{"check"}, {"check", "-json"}, {"ls"}, {"exec", address, "true"}} {
		c := n.Command("setpriv", words([]string{"--reuid=65534", "--regid=65534", "--clear-groups", reachable(t)}, args)...)
		expect(t, c, 125, "", "main: this takes root: it makes namespaces, links and firewall rules (try sudo)\n")
	}
}

// reachable is ./main where everybody can execute it.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "living")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(lab.MainBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/main", string(b), 0o755)
	return dir + "/main"
}
