//go:build linux

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// dockersCaps are the capabilities that Docker gives a container.
const dockersCaps = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FSETID | 1<<unix.CAP_FOWNER | 1<<unix.CAP_MKNOD |
	1<<unix.CAP_NET_RAW | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETFCAP | 1<<unix.CAP_SETPCAP |
	1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_KILL | 1<<unix.CAP_AUDIT_WRITE

// rights is what statusFields shows of a process with these capabilities.
func rights(permitted, bounding uint64, noNewPrivs, seccomp int) string {
	return fmt.Sprintf("CapInh %016x\nCapPrm %016x\nCapEff %016x\nCapBnd %016x\nCapAmb %016x\nNoNewPrivs %d\nSeccomp %d\n",
		0, permitted, permitted, bounding, 0, noNewPrivs, seccomp)
}

var rightsFields = append(append([]string{}, capabilitySets...), "NoNewPrivs", "Seccomp")

// The capabilities are Docker's, or what the flags make of them; and no process
// gets more by an execve, unless it is -privileged.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	own := ownCaps(t)
	const def = uint64(dockersCaps)
	for _, c := range []struct {
		flags string
		want  uint64
	}{
		{"", def},
		{"-cap-add NET_ADMIN", def | 1<<unix.CAP_NET_ADMIN},
		{"-cap-add CAP_NET_ADMIN -cap-add sys_time", def | 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_TIME},
		{"-cap-drop CHOWN -cap-drop cap_kill", def &^ (1<<unix.CAP_CHOWN | 1<<unix.CAP_KILL)},
		{"-cap-drop ALL", 0},
		{"-cap-drop all -cap-add CHOWN", 1 << unix.CAP_CHOWN},
		{"-cap-add CHOWN -cap-drop ALL", 1 << unix.CAP_CHOWN},
		{"-cap-add ALL", own},
		{"-cap-add ALL -cap-drop SYS_ADMIN -cap-drop CHOWN", own &^ (1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_CHOWN)},
		{"-cap-add NET_ADMIN -cap-drop NET_ADMIN", def | 1<<unix.CAP_NET_ADMIN},
		{"-cap-add BPF -cap-add PERFMON -cap-add CHECKPOINT_RESTORE", def | 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON | 1<<unix.CAP_CHECKPOINT_RESTORE},
	} {
		for _, user := range []struct {
			flags  []string
			effect uint64
		}{{nil, c.want}, {[]string{"-u", "0:5"}, c.want}, {[]string{"-u", "1000:1000"}, 0}} {
			args := words(strings.Fields(c.flags), user.flags, []string{address, "cat", "/proc/self/status"})
			differ(t, strings.Join(args, " "), statusFields(says(t, n.Main(args...)), rightsFields...), rights(user.effect, c.want, 1, 2))
		}
	}
	for flags, want := range map[string]uint64{"-privileged": own, "-privileged -cap-drop SYS_ADMIN": own &^ (1 << unix.CAP_SYS_ADMIN), "-privileged -cap-drop ALL": 0} {
		args := append(strings.Fields(flags), address, "cat", "/proc/self/status")
		differ(t, flags, statusFields(says(t, n.Main(args...)), rightsFields...), rights(want, want, 0, 0))
	}
	for _, flag := range []string{"-cap-add", "-cap-drop"} {
		expect(t, n.Main(flag, "FLY", address, "true"), 125, "", `main: invalid value "FLY" for flag `+flag+`: "FLY" is not a capability (capabilities(7))`+"\n")
	}
}

