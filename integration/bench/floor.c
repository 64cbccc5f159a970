//go:build ignore

/*
 * floor: what a run of the container runner costs when nothing but the kernel
 * costs anything.
 *
 *     floor -a|-b|-c [-q] [-r] [-l LENGTH] COMMAND [ARG...]
 *
 *     -a  namespaces alone: clone, mounts, hostname, exec, a tiny init
 *     -b  and the network: a veth on br0, 172.16.0.30/24, a route, the lease
 *         in nf_tables, the guardian that takes it back
 *     -c  and a published port, 80:8000
 *     -q  and the questions that the runner asks to be sure, see ask()
 *     -l  the length of the network's prefix (24)
 *     -r  reckless: the children share its memory
 *
 * It makes the same changes as "main -p 80:8000 172.16.0.30 COMMAND", with the
 * same messages, and expects br0 and the ruleset to be there, from an earlier
 * run of main in the same network namespace. It clones with the same flags, but
 * where the runner does what a careful program does, this does not:
 *
 *   - the container's first process is cloned before anything else is done;
 *   - messages of one socket go in one sendto, and none asks for an
 *     acknowledgement: all it takes is the answer to a question behind them, or
 *     a look whether there is one;
 *   - no error is explained or undone;
 *   - with -r the children share its memory (CLONE_VM), which no program may that
 *     has threads, as every Go program has: no page table is copied and no page
 *     either, and the last of them to end gives the memory back, which is the
 *     guardian, when nobody waits any more.
 *
 * (The first line keeps the go command from taking this for cgo.)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <grp.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/keyctl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/veth.h>

#define BRIDGE "br0"
#define TABLE "container"
#define ADDRESS htonl(0xac10001e) /* 172.16.0.30 */
#define NETWORK 0xac100000 /* 172.16.0.0/24, or as -l says */
#define GATEWAY htonl(0xac100064) /* 172.16.0.100 */
#define HOST_PORT 80
#define CONTAINER_PORT 8000
#define INSIDE "veth1"
#define MAC_INSIDE {0xca, 0x30, 0xae, 0x57, 0xc6, 0x68}
#define MAC_OUTSIDE {0xfe, 0x30, 0xae, 0x57, 0xc6, 0x68}

#ifndef IPV4_DEVCONF_ARP_NOTIFY
#define IPV4_DEVCONF_ARP_NOTIFY 22
#endif

static bool published; /* mode c */
static int prefix = 24;
static int sharing;    /* CLONE_VM, with -r */
static char **command;

