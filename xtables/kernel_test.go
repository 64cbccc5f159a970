//go:build linux

package xtables

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/need"
)

// The package against the kernel, and against iptables-legacy: what it shows
// and saves of a table before, after it was opened, and closed again.

// netns puts the rest of the test into a new network namespace, on a thread
// that ends with the test's goroutine. Whether the kernel has x_tables at all
// is tried in another, for that makes tables.
func netns(t testing.TB) {
	t.Helper()
	need.Root(t)
	runtime.LockOSThread()
	for _, try := range []bool{true, false} {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			need.Skip(t, "needs a new network namespace: unshare: "+err.Error())
		}
		for _, f := range []Family{IPv4, IPv6} {
			need.Tool(t, f.tool)
			if !try {
				continue
			}
			if out, err := exec.Command(f.tool, "-w", "-S").CombinedOutput(); err != nil {
				need.Skip(t, "needs "+f.tool+": "+string(out))
			}
		}
	}
}

// run is the standard output of a command that must succeed, given its input.
func run(t testing.TB, input, name string, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, input, stderr.String())
	}
	return string(out)
}

// save is all tables, without the times; with what was counted if asked for.
func (f Family) save(t testing.TB, args ...string) string {
	t.Helper()
	out := run(t, "", f.tool+"-save", args...)
	out = regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(out, "")
	if len(args) == 0 { // policies are shown with theirs anyway
		out = regexp.MustCompile(`\[\d+:\d+\]`).ReplaceAllString(out, "[]")
	}
	return out
}

// restore makes the filter table of lines as save shows them.
func (f Family) restore(t testing.TB, lines string) {
	t.Helper()
	run(t, "*filter\n"+lines+"\nCOMMIT\n", f.tool+"-restore", "-w", "--counters")
}

