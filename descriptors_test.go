//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/cgroup"
)

// descriptors is a process's table of descriptors, as far as a child's steps go:
// they are told the numbers before there is a child.
type descriptors map[uintptr]string // by what each was opened

func (d descriptors) open(text string) uintptr {
	fd := uintptr(0)
	for d[fd] != "" {
		fd++
	}
	d[fd] = text
	return fd
}

// do does what a step does to the table, and says what is wrong with it. fails
// tells of an open that it is to fail.
func (d descriptors) do(s step, fails func(step) bool) error {
	switch s.trap {
	case unix.SYS_OPENAT, unix.SYS_OPEN_TREE, unix.SYS_SOCKET:
		if fails(s) {
			return nil
		}
		if fd := d.open(s.text); s.want != anyResult && s.want != fd {
			return fmt.Errorf("it gives %d, and %d is wanted", fd, s.want)
		}
		return nil
	case unix.SYS_CLOSE_RANGE:
		maps.DeleteFunc(d, func(fd uintptr, _ string) bool { return fd >= s.args[0] && fd <= s.args[1] })
		return nil
	case unix.SYS_MOUNT_SETATTR:
		if s.args[0] == atFDCWD() {
			return nil
		}
	case unix.SYS_CLOSE, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG,
		unix.SYS_IOCTL, unix.SYS_FCHOWN, unix.SYS_DUP3, unix.SYS_MOVE_MOUNT, unix.SYS_SETNS:
	default:
		return nil
	}
	by := d[s.args[0]]
	if by == "" {
		if slices.Contains(s.pass[:], uint16(unix.EBADF)) {
			return nil
		}
		return fmt.Errorf("%d is not open", s.args[0])
	}
	// "write 1 to X" is for what "open X" opened.
	_, about, ok := strings.Cut(s.text, " to ")
	if ok && (s.trap == unix.SYS_WRITE || s.trap == unix.SYS_PWRITE64) && !strings.HasSuffix(by, about) {
		return fmt.Errorf("%d is what \"%s\" gave", s.args[0], by)
	}
	switch s.trap {
	case unix.SYS_CLOSE:
		delete(d, s.args[0])
	case unix.SYS_DUP3:
		d[s.args[1]] = by
	case unix.SYS_IOCTL:
		if s.args[1] == unix.TIOCGPTPEER {
			if fd := d.open(s.text); s.want != fd {
				return fmt.Errorf("it gives %d, and %d is wanted", fd, s.want)
			}
		}
		if s.args[1] == unix.TIOCSCTTY && !strings.Contains(by, "slave") {
			return fmt.Errorf("%d is what \"%s\" gave", s.args[0], by)
		}
	}
	return nil
}

// play does what steps do.
func (d descriptors) play(steps []step, fails func(step) bool) error {
	skip := int32(0)
	for _, s := range steps {
		if skip--; skip >= 0 {
			continue
		}
		if err := d.do(s, fails); err != nil {
			return fmt.Errorf("%s: %w", s.text, err)
		}
		if !fails(s) {
			skip = s.skip
		}
	}
	return nil
}

// playDescriptors plays a program: the set-up, then the command in a copy of its
// table. What is left open there, and isn't closed by execve, is an error.
func playDescriptors(p *program, fails func(step) bool, alsoOpen ...int) error {
	d := descriptors{0: "stdin", 1: "stdout", 2: "stderr", p.line: "the line"}
	for _, fd := range alsoOpen {
		d[uintptr(fd)] = "the parent's"
	}
	if err := d.play(p.setUp, fails); err != nil {
		return err
	}
	if err := maps.Clone(d).play(p.command, fails); err != nil {
		return err
	}
	delete(d, p.line)
	for fd, by := range d {
		if fd > 2 && !strings.Contains(by, "slave") {
			return fmt.Errorf("%d is open yet when the command begins, from \"%s\"", fd, by)
		}
	}
	return nil
}

