//go:build ignore

/*
 * What the container's processes do in their own namespaces, for floor.c: the
 * system calls that "main -x" shows, with their arguments.
 *
 * (The first line keeps the go command from taking this for cgo.)
 */

#define NONE (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static void keep_only(int a, int b, int c)
{
	int fds[] = {a, b, c}, from = 3;
	for (int i = 0; i < 3; i++) {
		if (fds[i] < from)
			continue; /* in ascending order, and -1 is none */
		if (fds[i] > from)
			must(close_range(from, fds[i] - 1, 0), "close_range");
		from = fds[i] + 1;
	}
	must(close_range(from, ~0u, 0), "close_range");
}

static void put_file(const char *from, const char *to, const char *text)
{
	int fd = must(open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), from);
	must(write(fd, text, strlen(text)), from);
	close(fd);
	must(mount(from, to, NULL, MS_BIND, NULL), to);
	must(unlink(from), from);
}

static void set_file(const char *name, const char *text)
{
	int fd = must(open(name, O_WRONLY | O_CLOEXEC), name);
	must(write(fd, text, strlen(text)), name);
	close(fd);
}

static void send_route_socket(void)
{
	int fd = must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "socket");
	char byte = 0, control[CMSG_SPACE(sizeof fd)];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
	must(sendmsg(line[0], &m, 0), "sendmsg");
	close(fd);
}

static void make_proc(void)
{
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make mounts private");
	struct mount_attr nodev = {.attr_set = MOUNT_ATTR_NODEV};
	must(syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &nodev, sizeof nodev), "mount_setattr");
	must(mount(NULL, "/", NULL, MS_NODEV | MS_REMOUNT | MS_BIND, NULL), "remount");
	must(mount("proc", "/proc", "proc", NONE, NULL), "mount proc");
}

static void no_router_advertisements(void)
{
	set_file("/proc/sys/net/ipv6/conf/default/accept_ra", "0");
	if (access("/proc/sys/net/ipv6/conf/" INSIDE "/accept_ra", F_OK) == 0) /* if it has come by now */
		set_file("/proc/sys/net/ipv6/conf/" INSIDE "/accept_ra", "0");
}

static void make_mounts(void)
{
	static const char *read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"};
	for (int i = 0; i < 4; i++) {
		if (mount(read_only[i], read_only[i], NULL, MS_BIND, NULL)) /* ENOENT: not every kernel has it */
			continue;
		must(mount(NULL, read_only[i], NULL, MS_RDONLY | NONE | MS_REMOUNT | MS_BIND, NULL), read_only[i]);
	}
	must(mount("sysfs", "/sys", "sysfs", MS_RDONLY | NONE, NULL), "mount sysfs");
	(void)mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_RDONLY | NONE, NULL);
	must(mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k"), "mount /dev");
	static const struct { const char *name; int major, minor; } nodes[] = {
		{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
	};
	for (int i = 0; i < 6; i++) {
		must(mknod(nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].name);
		must(mount(nodes[i].name, nodes[i].name, NULL, MS_BIND, NULL), nodes[i].name);
	}
	must(mount(NULL, "/dev", NULL, NONE | MS_REMOUNT | MS_BIND, NULL), "remount /dev");
	must(symlink("pts/ptmx", "/dev/ptmx"), "symlink");
	must(symlink("/proc/self/fd", "/dev/fd"), "symlink");
	must(symlink("/proc/self/fd/0", "/dev/stdin"), "symlink");
	must(symlink("/proc/self/fd/1", "/dev/stdout"), "symlink");
	must(symlink("/proc/self/fd/2", "/dev/stderr"), "symlink");
	must(mkdir("/dev/pts", 0755), "mkdir");
	must(mkdir("/dev/shm", 0755), "mkdir");
	must(mkdir("/dev/mqueue", 0755), "mkdir");
	must(mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"), "mount devpts");
	must(mount("tmpfs", "/dev/shm", "tmpfs", NONE, "mode=1777,size=64m"), "mount /dev/shm");
	must(mount("mqueue", "/dev/mqueue", "mqueue", NONE, NULL), "mount mqueue");
	static const char *dirs[] = {"/proc/acpi", "/sys/firmware"}, *files[] = {"/proc/interrupts", "/proc/keys", "/proc/timer_list"};
	for (int i = 0; i < 2; i++)
		(void)mount("tmpfs", dirs[i], "tmpfs", MS_RDONLY | NONE, NULL); /* as above */
	for (int i = 0; i < 3; i++)
		(void)mount("/dev/null", files[i], NULL, MS_BIND, NULL);
	must(sethostname("container", 9), "sethostname");
	put_file("/dev/hostname", "/etc/hostname", "container\n");
	put_file("/dev/hosts", "/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n172.16.0.30\tcontainer\n");
	put_file("/dev/resolv.conf", "/etc/resolv.conf", "nameserver 192.0.2.53\n");
}

/* The capabilities that docker run leaves: numbers of linux/capability.h. */
#define KEPT (1ULL << 0 | 1ULL << 1 | 1ULL << 3 | 1ULL << 4 | 1ULL << 5 | 1ULL << 6 | 1ULL << 7 | 1ULL << 8 | 1ULL << 10 | \
	      1ULL << 13 | 1ULL << 18 | 1ULL << 27 | 1ULL << 29 | 1ULL << 31)

static void set_capabilities(uint64_t set)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{set, set, 0}, {set >> 32, set >> 32, 0}};
	must(syscall(SYS_capset, &h, d), "capset");
}

static void bound_capabilities(void)
{
	for (int c = 0; c <= CAP_LAST_CAP; c++)
		if (!(KEPT >> c & 1))
			must(prctl(PR_CAPBSET_DROP, c), "PR_CAPBSET_DROP");
}

/* A filter of as many instructions as the runner's, which lets all pass: the
   kernel checks and compiles it all the same. */
static void filter(void)
{
	struct sock_filter f[85] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)};
	for (int i = 1; i < 84; i++)
		f[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1000 + i, 84 - i - 1, 0);
	f[84] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog p = {85, f};
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p), "seccomp");
}

/* seal is what the command and the process that waits for it have in common. */
static void seal(void)
{
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	must(prctl(PR_SET_DUMPABLE, 0), "PR_SET_DUMPABLE");
	set_capabilities(KEPT);
	filter();
}

/* prepare is what the command's process does while the network is made, and
   enter what it does before it is the command. */
static void prepare(void)
{
	struct rlimit files = {1024, 1024};
	must(setsid(), "setsid");
	umask(022);
	struct rlimit had;
	getrlimit(RLIMIT_NOFILE, &had);
	files.rlim_max = had.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
}

static void enter(void)
{
	must(setgroups(0, NULL), "setgroups");
	must(syscall(SYS_setresgid, 0, 0, 0), "setresgid");
	must(syscall(SYS_setresuid, 0, 0, 0), "setresuid");
	set_capabilities(KEPT);
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
}