// raw is the table as the kernel hands it out, less what it alone writes there.
func (f Family) raw(t testing.TB) *table {
	t.Helper()
	s, err := f.dial()
	check(t, err)
	defer s.close()
	tab, err := s.read()
	check(t, err)
	for _, at := range tab.starts {
		clear(tab.blob[at:][tab.cache()+8 : tab.entrySize()])
	}
	return tab
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

func families(t *testing.T, test func(t *testing.T, f Family)) {
	for _, f := range []Family{IPv4, IPv6} {
		t.Run(f.tool, func(t *testing.T) { netns(t); test(t, f) })
	}
}

const (
	fromBr0 = `-A FORWARD -i br0 -m comment --comment "container: br0" -j ACCEPT`
	toBr0   = `-A FORWARD -o br0 -m comment --comment "container: br0" -j ACCEPT`
)

var openTests = []struct {
	name   string
	policy string   // of FORWARD; DROP if empty
	chains []string // of the user's own
	before []string // rules that stay before ours
	ours   []string // what is added; both if nil
	after  []string
}{
	{name: "an empty chain"},
	{
		name:   "rules that are for some packets",
		before: []string{"-i eth0 -o eth1 -j ACCEPT", "-p tcp -m tcp --dport 22 -j ACCEPT", "-i eth0 -j DROP", "-m mark --mark 0x7 -j DROP", "! -i eth0 -j LOG"},
	},
	{
		// Its verdict is the offset of what comes behind it.
		name:   "a rule without a target",
		before: []string{"-i eth0", ""},
	},
	{
		name: "an end of its own", policy: "ACCEPT",
		before: []string{"-i eth0 -j ACCEPT", "-o eth0"},
		after:  []string{"-j DROP", "-i eth9 -j ACCEPT"},
	},
	{
		name: "an end that answers and says why", policy: "ACCEPT",
		before: []string{"-j LOG"},
		after:  []string{`-m comment --comment "the rest" -j REJECT`, "-o eth9"},
	},
	{
		name:   "chains, before and behind, that jump to each other",
		chains: []string{"zzz", "mine"},
		before: []string{"-j mine", "-i eth0 -g mine", "-p tcp -j zzz"},
	},
	{
		name: "an end in another chain", policy: "DROP",
		chains: []string{"refuse"},
		before: []string{"-i eth0 -j refuse"},
		after:  []string{"-j refuse", "-i eth0 -j ACCEPT"},
	},
	{
		name: "an end behind two others", policy: "ACCEPT",
		chains: []string{"allow", "public", "zones"},
		before: []string{"-j allow"},
		after:  []string{"-j zones", "-j DROP"},
	},
	{
		name:   "a return to the policy",
		before: []string{"-i eth0 -j RETURN"},
		after:  []string{"-j RETURN", "-j ACCEPT"},
	},
	{
		name:   "a way from which nothing comes back",
		chains: []string{"mine"},
		after:  []string{"-g mine", "-j ACCEPT"},
	},
	{
		name:   "one of the two is there",
		before: []string{`-i br0 -m comment --comment "container: br0" -j ACCEPT`},
		ours:   []string{toBr0},
	},
	{
		name:   "somebody else has accepted them",
		before: []string{"-i br+ -j ACCEPT", "! -o br1 -j ACCEPT"},
		ours:   []string{},
	},
	{
		name: "somebody else has accepted them elsewhere", policy: "ACCEPT",
		chains: []string{"trusted", "refuse"},
		before: []string{"-i br0 -g trusted", "-o br0 -j trusted"},
		after:  []string{"-j refuse"},
		ours:   []string{},
	},
	{
		name:   "somebody has closed one side on purpose",
		before: []string{"-o br0 -j DROP"},
		ours:   []string{fromBr0},
	},
	{
		name:   "accepted on a condition",
		before: []string{"-i br0 -o eth0 -j ACCEPT", "-i br0 -p udp -j ACCEPT", "-i br00 -j ACCEPT", "! -i br0 -j ACCEPT", "-i br0 -m mark --mark 0x1 -j ACCEPT"},
	},
	{name: "nothing is dropped", policy: "ACCEPT", before: []string{"-i eth0 -j DROP"}, ours: []string{}},
	{name: "all is accepted in the end", before: []string{"-j ACCEPT"}, ours: []string{}},
	{name: "a program decides", before: []string{"-j NFQUEUE --queue-num 1"}, ours: []string{}},
}

// The user's own chains that the tests name.
var userChains = map[string][]string{
	"mine":    {"-i eth2 -j zzz", "-o eth2", "-p tcp -j RETURN", ""},
	"zzz":     {"-i eth3 -j ACCEPT", "-i eth4"},
	"refuse":  {"-p tcp -j REJECT", "-j REJECT"},
	"allow":   {"-i eth5 -j ACCEPT", "-j RETURN", "-j DROP"},
	"public":  {"-j allow", "-j DROP"},
	"zones":   {"-i eth6 -g public", "-g public"},
	"trusted": {"-j ACCEPT"},
}

func TestOpen(t *testing.T) {
	for _, tt := range openTests {
		t.Run(tt.name, func(t *testing.T) {
			families(t, func(t *testing.T, f Family) {
				lines := []string{":INPUT DROP [1:2]", ":FORWARD DROP [3:4]", ":OUTPUT ACCEPT [5:6]"}
				if tt.policy == "ACCEPT" {
					lines[1] = ":FORWARD ACCEPT [3:4]"
				}
				chains := slices.Clone(tt.chains)
				if slices.Contains(chains, "mine") && !slices.Contains(chains, "zzz") {
					chains = append(chains, "zzz")
				}
				for _, c := range chains {
					lines = append(lines, ":"+c+" - [0:0]")
				}
				add := func(chain string, rules ...string) {
					for _, r := range rules {
						lines = append(lines, fmt.Sprintf("[%d:%d] -A %s %s", len(lines), 1000*len(lines), chain, r))
					}
				}
				add("INPUT", "-i lo -j ACCEPT", "")
				add("FORWARD", tt.before...)
				add("FORWARD", tt.after...)
				add("OUTPUT", "-o lo -j ACCEPT", "")
				for _, c := range chains {
					add(c, userChains[c]...)
				}
				ours := tt.ours
				if ours == nil {
					ours = []string{fromBr0, toBr0}
				}
				f.openAndClose(t, strings.Join(lines, "\n"), len(tt.before), ours)
			})
		})
	}
}

// openAndClose makes a table, and opens and closes it. Opened it has our lines,
// behind so many rules of FORWARD, and nothing else has changed; closed it is
// what it was.
func (f Family) openAndClose(t *testing.T, lines string, behind int, ours []string) {
	t.Helper()
	f.restore(t, lines)

	before, counted, blob := f.save(t), f.save(t, "-c"), f.raw(t)
	cmds, err := f.Missing("br0")
	check(t, err)
	same(t, "the table after a look", f.save(t, "-c"), counted)

	check(t, f.Open("br0"))
	want := inserted(before, behind, ours)
	same(t, "opened", f.save(t), want)
	same(t, "opened, with counters", f.save(t, "-c"), inserted(counted, behind, prefix("[0:0] ", ours)))
	if len(cmds) != len(ours) {
		t.Errorf("got the commands %q of %d rules", cmds, len(ours))
	}
	if again, err := f.Missing("br0"); err != nil || again != nil {
		t.Errorf("opened, and still missing: %q (error %v)", again, err)
	}
	opened := f.raw(t)
	check(t, f.Open("br0"))
	if !bytes.Equal(f.raw(t).blob, opened.blob) {
		t.Error("opened twice, the table is another")
	}

	check(t, f.Close("br0"))
	if !strings.Contains(before, comment) {
		same(t, "closed", f.save(t, "-c"), counted)
		if now := f.raw(t); !bytes.Equal(now.blob, blob.blob) || now.hook != blob.hook || now.underflow != blob.underflow {
			t.Error("closed, the table is another than it was before")
		}
	}
	if bridges, err := f.Opened(); err != nil || len(bridges) != 0 {
		t.Errorf("closed, and open for %q (error %v)", bridges, err)
	}

	// The commands do the same as Open.
	f.restore(t, lines)
	for _, c := range cmds {
		run(t, "", "sh", "-c", c)
	}
	same(t, "by commands", f.save(t), want)
	if !bytes.Equal(f.raw(t).blob, opened.blob) {
		t.Error("by commands, the table is another than by Open")
	}
}

// inserted is what was saved with lines more behind the first rules of FORWARD.
func inserted(saved string, behind int, ours []string) string {
	lines := strings.SplitAfter(saved, "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "-A FORWARD ") })
	if at < 0 {
		at = slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "-A OUTPUT ") })
	}
	var more []string
	for _, l := range ours {
		more = append(more, l+"\n")
	}
	return strings.Join(slices.Insert(lines, at+behind, more...), "")
}