// What the caller has as inheritable or ambient capabilities, a container has
// not; and what the caller hasn't got it can't give.
func TestCapabilitiesOfCaller(t *testing.T) {
	t.Parallel()
	need.Tool(t, "setpriv")
	n := lab.New(t).Host
	caller := func(flags string, args ...string) *lab.Cmd {
		return n.Command("setpriv", words(strings.Fields(flags), []string{lab.MainBinary(t)}, args, []string{address, "cat", "/proc/self/status"})...)
	}
	const more = "--inh-caps +net_admin,+sys_admin,+chown --ambient-caps +net_admin,+sys_admin,+chown"
	for user, permitted := range map[string]uint64{"0": dockersCaps, "1000": 0} {
		got := says(t, caller(more, "-u", user))
		differ(t, "user "+user, statusFields(got, rightsFields...), rights(permitted, dockersCaps, 1, 2))
	}
	const less = "--bounding-set -sys_time,-audit_write"
	got := says(t, caller(less))
	const want = dockersCaps &^ (1 << unix.CAP_AUDIT_WRITE)
	differ(t, "without a default one", statusFields(got, rightsFields...), rights(want, want, 1, 2))
	expect(t, caller(less, "-cap-add", "SYS_TIME"), 125, "", "main: -cap-add SYS_TIME: the caller hasn't got it to give\n")
	got = says(t, caller(less, "-cap-add", "ALL"))
	all := ownCaps(t) &^ (1<<unix.CAP_AUDIT_WRITE | 1<<unix.CAP_SYS_TIME)
	differ(t, "ALL that it has", statusFields(got, rightsFields...), rights(all, all, 1, 2))
}