static void die(const char *what)
{
	dprintf(2, "floor: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static long must(long result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

/* Netlink messages, one behind another in a buffer. */

struct batch {
	char data[2048];
	unsigned len;
	unsigned seq;
	struct nlmsghdr *last;
};

/* put appends bytes, padded to a multiple of 4. */
static void *put(struct batch *b, const void *data, unsigned n)
{
	void *at = b->data + b->len;
	memset(at, 0, NLMSG_ALIGN(n));
	if (data)
		memcpy(at, data, n);
	b->len += NLMSG_ALIGN(n);
	b->last->nlmsg_len = b->data + b->len - (char *)b->last;
	return at;
}

/* message begins a message, with its family's header. */
static void message(struct batch *b, int type, int flags, const void *header, unsigned n)
{
	b->last = (struct nlmsghdr *)(b->data + b->len);
	put(b, NULL, sizeof *b->last);
	b->last->nlmsg_type = type;
	b->last->nlmsg_flags = NLM_F_REQUEST | flags;
	b->last->nlmsg_seq = ++b->seq;
	put(b, header, n);
}

static void attr(struct batch *b, int type, const void *data, unsigned n)
{
	struct nlattr a = {.nla_len = NLA_HDRLEN + n, .nla_type = type};
	put(b, &a, sizeof a);
	put(b, data, n);
}

static void attr_u32(struct batch *b, int type, uint32_t v) { attr(b, type, &v, sizeof v); }

static void attr_str(struct batch *b, int type, const char *s) { attr(b, type, s, strlen(s) + 1); }

/* nest begins an attribute that is made of attributes, which end ends. */
static struct nlattr *nest(struct batch *b, int type)
{
	struct nlattr a = {.nla_type = NLA_F_NESTED | type};
	return put(b, &a, sizeof a);
}

static void end(struct batch *b, struct nlattr *a) { a->nla_len = b->data + b->len - (char *)a; }

static void send_batch(int fd, struct batch *b, const char *what)
{
	static const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	must(sendto(fd, b->data, b->len, 0, (const struct sockaddr *)&kernel, sizeof kernel), what);
}

/* answer receives the one answer that a batch has; an error is one too. */
static char reply[16384];

static struct nlmsghdr *answer(int fd, const char *what)
{
	must(recv(fd, reply, sizeof reply, 0), what);
	struct nlmsghdr *m = (struct nlmsghdr *)reply;
	struct nlmsgerr *e = NLMSG_DATA(m);
	if (m->nlmsg_type == NLMSG_ERROR && e->error) {
		errno = -e->error;
		die(what);
	}
	return m;
}

/* silence makes sure that nothing was refused. */
static void silence(int fd, const char *what)
{
	if (recv(fd, reply, sizeof reply, MSG_DONTWAIT) >= 0) {
		errno = -((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)reply))->error;
		die(what);
	}
}

/* Links. */

static void link_message(struct batch *b, int type, int flags, int index, unsigned set)
{
	struct ifinfomsg i = {.ifi_index = index, .ifi_flags = set, .ifi_change = set};
	message(b, type, flags, &i, sizeof i);
}

static void get_link(struct batch *b, int index, const char *name)
{
	link_message(b, RTM_GETLINK, 0, index, 0);
	attr_u32(b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (name)
		attr_str(b, IFLA_IFNAME, name);
}

static int link_index(struct nlmsghdr *m) { return ((struct ifinfomsg *)NLMSG_DATA(m))->ifi_index; }

/* find looks for an attribute in a list of them. */
static struct nlattr *find(void *from, int len, int type)
{
	for (struct nlattr *a = from; len >= NLA_HDRLEN;) {
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		len -= NLA_ALIGN(a->nla_len);
		a = (void *)((char *)a + NLA_ALIGN(a->nla_len));
	}
	errno = ENODATA;
	die("an answer without an attribute");
	return NULL;
}

static struct nlattr *find_in(struct nlattr *a, int type)
{
	return find((char *)a + NLA_HDRLEN, a->nla_len - NLA_HDRLEN, type);
}

static struct nlattr *link_attr(struct nlmsghdr *m, int type)
{
	return find((char *)NLMSG_DATA(m) + sizeof(struct ifinfomsg), NLMSG_PAYLOAD(m, sizeof(struct ifinfomsg)), type);
}

/* veth makes the pair and the port, and asks for the index. */
static void veth(struct batch *b, const char *name, int bridge, int pid)
{
	static const uint8_t inside[] = MAC_INSIDE, outside[] = MAC_OUTSIDE;
	link_message(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, IFF_UP);
	attr_str(b, IFLA_IFNAME, name);
	attr(b, IFLA_ADDRESS, outside, sizeof outside);
	attr_u32(b, IFLA_MASTER, bridge);
	struct nlattr *info = nest(b, IFLA_LINKINFO);
	attr_str(b, IFLA_INFO_KIND, "veth");
	struct nlattr *data = nest(b, IFLA_INFO_DATA);
	struct nlattr *peer = nest(b, VETH_INFO_PEER);
	struct ifinfomsg i = {0};
	put(b, &i, sizeof i);
	attr_str(b, IFLA_IFNAME, INSIDE);
	attr(b, IFLA_ADDRESS, inside, sizeof inside);
	attr_u32(b, IFLA_NET_NS_PID, pid);
	end(b, peer);
	end(b, data);
	end(b, info);

	char alias[64];
	uint8_t on = 1;
	link_message(b, RTM_NEWLINK, 0, 0, 0);
	attr_str(b, IFLA_IFNAME, name);
	attr(b, IFLA_IFALIAS, alias, snprintf(alias, sizeof alias, "container 172.16.0.30 pid %d true", pid));
	info = nest(b, IFLA_LINKINFO);
	attr_str(b, IFLA_INFO_SLAVE_KIND, "bridge");
	data = nest(b, IFLA_INFO_SLAVE_DATA);
	attr(b, IFLA_BRPORT_MODE, &on, sizeof on);
	attr(b, IFLA_BRPORT_PROTECT, &on, sizeof on);
	uint16_t groups = 0xfffd;
	attr(b, IFLA_BRPORT_GROUP_FWD_MASK, &groups, sizeof groups);
	end(b, data);
	end(b, info);

	get_link(b, 0, name);
}

/* loopback is the first of what happens in the container's network namespace,
   and a question for the index and the hardware address of its veth. */
static void loopback(struct batch *b)
{
	link_message(b, RTM_NEWLINK, 0, 1, IFF_UP);
	get_link(b, 0, INSIDE);
}

/* configure is the rest. */
static void configure(struct batch *b, int index)
{
	link_message(b, RTM_NEWLINK, 0, index, 0);
	struct nlattr *spec = nest(b, IFLA_AF_SPEC);
	struct nlattr *inet = nest(b, AF_INET);
	struct nlattr *conf = nest(b, IFLA_INET_CONF);
	attr_u32(b, IPV4_DEVCONF_ARP_NOTIFY, 1);
	end(b, conf);
	end(b, inet);
	end(b, spec);

	struct ifaddrmsg a = {.ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index};
	message(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &a, sizeof a);
	attr_u32(b, IFA_LOCAL, ADDRESS);
	attr_u32(b, IFA_ADDRESS, ADDRESS);
	attr_u32(b, IFA_BROADCAST, htonl(NETWORK + (1u << (32 - prefix)) - 1));

	link_message(b, RTM_NEWLINK, 0, index, IFF_UP);

	struct rtmsg r = {
		.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST,
	};
	message(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &r, sizeof r);
	attr_u32(b, RTA_GATEWAY, GATEWAY);
}

/* nf_tables. */

static void nft_message(struct batch *b, int type, int flags, int family, int res)
{
	struct nfgenmsg g = {.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(res)};
	message(b, type, flags, &g, sizeof g);
}

static void begin_transaction(struct batch *b)
{
	nft_message(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}

static void commit_transaction(struct batch *b)
{
	nft_message(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}

static void value(struct batch *b, int type, const void *data, unsigned n)
{
	struct nlattr *a = nest(b, type);
	attr(b, NFTA_DATA_VALUE, data, n);
	end(b, a);
}

static void element(struct batch *b, const void *key, unsigned nkey, const void *val, unsigned nval, uint32_t flags)
{
	struct nlattr *e = nest(b, NFTA_LIST_ELEM);
	value(b, NFTA_SET_ELEM_KEY, key, nkey);
	if (val)
		value(b, NFTA_SET_ELEM_DATA, val, nval);
	if (flags)
		attr_u32(b, NFTA_SET_ELEM_FLAGS, htonl(flags));
	end(b, e);
}

static struct nlattr *elements(struct batch *b, int family, int type, int flags, const char *set)
{
	nft_message(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags, family, 0);
	attr_str(b, NFTA_SET_ELEM_LIST_TABLE, TABLE);
	attr_str(b, NFTA_SET_ELEM_LIST_SET, set);
	return nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
}

/* claim is the lease and the port. */
static void claim(struct batch *b, int type, int flags, uint32_t index)
{
	uint32_t address = ADDRESS;
	struct nlattr *list = elements(b, NFPROTO_IPV4, type, flags, "lease");
	element(b, &address, sizeof address, &index, sizeof index, 0);
	end(b, list);
	if (!published)
		return;
	/* Each field of a key or value takes up a register of 4 bytes. */
	struct {
		uint8_t proto, pad[3];
		uint16_t port, pad2;
	} key = {.proto = IPPROTO_TCP, .port = htons(HOST_PORT)};
	struct {
		uint32_t address;
		uint16_t port, pad;
	} val = {.address = ADDRESS, .port = htons(CONTAINER_PORT)};
	list = elements(b, NFPROTO_IPV4, type, flags, "publish");
	element(b, &key, sizeof key, &val, sizeof val, 0);
	end(b, list);
}

/* guard is what the container may say at its port. */
static void guard(struct batch *b, int type, uint32_t index)
{
	struct {
		uint32_t index;
		uint8_t mac[6], pad[2];
		uint16_t type, pad2;
		uint32_t address;
	} source = {index, MAC_INSIDE, {0}, htons(ETH_P_IP), 0, ADDRESS};
	struct {
		uint32_t index, address;
	} address = {index, ADDRESS};
	struct {
		int family;
		const char *set;
		const void *key;
		unsigned len;
	} all[] = {
		{NFPROTO_IPV4, "living", &source.address, 4}, {NFPROTO_BRIDGE, "ports", &source, 4},
		{NFPROTO_BRIDGE, "macs", &source, 12}, {NFPROTO_BRIDGE, "addresses", &address, 8},
		{NFPROTO_BRIDGE, "owned", &source.address, 4}, {NFPROTO_BRIDGE, "sources", &source, sizeof source},
	};
	for (int i = 0; i < 6; i++) {
		struct nlattr *list = elements(b, all[i].family, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, all[i].set);
		element(b, all[i].key, all[i].len, NULL, 0, 0);
		end(b, list);
	}
}

static void take(struct batch *b, uint32_t index)
{
	char names[2][IFNAMSIZ] = {BRIDGE, BRIDGE};
	uint32_t first = htonl(NETWORK), last = htonl(NETWORK + (1u << (32 - prefix)));

	begin_transaction(b);
	struct nlattr *list = elements(b, NFPROTO_IPV4, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "bridges");
	element(b, names, sizeof names[0], NULL, 0, 0);
	end(b, list);
	list = elements(b, NFPROTO_IPV4, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "inside");
	element(b, names, sizeof names, NULL, 0, 0);
	end(b, list);
	list = elements(b, NFPROTO_IPV4, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "network");
	element(b, &first, sizeof first, NULL, 0, 0);
	element(b, &last, sizeof last, NULL, 0, NFT_SET_ELEM_INTERVAL_END);
	end(b, list);
	uint32_t gateway = GATEWAY;
	list = elements(b, NFPROTO_BRIDGE, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "gateways");
	element(b, &gateway, sizeof gateway, NULL, 0, 0);
	end(b, list);
	claim(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, index);
	guard(b, NFT_MSG_NEWSETELEM, index);
	commit_transaction(b);
}

static void release(struct batch *b, uint32_t index)
{
	begin_transaction(b);
	claim(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, index);
	guard(b, NFT_MSG_NEWSETELEM, index);
	claim(b, NFT_MSG_DELSETELEM, 0, index);
	guard(b, NFT_MSG_DELSETELEM, index);
	commit_transaction(b);
}

/* Processes. */

static int line[2]; /* the container's end, and ours */
static bool network;
static sigset_t every_signal, mask;

static int receive_fd(void)
{
	int fd = -1;
	char byte, control[CMSG_SPACE(sizeof fd)];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	if (must(recvmsg(line[1], &m, MSG_CMSG_CLOEXEC), "recvmsg") == 0)
		_exit(125); /* the container's first process has said why */
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

#include "inside.c"

/* first is the container's first process, and then its init. */
static int first(void *unused)
{
	(void)unused;
	char byte;
	keep_only(line[0], -1, -1);
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
	must(setsid(), "setsid");
	must(unshare(CLONE_NEWCGROUP), "unshare");
	umask(0);
	make_proc();
	if (network) {
		no_router_advertisements();
		send_route_socket();
	}
	make_mounts();
	bound_capabilities();
	seal();
	pid_t pid = sharing ? vfork() : fork();
	if (pid == 0) {
		static char *env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "HOSTNAME=container", NULL};
		prepare();
		if (network && must(read(line[0], &byte, 1), "read") == 0)
			_exit(125);
		enter();
		sigprocmask(SIG_SETMASK, &mask, NULL);
		execve(command[0], command, env);
		die(command[0]);
	}
	must(pid, "fork");
	close_range(0, ~0u, 0);
	set_capabilities(1ULL << CAP_KILL);
	for (;;) {
		int status, sig = sigwaitinfo(&every_signal, NULL);
		if (sig != SIGCHLD) {
			kill(pid, sig);
			continue;
		}
		for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
			if (ended == pid)
				_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	}
}

static int guardian_line[2]; /* the guardian's end, and ours */
static int pidfd, nft;
static struct batch releasing;

/* guardian takes the claim back at the end of the run. Its own end, with the
   wait for RCU that closing the netfilter socket after a delete costs, nobody
   waits for. */
static int guardian(void *unused)
{
	(void)unused;
	char byte = 0;
	keep_only(pidfd, nft, guardian_line[0]);
	setsid();
	(void)!read(guardian_line[0], &byte, 1);
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	send_batch(nft, &releasing, "release");
	silence(nft, "release");
	(void)!write(guardian_line[0], &byte, 1);
	_exit(0);
}

/* Stacks of the children: they may share our memory. */
static char stacks[2][65536] __attribute__((aligned(16)));

static int held = -1; /* a socket with the published port */

/* reserve binds the published port; it listens when the rules are there. */
static void reserve(void)
{
	int on = 1, fd = held = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), "socket");
	struct sock_filter drop[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog prog = {1, drop};
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(HOST_PORT)};
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
	must(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog), "SO_ATTACH_FILTER");
	must(bind(fd, (struct sockaddr *)&any, sizeof any), "bind");
}

/* drain receives a list to its end. */
static void drain(int fd)
{
	for (;;) {
		int n = must(recv(fd, reply, sizeof reply, 0), "recv");
		for (struct nlmsghdr *m = (void *)reply; NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n))
			if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR)
				return;
	}
}