func prefix(p string, lines []string) []string {
	all := make([]string, len(lines))
	for i, l := range lines {
		all[i] = p + l
	}
	return all
}

// Several bridges, each closed by itself; and what a person wrote stays.
func TestBridges(t *testing.T) {
	families(t, func(t *testing.T, f Family) {
		f.restore(t, `:FORWARD DROP [0:0]
-A FORWARD -i br9 -m comment --comment "container: br9" -j DROP
-A FORWARD -i br8 -j ACCEPT
-A FORWARD -o br8 -j ACCEPT
-A FORWARD -i br7 -m comment --comment "hello: br7" -j ACCEPT`)
		before := f.save(t)
		longest := "br5678901234567"[:15]
		for _, b := range []string{"br0", longest, "a'b", "br8"} {
			check(t, f.Open(b))
		}
		all := f.save(t)
		for _, want := range []string{longest, `"container: br0"`, `"container: a\'b"`} {
			if strings.Count(all, want) < 2 {
				t.Errorf("%s is not in\n%s", want, all)
			}
		}
		got, err := f.Opened()
		check(t, err)
		if want := []string{"br9", "br0", longest, "a'b"}; !slices.Equal(got, want) {
			t.Errorf("got the bridges %q, want %q", got, want)
		}
		for _, b := range append(got, "br8", "br7") {
			check(t, f.Close(b))
		}
		same(t, "closed", f.save(t), before)
	})
}

// Without comments what looks the same is ours.
func TestWithoutComments(t *testing.T) {
	families(t, func(t *testing.T, f Family) {
		f.restore(t, ":FORWARD DROP [7:8]\n[1:2] -A FORWARD -i eth0 -j ACCEPT\n[3:4] -A FORWARD")
		before := f.save(t, "-c")
		check(t, f.change(func(_ socket, tab *table) bool { return tab.open("br0", unknown) != nil }))
		same(t, "opened", f.save(t, "-c"), inserted(before, 2, []string{"[0:0] -A FORWARD -i br0 -j ACCEPT", "[0:0] -A FORWARD -o br0 -j ACCEPT"}))
		check(t, f.Close("br0")) // which looks for a comment
		if f.save(t, "-c") == before {
			t.Error("what has no comment was closed on a kernel that knows of comments")
		}
		check(t, f.change(func(_ socket, tab *table) bool { return tab.close("br0", false) }))
		same(t, "closed", f.save(t, "-c"), before)
	})
}

// The kernel is asked for no table that it hasn't made.
func TestNoTable(t *testing.T) {
	families(t, func(t *testing.T, f Family) {
		if cmds, err := f.Missing("br0"); err != nil || cmds != nil {
			t.Errorf("Missing: got %q (error %v)", cmds, err)
		}
		check(t, f.Open("br0"))
		check(t, f.Close("br0"))
		if got, err := f.Opened(); err != nil || got != nil {
			t.Errorf("Opened: got %q (error %v)", got, err)
		}
		if names := run(t, "", "cat", "/proc/net/"+f.names); names != "" {
			t.Errorf("now there are the tables %q", names)
		}
		run(t, "", f.tool, "-w", "-t", "mangle", "-P", "FORWARD", "DROP") // another table
		check(t, f.Open("br0"))
		same(t, "the tables", run(t, "", "cat", "/proc/net/"+f.names), "mangle\n")
	})
}

