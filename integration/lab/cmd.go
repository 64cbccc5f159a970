//go:build linux

package lab

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// Cmd is a program that runs in a Node. It is an exec.Cmd whose Start, Run,
// Output and CombinedOutput start it in the node's network namespace; set its
// fields as usual. Its standard input is empty unless set.
//
// It may be waited for by several goroutines. At the test's end it is killed,
// if it still runs.
type Cmd struct {
	*exec.Cmd

	node   *Node
	waited sync.Once
	err    error
}

// Command is a program and its arguments, to be started in the node.
func (n *Node) Command(name string, args ...string) *Cmd {
	c := &Cmd{Cmd: exec.Command(name, args...), node: n}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// What a program leaves behind may hold its output open; that must not
	// hang a test.
	c.WaitDelay = patience
	return c
}

// WriteProgram writes a file that a test is going to execute. What another test
// starts at this moment would have it open for writing until that is executed, and
// this one could not be (ETXTBSY): nothing is started meanwhile.
func WriteProgram(name string, data []byte, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, data, mode)
}

// Main is the built ./main with arguments.
func (n *Node) Main(args ...string) *Cmd {
	n.t.Helper()
	return n.Command(mainBinary(n.t), args...)
}

// Start starts the program.
func (c *Cmd) Start() error {
	err := c.node.onStarter(c.Cmd.Start)
	if err == nil {
		c.node.mu.Lock()
		c.node.cmds = append(c.node.cmds, c)
		c.node.mu.Unlock()
	}
	return err
}

// Wait is exec.Cmd's, and gives everyone who calls it the same answer.
func (c *Cmd) Wait() error {
	c.waited.Do(func() { c.err = c.Cmd.Wait() })
	return c.err
}

// Run starts the program and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and is its standard output; an *exec.ExitError holds
// its standard error.
func (c *Cmd) Output() ([]byte, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout = &stdout
	if c.Stderr == nil {
		c.Stderr = &stderr
	}
	err := c.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		exit.Stderr = stderr.Bytes()
	}
	return stdout.Bytes(), err
}

// CombinedOutput runs the program and is all its output.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// Result runs the program to its end and gives all that a caller sees of it:
// what it wrote, and its exit status as a shell would have it.
func (c *Cmd) Result() (stdout, stderr string, status int) {
	c.node.t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		c.node.t.Fatalf("%s: %v", c.Args, err)
	}
	return out.String(), errs.String(), c.Status()
}

// Status is the exit status of a program that was waited for, as a shell would
// have it: 128 and the signal, if one ended it.
func (c *Cmd) Status() int {
	ws, ok := c.ProcessState.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return c.ProcessState.ExitCode()
}

// end kills the program, if it still runs, and waits for it.
func (c *Cmd) end() {
	// An error means that it has been waited for: nothing is sent then, so no
	// other process that has got its id by now is met.
	_ = c.Process.Kill()
	_ = c.Wait()
}