// A program that would get privileges by its execve gets none.
func TestNoNewPrivileges(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	busybox, err := os.ReadFile(tree + "/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	// A set-user-ID program: busybox's own id, by a name that it goes by.
	put(t, tree+"/suid/id", string(busybox), 0o755)
	if err := os.Chmod(tree+"/suid/id", 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	expect(t, n.Main("-rootfs", tree, "-u", "1000", address, "/suid/id", "-u"), 0, "1000\n", "")
}

// systemCall is a call that is made for real, and what must come of it. The
// arguments are such that a kernel which lets it through changes nothing.
type systemCall struct {
	name   string
	call   string // perl: the number's place is %d
	number uintptr
	refuse unix.Errno // without more capabilities

	caps  string     // with these it is let through,
	after unix.Errno // and then the kernel itself says this
}

// refusedCalls are refused by the filter, or by the kernel for want of a
// capability, or both.
func refusedCalls() []systemCall {
	calls := []systemCall{
		{"mount", `%d, $none, $mnt, $tmpfs, 0, 0`, unix.SYS_MOUNT, unix.EPERM, "SYS_ADMIN", 0},
		{"umount2", `%d, $no, 0`, unix.SYS_UMOUNT2, unix.EPERM, "SYS_ADMIN", unix.ENOENT},
		{"move_mount", `%d, -1, $empty, -1, $empty, 4`, unix.SYS_MOVE_MOUNT, unix.EPERM, "SYS_ADMIN", unix.ENOENT},
		{"open_tree", `%d, -100, $no, 1`, unix.SYS_OPEN_TREE, unix.EPERM, "SYS_ADMIN", unix.ENOENT},
		{"fsopen", `%d, $none, 0`, unix.SYS_FSOPEN, unix.EPERM, "SYS_ADMIN", unix.ENODEV},
		{"mount_setattr", `%d, -1, $empty, 0, 0, 0`, unix.SYS_MOUNT_SETATTR, unix.EPERM, "SYS_ADMIN", unix.EINVAL},
		{"pivot_root", `%d, $no, $root`, unix.SYS_PIVOT_ROOT, unix.EPERM, "", 0},
		{"setns", `%d, -1, 0`, unix.SYS_SETNS, unix.EPERM, "SYS_ADMIN", unix.EBADF},
		{"clone3", `%d, 0, 0`, unix.SYS_CLONE3, unix.ENOSYS, "SYS_ADMIN", unix.EINVAL},
		{"sethostname", `%d, $x, -1`, unix.SYS_SETHOSTNAME, unix.EPERM, "SYS_ADMIN", unix.EINVAL},
		{"setdomainname", `%d, $x, -1`, unix.SYS_SETDOMAINNAME, unix.EPERM, "SYS_ADMIN", unix.EINVAL},
		{"keyctl", `%d, -1, 0`, unix.SYS_KEYCTL, unix.EPERM, "", 0},
		{"add_key", `%d, $user, $x, $x, 1, -3`, unix.SYS_ADD_KEY, unix.EPERM, "", 0},
		{"request_key", `%d, $user, $x, 0, 0`, unix.SYS_REQUEST_KEY, unix.EPERM, "", 0},
		{"bpf", `%d, -1, 0, 0`, unix.SYS_BPF, unix.EPERM, "BPF", unix.EINVAL},
		{"perf_event_open", `%d, 0, 0, -1, -1, 0`, unix.SYS_PERF_EVENT_OPEN, unix.EPERM, "PERFMON", unix.EFAULT},
		{"open_by_handle_at", `%d, -1, 0, 0`, unix.SYS_OPEN_BY_HANDLE_AT, unix.EPERM, "DAC_READ_SEARCH", unix.EFAULT},
		{"kexec_load", `%d, 0, 0, 0, -1`, unix.SYS_KEXEC_LOAD, unix.EPERM, "", 0},
		{"init_module", `%d, 0, 0, $empty`, unix.SYS_INIT_MODULE, unix.EPERM, "", 0},
		{"finit_module", `%d, -1, $empty, 0`, unix.SYS_FINIT_MODULE, unix.EPERM, "", 0},
		{"delete_module", `%d, $none, 0`, unix.SYS_DELETE_MODULE, unix.EPERM, "", 0},
		{"reboot", `%d, 0, 0, 0, 0`, unix.SYS_REBOOT, unix.EPERM, "SYS_BOOT", unix.EINVAL},
		{"swapon", `%d, $no, 0`, unix.SYS_SWAPON, unix.EPERM, "", 0},
		{"settimeofday", `%d, 0, 0`, unix.SYS_SETTIMEOFDAY, unix.EPERM, "SYS_TIME", 0},
		{"clock_settime", `%d, -1, 0`, unix.SYS_CLOCK_SETTIME, unix.EPERM, "SYS_TIME", unix.EFAULT},
		{"acct", `%d, $no`, unix.SYS_ACCT, unix.EPERM, "SYS_PACCT", unix.ENOENT},
		{"syslog", `%d, 10, 0, 0`, unix.SYS_SYSLOG, unix.EPERM, "", 0},
		{"io_uring_setup", `%d, 1, 0`, unix.SYS_IO_URING_SETUP, unix.EPERM, "", 0},
		{"userfaultfd", `%d, -1`, unix.SYS_USERFAULTFD, unix.EPERM, "", 0},
		{"fanotify_init", `%d, -1, 0`, unix.SYS_FANOTIFY_INIT, unix.EPERM, "SYS_ADMIN", unix.EINVAL},
		{"kcmp", `%d, 1, 1, -1, 0, 0`, unix.SYS_KCMP, unix.EPERM, "SYS_PTRACE", unix.EINVAL},
		{"pidfd_getfd", `%d, -1, 0, 0`, unix.SYS_PIDFD_GETFD, unix.EPERM, "SYS_PTRACE", unix.EBADF},
		{"trace process 1", `%d, 16, 1, 0, 0`, unix.SYS_PTRACE, unix.EPERM, "", 0},
		{"read process 1's memory", `%d, 1, $iov, 1, $iov, 1, 0`, unix.SYS_PROCESS_VM_READV, unix.EPERM, "", 0},
		{"write process 1's memory", `%d, 1, $iov, 1, $iov, 1, 0`, unix.SYS_PROCESS_VM_WRITEV, unix.EPERM, "", 0},
		{"personality", `%d, 0x0040000`, unix.SYS_PERSONALITY, unix.EPERM, "", 0},
		{"socket of AF_VSOCK", `%d, 40, 1, 0`, unix.SYS_SOCKET, unix.EPERM, "", 0},
		{"socket of AF_ALG", `%d, 38, 5, 0`, unix.SYS_SOCKET, unix.EPERM, "", 0},
		{"move_pages", `%d, 1, 0, 0, 0, 0, 0`, unix.SYS_MOVE_PAGES, unix.EPERM, "", 0},
		{"a call that is unknown", `%d, 0`, 2000, unix.ENOSYS, "", 0},
		// In this order, and last: a process that has made a user namespace has no
		// power in others.
		{"unshare a mount namespace", fmt.Sprintf("%%d, %d", unix.CLONE_NEWNS), unix.SYS_UNSHARE, unix.EPERM, "SYS_ADMIN", 0},
		{"unshare a user namespace", fmt.Sprintf("%%d, %d", unix.CLONE_NEWUSER), unix.SYS_UNSHARE, unix.EPERM, "SYS_ADMIN", 0},
	}
	// clone's flags are its second argument on s390x.
	if runtime.GOARCH != "s390x" {
		calls = append(calls, systemCall{"clone a user namespace", fmt.Sprintf("%%d, %d, 0, 0, 0, 0", unix.CLONE_NEWUSER|int(unix.SIGCHLD)), unix.SYS_CLONE, unix.EPERM, "", 0})
	}
	return calls
}

// caller is a perl program that makes calls, and prints each one's name and
// error.
func caller(calls []systemCall) string {
	var s strings.Builder
	// perl hands the kernel no string that is a literal.
	s.WriteString(`my $iov = pack("QQ", 0, 1);` +
		`my ($none, $mnt, $tmpfs, $no, $empty, $root, $x, $user) = ("none", "/mnt", "tmpfs", "/no/such", "", "/", "x", "user");` + "\n")
	for _, c := range calls {
		fmt.Fprintf(&s, "$! = 0; $r = syscall(%s); exit 9 if $$ == 0 || $r == 0 && %q =~ /^clone a/; print %q, \" \", $r == -1 ? $!+0 : 0, \"\\n\";\n",
			fmt.Sprintf(c.call, c.number), c.name, c.name)
	}
	return s.String()
}

func answers(calls []systemCall, errno func(systemCall) unix.Errno) string {
	var s strings.Builder
	for _, c := range calls {
		fmt.Fprintln(&s, c.name, int(errno(c)))
	}
	return s.String()
}

// What a container must not ask of the kernel is refused, for root and for
// others, for a run and for an exec.
func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	need.Tool(t, "perl")
	n := lab.New(t).Host
	calls := refusedCalls()
	want := answers(calls, func(c systemCall) unix.Errno { return c.refuse })
	keep := hold(t, n, "172.16.0.31")
	for _, verb := range [][]string{{address}, {"-u", "1000", address}, {"exec", "172.16.0.31"}, {"exec", "-u", "1000", "172.16.0.31"}} {
		differ(t, strings.Join(verb, " "), says(t, n.Main(words(verb, []string{"perl", "-e", caller(calls)})...)), want)
	}
	keep.end(t)
}

// With its capability a call is let through to the kernel, which has the last
// word.
func TestCallsWithCapability(t *testing.T) {
	t.Parallel()
	need.Tool(t, "perl")
	n := lab.New(t).Host
	calls := map[string][]systemCall{}
	for _, c := range refusedCalls() {
		if c.caps != "" {
			calls[c.caps] = append(calls[c.caps], c)
		}
	}
	for caps, list := range calls {
		got := says(t, n.Main("-cap-add", caps, address, "perl", "-e", caller(list)))
		differ(t, "-cap-add "+caps, got, answers(list, func(c systemCall) unix.Errno { return c.after }))
	}
}

// Numbers of another ABI end the process.
func TestForeignABI(t *testing.T) {
	t.Parallel()
	need.Tool(t, "perl")
	n := lab.New(t).Host
	if runtime.GOARCH == "amd64" {
		const x32 = 0x40000000
		program := fmt.Sprintf("my $none = pack('QQ', 0, 0); syscall(%d, 4, $none); syscall(%d); print 'alive'", unix.SYS_SETRLIMIT, x32+unix.SYS_GETPID)
		expect(t, n.Main(address, "perl", "-e", program), 128+int(unix.SIGSYS), "", "")
	}
	// What programs need is let through.
	expect(t, n.Main(address, "sh", "-c", "uname -s; chroot / true && mknod /tmp/living$$ p && rm /tmp/living$$ && echo done"), 0, "Linux\ndone\n", "")
}

// Who the command is, by number and by name, of the container's own tree, and
// its groups and home; the caller's groups are not there.
func TestUsers(t *testing.T) {
	t.Parallel()
	need.Tool(t, "setpriv")
	n := lab.New(t).Host
	tree := busyboxTree(t,
		"etc/passwd", "# a comment\nroot:x:0:0:root:/root:/bin/sh\nbad line\nal:x:1000:1001:Al:/home/al:/bin/sh\nbo:x:2000:2001::\nodd:x:3000:3000::/o:\n1000000:x:7:7::/seven:\n",
		"etc/group", "root:x:0:\nal:x:1001:\nwheel:x:10:root,al\naudio:x:29:al,bo\nten:x:10:al\nstaff:x:50:\nbad\n")
	bare := busyboxTree(t)
	for _, c := range []struct {
		tree, user string
		uid, gid   int64
		groups     string
		home       string
	}{
		{tree, "", 0, 0, "10", "/root"},
		{tree, "0", 0, 0, "10", "/root"},
		{tree, "root", 0, 0, "10", "/root"},
		{tree, "al", 1000, 1001, "10 29", "/home/al"},
		{tree, "1000", 1000, 1001, "10 29", "/home/al"},
		{tree, "al:staff", 1000, 50, "", "/home/al"},
		{tree, "al:77", 1000, 77, "", "/home/al"},
		{tree, "1000:0", 1000, 0, "", "/home/al"},
		{tree, "4321:staff", 4321, 50, "", "/"},
		{tree, "4321", 4321, 0, "", "/"},
		{tree, "4321:8765", 4321, 8765, "", "/"},
		{tree, "odd", 3000, 3000, "", "/o"},
		{tree, ":staff", 0, 50, "", "/root"},
		{bare, "0", 0, 0, "", "/root"},
		{bare, "1000", 1000, 0, "", "/"},
		{bare, "1000:1000", 1000, 1000, "", "/"},
		{bare, "4294967294:4294967294", 4294967294, 4294967294, "", "/"},
	} {
		args := []string{"--groups", "4,29,777", lab.MainBinary(t), "-rootfs", c.tree}
		if c.user != "" {
			args = append(args, "-u", c.user)
		}
		got := says(t, n.Command("setpriv", append(args, address, "sh", "-c", "cat /proc/self/status; echo HOME: $HOME")...))
		id := func(i int64) string { return strings.TrimSuffix(strings.Repeat(fmt.Sprint(i, " "), 4), " ") }
		want := fmt.Sprintf("Uid %s\nGid %s\nGroups %s\nHOME %s\n", id(c.uid), id(c.gid), c.groups, c.home)
		differ(t, "-u "+c.user, statusFields(got, "Uid", "Gid", "Groups", "HOME"), want)
	}

	n = lab.New(t).Host
	before := n.Snapshot()
	for user, want := range map[string]string{
		"nobody.there":  "-u nobody.there: the container's /etc/passwd has no user nobody.there",
		"al:nogroup":    "-u al:nogroup: the container's /etc/group has no group nogroup",
		"4294967295":    "-u 4294967295: the container's /etc/passwd has no user 4294967295",
		"-1":            "-u -1: the container's /etc/passwd has no user -1",
		"0:4294967295":  "-u 0:4294967295: the container's /etc/group has no group 4294967295",
		"bo2":           "-u bo2: the container's /etc/passwd has no user bo2",
		"nobody.there:": "-u nobody.there:: the container's /etc/passwd has no user nobody.there",
	} {
		expect(t, n.Main("-rootfs", tree, "-u", user, address, "true"), 125, "", "main: "+want+"\n")
	}
	same(t, n, before)
}

// The files are looked for in the container's tree, where links lead nowhere
// but into the tree.
func TestUsersOfTreeAlone(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	dir := t.TempDir()
	put(t, dir+"/passwd", "outside:x:1234:1234::/outside:\n", 0o644)
	tree := busyboxTree(t, "inside/passwd", "inside:x:4321:4321::/inside:\n", "inside/group", "")
	if err := os.Mkdir(tree+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	link(t, dir+"/passwd", tree+"/etc/passwd")
	expect(t, n.Main("-rootfs", tree, "-u", "outside", address, "true"), 125, "", "main: -u outside: the container's /etc/passwd has no user outside\n")
	if err := os.Remove(tree + "/etc/passwd"); err != nil {
		t.Fatal(err)
	}
	link(t, strings.Repeat("../", 40)+"inside/passwd", tree+"/etc/passwd")
	expect(t, n.Main("-rootfs", tree, "-u", "inside", address, "id", "-u"), 0, "4321\n", "")
	// A fifo has no reader wait for ever.
	if err := os.Remove(tree + "/etc/passwd"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(tree+"/etc/passwd", 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, n.Main("-rootfs", tree, "-u", "5", address, "grep", "-c", "Uid:.5", "/proc/self/status"), 0, "1\n", "")
}

// Another user's command has the rights of that user alone.
func TestUserHasNoPower(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t, "secret", "x")
	if err := os.Chmod(tree+"/secret", 0o600); err != nil {
		t.Fatal(err)
	}
	const try = `cat /secret; (: >/new); chown 0 /bin; kill -0 1; cat /proc/1/environ; ls /proc/1/fd; hostname x; mknod /x b 1 1; echo x >/dev/shm/mine && cat /dev/shm/mine`
	stdout, stderr, _ := n.Main(words([]string{"-rootfs", tree, "-u", "1000:1000", address}, script(try))...).Result()
	if stdout != "x\n" || strings.Count(stderr, "\n") != 8 {
		t.Errorf("output %q, error:\n%s\nwant x alone, and eight refusals", stdout, stderr)
	}
}

// The umask is the usual one, whatever the caller's is.
func TestUmask(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	for _, verb := range [][]string{{address}, {"exec", "172.16.0.31"}} {
		for _, mask := range []string{"077", "0", "022"} {
			c := n.Command("sh", words([]string{"-c", `umask ` + mask + `; exec "$0" "$@"`, lab.MainBinary(t)}, verb, []string{"sh", "-c", "umask"})...)
			expect(t, c, 0, "0022\n", "")
		}
	}
	keep.end(t)
}

// The command has a session keyring of its own, so the caller's keys are not
// to be found by it.
func TestKeyring(t *testing.T) {
	t.Parallel()
	need.Tool(t, "perl")
	n := lab.New(t).Host
	// keyctl is refused inside; /proc/keys is hidden. -privileged has both.
	ask := fmt.Sprintf(`printf "%%d\n", syscall(%d, 0, -3, 0)`, unix.SYS_KEYCTL) // KEYCTL_GET_KEYRING_ID of the session's
	host, err := exec.Command("perl", "-e", ask).Output()
	if err != nil {
		t.Fatal(err)
	}
	inside := says(t, n.Main("-privileged", address, "perl", "-e", ask))
	if inside == string(host) || strings.HasPrefix(inside, "-") {
		t.Errorf("the session keyring is %s inside, and %s on the host", strings.TrimSpace(inside), host)
	}
}
