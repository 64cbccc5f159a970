//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNotThere is the end of an attempt on what this kernel or host hasn't got.
var errNotThere = errors.New("not there")

// attempt is a way out of a container, or into the kernel, that somebody has
// published or might try. It changes nothing where it succeeds.
type attempt struct {
	name string
	try  func() error // nil: it got through
}

var attempts = []attempt{
	// Files that are the whole machine's.
	{"write core_pattern", func() error { return openToWrite("/proc/sys/kernel/core_pattern") }},
	{"write modprobe", func() error { return openToWrite("/proc/sys/kernel/modprobe") }},
	{"write sysrq-trigger", func() error { return openToWrite("/proc/sysrq-trigger") }},
	{"write uevent_helper", func() error { return openToWrite("/sys/kernel/uevent_helper") }},
	{"write any file of /proc", func() error { return anyToWrite("/proc") }},
	{"write any file of /sys", func() error { return anyToWrite("/sys") }},
	{"read kcore", func() error { return readSome("/proc/kcore") }},
	{"read kmsg", func() error { return readSome("/proc/kmsg") }},
	{"read keys", func() error { return readSome("/proc/keys") }},
	{"read kernel addresses", kernelAddresses},
	{"read the kernel's log", func() error { return call(unix.SYS_SYSLOG, 10) }}, // SYSLOG_ACTION_SIZE_BUFFER

	// Devices.
	{"disk by a node in /tmp", func() error { return disk("/tmp") }},
	{"disk by a node in /dev", func() error { return disk("/dev") }},
	{"disk by a node in /dev/shm", func() error { return disk("/dev/shm") }},
	{"kernel log by a node", func() error { return node("/tmp", unix.S_IFCHR, unix.Mkdev(1, 11), unix.O_RDONLY|unix.O_NONBLOCK) }},
	{"memory by a node", func() error { return node("/tmp", unix.S_IFCHR, unix.Mkdev(1, 1), unix.O_RDONLY) }},
	{"I/O ports", ioPorts},

	// Mounts.
	{"mount proc", func() error { return mounted("proc", "") }},
	{"mount sysfs", func() error { return mounted("sysfs", "") }},
	{"mount tmpfs", func() error { return mounted("tmpfs", "") }},
	{"mount debugfs", func() error { return mounted("debugfs", "") }},
	{"mount tracefs", func() error { return mounted("tracefs", "") }},
	{"mount bpf", func() error { return mounted("bpf", "") }},
	{"mount devtmpfs", func() error { return mounted("devtmpfs", "") }},
	{"mount cgroup2", func() error { return mounted("cgroup2", "") }},
	{"mount cgroup v1 for its release_agent", releaseAgent},
	{"fsopen", func() error { return callName(unix.SYS_FSOPEN, "tmpfs") }},
	{"open_tree", openTree},
	{"remount /proc/sys", func() error {
		return further(unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	}},
	{"remount the root", func() error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
	{"unmount what hides interrupts", func() error { return further(unix.Unmount("/proc/interrupts", unix.MNT_DETACH)) }},
	{"pivot_root", func() error { return further(unix.PivotRoot(".", ".")) }},

	// Namespaces.
	{"unshare mounts", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
	{"unshare the network", func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
	{"unshare cgroups", func() error { return unix.Unshare(unix.CLONE_NEWCGROUP) }},
	{"clone a user namespace", userNamespace},
	{"clone3", func() error { return further(call(unix.SYS_CLONE3, 0, 0)) }},
	{"setns", func() error { return joinOwn("uts") }},
	{"chroot and fchdir", chroot},

	// Processes: the first one is a copy of ./main.
	{"trace process 1", func() error { return call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, 1, 0, 0) }},
	{"memory of process 1", func() error { return readSome("/proc/1/environ") }},
	{"program of process 1", func() error { return opens("/proc/1/exe", unix.O_RDONLY) }},
	{"root of process 1", func() error { return opens("/proc/1/root", unix.O_PATH) }},
	{"directory of process 1", func() error { return opens("/proc/1/cwd", unix.O_PATH) }},
	{"namespace of process 1", func() error { return opens("/proc/1/ns/mnt", unix.O_RDONLY) }},
	{"descriptor of process 1 by pidfd", pidfdGet},

	// Parts of the kernel that namespaces don't divide, or that were ways in.
	{"open_by_handle_at", byHandle},
	{"keyctl", func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); return err }},
	{"add_key", func() error {
		_, err := unix.AddKey("user", "intruder", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
		return err
	}},
	{"bpf", bpfMap},
	{"perf_event_open", perfEvent},
	{"userfaultfd", func() error { return call(unix.SYS_USERFAULTFD, unix.O_CLOEXEC) }},
	{"io_uring", ioUring},
	{"init_module", func() error { return further(call(unix.SYS_INIT_MODULE, 0, 0, 0)) }},
	{"kexec_load", func() error { return further(call(unix.SYS_KEXEC_LOAD, 0, 0, 0, ^uintptr(0))) }},
	{"reboot", func() error { return further(call(unix.SYS_REBOOT, 0, 0, 0, 0)) }},
	{"swapon", func() error { return further(callName(unix.SYS_SWAPON, "/no/such")) }},
	{"acct", func() error { return further(callName(unix.SYS_ACCT, "/no/such")) }},
	{"clock_settime", func() error { return further(call(unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, 0)) }},
	{"personality", func() error { return call(unix.SYS_PERSONALITY, 0x40000) }}, // ADDR_NO_RANDOMIZE
	{"fanotify", func() error { return call(unix.SYS_FANOTIFY_INIT, unix.FAN_CLOEXEC, 0) }},
	{"socket of AF_VSOCK", func() error { return socket(unix.AF_VSOCK, unix.SOCK_STREAM) }},
	{"socket of AF_ALG", func() error { return socket(unix.AF_ALG, unix.SOCK_SEQPACKET) }},

	// What it may do.
	{"take CAP_SYS_ADMIN", takeSysAdmin},
	{"real-time priority", func() error {
		return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
	}},
	{"niceness below 0", func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -1) }},
	{"no OOM killer", func() error { return os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0) }},
	{"a higher limit", func() error {
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
	}},
	{"links of the namespace at a veth's other end", peersLinks},
}

