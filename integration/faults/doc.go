// Package faults runs ./main with one system call gone wrong: the kernel's
// refusal of that call, or of one netlink message in it; a SIGKILL to the runner
// at it; a SIGKILL to whoever makes it. It traces the runner with all of its
// threads, the container's first process, its command up to the execve, and the
// guardian (ptrace(2)), and takes the calls one after another, a run for each.
//
// Whatever goes wrong, the run
//
//   - does not hang;
//   - succeeds, with no more than a warning, or fails with one line that has the
//     kernel's words, and the status that goes with it; unless it was killed, or
//     the Go runtime could not go on without the call, which ends it in its own
//     words (see runtimes);
//   - leaves no lease, published port or cgroup behind, unless the guardian was
//     killed too;
//   - leaves nothing that the next run and "main down", or that alone, don't take
//     away: links, addresses, routes, rules, the ruleset, settings, mounts,
//     cgroups, and processes, whose end is what the trace waits for.
//
// So it is with exec, down and gc.
//
// A call is known by its role, its name and how many of that name there were
// before in the role: "guardian sendto 1". That is not always the same call of
// the program from one run to the next, for the Go runtime and its threads make
// some of their own in between. It doesn't matter: what is asserted holds for
// each.
//
// "go test" tries a sample, the same one each time; "make faults" all of them.
package faults