// A thousand rules with as many jumps over the place where ours come in.
func TestManyRules(t *testing.T) {
	families(t, func(t *testing.T, f Family) {
		var b strings.Builder
		fmt.Fprintln(&b, ":INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]")
		for i := range 100 {
			fmt.Fprintf(&b, ":c%d - [0:0]\n", i)
		}
		for i := range 1000 {
			fmt.Fprintf(&b, "[%d:%d] -A INPUT -i i%d -j c%d\n", i, i, i, i%100)
			fmt.Fprintf(&b, "[%d:%d] -A FORWARD -o o%d -g c%d\n", i+1, i, i, (i+7)%100)
			fmt.Fprintf(&b, "[%d:%d] -A c%d -o o%d -j c%d\n", i+2, i, i%50, i, 50+i%50)
		}
		f.openAndClose(t, b.String(), 1000, []string{fromBr0, toBr0})
	})
}

// A table that changed between the look and the replacement: the kernel refuses
// it, and it is read again.
func TestTableChanged(t *testing.T) {
	families(t, func(t *testing.T, f Family) {
		f.restore(t, ":FORWARD DROP [0:0]")
		looks := 0
		edit := func(_ socket, tab *table) bool {
			if looks++; looks == 2 || looks == 3 { // the first is without a lock
				s, err := f.dial()
				check(t, err)
				defer s.close()
				other, err := s.read()
				check(t, err)
				other.open(fmt.Sprint("other", looks), known)
				check(t, s.replace(other))
			}
			return tab.open("br0", known) != nil
		}
		check(t, f.change(edit))
		if looks != 4 {
			t.Errorf("looked %d times, want 4", looks)
		}
		bridges, err := f.Opened()
		check(t, err)
		if want := []string{"other2", "other3", "br0"}; !slices.Equal(bridges, want) {
			t.Errorf("got the bridges %q, want %q", bridges, want)
		}

		// For ever is not tried.
		looks = 0
		err = f.change(func(s socket, tab *table) bool {
			looks++
			tab.count++
			return tab.open("br1", known) != nil
		})
		if !errors.Is(err, unix.EAGAIN) || looks != 6 {
			t.Errorf("got the error %v after %d looks, want %v after 6", err, looks, unix.EAGAIN)
		}
	})
}

// What replaces a table keeps others out, who know of the lock, from before it
// reads the table.
func TestLock(t *testing.T) {
	netns(t)
	IPv4.restore(t, ":FORWARD DROP [0:0]")
	other, err := unix.Open("/run/xtables.lock", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(other)
	looks := 0
	check(t, IPv4.change(func(_ socket, tab *table) bool {
		if looks++; looks == 2 {
			if err := unix.Flock(other, unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
				t.Errorf("another's lock: got the error %v, want %v", err, unix.EWOULDBLOCK)
			}
		}
		return tab.open("br0", known) != nil
	}))
	if looks != 2 {
		t.Errorf("looked %d times, want 2", looks)
	}
	if n := lockFiles(t); n != 1 { // the one of this test
		t.Errorf("the lock's file is open %d times, want 1", n)
	}

	// Nor is it waited for without end; and once it is had, it's let go.
	unlock, err := lock(patience)
	check(t, err)
	_, err = lock(time.Millisecond)
	if want := "lock /run/xtables.lock: another program has held it for 1ms"; err == nil || err.Error() != want {
		t.Errorf("got the error %v, want %s", err, want)
	}
	unlock()
	for deadline := time.Now().Add(20 * time.Second); lockFiles(t) > 1; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the lock is kept by whoever gave up waiting")
		}
	}
}

// lockFiles is how often the lock's file is open here.
func lockFiles(t testing.TB) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && name == "/run/xtables.lock" {
			n++
		}
	}
	return n
}

// Two dozen at once, each for a bridge of its own: none is lost.
func TestAtOnce(t *testing.T) {
	netns(t)
	IPv4.restore(t, ":FORWARD DROP [0:0]")
	ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(ns)
	const many = 24
	errs := make(chan error)
	for i := range many {
		go func() {
			runtime.LockOSThread() // for good
			err := unix.Setns(ns, unix.CLONE_NEWNET)
			if err == nil {
				err = IPv4.Open(fmt.Sprint("br", i))
			}
			errs <- err
		}()
	}
	for range many {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if bridges, err := IPv4.Opened(); err != nil || len(bridges) != many {
		t.Errorf("open for %q (error %v), want %d bridges", bridges, err, many)
	}
	if n := strings.Count(IPv4.save(t), comment); n != 2*many {
		t.Errorf("%d rules, want %d", n, 2*many)
	}
}

// Whoever may not look is told so.
func TestWithoutPrivilege(t *testing.T) {
	netns(t)
	IPv4.restore(t, ":FORWARD DROP [0:0]")
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	check(t, unix.Capget(&header, &caps[0]))
	caps[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	check(t, unix.Capset(&header, &caps[0])) // of this thread alone
	err := IPv4.Open("br0")
	if want := "iptables-legacy: table filter: ask for its size: operation not permitted"; !errors.Is(err, unix.EPERM) || err.Error() != want {
		t.Errorf("got the error %v, want %s", err, want)
	}
}
