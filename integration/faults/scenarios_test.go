//go:build linux && (amd64 || arm64)

package faults

import (
	"bufio"
	"errors"
	"fmt"

	"container/integration/lab"
)

// scenario is something that ./main does, and that goes wrong.
type scenario struct {
	name   string
	held   bool // while a container runs
	before func(*host) error
	args   func(*host) []string
	after  func(h *host, downAlone bool) error // what makes the host what it was

	// It claims something, which goes with it or with its guardian.
	claims bool

	// What is tried of it without -every.
	oneOf uint32 // one fault of so many
	and   string // and those which this regular expression matches
}

const address, heldAddress = "172.16.0.30", "172.16.0.31"

var scenarios = []scenario{
	{
		name:   "run",
		args:   runArgs,
		after:  runAndDown,
		claims: true,
		oneOf:  150,
		and: `^runner (clone3|socketpair) \d: E[AMN]|^runner sendto [3-5]: SIGKILL.*down alone$|^runner openat 1[5-9]: ENOENT|^runner openat2 [6-8]: EMFILE|` +
			`^runner (mmap|memfd_create|unlinkat) 1: E|^init (seccomp|capset|openat) [12]: E[PI]|^init close 1: EINTR|^init (sendmsg|write) 1: .*caller$|` +
			`^command execve 1: |^guardian (read|sendto|write) 1: .*caller$|^guardian sendto 1: (ENOBUFS|message 3)`,
	},
	{
		name: "network none",
		args: func(h *host) []string {
			return []string{"-network", "none", "-memory", "64m", "-rootfs", h.tree, "true"}
		},
		after: runAndDown,
		oneOf: 300,
		and:   `^guardian (setsid|ppoll) 1: SIGKILL to the caller$|^init sendto 1: m`,
	},
	{
		name:  "exec",
		held:  true,
		args:  func(*host) []string { return []string{"exec", heldAddress, "true"} },
		after: func(h *host, _ bool) error { return h.main("exec", heldAddress, "true") },
		oneOf: 150,
		and:   `^joiner setns 1: E`,
	},
	{
		name:   "down",
		before: func(h *host) error { return errors.Join(h.main(runArgs(h)...), h.noVethSoon()) },
		args:   func(*host) []string { return []string{"down"} },
		after:  runAndDown,
		oneOf:  80,
		and:    `^runner sendto \d*[05]: m|^runner recvfrom 1[5-9]: ENOBUFS`,
	},
	{
		name: "gc",
		before: func(h *host) error {
			if err := errors.Join(h.main(runArgs(h)...), h.noVethSoon()); err != nil {
				return err
			}
			// As a run leaves it that was killed with its guardian.
			out, err := h.node.Command("nft", "add element ip container lease { 172.16.0.40 : 4040 }; add element ip container publish { tcp . 81 : 172.16.0.40 . 8000 }").CombinedOutput()
			if err != nil {
				return fmt.Errorf("nft: %w: %s", err, out)
			}
			return nil
		},
		args:  func(*host) []string { return []string{"gc"} },
		after: runAndDown,
		oneOf: 100,
		and:   `^runner sendto \d*[05]: m`,
	},
}

func runArgs(h *host) []string {
	return []string{"-p", "8080:8000", "-memory", "64m", "-rootfs", h.tree, address, "true"}
}

// runAndDown clears up with the next run and "main down", or with that alone.
func runAndDown(h *host, downAlone bool) error {
	errs := []error{h.noVethSoon()}
	if !downAlone {
		errs = append(errs, h.main(runArgs(h)...), h.noVethSoon())
	}
	return errors.Join(append(errs, h.main("down"))...)
}

// hold starts a container that runs as long as the test.
func (h *host) hold() {
	h.t.Helper()
	c := h.node.Main("-memory", "64m", "-rootfs", h.tree, heldAddress, "busybox", "sh", "-c", "echo ready; exec cat")
	if _, err := c.StdinPipe(); err != nil {
		h.t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		h.t.Fatalf("the container says %q (%v)", line, err)
	}
	lab.Eventually(h.t, func() error {
		if l := h.node.Link("br0"); !l.IsRunning() {
			return errors.New("the bridge does not run yet")
		}
		return nil
	})
}
