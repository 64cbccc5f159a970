//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"container/integration/lab"
)

// What the tests of a run's life, lifecycle_*_test.go, stand on.

// address is the container's in most of them.
const address = "172.16.0.30"

// held is a container that runs until the test says otherwise: its command is
// cat, which ends with its input.
type held struct {
	*lab.Cmd

	address string
	stdin   io.WriteCloser
	stdout  *speech
	stderr  *bytes.Buffer

	main, init, command, guardian int // process ids
	keeper                        int // of the caller's terminal, 0 where that is none
}

// hold starts a container and returns when its command runs. args is what
// stands before the command, the address last.
func hold(t *testing.T, n *lab.Node, args ...string) *held {
	t.Helper()
	return holdCommand(t, n, n.Main(append(slices.Clone(args), "cat")...), args[len(args)-1])
}

// holdCommand is hold for a command line of its own making.
func holdCommand(t *testing.T, n *lab.Node, c *lab.Cmd, address string) *held {
	t.Helper()
	h := &held{Cmd: c, address: address, stderr: new(bytes.Buffer)}
	h.start(t)
	h.findProcesses(t, n)
	return h
}

// start starts the command line of a held command, which is cat in the end, and
// returns when that answers.
func (h *held) start(t *testing.T) {
	t.Helper()
	h.Stderr = h.stderr
	var err error
	if h.stdin, err = h.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	h.stdout = listenTo(t, h.Cmd)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	h.echo(t)
	h.main = h.Process.Pid
}

// echo returns when the command has answered.
func (h *held) echo(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(h.stdin, "ready\n"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() && h.main == 0 { // it has not started
			await(h.Cmd)
			t.Logf("%s: status %d\n%s", h.Args, h.Status(), h.stderr)
		}
	}()
	h.stdout.hear(t, "ready")
}

// initOf is the first process of the container at an address.
func initOf(t *testing.T, n *lab.Node, address string) int {
	t.Helper()
	pid := tryInitOf(n, address)
	if pid == 0 {
		t.Fatalf("no link is the container's at %s", address)
	}
	return pid
}

// tryInitOf is initOf, from the alias of the container's veth, or 0.
func tryInitOf(n *lab.Node, address string) int {
	for _, l := range n.Links() {
		rest, ok := strings.CutPrefix(l.Alias, "container "+address+" pid ")
		word, _, _ := strings.Cut(rest, " ")
		if pid, err := strconv.Atoi(word); ok && err == nil {
			return pid
		}
	}
	return 0
}

// findProcesses finds out which processes a run is made of: the command is the
// child of the container's first process; the runner's other children have names,
// as soon as they get to run. They may do so later than the command: it returns
// when they have nothing more to do but to wait.
func (h *held) findProcesses(t *testing.T, n *lab.Node) {
	t.Helper()
	h.init = initOf(t, n, h.address)
	lab.Eventually(t, func() error {
		h.guardian, h.keeper = childCalled(h.main, "guardian"), childCalled(h.main, "keeper")
		ours := children(h.main)
		if want := 2 + min(h.keeper, 1); h.guardian == 0 || len(ours) != want || !slices.Contains(ours, h.init) {
			return fmt.Errorf("the runner has the children %v; %d is to be one, the guardian %d another, the keeper %d a third, if there is one", ours, h.init, h.guardian, h.keeper)
		}
		return errors.Join(leads(h.guardian), hasNothingOpen(h.init))
	})
	inside := children(h.init)
	if len(inside) != 1 {
		t.Fatalf("the container's first process has the children %v, want the command alone", inside)
	}
	h.command = inside[0]
}

// leads is a condition: a process leads a session. To come to that is the
// guardian's last step before it waits.
func leads(pid int) error {
	if f := stat(pid); len(f) < 4 || f[3] != strconv.Itoa(pid) {
		return fmt.Errorf("process %d leads no session", pid)
	}
	return nil
}

// hasNothingOpen is a condition: a process has no descriptors. To close them all
// is the last step of a first process, or a joiner, before it waits.
func hasNothingOpen(pid int) error {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err == nil && len(fds) > 0 {
		err = fmt.Errorf("process %d, which waits for the command, has open: %v", pid, fds)
	}
	return err
}

