//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"container/integration/lab"
)

// The resolvers inside are the host's, less those that are the host's own
// loopback addresses: of systemd-resolved, the ones that it asks itself; if
// none is left, public ones. Everything else in the file stays. Or they are
// those of -dns.
func TestResolvers(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	const public = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
	for _, c := range []struct {
		name, host, systemd string
		flags               []string
		want                string
	}{
		{"as they are", "nameserver 10.9.8.7\nnameserver 2001:db8::1\n", "", nil, "nameserver 10.9.8.7\nnameserver 2001:db8::1\n"},
		{"with more", "# how\nsearch a.b c.d\nnameserver 10.9.8.7\noptions ndots:2\n", "", nil, "# how\nsearch a.b c.d\noptions ndots:2\nnameserver 10.9.8.7\n"},
		{"loopback beside others", "nameserver 127.0.0.53\nnameserver 10.1.1.1\nnameserver ::1\nnameserver\t127.9.9.9\n", "", nil, "nameserver 10.1.1.1\n"},
		{"systemd-resolved", "nameserver 127.0.0.53\noptions edns0\nsearch stub\n", "nameserver 10.2.2.2\nsearch real\n", nil, "search real\nnameserver 10.2.2.2\n"},
		{"loopback alone", "search a\nnameserver 127.0.0.1\n", "", nil, "search a\n" + public},
		{"loopback everywhere", "nameserver 127.0.0.1\n", "nameserver ::1\n", nil, public},
		{"none", "", "", nil, public},
		{"no newline at the end", "nameserver 10.9.8.7", "", nil, "nameserver 10.9.8.7\n"},
		{"-dns", "nameserver 10.9.8.7\n", "", []string{"-dns", "1.1.1.1", "-dns", "2001:db8::2"}, "nameserver 1.1.1.1\nnameserver 2001:db8::2\n"},
		{"-dns on loopback", "nameserver 10.9.8.7\n", "", []string{"-dns", "127.0.0.1"}, "nameserver 127.0.0.1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir+"/resolv.conf", c.host, 0o644)
			before := "busybox mount -t tmpfs tmpfs /run; busybox mount -o bind " + dir + "/resolv.conf /etc/resolv.conf"
			if real, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
				before = strings.Replace(before, "/etc/resolv.conf", real, 1)
			}
			if c.systemd != "" {
				put(t, dir+"/systemd", c.systemd, 0o644)
				before += "; mkdir -p /run/systemd/resolve; cp " + dir + "/systemd /run/systemd/resolve/resolv.conf"
			}
			for _, root := range [][]string{{"-rootfs", tree}, nil} {
				got := says(t, behind(t, n, before, words(root, c.flags, []string{address, "cat", "/etc/resolv.conf"})...))
				differ(t, "/etc/resolv.conf", got, c.want)
			}
		})
	}
	expect(t, n.Main("-dns", "one", address, "true"), 125, "", `main: invalid value "one" for flag -dns: not an address`+"\n")
}

// The names inside are the container's own, in each place where a program may
// look.
func TestNames(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const look = `cat /etc/hostname; hostname; uname -n; cat /proc/sys/kernel/hostname; echo $HOSTNAME; cat /etc/hosts; ls -l /etc/hosts | cut -c1-10`
	for _, root := range [][]string{{"-rootfs", tree}, nil} {
		for name, flags := range map[string][]string{"container": nil, "box.example": {"-hostname", "box.example"}} {
			want := strings.Repeat(name+"\n", 5) +
				"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n172.16.0.30\t" + name + "\n-rw-r--r--\n"
			differ(t, fmt.Sprint(root, flags), says(t, n.Main(words(root, flags, []string{address}, script(look))...)), want)
		}
	}
	// What a program writes there is its container's own.
	expect(t, n.Main("-rootfs", tree, address, "sh", "-c", "echo x >>/etc/hosts && tail -n1 /etc/hosts"), 0, "x\n", "")
	expect(t, n.Main("-rootfs", tree, address, "sh", "-c", "grep -c x /etc/hosts"), 1, "0\n", "")
	if now, _ := os.Hostname(); now != host {
		t.Errorf("the host was %s, and is %s", host, now)
	}
}

// The tree's own files are not written, whatever the container writes there;
// and when all that is mounted on is there, nothing of the tree is changed at
// all.
func TestTreeIsUntouched(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t, "etc/hosts", "the tree's hosts\n", "etc/hostname", "the tree's\n", "etc/resolv.conf", "nameserver 192.0.2.1\n", "data/x", "")
	for _, dir := range []string{"proc", "sys", "dev"} {
		put(t, filepath.Join(tree, dir, "covered"), "", 0o644)
	}
	before := treeState(t, tree)
	const write = `for f in hosts hostname resolv.conf; do echo changed >/etc/$f; done; echo x >/dev/null; echo x >/dev/x; cat /etc/hosts`
	expect(t, n.Main(words([]string{"-rootfs", tree, "-v", t.TempDir() + ":/data", "-w", "/data/new", "-hostname", "box", address}, script(write))...), 0, "changed\n", "")
	says(t, n.Main(words([]string{"-rootfs", tree, "-privileged", address}, script(write))...))
	differ(t, "the tree", treeState(t, tree), before)

	var files string
	for _, name := range []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} {
		files += treeState(t, name)
	}
	says(t, n.Main(words([]string{address}, script(write))...))
	for _, name := range []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} {
		if !strings.Contains(files, treeState(t, name)) {
			t.Errorf("the host's own %s has changed", name)
		}
	}
}