// A container's steps know the numbers of all that they open, whatever number
// its line has, and whether or not its veth is there before them.
func TestContainerDescriptors(t *testing.T) {
	noIPv6 := func(s step) bool { return slices.Contains(s.pass[:], uint16(unix.ENOENT)) }
	none := func(step) bool { return false }
	volumes := []volume{{source: "/a", target: "/dev/a"}, {source: "/b", target: "/dev/b", readOnly: true}, {source: "/c", target: "/dev/c"}}
	const v4, v6 = "172.16.0.30/24", "fd00:16::30/64"
	for _, o := range []options{
		{network: bridged, addresses: prefixList(v4)},
		{network: bridged, addresses: prefixList(v6)},
		{network: bridged, addresses: prefixList(v4 + "," + v6)},
		{network: bridged, addresses: prefixList(v4), volumes: volumes},
		{network: bridged, addresses: prefixList(v4), volumes: volumes, processOptions: processOptions{privileged: true}},
		{network: bridged, auto: true, gateways: prefixList(v4)},
		{network: bridged, auto: true, gateways: prefixList(v6)},
		{network: noNetwork, volumes: volumes},
		{network: hostNetwork},
	} {
		o.hostname, o.dns = "box", addrList("10.0.0.53")
		for _, terminal := range []bool{false, true} {
			for number := 3; number < 12; number++ {
				c := &command{argv: []string{"x"}, paths: []string{"/x"}, terminal: terminal, confined: true}
				p, err := container(&o, c, new(cgroup.Group), &line{theirs: number})
				if err != nil {
					t.Fatal(err)
				}
				for name, fails := range map[string]func(step) bool{"with": none, "without": noIPv6} {
					if err := playDescriptors(p, fails, 7, 11); err != nil {
						t.Errorf("network %s, addresses %s (auto of %s), %d volumes, terminal %t, line %d, %s the veth:\n%v",
							o.network, o.addresses, o.gateways, len(o.volumes), terminal, number, name, err)
					}
				}
			}
		}
	}
}

// The same of an exec, which also has what leads to the container for a while:
// the pidfd of its first process, if there are such, and the directory of that
// in /proc.
func TestJoinerDescriptors(t *testing.T) {
	old := func(s step) bool { return s.skip > 0 }
	for name, fails := range map[string]func(step) bool{"all at once": func(step) bool { return false }, "one by one": old} {
		for _, terminal := range []bool{false, true} {
			for number := 3; number < 8; number++ {
				for n := range 25 {
					to := &target{pidfd: 3 + n/5, proc: 3 + n%5}
					if to.proc == to.pidfd {
						to.pidfd = -1
					}
					if to.pidfd == number || to.proc == number {
						continue
					}
					c := &command{argv: []string{"x"}, paths: []string{"/x"}, terminal: terminal, confined: true}
					p, err := joiner(c, to, new(cgroup.Group), &line{theirs: number})
					if err != nil {
						t.Fatal(err)
					}
					// What entering a cgroup of version 1 comes to.
					at := &program{line: p.line, targetDir: uintptr(to.proc)}
					open := []int{to.proc, 9}
					if to.pidfd >= 0 {
						at.target = uintptr(to.pidfd)
						open = append(open, to.pidfd)
					}
					enter := at.lowestFD(0)
					begin := slices.IndexFunc(p.setUp, func(s step) bool { return strings.HasPrefix(s.text, "setns") || strings.HasPrefix(s.text, "open ns/") })
					p.setUp = slices.Insert(p.setUp, begin,
						call("open tasks", unix.SYS_OPENAT).wanting(enter),
						call("write 0 to tasks", unix.SYS_WRITE, enter),
						call("close tasks", unix.SYS_CLOSE, enter))
					if err := playDescriptors(p, fails, open...); err != nil {
						t.Errorf("%s, terminal %t, line %d, %+v: %v", name, terminal, number, to, err)
					}
				}
			}
		}
	}
}

func TestLowestFD(t *testing.T) {
	for _, c := range []struct {
		line, target uintptr
		want         []uintptr
	}{
		{3, 0, []uintptr{4, 5, 6, 7}},
		{4, 0, []uintptr{3, 5, 6, 7}},
		{6, 0, []uintptr{3, 4, 5, 7}},
		{9, 0, []uintptr{3, 4, 5, 6}},
		{3, 4, []uintptr{5, 6, 7, 8}},
		{4, 3, []uintptr{5, 6, 7, 8}},
		{7, 3, []uintptr{4, 5, 6, 8}},
	} {
		p := &program{line: c.line, target: c.target}
		for opened, want := range c.want {
			if got := p.lowestFD(opened); got != want {
				t.Errorf("line %d, pidfd %d, %d opened: got %d, want %d", c.line, c.target, opened, got, want)
			}
		}
	}
}