// await waits for a program's end. One that does not end is killed.
func await(c *lab.Cmd) {
	timer := time.AfterFunc(lab.Patience(), func() { _ = c.Process.Kill() })
	defer timer.Stop()
	_ = c.Wait()
}

// speech is what a program says, line by line.
type speech struct {
	pipe  io.ReadCloser
	lines *bufio.Reader
}

// listenTo gets at a program's standard output. Call it before the start.
func listenTo(t *testing.T, c *lab.Cmd) *speech {
	t.Helper()
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return &speech{pipe, bufio.NewReader(pipe)}
}

// hear returns when the program has said a line, which must be the next.
func (s *speech) hear(t *testing.T, want string) {
	t.Helper()
	if f, ok := s.pipe.(*os.File); ok {
		_ = f.SetReadDeadline(time.Now().Add(lab.Patience()))
	}
	if line, err := s.lines.ReadString('\n'); line != want+"\n" {
		t.Fatalf("the command says %q (error %v), want %q", line, err, want)
	}
}

// end ends the command as it is meant to end, and checks that the run does.
func (h *held) end(t *testing.T) {
	t.Helper()
	h.echo(t)
	_ = h.stdin.Close()
	await(h.Cmd)
	if status := h.Status(); status != 0 || h.stderr.Len() > 0 {
		t.Errorf("%s: status %d, standard error %q; want 0 and nothing", h.Args, status, h.stderr)
	}
}

// veth is the name of the host's end of the container's veth.
func (h *held) veth(t *testing.T, n *lab.Node) string {
	t.Helper()
	for _, l := range n.Links() {
		if strings.HasPrefix(l.Alias, "container "+h.address+" ") {
			return l.Name
		}
	}
	t.Fatalf("no link is the container's at %s", h.address)
	return ""
}

// stat is the fields of /proc/PID/stat behind the name (proc_pid_stat(5)): the
// state, the parent, the process group, the session. Nil when the process is
// gone.
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

// children lists the processes whose parent is pid; none when that is gone. (Of
// /proc/PID/task/TID/children the kernel promises nothing while they come and go.)
func children(pid int) (pids []int) {
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		p, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if f := stat(p); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			pids = append(pids, p)
		}
	}
	return pids
}

// childCalled is the child of a process that has a name, or 0.
func childCalled(parent int, name string) int {
	for _, pid := range children(parent) {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(comm) == name+"\n" {
			return pid
		}
	}
	return 0
}

// awaitChild is childCalled when there is one: it has its name as soon as it gets
// to run.
func awaitChild(t *testing.T, parent int, name string) (pid int) {
	t.Helper()
	lab.Eventually(t, func() error {
		if pid = childCalled(parent, name); pid == 0 {
			return fmt.Errorf("process %d has no child that is called %s", parent, name)
		}
		return nil
	})
	return pid
}

// running tells whether a process has not ended; one that nobody has waited
// for yet has.
func running(pid int) bool {
	f := stat(pid)
	return len(f) > 0 && f[0] != "Z" && f[0] != "X"
}

// ended is a condition: none of the processes runs.
func ended(pids ...int) error {
	for _, pid := range pids {
		if running(pid) {
			return fmt.Errorf("process %d runs", pid)
		}
	}
	return nil
}

