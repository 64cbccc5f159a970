//go:build linux

// Package seccomp is the system call filter of a container: what it must not
// ask of a kernel that it shares with the host, assembled by hand for the
// kernel's BPF machine.
//
// Namespaces and capabilities decide what a process may do. The filter takes
// away more: calls that no namespace contains (keyrings, swap, modules, the
// clock), and those that have been a way into the kernel though they ask for
// no privilege (io_uring, userfaultfd, sockets of AF_ALG). What is refused,
// and which capability lifts that, follows the default profile of Docker,
// github.com/moby/profiles/seccomp, so that an image that runs there runs here.
//
// # What the kernel shows
//
// On each system call the kernel runs the program over one structure, and
// nothing else: no memory of the process, so a path behind a pointer can't be
// looked at, and nothing that another thread could change after the look.
//
//	struct seccomp_data {                  // linux/seccomp.h
//		int   nr;                      //  0  the call's number
//		__u32 arch;                    //  4  whose numbers: AUDIT_ARCH_…
//		__u64 instruction_pointer;     //  8
//		__u64 args[6];                 // 16, 24, 32, 40, 48, 56
//	};
//
// The machine loads 32 bits at a time, in the byte order of the host. An
// argument is 64 bits even where a register has 32, so its two halves are
//
//	             little-endian        big-endian
//	low half     16 + 8×n             16 + 8×n + 4
//	high half    16 + 8×n + 4         16 + 8×n
//
// Every argument that this filter looks at is an int or an unsigned int to the
// kernel, which drops the high half. The filter drops it too: one that compared
// all 64 bits would take 2³²+AF_VSOCK for a family that it does not mind, and
// the kernel would open a socket of AF_VSOCK.
//
// # The machine
//
// Classic BPF has an accumulator A and instructions of 8 bytes
// (struct sock_filter: an operation, a constant k, two distances jt and jf).
// Five operations do:
//
//	ld [k]              A = 32 bits of the structure at offset k
//	jge, jeq, jset #k   A ≥ k, A = k, A & k ≠ 0: skip jt instructions, else jf
//	ret #k              end with the answer k
//
// Jumps go forward only and at most 255 instructions far, so every program
// ends. There may be 4096 instructions. The answers here, by falling rank
// (when a process has several filters, all run and the first of this list
// wins), are
//
//	SECCOMP_RET_KILL_PROCESS    end the process as by SIGSYS
//	SECCOMP_RET_ERRNO | errno   don't make the call, fail with errno
//	SECCOMP_RET_ALLOW           make it
//
// # The program
//
//	arch is not this one ───────────────── kill
//	which stretch of numbers is nr in?
//	  ├─ allow
//	  ├─ EPERM     a call of the table (rules.go)
//	  ├─ ENOSYS    beyond the last number known, or reserved
//	  ├─ look at clone's flags, at personality's persona, at socket's family
//	  └─ kill      a number of the x32 ABI
//
// The numbers are told apart by binary search, as calls with the same answer
// lie in few stretches. Since 5.11 the kernel finds out at load time, by
// running the program on each number, which calls it allows whatever their
// arguments are, and runs it no more for those. That takes a program that
// loads nothing but nr and arch on their way, which is so here; and binary
// search keeps the load itself short.
//
// Numbers beyond the last one known are answered as a kernel would that lacks
// the call. So a call that is added to Linux is refused until somebody has
// thought about it, as with a list of what is allowed, and programs fall back
// to what they did before it was there. clone3 is answered in that way too:
// its flags are behind a pointer, those of clone are not, and C libraries turn
// to clone.
//
// # Other ABIs
//
// One kernel speaks several ABIs, each with numbers of its own: i386 and x32
// on amd64, arm on arm64, n32 and o32 on mips64. A filter that looked at nr
// alone could be passed by in any of them. Docker's carries a table for each;
// this one ends the process. An errno would be no answer: the program can't
// even print or exit then, and dies of something that says less.
//
// # What it can't see
//
// socketcall(2), on 386, s390x, ppc64 and 32-bit MIPS, has its arguments in
// memory, so there a socket of any family can be had through it. Refusing it
// whole breaks programs, those written in Go for 386 and s390x among them;
// Docker tried, and took it back.
package seccomp
