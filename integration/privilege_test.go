//go:build linux

package integration

import (
	"encoding/binary"
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

const ordinary = 65534

// asNobody is a program and its arguments, to be run by an ordinary user.
func asNobody(n *lab.Node, program string, args ...string) *lab.Cmd {
	c := n.Command(program, args...)
	c.SysProcAttr.Credential = &syscall.Credential{Uid: ordinary, Gid: ordinary}
	return c
}

// copyForAll is a copy of ./main that everybody can execute.
func copyForAll(t *testing.T) string {
	t.Helper()
	need.Root(t)
	dir, err := os.MkdirTemp("", "container-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile(lab.MainBinary(t))
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/main", string(b), 0o755)
	return dir + "/main"
}

// What takes root says so, and nothing else; what doesn't, an ordinary user has
// as well.
func TestVerbsOfOrdinaryUser(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	program := copyForAll(t)
	before := n.Snapshot()
	for _, args := range []string{
		"172.16.0.30 true", "-network none true", "-privileged auto true", "-x 172.16.0.30 true", "-rootfs /nowhere 172.16.0.30 true",
		"exec 172.16.0.30 true", "exec", "ls", "ls -json", "check", "check -json", "gc", "down", "no-such-verb",
	} {
		expect(t, asNobody(n, program, strings.Fields(args)...), 125, "", "main: this takes root: it makes namespaces, links and firewall rules (try sudo)\n")
	}
	for _, args := range []string{"version", "help", "help exec", "-h", "ls -h", "-n 172.16.0.30 true", "-n -p 80:8000 auto true"} {
		stdout, stderr, status := asNobody(n, program, strings.Fields(args)...).Result()
		if status != 0 || stdout == "" || stderr != "" {
			t.Errorf("%s: status %d, output of %d bytes, error %q", args, status, len(stdout), stderr)
		}
	}
	same(t, n, before)
}

// A ./main that would lend its rights to everybody does nothing for anybody but
// say so.
func TestRightsOfTheFile(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	var st unix.Statfs_t
	if err := unix.Statfs(os.TempDir(), &st); err != nil || st.Flags&unix.MS_NOSUID != 0 {
		need.Skip(t, "needs a temporary directory where set-user-ID programs work")
	}
	before := n.Snapshot()
	for _, c := range []struct {
		name, want string
		lend       func(program string) error
	}{
		{"set-user-ID root", "this file is set-user-ID, ", func(p string) error { return os.Chmod(p, 0o755|os.ModeSetuid) }},
		{"set-user-ID another", "this file is set-user-ID, ", func(p string) error {
			if err := os.Chown(p, 1234, 0); err != nil {
				return err
			}
			return os.Chmod(p, 0o755|os.ModeSetuid)
		}},
		{"set-group-ID", "this file is set-group-ID, ", func(p string) error { return os.Chmod(p, 0o755|os.ModeSetgid) }},
		{"capabilities", "this file has capabilities, ", func(p string) error {
			// struct vfs_cap_data of version 2, effective: linux/capability.h
			const version = 0x02000000 | 1
			caps := uint32(1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN)
			var b []byte
			for _, word := range []uint32{version, caps, 0, 0, 0} {
				b = binary.LittleEndian.AppendUint32(b, word)
			}
			return unix.Setxattr(p, "security.capability", b, 0)
		}},
	} {
		program := copyForAll(t)
		if err := c.lend(program); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, args := range []string{"172.16.0.30 true", "ls", "version", "-n 172.16.0.30 true", ""} {
			fails(t, asNobody(n, program, strings.Fields(args)...), 125, c.want)
		}
	}
	same(t, n, before)
}

// Neither the caller's environment nor the directory where it is has a say in
// what root does: nothing there is read, and nothing executed.
func TestHostileSurroundings(t *testing.T) {
	t.Parallel()
	need.Tool(t, "strace")
	n := lab.New(t).Host
	hostile, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	for _, name := range []string{"true", "ip", "nft", "iptables", "modprobe", "sysctl", "sh", "bash", "main"} {
		put(t, hostile+"/"+name, "#!/bin/sh\ntouch "+hostile+"/executed\n", 0o755)
	}
	for _, name := range []string{"etc/passwd", "etc/group", "etc/resolv.conf", "etc/hosts", "passwd", "resolv.conf", "localtime", "UTC", "bin/true"} {
		put(t, hostile+"/"+name, "root:x:4711:4711::/evil:\nnameserver 6.6.6.6\n", 0o755)
	}
	tree := busyboxTree(t)
	link(t, tree, hostile+"/tree")
	before := entries(t, hostile)

	set := []string{"PATH=" + hostile + ":.", "PWD=" + hostile + "/tree", "OLDPWD=" + hostile}
	for _, name := range []string{
		"HOME", "TMPDIR", "TZ", "ZONEINFO", "GOROOT", "GOCOVERDIR", "LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH", "LOCPATH", "LANG", "LC_ALL", "NLSPATH",
		"HOSTALIASES", "RES_OPTIONS", "LOCALDOMAIN", "RESOLV_HOST_CONF", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME",
		"XTABLES_LIBDIR", "MODPROBE_OPTIONS", "ENV", "BASH_ENV", "IFS", "CONTAINER_IP", "HOSTNAME", "TERMINFO", "MAIN_BINARY", "NOTIFY_SOCKET",
	} {
		set = append(set, name+"="+hostile)
	}
	// What the Go runtime itself listens to, within reason.
	set = append(set, "TERM="+hostile+"/../x\x1b]0;y\x07", "NO_COLOR=1", "GODEBUG=madvdontneed=1,netdns=go+2,gctrace=0,execerrdot=0,,=,x", "GOGC=1", "GOMEMLIMIT=1", "GOTRACEBACK=crash", "GOMAXPROCS=1", "LISTEN_FDS=3", "LISTEN_PID=1")

	traced := func(args ...string) *lab.Cmd {
		words := []string{"-f", "-qq", "-s", "4096", "-e", "trace=%file,getcwd", "-o", trace}
		for _, e := range set {
			words = append(words, "-E", e)
		}
		c := n.Command("strace", append(append(words, lab.MainBinary(t)), args...)...)
		c.Dir = tree
		return c
	}
	const want = "HOME=/root\nHOSTNAME=container\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
	stdout, stderr, status := traced("-network", "none", "-rootfs", ".", "env").Result()
	if status != 0 || stderr != "" || sorted(stdout) != want {
		t.Errorf("run: status %d, error %q, environment\n%s", status, stderr, stdout)
	}
	untouched(t, trace, hostile)
	for _, verb := range []string{"ls", "gc", "check", "version", "down"} {
		c := traced(verb)
		c.Dir = hostile
		if _, stderr, status := c.Result(); status != 0 || stderr != "" {
			t.Errorf("%s: status %d, error %q", verb, status, stderr)
		}
		untouched(t, trace, hostile)
	}
	if after := entries(t, hostile); !slices.Equal(before, after) {
		t.Errorf("in the hostile directory are %q, and were %q", after, before)
	}
}

// fromCwd is a file that is looked for from the working directory on; "." is the
// new root.
var fromCwd = regexp.MustCompile(`(AT_FDCWD, |\b(open|stat|lstat|readlink|access|execve|chdir)\()"([^/".]|\.[^"])`)

// untouched looks through what strace(1) has seen.
func untouched(t *testing.T, trace, hostile string) {
	t.Helper()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "openat(") {
		t.Errorf("the trace has no opened file:\n%s", b)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, hostile) && !strings.Contains(line, "getcwd(") || fromCwd.MatchString(line) {
			t.Errorf("what the surroundings name is used: %s", line)
		}
	}
}
