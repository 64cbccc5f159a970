//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nl"
	"container/rtnl"
)

// namespaces are what a container has of its own from its making. Its cgroup
// namespace it makes when it is in its cgroup.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS |
	unix.CLONE_NEWIPC | unix.CLONE_NEWNET

// namespaces are those that this one is to have.
func (o *options) namespaces() uint64 {
	if o.network == hostNetwork {
		return namespaces &^ unix.CLONE_NEWNET
	}
	return namespaces
}

// container is the steps of a container's first process and its command.
func container(o *options, c *command, g *cgroup.Group, l *line) (*program, error) {
	// With room for what is usual, here and below: to grow takes copies.
	p := &program{line: uintptr(l.theirs), setUp: make([]step, 0, 192), command: make([]step, 0, 16)}

	p.name("init")
	// The first process. It mounts while the parent makes the network.
	p.setUp = append(p.setUp, keepOnly(l.theirs)...)
	p.startIn(g)
	p.setUp = append(p.setUp, dieWithParent(), newSession())
	p.setUp = append(p.setUp, p.enter(g, true)...)
	// The cgroup that it is in now is the root of what it sees of cgroups.
	p.setUp = append(p.setUp, call("unshare the cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP))
	if o.network == noNetwork {
		p.setUp = append(p.setUp, p.loopbackUp()...)
	}
	tree, err := p.filesystem(o)
	if err != nil {
		return nil, err
	}
	p.setUp = append(p.setUp, tree...)
	return p, p.run(c)
}

// prepareIPv6 makes settings of the network namespace before its veth comes to
// be up, or has an address: they can't be made by a message. Addresses and routes
// are given to a container, not taken from routers; and it tells its neighbours
// when it has an address (Announce).
//
// What is set by default holds for a veth that is yet to come. If it is there
// already, it is set as well.
//
// It is done in the container's own /proc, before that is read-only: a look at
// /proc/sys/net in the host's takes the longer the more containers there are
// (kernelHasIPv6).
func (p *program) prepareIPv6(at string, o *options) []step {
	dir := at + "/proc/sys/net/ipv6/conf/"
	if !kernelHasIPv6() {
		return nil
	}
	fd := p.lowestFD(len(o.volumes))
	var steps []step
	set := func(name, value string, passing ...unix.Errno) {
		steps = append(steps,
			call("open "+dir+name, unix.SYS_OPENAT, atFDCWD(), p.str(dir+name), unix.O_WRONLY|unix.O_CLOEXEC).passing(passing...),
			call("write "+value+" to "+dir+name, unix.SYS_WRITE, fd, p.str(value), 1).passing(unix.EBADF),
			closing(dir+name, fd).passing(unix.EBADF, unix.EINTR, unix.EIO))
	}
	both := func(name, value string) {
		set("default/"+name, value)
		set(insideName+"/"+name, value, unix.ENOENT)
	}
	both("accept_ra", "0")
	if o.hasIPv6() {
		both("ndisc_notify", "1")
	}
	return steps
}

// loopbackUp brings lo up, which has 127.0.0.1 and ::1 then.
func (p *program) loopbackUp() []step {
	fd := p.lowestFD(0)
	up := nl.Silent([]nl.Request{rtnl.Up(rtnl.LoopbackIndex, "lo")})
	b := nl.Marshal(up)
	return []step{
		call("open a netlink socket", unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE).wanting(fd),
		call("link lo: set up", unix.SYS_SENDTO, fd, p.data(b), uintptr(len(b)), 0, 0, 0).sending(unix.NETLINK_ROUTE, up),
		p.notRefused("link lo: set up", fd),
		closing("the netlink socket", fd),
	}
}

// sendSocket opens a netlink socket, which belongs to the child's network
// namespace for good, and sends it to the parent, which has no need to enter
// that namespace then. So many descriptors have been opened before.
func (p *program) sendSocket(protocol, opened int) []step {
	fd := p.lowestFD(opened)
	return []step{
		call("open a netlink socket", unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, uintptr(protocol)).wanting(fd),
		p.sendFD("send the netlink socket", int(fd)),
		closing("the netlink socket", fd),
	}
}

// command is what is executed in a container, by a run or an exec.
type command struct {
	argv     []string
	paths    []string // where argv[0] may be, in the order to try
	env      []string
	workdir  string // "" is the caller's own, in a tree that is the host's
	user     user
	caps     capabilities
	confined bool // no_new_privs and a seccomp filter
	terminal bool
}

// run adds the last steps before the command's process is forked, and then
// those of that and, behind them, of the process that waits for it.
func (p *program) run(c *command) error {
	add := func(s ...step) { p.command = append(p.command, s...) }
	if c.terminal {
		p.setUp = append(p.setUp, p.makeTerminal()...)
	}
	own, err := ownCaps()
	if err != nil {
		return err
	}
	bound, err := p.bound(c.caps)
	if err != nil {
		return err
	}
	p.setUp = append(p.setUp, bound...)

	// A session keyring of its own: the caller's is not for the container.
	// ENOSYS without CONFIG_KEYS; EDQUOT when root has made too many.
	p.setUp = append(p.setUp, call("join a new session keyring", unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0).passing(unix.ENOSYS, unix.EDQUOT, unix.EPERM))

	// Next comes the fork, and from then on processes in the container see
	// this one, the new one, or both. They find in neither what they could
	// take: no more capabilities than the steps below ask for, nothing to
	// trace until the command has been executed, and for those that may trace
	// everything (CAP_SYS_PTRACE) nothing that the filter would not judge.
	p.setUp = append(p.setUp, undumpable(), p.setCaps((c.caps|forSteps)&own))
	if c.confined {
		p.setUp = append(p.setUp, noNewPrivs(), p.filter(c.caps))
	}

	add(newSession(), dieWithParent(), call("umask", unix.SYS_UMASK, 0o022))
	if c.terminal {
		add(p.useTerminal(c.user)...)
	}
	limits, err := p.limitFiles()
	if err != nil {
		return err
	}
	add(limits)
	if c.workdir != "" {
		add(call("chdir "+c.workdir, unix.SYS_CHDIR, p.str(c.workdir)))
	}
	// As late as can be: all of the above takes a third of a millisecond, in which
	// the parent makes the network. A change of user may make it dumpable again
	// (/proc/sys/fs/suid_dumpable), so that comes right before the execve.
	add(p.waitForGo())
	add(p.become(c.user)...)
	// The change of user has taken them from anyone but root; what the caller
	// had as inheritable it has not.
	caps := c.caps
	if c.user.uid != 0 {
		caps = noCaps
	}
	add(p.setCaps(caps))
	// Again, for a change of user takes it back.
	add(dieWithParent())
	add(p.unblockSignals())
	for i, path := range c.paths {
		try := p.exec(path, c.argv, c.env)
		if i < len(c.paths)-1 {
			try = try.passing(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
		}
		add(try)
	}

	// The process that waits keeps what it takes to pass signals on to another
	// user's process. It holds nothing open, for a reader of the command's output
	// waits for the last one who has it. This comes last, so that it can tell the
	// runner of a failure before.
	p.after = append(p.after, p.setCaps(1<<unix.CAP_KILL&own))
	p.after = append(p.after, closeRange("close all descriptors", 0, highestFD)...)
	return nil
}

// forSteps is what the steps between the fork and the command's execve take:
// the terminal's chown, chdir, the change of user, and passing signals on.
const forSteps = capabilities(1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_KILL)

// defaultPath is where commands are looked for, as Docker has it.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is the command's: nothing of the caller's but TERM, and what
// -e gives: NAME=VALUE, or NAME for the caller's value.
func environment(terminal bool, hostname, home string, given []string) []string {
	env := []string{"PATH=" + defaultPath, "HOSTNAME=" + hostname, "HOME=" + home}
	if terminal {
		term := os.Getenv("TERM")
		if term == "" {
			term = "xterm"
		}
		env = append(env, "TERM="+term)
	}
	for _, e := range given {
		name, _, ok := strings.Cut(e, "=")
		if !ok {
			value, set := os.LookupEnv(name)
			if !set {
				continue
			}
			e = name + "=" + value
		}
		env = setEnv(env, name, e)
	}
	return env
}

func setEnv(env []string, name, entry string) []string {
	for i, e := range env {
		if strings.HasPrefix(e, name+"=") {
			env[i] = entry
			return env
		}
	}
	return append(env, entry)
}

func getEnv(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// lookUp finds a command below a root as execvp(3) does: in PATH, unless it
// has a slash.
func lookUp(root int, name, pathList, workdir string) (string, error) {
	if strings.Contains(name, "/") {
		full := name
		if !path.IsAbs(name) {
			full = path.Join(workdir, name)
		}
		if err := executable(root, full); err != nil {
			return "", execError(name, err)
		}
		return name, nil
	}
	denied := false
	for _, candidate := range candidates(name, pathList) {
		switch err := executable(root, candidate); {
		case err == nil:
			return candidate, nil
		case errors.Is(err, unix.EACCES):
			denied = true
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP):
			return "", execError(candidate, err)
		}
	}
	if denied {
		return "", execError(name, unix.EACCES)
	}
	return "", &statusError{statusNotFound, fmt.Errorf("%s: command not found in %s", name, pathList)}
}

// candidates are where a command may be.
func candidates(name, pathList string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var all []string
	for dir := range strings.SplitSeq(pathList, ":") {
		if dir == "" {
			dir = "." // execvp(3)
		}
		all = append(all, dir+"/"+name)
	}
	return all
}

// executable tells why a file can't be executed, if that can be seen.
func executable(root int, name string) error {
	fd, err := inRoot(root, name, unix.O_PATH)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			return pe.Err
		}
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
		return unix.EACCES
	}
	return nil
}

// execError is a command that can't be executed: status 127 when it is not
// there, 126 otherwise.
func execError(name string, err error) error {
	status := statusNotExecutable
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		status = statusNotFound
	}
	if errors.Is(err, unix.ENOEXEC) {
		err = fmt.Errorf("%w (not a program of this architecture, nor a script that names its interpreter)", err)
	}
	return &statusError{status, fmt.Errorf("%s: %w", name, err)}
}
