//go:build linux

package seccomp

import "golang.org/x/sys/unix"

// Rule is a call that the filter refuses.
type Rule struct {
	Name   string // as in syscalls(2)
	Number int
	When   string     // which of its arguments are refused, "" for all
	Errno  unix.Errno // what it fails with
	Unless uint64     // capabilities, any of which lifts the rule; 0 if none does
	Why    string
}

// Rules are the calls that Filter(caps) refuses, group by group. Beside them
// it refuses other ABIs' calls, and numbers that it does not know.
func Rules(caps uint64) []Rule {
	var list []Rule
	for id := range groups {
		g := &groups[id]
		if g.unless&caps != 0 {
			continue
		}
		errno := unix.EPERM
		if g.answer == absent {
			errno = unix.ENOSYS
		}
		for _, table := range [...][]rule{rules, native} {
			for _, r := range table {
				if int(r.group) == id {
					list = append(list, Rule{r.name, int(r.nr), g.when, errno, g.unless, g.why})
				}
			}
		}
	}
	return list
}

// rule puts a call into a group. The tables are data of the binary: nothing
// builds them when it starts.
type rule struct {
	name  string
	nr    uint16
	group uint8
}

// group is calls that are refused for one reason.
type group struct {
	answer answer
	unless uint64 // capabilities, any of which has them allowed
	when   string
	why    string
}

const (
	admin      = 1 << unix.CAP_SYS_ADMIN
	bpfCap     = 1 << unix.CAP_BPF
	bootCap    = 1 << unix.CAP_SYS_BOOT
	chrootCap  = 1 << unix.CAP_SYS_CHROOT
	moduleCap  = 1 << unix.CAP_SYS_MODULE
	niceCap    = 1 << unix.CAP_SYS_NICE
	pacctCap   = 1 << unix.CAP_SYS_PACCT
	perfmonCap = 1 << unix.CAP_PERFMON
	ptraceCap  = 1 << unix.CAP_SYS_PTRACE
	rawioCap   = 1 << unix.CAP_SYS_RAWIO
	readCap    = 1 << unix.CAP_DAC_READ_SEARCH
	syslogCap  = 1 << unix.CAP_SYSLOG
	timeCap    = 1 << unix.CAP_SYS_TIME
	ttyCap     = 1 << unix.CAP_SYS_TTY_CONFIG
)

// The groups, in the order of their table below.
const (
	mounts = iota
	roots
	chroots
	namespaces
	forks
	forks3
	handles
	modules
	oldModules
	kexec
	boot
	swap
	clocks
	names
	quotas
	accounts
	kernelLog
	watches
	cookies
	security
	bpf
	perf
	keys
	uring
	faults
	inspection
	memory
	pages
	ports
	terminals
	behaviours
	sockets
	machine
	old
)

var groups = [...]group{
	mounts:     {refuse, admin, "", "the mount tree, and through it the host's files"},
	roots:      {refuse, 0, "", "the root of every process in the mount namespace"},
	chroots:    {refuse, chrootCap, "", "a root of its own is a way out of one"},
	namespaces: {refuse, admin, "", "new user namespaces lead to kernel code that is otherwise root's"},
	forks:      {cloneFlags, admin, "with CLONE_NEW… flags", "as unshare"},
	forks3:     {absent, admin, "", "its flags can't be seen; C libraries turn to clone"},
	handles:    {refuse, readCap, "", "opens by inode number, past the container's root"},
	modules:    {refuse, moduleCap, "", "the kernel's own code"},
	oldModules: {refuse, 0, "", "the kernel's own code, as of Linux 2.4"},
	kexec:      {refuse, 0, "", "another kernel"},
	boot:       {refuse, bootCap, "", "the whole machine"},
	swap:       {refuse, 0, "", "the whole machine's memory"},
	clocks:     {refuse, timeCap, "", "the whole machine's time"},
	names:      {refuse, admin, "", "the names were given by whoever runs the container"},
	quotas:     {refuse, admin, "", "limits of the host's file systems"},
	accounts:   {refuse, pacctCap, "", "the host's record of processes"},
	kernelLog:  {refuse, admin | syslogCap, "", "the host's messages, and addresses in the kernel"},
	watches:    {refuse, admin, "", "sees or stops opens on whole file systems"},
	cookies:    {refuse, admin, "", "paths of what others run"},
	security:   {refuse, admin, "", "the host's security modules"},
	bpf:        {refuse, admin | bpfCap, "", "programs that stay in the kernel"},
	perf:       {refuse, admin | perfmonCap, "", "sees other processes and the kernel at work"},
	keys:       {refuse, 0, "", "keyrings are in no namespace"},
	uring:      {refuse, 0, "", "makes calls that no filter sees"},
	faults:     {refuse, 0, "", "stops the kernel in the midst of a copy, which exploits need"},
	inspection: {refuse, ptraceCap, "", "reaches into other processes"},
	memory:     {refuse, niceCap, "", "places memory on nodes that are shared with the host"},
	pages:      {refuse, 0, "", "moves other processes' memory"},
	ports:      {refuse, rawioCap, "", "the hardware"},
	terminals:  {refuse, ttyCap, "", "hangs up a terminal"},
	behaviours: {persona, 0, "all but PER_LINUX, PER_LINUX32, UNAME26 and asking", "old behaviours, and some that weaken a program's memory"},
	sockets:    {family, 0, "of the families AF_ALG and AF_VSOCK", "the kernel's ciphers; the hypervisor: no network namespace contains them"},
	machine:    {refuse, 0, "", "particular to the hardware, and hardly ever tried"},
	old:        {refuse, 0, "", "out of use, and hardly ever tried"},
}

