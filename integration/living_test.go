//go:build linux

package integration

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// What the tests of the life inside a container, living_*_test.go, stand on.

// busyboxTree makes a root file system that has nothing but a static busybox,
// in /bin by all of its names, and files that the caller gives: a name and its
// content, one behind the other.
func busyboxTree(t *testing.T, files ...string) string {
	t.Helper()
	need.Root(t)
	need.Tool(t, "busybox")
	from, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Fatalf("%s is not static (busybox-static has one that is)", from)
		}
	}
	program, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tree")
	put(t, filepath.Join(dir, "bin/busybox"), string(program), 0o755)
	for name := range strings.FieldsSeq(output(t, "", from, "--list")) {
		if name != "busybox" {
			link(t, "busybox", filepath.Join(dir, "bin", name))
		}
	}
	for i := 0; i+1 < len(files); i += 2 {
		put(t, filepath.Join(dir, files[i]), files[i+1], 0o644)
	}
	return dir
}

// put writes a file, with the directories above it.
func put(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = lab.WriteProgram(name, []byte(text), mode) // which it may be
	}
	if err == nil {
		err = os.Chmod(name, mode) // whatever the umask is
	}
	if err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// script is a command of busybox's shell: what stands behind the address.
func script(text string) []string { return []string{"sh", "-c", text} }

// words joins parts of a command line.
func words(parts ...[]string) []string { return slices.Concat(parts...) }

// behind is ./main with arguments, behind a shell script that runs first, in
// the same mount namespace: a new one, which no other process is in, with
// everything private. That is where tests mount.
func behind(t *testing.T, n *lab.Node, before string, args ...string) *lab.Cmd {
	t.Helper()
	c := n.Command("sh", words([]string{"-euc", before + "\n" + `exec "$0" "$@"`, lab.MainBinary(t)}, args)...)
	c.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	return c
}

// says runs a program that must succeed without a complaint, and gives its
// output.
func says(t *testing.T, c *lab.Cmd) string {
	t.Helper()
	stdout, stderr, status := c.Result()
	if status != 0 || stderr != "" {
		t.Fatalf("%s: status %d, error %q; want 0 and nothing\n%s", strings.Join(c.Args[1:], " "), status, stderr, stdout)
	}
	return stdout
}

// fails runs a program that must fail with a status and one line of error that
// begins so.
func fails(t *testing.T, c *lab.Cmd, status int, start string) {
	t.Helper()
	stdout, stderr, got := c.Result()
	if got != status || stdout != "" || !strings.HasPrefix(stderr, "main: "+start) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%s:\n got status %d, output %q, error %q\nwant status %d and one line that begins with %q",
			strings.Join(c.Args[1:], " "), got, stdout, stderr, status, "main: "+start)
	}
}

// treeState is all that is in a directory, as text: names, modes, owners,
// times and content.
func treeState(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(&s, "%s %o %d:%d %v", path, st.Mode, st.Uid, st.Gid, st.Mtim)
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&s, " %q", b)
		}
		s.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// entries is the names in a directory.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// lines are sorted, each with a newline.
func lines(list ...string) string {
	var s strings.Builder
	for _, l := range slices.Sorted(slices.Values(list)) {
		s.WriteString(l + "\n")
	}
	return s.String()
}

// sorted is a text's lines, sorted.
func sorted(text string) string {
	return lines(strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
}

// differ checks that a text is what is wanted, and shows the lines that are not.
func differ(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: - is wanted, + is there:\n%s", what, difference(want, got))
	}
}

// capabilitySets are the fields of /proc/PID/status about capabilities.
var capabilitySets = []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}

// statusFields picks fields out of /proc/PID/status, in that order.
func statusFields(status string, names ...string) string {
	var s strings.Builder
	for _, name := range names {
		for line := range strings.Lines(status) {
			if value, ok := strings.CutPrefix(line, name+":"); ok {
				fmt.Fprintf(&s, "%s %s\n", name, strings.Join(strings.Fields(value), " "))
			}
		}
	}
	return s.String()
}

// ownCaps is what this test may do, and so the most that a container can get.
func ownCaps(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(procStatus(t, os.Getpid(), "CapPrm"), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// joined is a command that an exec has started in a container.
type joined struct {
	*held
	joiner int
}

// join starts cat in the container at an address by "main exec", and returns
// when it runs. args is what stands before the command, the address last.
func join(t *testing.T, n *lab.Node, args ...string) *joined {
	t.Helper()
	return joinCommand(t, n.Main(words([]string{"exec"}, args, []string{"cat"})...), args[len(args)-1])
}

// joinCommand is join for a command line of its own making.
func joinCommand(t *testing.T, c *lab.Cmd, address string) *joined {
	t.Helper()
	j := &joined{held: &held{Cmd: c, address: address, stderr: new(bytes.Buffer)}}
	j.start(t)
	ours := children(j.main)
	if len(ours) != 1 {
		t.Fatalf("main exec has the children %v, want the joiner alone", ours)
	}
	j.joiner = ours[0]
	below := children(j.joiner)
	if len(below) != 1 {
		t.Fatalf("the joiner has the children %v, want the command alone", below)
	}
	j.command = below[0]
	return j
}

// sameProcess is what two processes of one container have in common, as text:
// namespaces, control groups, root, rights.
func sameProcess(t *testing.T, pid int) string {
	t.Helper()
	var s strings.Builder
	dir := fmt.Sprintf("/proc/%d/", pid)
	for _, ns := range entries(t, dir+"ns") {
		fmt.Fprintln(&s, ns, namespace(t, strconv.Itoa(pid), ns))
	}
	s.WriteString(readProc(t, pid, "cgroup"))
	var st unix.Stat_t
	if err := unix.Stat(dir+"root", &st); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&s, "root", st.Dev, st.Ino)
	fields := append([]string{"Uid", "Gid", "Groups", "Umask", "NoNewPrivs", "Seccomp", "Seccomp_filters"}, capabilitySets...)
	s.WriteString(statusFields(readProc(t, pid, "status"), fields...))
	return s.String()
}