/* ask puts the questions that change nothing: whether the bridge has the
   gateway's address, and two settings. */
static void ask(int route)
{
	static struct batch b;
	struct ifaddrmsg a = {.ifa_family = AF_INET};
	message(&b, RTM_GETADDR, NLM_F_DUMP, &a, sizeof a);
	send_batch(route, &b, "list addresses");
	drain(route);
	static const char *settings[] = {"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/" BRIDGE "/route_localnet"};
	for (int i = 0; i < 2; i++) {
		int fd = must(open(settings[i], O_RDONLY | O_CLOEXEC), settings[i]);
		must(read(fd, reply, sizeof reply), settings[i]);
		close(fd);
	}
}

/* ask_nft puts the others: whether the table is there, and what is in it that
   a killed run may have left behind. */
static void ask_nft(void)
{
	static const char *lists[] = {"lease", "publish_at", "publish"};
	static struct batch b;
	nft_message(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0, NFPROTO_IPV4, 0);
	attr_str(&b, NFTA_TABLE_NAME, TABLE);
	send_batch(nft, &b, "look for the table");
	answer(nft, "look for the table");
	for (int i = 0; i < 3; i++) {
		b.len = 0;
		nft_message(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, NLM_F_DUMP, NFPROTO_IPV4, 0);
		attr_str(&b, NFTA_SET_ELEM_LIST_TABLE, TABLE);
		attr_str(&b, NFTA_SET_ELEM_LIST_SET, lists[i]);
		send_batch(nft, &b, lists[i]);
		drain(nft);
	}
}

