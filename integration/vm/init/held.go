//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// result is all that a caller sees of a run of ./main.
type result struct {
	stdout, stderr string
	status         int
}

// run runs ./main to its end.
func run(args ...string) (r result, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "/main", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	r = result{stdout.String(), stderr.String(), -1}
	if cmd.ProcessState != nil {
		r.status = cmd.ProcessState.ExitCode()
	}
	if err != nil {
		err = fmt.Errorf("main %s: %w\n%s", strings.Join(args, " "), err, r.stderr)
	}
	return r, err
}

// expect runs ./main and looks at its exit status and, if they are not empty,
// for a text on standard output and one on standard error.
func expect(status int, stdout, stderr string, args ...string) error {
	r, err := run(args...)
	switch {
	case err != nil:
		return err
	case r.status != status:
		return fmt.Errorf("main %s: status %d, want %d\n%s%s", strings.Join(args, " "), r.status, status, r.stdout, r.stderr)
	case !strings.Contains(r.stdout, stdout):
		return fmt.Errorf("main %s: standard output is %q, want %q in it\n%s", strings.Join(args, " "), r.stdout, stdout, r.stderr)
	case !strings.Contains(r.stderr, stderr):
		return fmt.Errorf("main %s: standard error is %q, want %q in it", strings.Join(args, " "), r.stderr, stderr)
	}
	return nil
}

// held is a container that serves until it is let go.
type held struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *bytes.Buffer
}

// hold runs "serve 80" in a container; args are what stands before the command.
// It returns when the server is ready.
func hold(args ...string) (*held, error) {
	h := &held{cmd: exec.Command("/main", append(slices.Clone(args), "/init", "serve", "80")...), stderr: &bytes.Buffer{}}
	h.cmd.Stderr = h.stderr
	var err error
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		err := h.cmd.Wait()
		return nil, fmt.Errorf("main %s: it says %q, not ready: %v\n%s", strings.Join(args, " "), line, err, h.stderr)
	}
	return h, nil
}

// end lets the server end, and everything with it.
func (h *held) end() error {
	_ = h.stdin.Close()
	if err := h.cmd.Wait(); err != nil {
		return fmt.Errorf("the run ends with %w\n%s", err, h.stderr)
	}
	return nil
}

// children are the processes that a process is the parent of.
func children(pid int) (pids []int) {
	files, _ := os.ReadDir("/proc")
	for _, f := range files {
		b, err := os.ReadFile("/proc/" + f.Name() + "/stat")
		if err != nil {
			continue
		}
		// PID (NAME) STATE PPID: a name may hold anything.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		child, err := strconv.Atoi(f.Name())
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			pids = append(pids, child)
		}
	}
	return pids
}

// kill ends ./main as only the kernel can, and nobody else.
func (h *held) kill() error {
	if err := h.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = h.cmd.Wait() // it says that it was killed
	return nil
}

// killAll ends ./main, its guardian and the container: at once, for ./main is
// stopped before.
func (h *held) killAll() error {
	if err := h.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	for _, pid := range children(h.cmd.Process.Pid) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			return fmt.Errorf("kill %d: %w", pid, err)
		}
	}
	return h.kill()
}
