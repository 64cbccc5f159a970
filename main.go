//go:build linux

// Command main starts a command in a container and wires its network by
// talking to the kernel directly.
//
// The story of a run, and where each part is told:
//
//  1. The command line becomes options (options.go, addresses.go, ports.go), and
//     the options a command in the container's tree (tree.go). What can be
//     refused without touching anything is refused here.
//  2. A raw clone makes the guardian, which will take back what the container
//     has claimed when the run ends, however it ends (guardian.go). It in turn
//     clones the container's first process, in new namespaces (clone_linux.go,
//     child.go), which enters its cgroup (package cgroup), mounts the container's
//     tree (filesystem.go, names.go), gives up what it may not have (capability.go,
//     package seccomp) and forks the command's process, which waits (container.go;
//     they talk with the runner by line.go). Where there will be nothing to take
//     back, the runner clones the first process itself.
//  3. Meanwhile the published ports are bound, so that nobody else takes them
//     (reserve.go).
//  4. The bridge is found, or made (host.go; packages rtnl and nat build the
//     messages, package nl sends them), and the wire is asked whether somebody
//     has the container's address (answer.go). If the address is to be chosen,
//     it is (auto.go), and 3 and 4 come before 2.
//  5. A veth is made, one end on the bridge, the other in the container's
//     network namespace (network.go). Its alias says who lives there
//     (occupant.go).
//  6. The guardian is told what will be claimed.
//  7. One nf_tables transaction leases the addresses, publishes the ports and
//     guards the container's port on the bridge (claim.go). Then the host
//     forwards (sysctl.go), other firewalls let the bridge's packets pass
//     (gates.go, package xtables), and the claim is written down for the day
//     when somebody empties nf_tables (record.go). Without nf_tables the veth's
//     name is the lease (bare.go).
//  8. The container's end gets its addresses and routes (network.go), and what
//     comes to a published port at ::1 is passed on from here on (relay.go).
//  9. The command's process is let go: it becomes who it is to be (user.go) and
//     executes the command. Its parent stays as the init that reaps and passes
//     signals on.
//  10. The runner joins the caller's terminal to the container's (terminal.go;
//     keeper.go gives it back if the runner is killed), clears what other runs
//     have left behind (inventory.go), passes signals on and waits (run.go), then
//     undoes in reverse what is to be undone (undo.go).
//
// The other verbs: exec.go, ls.go, check.go, gc.go, down.go.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
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
	// One line, also of several errors (errors.Join).
	fmt.Fprintf(stderr, "main: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	return statusSetup
}

func dispatch(args []string, stdout, stderr io.Writer) (int, error) {
	id, err := ownIdentity()
	if err == nil {
		err = id.refuseLoan()
	}
	if err != nil {
		return 0, err
	}
	if verb, ok := asksForHelp(args); ok {
		return 0, help(verb, stdout)
	}
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "":
		fmt.Fprint(stderr, usage)
		return statusSetup, nil
	case "help":
		return 0, help(args[1:], stdout)
	case "version":
		_, err := fmt.Fprintln(stdout, version())
		return 0, err
	}
	if wantsScript(args) {
		return 0, printScript(args, stdout)
	}

	if id.euid != 0 {
		return 0, errors.New("this takes root: it makes namespaces, links and firewall rules (try sudo)")
	}
	switch verb {
	case "exec":
		o, err := parseExecOptions(args[1:])
		if err != nil {
			return 0, err
		}
		return told(&o.processOptions, stderr, func() (int, error) { return execIn(o) })
	case "ls":
		return 0, ls(args, stdout, stderr)
	case "check":
		return check(args, stdout, stderr)
	case "gc":
		return 0, noArguments(args, stderr, gc)
	case "down":
		return 0, noArguments(args, stderr, down)
	}
	o, err := parseOptions(args)
	if err != nil {
		return 0, err
	}
	return told(&o.processOptions, stderr, func() (int, error) { return run(o, stderr) })
}

// told runs a command with the narration that its options ask for.
func told(o *processOptions, stderr io.Writer, do func() (int, error)) (status int, err error) {
	if o.x, err = o.narrate(stderr); err != nil {
		return 0, err
	}
	defer o.x.close()
	if status, err = do(); err == nil {
		o.x.call("exit_group(%d)", status)
	}
	return status, err
}

// noArguments carries out a verb that takes flags for its narration and nothing
// else.
func noArguments(args []string, stderr io.Writer, verb func(*narrator, io.Writer) error) error {
	_, x, err := parseVerb(args, stderr)
	if err != nil {
		return err
	}
	defer x.close()
	return verb(x, stderr)
}
