// Package faults runs ./main with one system call gone wrong: the kernel's
// refusal of that call, of one netlink message in it, or a SIGKILL at it. It
// traces the runner with all of its threads, the container's first process, its
// command up to the execve, and the guardian (ptrace(2)).
//
// A call is known by its role, its name and how many of that name there were
// before in the role: "guardian sendto 1". That is not always the same call of
// the program from one run to the next, for the Go runtime and its threads make
// some of their own in between. It doesn't matter: what is asserted holds for
// each.
package faults
