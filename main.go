//go:build linux

// Command main starts a command in a container and wires its network by
// talking to the kernel directly.
//
// The story of a run, and where each part is told:
//
//  1. The command line becomes options (options.go), and the options a command
//     in the container's tree (tree.go). What can be refused without touching
//     anything is refused here.
//  2. The published ports are bound, so that nobody else takes them
//     (reserve.go).
//  3. The host is made ready: the bridge with its address, the nf_tables
//     ruleset, forwarding (host.go; packages rtnl and nat build the messages,
//     package nl sends them).
//  4. A raw clone makes the container's first process in new namespaces
//     (clone_linux.go). It enters its cgroup (package cgroup), mounts the
//     container's tree (filesystem.go, names.go) and waits (container.go).
//  5. A veth is made, one end on the bridge, the other in the container's
//     network namespace, and given its address and route (network.go).
//  6. A second raw clone makes the guardian, which takes the address and the
//     ports back when the run ends, however it ends (guardian.go).
//  7. One nf_tables transaction leases the address and publishes the ports.
//  8. The container's first process is let go: it forks, its child becomes who
//     it is to be (user.go, capability.go, package seccomp) and executes the
//     command, and it stays as the init that reaps and passes signals on.
//  9. The runner passes signals on and waits (run.go), then undoes in reverse
//     what is to be undone (undo.go).
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// Exit statuses beside the command's own, as docker run has them.
const (
	statusSetup         = 125 // the container could not be set up
	statusNotExecutable = 126
	statusNotFound      = 127
	statusSignal        = 128 // plus the signal's number
)

// statusError is an error with an exit status other than statusSetup.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func main() {
	os.Exit(carryOut(os.Args[1:], os.Stdout, os.Stderr))
}

// carryOut carries out a command line and returns the exit status.
func carryOut(args []string, stdout, stderr io.Writer) int {
	status, err := dispatch(args, stdout, stderr)
	if err == nil {
		return status
	}
	fmt.Fprintf(stderr, "main: %v\n", err)
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	return statusSetup
}

const usage = `usage: main [flags] ADDRESS COMMAND [ARG...]   run COMMAND in a new container
       main exec [flags] ADDRESS COMMAND [ARG...]
                                               run COMMAND in the container at ADDRESS
       main ls [-json]                         the running containers
       main check [-json]                      what this kernel has and lacks for the job
       main gc                                 clear what a killed run left behind
       main down                               take the bridge and every rule away again
       main version                            what this binary was built from
       main help                               the flags
`

func dispatch(args []string, stdout, stderr io.Writer) (int, error) {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "":
		fmt.Fprint(stderr, usage)
		return statusSetup, nil
	case "help", "-h", "-help", "--help":
		printHelp(stdout)
		return 0, nil
	case "version":
		fmt.Fprintln(stdout, version())
		return 0, nil
	}

	if os.Geteuid() != 0 {
		return 0, errors.New("this takes root: it makes namespaces, links and firewall rules (try sudo)")
	}
	switch verb {
	case "exec":
		o, err := parseExecOptions(args[1:])
		if errors.Is(err, flag.ErrHelp) {
			printHelp(stdout)
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		return execIn(o)
	case "ls":
		return 0, ls(args[1:], stdout)
	case "check":
		return check(args[1:], stdout)
	case "gc":
		return 0, noArguments(args, gc)
	case "down":
		return 0, noArguments(args, down)
	}
	o, err := parseOptions(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		printHelp(stdout)
		return 0, nil
	case err != nil:
		return 0, err
	}
	return run(o, stderr)
}

func printHelp(w io.Writer) {
	fmt.Fprint(w, usage, "\nflags of a run:\n")
	printFlags(w)
}

// noArguments refuses arguments behind a verb that takes none.
func noArguments(args []string, verb func() error) error {
	if len(args) > 1 {
		return fmt.Errorf("%s takes no arguments, and here is %q", args[0], args[1])
	}
	return verb()
}
