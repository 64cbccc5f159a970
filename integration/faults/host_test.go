//go:build linux && (amd64 || arm64)

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
	"container/nat"
)

// host is a machine on which runs go wrong.
type host struct {
	t      testing.TB
	s      scenario
	node   *lab.Node
	binary string
	tree   string // with a command, true, that does nothing
	before string
}

func newHost(t testing.TB, s scenario) *host {
	t.Helper()
	h := &host{t: t, s: s, node: lab.New(t).Host, binary: lab.MainBinary(t), tree: tree(t)}
	if s.held {
		h.hold()
	}
	h.before = h.node.Snapshot()
	return h
}

// tree is a root file system with little but busybox.
func tree(t testing.TB) string {
	t.Helper()
	need.Tool(t, "busybox")
	dir := t.TempDir()
	from, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(from)
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "bin"), 0o755)
	}
	if err == nil {
		err = lab.WriteProgram(filepath.Join(dir, "bin/busybox"), program, 0o755)
	}
	for _, name := range []string{"true", "cat", "sh"} {
		if err == nil {
			err = os.Symlink("busybox", filepath.Join(dir, "bin", name))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// trace runs ./main with a fault, or without, in a mount namespace whose mounts
// are shared, as systemd has them: what the container mounts would show there
// if it didn't see to that.
func (h *host) trace(f *Fault, args ...string) (*outcome, error) {
	var o *outcome
	err := h.node.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		for _, how := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
			if err := unix.Mount("", "/", "", unix.MS_REC|how, ""); err != nil {
				return os.NewSyscallError("mount", err)
			}
		}
		before, err := os.ReadFile("/proc/thread-self/mountinfo")
		if err != nil {
			return err
		}
		if o, err = run(append([]string{h.binary}, args...), f); err != nil {
			return err
		}
		after, err := os.ReadFile("/proc/thread-self/mountinfo")
		if err != nil {
			return err
		}
		// One may have gone: it does when somebody elsewhere on the machine
		// removes the directory that it is on.
		for line := range strings.Lines(string(after)) {
			if !strings.Contains(string(before), line) {
				return fmt.Errorf("a mount shows on the host: %s", line)
			}
		}
		return nil
	})
	return o, err
}

// main runs a plain ./main, which must succeed without a word.
func (h *host) main(args ...string) error {
	stdout, stderr, status := h.node.Main(args...).Result()
	if status != 0 || stdout != "" || stderr != "" {
		return fmt.Errorf("then main %s: status %d, output %q, error %q", strings.Join(args, " "), status, stdout, stderr)
	}
	return nil
}

// claims are the leases and published ports that there are.
func (h *host) claims() (n int, err error) {
	err = h.node.Do(func() error {
		c, err := nat.Dial(nil)
		if err != nil {
			return err
		}
		defer c.Close()
		there, err := nat.Tables(c)
		if err != nil || !slices.Contains(there, nat.IPv4) {
			return err
		}
		leases, err := nat.Leases(c)
		if err != nil {
			return err
		}
		ports, err := nat.PublishedPorts(c)
		n = len(leases) + len(ports)
		return err
	})
	return n, err
}

// cleared tells whether what is the container's alone went at once, with no
// other run's help: as long as nobody is killed or refused who sees to that.
func (h *host) cleared(f Fault, o *outcome) error {
	if f.Role == Guardian {
		return nil
	}
	if n, err := h.claims(); err != nil || n > 0 {
		return fmt.Errorf("%d leases and ports are there (error %w)", n, err)
	}
	if f.deed != fail && f.deed != refuse || f.ofRuntime() || f.Name == "unlinkat" {
		return nil // a group made before its guardian was stays for a while
	}
	if f.Name == "openat" && f.errno == unix.ENOENT {
		return nil // a group that is said to be gone is nobody's to remove
	}
	return gone(o.made)
}

// gone tells whether directories are.
func gone(made []string) error {
	for _, dir := range made {
		// The parent of all groups is others' too.
		if _, err := os.Lstat(dir); err == nil && filepath.Base(dir) != "container" {
			return fmt.Errorf("%s is there", dir)
		}
	}
	return nil
}

// noVethSoon waits until the kernel has taken the container's link away, as it
// does some milliseconds after the last process, unless it has many others to
// end.
func (h *host) noVethSoon() error {
	deadline := time.Now().Add(3 * lab.Patience())
	for {
		err := h.noVeth()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v: %w", 3*lab.Patience(), err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (h *host) noVeth() error {
	for _, l := range h.node.Links() {
		if strings.HasPrefix(l.Name, "veth") {
			return fmt.Errorf("link %s is there", l.Name)
		}
	}
	return nil
}

// same tells whether a host is what it was. (Neighbours are not looked at: they
// go with their links, and the uplink's as the machines at its ends like.)
func (h *host) same(o *outcome) error {
	if err := gone(o.made); err != nil {
		return err
	}
	now := h.node.Snapshot()
	if now == h.before {
		return nil
	}
	var lines []string
	was, is := strings.Split(h.before, "\n"), strings.Split(now, "\n")
	for _, l := range was {
		if !slices.Contains(is, l) {
			lines = append(lines, "- "+l)
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			lines = append(lines, "+ "+l)
		}
	}
	const most = 3
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return errors.New("the host is not what it was:\n" + strings.Join(lines, "\n"))
}
