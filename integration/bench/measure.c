//go:build ignore

/*
 * measure: run a command and print what it took.
 *
 *     measure [-d] COMMAND [ARG...]
 *
 * One line on standard output:
 *
 *     wall-ns cpu-us rss-kib faults switches detached-cpu-us status
 *
 * Wall time goes from before the fork to after the wait for the command. CPU
 * time, page faults and context switches are the command's and of those that
 * it waited for. Processes that it leaves behind come to us (we are their
 * subreaper); with -d we wait for those too, and print their CPU time.
 *
 * It is in C, and small, because a process starts with its parent's peak RSS
 * to its name (exec_mmap, fs/exec.c), and because a harness with threads of
 * its own has the scheduler to disturb.
 *
 * (The first line keeps the go command from taking this for cgo.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long cpu(const struct rusage *u)
{
	return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000L + u->ru_utime.tv_usec + u->ru_stime.tv_usec;
}

int main(int argc, char **argv)
{
	int detached = argc > 1 && strcmp(argv[1], "-d") == 0;
	argv += 1 + detached;
	if (!*argv) {
		dprintf(2, "usage: measure [-d] COMMAND [ARG...]\n");
		return 125;
	}
	if (detached)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	struct rusage u, left;
	int status;
	long long start = now();
	pid_t pid = vfork();
	if (pid == 0) {
		dup2(null, 0);
		dup2(null, 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &u) != pid) {
		perror("measure");
		return 125;
	}
	long long wall = now() - start;

	long rest = 0;
	while (detached && wait4(-1, NULL, 0, &left) > 0)
		rest += cpu(&left);
	printf("%lld %ld %ld %ld %ld %ld %d\n", wall, cpu(&u), u.ru_maxrss, u.ru_minflt + u.ru_majflt,
	       u.ru_nvcsw + u.ru_nivcsw, rest, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	return 0;
}