/* connect_container makes the network. */
static void connect_container(pid_t pid, bool questions)
{
	static struct batch b, ask_inside, in, at, tell;
	int route = must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "socket");
	get_link(&b, 0, BRIDGE);
	send_batch(route, &b, "link " BRIDGE);
	int bridge = link_index(answer(route, "link " BRIDGE));
	if (questions)
		ask(route);

	char name[IFNAMSIZ];
	uint32_t random;
	(void)!getrandom(&random, sizeof random, 0);
	snprintf(name, sizeof name, "veth%08x", random);
	b.len = 0;
	veth(&b, name, bridge, pid);
	send_batch(route, &b, "veth");
	int index = link_index(answer(route, "veth"));

	nft = must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), "socket");
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, guardian_line), "socketpair");
	release(&releasing, index);
	must(clone(guardian, stacks[1] + sizeof stacks[1], sharing | SIGCHLD, NULL), "clone");
	close(guardian_line[0]);
	b.len = 0;
	take(&b, index);
	send_batch(nft, &b, "take");
	silence(nft, "take");
	if (questions)
		ask_nft();

	int inside = receive_fd();
	loopback(&ask_inside);
	send_batch(inside, &ask_inside, "link " INSIDE);
	struct nlmsghdr *veth1 = answer(inside, "link " INSIDE);
	struct nlattr *mac = link_attr(veth1, IFLA_ADDRESS);
	link_message(&tell, RTM_NEWLINK, 0, link_index(veth1), 0);
	attr(&tell, IFLA_ADDRESS, (char *)mac + NLA_HDRLEN, mac->nla_len - NLA_HDRLEN);
	configure(&in, link_index(veth1));
	send_batch(inside, &in, "configure");
	silence(inside, "configure");

	/* Asking has the kernel see that both ends are up, and that the bridge
	   has a carrier. Only then does it forward, which the announcement needs. */
	get_link(&at, index, NULL);
	get_link(&at, bridge, NULL);
	send_batch(route, &at, "port");
	struct nlattr *port = find_in(link_attr(answer(route, "port"), IFLA_LINKINFO), IFLA_INFO_SLAVE_DATA);
	if (((char *)find_in(port, IFLA_BRPORT_STATE))[NLA_HDRLEN] != BR_STATE_FORWARDING)
		dprintf(2, "floor: the port does not forward yet\n");
	if (!(((struct ifinfomsg *)NLMSG_DATA(answer(route, "bridge")))->ifi_flags & IFF_RUNNING))
		dprintf(2, "floor: the bridge has no carrier yet\n");

	send_batch(inside, &tell, "announce");
	silence(inside, "announce");
}