// escape makes attempts, each in a process of its own, and prints a line for
// each: its name, and "through" or what the kernel says. Without names it makes
// them all.
func escape(names []string) error {
	if len(names) == 1 {
		for _, a := range attempts {
			if a.name == names[0] {
				fmt.Printf("%s: %s\n", a.name, outcome(a.try()))
				return nil
			}
		}
		return fmt.Errorf("no attempt %q", names[0])
	}
	if len(names) == 0 {
		for _, a := range attempts {
			names = append(names, a.name)
		}
	}
	for _, name := range names {
		c := exec.Command("/proc/self/exe", "escape", name)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			fmt.Printf("%s: %v\n", name, err)
		}
	}
	return nil
}

func outcome(err error) string {
	if err == nil {
		return "through"
	}
	return err.Error()
}

func call(trap uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.RawSyscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// further takes it for a success that the kernel had nothing to find fault with
// but the arguments.
func further(err error) error {
	for _, refusal := range []error{unix.EPERM, unix.EACCES, unix.EROFS, unix.ENOSYS} {
		if errors.Is(err, refusal) {
			return err
		}
	}
	return nil
}

func opens(name string, flags int) error {
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return errNotThere
	}
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func openToWrite(name string) error { return opens(name, unix.O_WRONLY) }

func readSome(name string) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return errNotThere
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	b := make([]byte, 64)
	switch n, err := unix.Read(fd, b); {
	case err != nil:
		return err
	case n == 0:
		return errors.New("empty")
	}
	return nil
}

// anyToWrite looks for a file that can be written; but not those of processes,
// nor those that everybody may put a trigger on.
func anyToWrite(dir string) error {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil: // it may go while we look
			return nil
		case path == "/proc/pressure", dir == "/proc" && d.IsDir() && strings.Trim(name, "0123456789") == "":
			return fs.SkipDir
		}
		// Root opens what nobody can write, too.
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() && info.Mode()&0o222 != 0 && openToWrite(path) == nil {
			found = append(found, path)
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = errors.New("none")
	}
	return err
}