// A thousand orphans are reaped as they end: a limit of three hundred processes,
// among which the dead count until then, is not reached.
func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	// Each round's orphan has no parent left but the first process. When the
	// limit is met the shell can't fork and says so.
	const orphans = `
i=0
while [ $i -lt 1000 ]; do
	(true &)
	i=$((i+1))
done
while [ $(ls -d /proc/[0-9]* | wc -l) -gt 4 ]; do :; done
echo $i`
	got := says(t, n.Main(words([]string{"-rootfs", tree, "-pids-limit", "300", address}, script(orphans))...))
	if got != "1000\n" {
		t.Errorf("of the orphans came %q", got)
	}
}

// Signals reach the command by way of the first process, whoever the user is,
// for a run and for an exec; and what they did to it is the status.
func TestSignalsPass(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, "172.16.0.31")
	for _, verb := range [][]string{{address}, {"-u", "1000", address}, {"exec", "172.16.0.31"}, {"exec", "-u", "1000", "172.16.0.31"}} {
		for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2} {
			for trapped, status := range map[bool]int{true: 7, false: 128 + int(sig)} {
				trap := ""
				if trapped {
					trap = fmt.Sprintf("trap 'exit 7' %d; ", sig)
				}
				c := n.Main(words(verb, script("ulimit -c 0; "+trap+"echo ready; while :; do read x; done"))...)
				stdin, err := c.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				awaitLine(t, c, "ready")
				if err := c.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				_ = c.Wait()
				stdin.Close()
				if got := c.Status(); got != status {
					t.Errorf("%v, %v, trapped %v: status %d, want %d", verb, sig, trapped, got, status)
				}
			}
		}
	}
	h.end(t)
}

// awaitLine starts a program and returns when it has said a line.
func awaitLine(t *testing.T, c *lab.Cmd, want string) {
	t.Helper()
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len(want)+1)
	for got := 0; got < len(line); {
		m, err := stdout.Read(line[got:])
		if got += m; err != nil {
			_ = c.Wait()
			t.Fatalf("%s: %q, then %v: status %d", c.Args, line[:got], err, c.Status())
		}
	}
	if string(line) != want+"\n" {
		t.Fatalf("%s says %q", c.Args, line)
	}
}

// The first process takes little, is seen as what it is, and tells nothing of
// the host: not the runner's command line with the container's secrets, not
// its environment, memory, files or program.
func TestFirstProcessTellsNothing(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t,
		// Files, for the words to look for are in no command line then.
		"grep.sh", `for p in /proc/[0-9]*; do tr '\0' '\n' <$p/cmdline; done | grep -f /words; echo /proc/[0-9]*`,
		"words", "hunter\nrootfs\nSECRET\n"+address+"\n")
	const look = `
tr '\0' ' ' </proc/1/cmdline | sed 's/ *$//'; echo
cat /proc/1/comm
for f in environ mem maps auxv exe cwd root fd/0 io stack syscall personality; do
	(cat /proc/1/$f) >/dev/null 2>&1 && echo $f can be read
done
ls -A /proc/1/fd; ls -A /proc/1/map_files
readlink /proc/1/exe /proc/1/cwd /proc/1/root /proc/1/ns/pid
kill -STOP 1; kill -KILL 1; kill -TERM 1
true`
	want := "init\ninit\n"
	for _, flags := range [][]string{{"-rootfs", tree}, {"-rootfs", tree, "-u", "1000"}, nil} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			c := n.Main(words([]string{"-e", "SECRET=hunter2", "-hostname", "somebody"}, flags, []string{address}, script("trap '' TERM\n{"+look+"\n} 2>/dev/null"))...)
			c.Env = append(os.Environ(), "HOSTS=business")
			expect(t, c, 0, want, "")
		})
	}
	// In no process's command line is there what the runner was told.
	expect(t, n.Main("-e", "SECRET=hunter2", "-rootfs", tree, address, "sh", "/grep.sh"), 0, "/proc/1 /proc/2\n", "")
	// And the host sees the runner, the init and the guardian by names of their
	// own, the latter two without the runner's arguments.
	h := hold(t, n, "-e", "SECRET=hunter2", "172.16.0.31")
	for pid, want := range map[int]string{h.init: "init", h.guardian: "guardian"} {
		if got := strings.TrimRight(readProc(t, pid, "cmdline"), "\x00"); got != want {
			t.Errorf("/proc/%d/cmdline is %q, want %q", pid, got, want)
		}
		if got := strings.TrimSpace(readProc(t, pid, "comm")); got != want {
			t.Errorf("/proc/%d/comm is %q, want %q", pid, got, want)
		}
	}
	if f := stat(h.command); f[1] != strconv.Itoa(h.init) {
		t.Errorf("the command's parent is %s, want the init, %d", f[1], h.init)
	}
	h.end(t)
}