static void usage(void)
{
	dprintf(2, "usage: floor -a|-b|-c [-q] [-r] [-l LENGTH] COMMAND [ARG...]\n");
	exit(125);
}

int main(int argc, char **argv)
{
	bool questions = false;
	char mode = 0;
	for (int c; (c = getopt(argc, argv, "+abcqrl:")) != -1;) {
		if (c == '?')
			usage();
		else if (c == 'q')
			questions = true;
		else if (c == 'l')
			prefix = atoi(optarg);
		else if (c == 'r')
			sharing = CLONE_VM;
		else
			mode = c;
	}
	if (!mode || optind == argc)
		usage();
	command = argv + optind;
	network = mode != 'a';
	published = mode == 'c';

	/* The init takes every signal as it comes (sigwaitinfo). */
	sigfillset(&every_signal);
	sigprocmask(SIG_SETMASK, &every_signal, &mask);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line), "socketpair");
	pid_t pid = must(clone(first, stacks[0] + sizeof stacks[0],
			       sharing | CLONE_PIDFD | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | SIGCHLD,
			       NULL, &pidfd), "clone");
	close(line[0]);
	if (published)
		reserve();
	if (network) {
		connect_container(pid, questions);
		if (published)
			must(listen(held, 0), "listen");
		must(write(line[1], "", 1), "write");
	}
	char byte;
	int status;
	must(read(line[1], &byte, 1), "read"); /* the end: the command is executed */
	must(waitpid(pid, &status, 0), "waitpid");
	if (network) {
		if (published)
			must(shutdown(held, SHUT_RD), "shutdown");
		close(nft);
		must(write(guardian_line[1], "", 1), "write");
		must(read(guardian_line[1], &byte, 1), "read");
	}
	_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}