// kernelAddresses tells whether the kernel says where it is: without CAP_SYSLOG
// all addresses are 0, unless the host's administrator wants it otherwise.
func kernelAddresses() error {
	b, err := os.ReadFile("/proc/kallsyms")
	if errors.Is(err, fs.ErrNotExist) {
		return errNotThere
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if strings.Trim(strings.Fields(line)[0], "0") != "" {
			return nil
		}
	}
	return errors.New("all are 0")
}

// disk looks for the first disk that the kernel tells of.
func disk(dir string) error {
	b, err := os.ReadFile("/proc/partitions")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		var major, minor uint32
		if _, err := fmt.Sscan(line, &major, &minor); err == nil {
			return node(dir, unix.S_IFBLK, unix.Mkdev(major, minor), unix.O_RDONLY)
		}
	}
	return errNotThere
}

// node opens a device by a node that it makes.
func node(dir string, kind uint32, dev uint64, flags int) error {
	name := fmt.Sprintf("%s/intruder%d", dir, os.Getpid())
	if err := unix.Mknod(name, kind|0o600, int(dev)); err != nil {
		return fmt.Errorf("mknod: %w", err)
	}
	defer os.Remove(name)
	err := opens(name, flags)
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOMEDIUM) {
		return errNotThere
	}
	return err
}

// temporary is a directory to mount on.
func temporary() (string, error) { return os.MkdirTemp("/tmp", "intruder") }

func mounted(kind, options string) error {
	dir, err := temporary()
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	err = unix.Mount("none", dir, kind, 0, options)
	switch {
	case errors.Is(err, unix.ENODEV):
		return errNotThere
	case err == nil:
		return unix.Unmount(dir, 0)
	}
	return further(err)
}

// releaseAgent mounts a version 1 hierarchy that there is.
func releaseAgent() error {
	b, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return errNotThere
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] != "cpuset" && f[1] != "0" && !strings.HasPrefix(f[0], "#") {
			return mounted("cgroup", f[0])
		}
	}
	return errNotThere
}

func callName(trap uintptr, name string) error {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	return callPointer(trap, p)
}

func openTree() error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func userNamespace() error {
	c := exec.Command("/proc/self/exe", "hello")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	return c.Run()
}

func joinOwn(kind string) error {
	fd, err := unix.Open("/proc/self/ns/"+kind, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, 0)
}

// chroot is the classic way out of a root that is no mount namespace's: into a
// directory below, with the working directory left above.
func chroot() error {
	var before, after unix.Stat_t
	if err := unix.Stat("/", &before); err != nil {
		return err
	}
	dir, err := temporary()
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := unix.Chroot(dir); err != nil {
		return err
	}
	for range 50 {
		if err := unix.Chdir(".."); err != nil {
			return err
		}
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	if err := unix.Stat("/", &after); err != nil {
		return err
	}
	if before.Dev == after.Dev && before.Ino == after.Ino {
		return errors.New("the same root")
	}
	return nil
}

func pidfdGet() error {
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return err
	}
	// Process 1 has none: to be told so is to be let in.
	if _, err = unix.PidfdGetfd(fd, 0, 0); errors.Is(err, unix.EBADF) {
		return nil
	}
	return err
}

// byHandle opens a file of which only a number is known (Shocker).
func byHandle() error {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/dev/shm", 0)
	if err != nil {
		return fmt.Errorf("name_to_handle_at: %w", err)
	}
	mount, err := unix.Open("/dev/shm", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.OpenByHandleAt(mount, h, unix.O_RDONLY)
	return err
}

func takeSysAdmin() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return err
	}
	data[0].Permitted |= 1 << unix.CAP_SYS_ADMIN
	data[0].Effective |= 1 << unix.CAP_SYS_ADMIN
	return unix.Capset(&head, &data[0])
}
