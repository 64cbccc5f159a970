//go:build ignore

/*
 * traffic: sockets to measure a network with.
 *
 *     traffic serve PORT...             listen, echo what comes, for ever
 *     traffic connect ADDRESS PORT N    N connections, one after another
 *     traffic ask ADDRESS PORT N        N bytes there and back, one after another
 *
 * The last two print the median of what each took, in nanoseconds, and fail
 * when they wait for one answer longer than some seconds. A
 * connection is ended by a reset, so that none waits for its time to pass
 * (TIME_WAIT) and no port is used up.
 *
 * (The first line keeps the go command from taking this for cgo.)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void serve(char **ports)
{
	int ep = epoll_create1(0);
	static char listens[1 << 16];
	for (; *ports; ports++) {
		int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(*ports)) };
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 1024))
			die("listen");
		listens[fd] = 1;
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	}
	for (;;) {
		struct epoll_event e;
		char b[4096];
		if (epoll_wait(ep, &e, 1, -1) != 1)
			continue;
		int fd = e.data.fd;
		if (listens[fd]) {
			int on = 1, c = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
			if (c < 0)
				continue;
			setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
			e = (struct epoll_event){ .events = EPOLLIN, .data.fd = c };
			epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
			continue;
		}
		ssize_t n = read(fd, b, sizeof b);
		if (n <= 0 || write(fd, b, n) != n)
			close(fd);
	}
}

static const struct timeval patience = { .tv_sec = 5 };

/* failed says what was tried, the how-manieth time. */
static void failed(char **argv, int i)
{
	dprintf(2, "traffic: %s %s port %s, number %d: %s\n", argv[1], argv[2], argv[3], i + 1,
		errno == EINPROGRESS || errno == EAGAIN ? "no answer in 5 s" : strerror(errno));
	exit(1);
}

static int dial(char **argv, int i)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[3])) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	/* connect(2) ends with the one for sending (socket(7)). */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (inet_pton(AF_INET, argv[2], &a.sin_addr) != 1)
		die(argv[2]);
	if (connect(fd, (struct sockaddr *)&a, sizeof a))
		failed(argv, i);
	return fd;
}

static int ascending(const void *a, const void *b)
{
	long long x = *(long long *)a, y = *(long long *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "serve"))
		serve(argv + 2);
	if (argc != 5) {
		dprintf(2, "usage: traffic serve PORT... | connect|ask ADDRESS PORT N\n");
		return 2;
	}
	int n = atoi(argv[4]), asking = !strcmp(argv[1], "ask");
	long long *took = calloc(n, sizeof *took);
	int fd = asking ? dial(argv, 0) : -1;
	for (int i = 0; i < n; i++) {
		char c = 0;
		long long start = now();
		if (asking) {
			errno = ECONNRESET; /* the end of the file is none */
			if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
				failed(argv, i);
			took[i] = now() - start;
			continue;
		}
		fd = dial(argv, i);
		took[i] = now() - start;
		struct linger reset = { 1, 0 };
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		close(fd);
	}
	qsort(took, n, sizeof *took, ascending);
	printf("%lld\n", took[n / 2]);
	return 0;
}