// newNamespaces are the flags of clone that take CAP_SYS_ADMIN, or make a user
// namespace. CLONE_NEWTIME is not among clone's: its bit is one of the exit
// signal there.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// personas are what may be asked of personality(2) (linux/personality.h).
var personas = [...]uint32{
	0xffffffff, // what is it now?
	0x0000000,  // PER_LINUX
	0x0000008,  // PER_LINUX32: uname says i686, as setarch wants
	0x0020000,  // UNAME26: and 2.6.40 for 3.0
	0x0020008,
}

// families are the sockets that may not be opened. socketpair(2) knows neither.
var families = [...]uint32{unix.AF_ALG, unix.AF_VSOCK}

// rules are the calls that every architecture has; native (rules_….go) has
// those that this one has beside them.
//
// This is what Docker's list of allowed calls leaves out, but for two kinds. A
// few harmless calls are missing there because nobody has asked (nice,
// sigsuspend and readdir on 32-bit machines, cacheflush on MIPS), and old C
// libraries make them: they are allowed here. And numbers that stand in the
// tables without a call behind them (break, gtty, tuxcall) the kernel itself
// answers with ENOSYS.
var rules = []rule{
	{"mount", unix.SYS_MOUNT, mounts},
	{"umount2", unix.SYS_UMOUNT2, mounts},
	{"fsopen", unix.SYS_FSOPEN, mounts},
	{"fsconfig", unix.SYS_FSCONFIG, mounts},
	{"fsmount", unix.SYS_FSMOUNT, mounts},
	{"fspick", unix.SYS_FSPICK, mounts},
	{"open_tree", unix.SYS_OPEN_TREE, mounts},
	{"move_mount", unix.SYS_MOVE_MOUNT, mounts},
	{"mount_setattr", unix.SYS_MOUNT_SETATTR, mounts},
	{"pivot_root", unix.SYS_PIVOT_ROOT, roots},
	{"chroot", unix.SYS_CHROOT, chroots},

	{"setns", unix.SYS_SETNS, namespaces},
	{"unshare", unix.SYS_UNSHARE, namespaces},
	{"clone", unix.SYS_CLONE, forks},
	{"clone3", unix.SYS_CLONE3, forks3},

	{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, handles},

	{"init_module", unix.SYS_INIT_MODULE, modules},
	{"finit_module", unix.SYS_FINIT_MODULE, modules},
	{"delete_module", unix.SYS_DELETE_MODULE, modules},
	{"kexec_load", unix.SYS_KEXEC_LOAD, kexec},
	{"reboot", unix.SYS_REBOOT, boot},
	{"swapon", unix.SYS_SWAPON, swap},
	{"swapoff", unix.SYS_SWAPOFF, swap},
	{"settimeofday", unix.SYS_SETTIMEOFDAY, clocks},
	{"clock_settime", unix.SYS_CLOCK_SETTIME, clocks},

	{"sethostname", unix.SYS_SETHOSTNAME, names},
	{"setdomainname", unix.SYS_SETDOMAINNAME, names},
	{"quotactl", unix.SYS_QUOTACTL, quotas},
	{"quotactl_fd", unix.SYS_QUOTACTL_FD, quotas},
	{"acct", unix.SYS_ACCT, accounts},
	{"syslog", unix.SYS_SYSLOG, kernelLog},
	{"fanotify_init", unix.SYS_FANOTIFY_INIT, watches},
	{"lookup_dcookie", unix.SYS_LOOKUP_DCOOKIE, cookies},
	{"lsm_get_self_attr", unix.SYS_LSM_GET_SELF_ATTR, security},
	{"lsm_set_self_attr", unix.SYS_LSM_SET_SELF_ATTR, security},
	{"lsm_list_modules", unix.SYS_LSM_LIST_MODULES, security},

	{"bpf", unix.SYS_BPF, bpf},
	{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, perf},
	{"add_key", unix.SYS_ADD_KEY, keys},
	{"request_key", unix.SYS_REQUEST_KEY, keys},
	{"keyctl", unix.SYS_KEYCTL, keys},
	{"io_uring_setup", unix.SYS_IO_URING_SETUP, uring},
	{"io_uring_enter", unix.SYS_IO_URING_ENTER, uring},
	{"io_uring_register", unix.SYS_IO_URING_REGISTER, uring},
	{"userfaultfd", unix.SYS_USERFAULTFD, faults},

	// ptrace, process_vm_readv and process_vm_writev are allowed: since 4.8 the
	// filter looks at a call after the tracer has had its say, and they reach
	// only processes that have no right which the caller lacks.
	{"kcmp", unix.SYS_KCMP, inspection},
	{"pidfd_getfd", unix.SYS_PIDFD_GETFD, inspection},
	{"process_madvise", unix.SYS_PROCESS_MADVISE, inspection},
	{"get_mempolicy", unix.SYS_GET_MEMPOLICY, memory},
	{"set_mempolicy", unix.SYS_SET_MEMPOLICY, memory},
	{"set_mempolicy_home_node", unix.SYS_SET_MEMPOLICY_HOME_NODE, memory},
	{"mbind", unix.SYS_MBIND, memory},
	{"migrate_pages", unix.SYS_MIGRATE_PAGES, pages},
	{"move_pages", unix.SYS_MOVE_PAGES, pages},

	{"vhangup", unix.SYS_VHANGUP, terminals},
	{"personality", unix.SYS_PERSONALITY, behaviours},
	{"socket", unix.SYS_SOCKET, sockets},
	{"nfsservctl", unix.SYS_NFSSERVCTL, old},
}