// readProc reads a file of /proc/PID.
func readProc(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// procStatus is a field of /proc/PID/status.
func procStatus(t *testing.T, pid int, field string) string {
	t.Helper()
	for line := range strings.Lines(readProc(t, pid, "status")) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("process %d has no %s", pid, field)
	return ""
}

var (
	mapText     = regexp.MustCompile(`(?s)map (lease|publish|publish_at) \{(.*?)\n\t\}`)
	elementText = regexp.MustCompile(`(?s)elements = \{(.*?)\}`)
)

// claims is what is leased and published on a host, as nft(8) lists it.
func claims(n *lab.Node) string {
	var found []string
	for _, m := range mapText.FindAllStringSubmatch(n.Ruleset(), -1) {
		if e := elementText.FindStringSubmatch(m[2]); e != nil {
			found = append(found, m[1]+": "+strings.Join(strings.Fields(e[1]), " "))
		}
	}
	return strings.Join(found, "; ")
}

// noClaims is a condition: nothing is leased or published.
func noClaims(n *lab.Node) error {
	if c := claims(n); c != "" {
		return errors.New("in the table is yet: " + c)
	}
	return nil
}

// hostEnd is how a runner names the host's end of a container's veth.
var hostEnd = regexp.MustCompile(`^veth[0-9a-f]{8}$`)

// noVeth is a condition: no link of a container is there. The kernel takes it
// away some milliseconds after the container's last process.
func noVeth(n *lab.Node) error {
	for _, l := range n.Links() {
		if hostEnd.MatchString(l.Name) {
			return fmt.Errorf("link %s (%s) is there yet", l.Name, l.Alias)
		}
	}
	return nil
}

// idle checks that no container has anything on the host any more, while the
// bridge and the ruleset are ready for the next. What the runner promises to
// have done at its end is not waited for.
func idle(t *testing.T, n *lab.Node) {
	t.Helper()
	if err := noClaims(n); err != nil {
		t.Error(err)
	}
	lab.Eventually(t, func() error { return noVeth(n) })
	if !n.HasLink("br0") {
		t.Error("the bridge is gone")
	}
	if !strings.Contains(n.Ruleset(), "table ip container {") {
		t.Error("the ruleset is gone")
	}
}

// listen takes a port in the network namespace of the thread that it is called
// on (Node.Do).
func listen(network, addr string) (io.Closer, error) {
	if strings.HasPrefix(network, "udp") {
		return net.ListenPacket(network, addr)
	}
	return net.Listen(network, addr)
}

// portFree is a condition: a process of the host can have the port. No program
// is started meanwhile: until it is executed it would have the socket as well,
// and the next who asks would find the port taken.
func portFree(n *lab.Node, network, addr string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return n.Do(func() error {
		c, err := listen(network, addr)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// expect runs a program to its end and checks all that a caller sees of it.
func expect(t *testing.T, c *lab.Cmd, status int, stdout, stderr string) {
	t.Helper()
	gotOut, gotErr, got := c.Result()
	if got != status || gotOut != stdout || gotErr != stderr {
		t.Errorf("%s:\n got status %d, output %q, error %q\nwant status %d, output %q, error %q",
			strings.Join(c.Args[1:], " "), got, gotOut, gotErr, status, stdout, stderr)
	}
}

// succeed runs a program that must have no fault to find.
func succeed(t *testing.T, c *lab.Cmd) {
	t.Helper()
	expect(t, c, 0, "", "")
}

// same checks that nothing has changed on a host.
func same(t *testing.T, n *lab.Node, before string) {
	t.Helper()
	if err := unchanged(before, n.Snapshot()); err != nil {
		t.Error(err)
	}
}

// unchanged is a condition: two texts about a host are the same.
func unchanged(before, after string) error {
	if before != after {
		return fmt.Errorf("the host is not what it was:\n%s", difference(before, after))
	}
	return nil
}

// arrangement is what the runner has to do with on a host: its links, ruleset
// and settings, without what the kernel changes by and by as containers come,
// go and speak.
func arrangement(n *lab.Node) string {
	var s strings.Builder
	for _, l := range n.Links() {
		fmt.Fprintf(&s, "link %d %s: %s, on %d, up %t, %s, %q\n", l.Index, l.Name, l.Kind, l.Master, l.IsUp(), l.MAC, l.Alias)
	}
	// The ruleset is in the snapshot too, between these.
	_, rest, _ := strings.Cut(n.Snapshot(), ": nft list ruleset\n")
	return s.String() + rest
}

// difference is the lines that only one of two texts has, or the first of them.
func difference(before, after string) string {
	const most = 20
	var lines []string
	only := func(mark, a, b string) {
		other := strings.Split(b, "\n")
		for _, line := range strings.Split(a, "\n") {
			if !slices.Contains(other, line) {
				lines = append(lines, mark+" "+line)
			}
		}
	}
	only("-", before, after)
	only("+", after, before)
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("and %d more", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}

// copyTree copies the source tree, without what was built in it.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || name == "main" || strings.HasSuffix(name, ".test") {
			return err
		}
		if name == "dist" { // what has been made of it before
			return fs.SkipDir
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), b, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// output runs a program of the machine, outside of any lab.
func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
