//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ground is where the measurements of traffic take place: named network
// namespaces, and the processes that serve in them. All of it lies in the
// mount namespace and ends with the processes of this program.
type ground struct {
	running []*exec.Cmd
}

// newGround makes network namespaces with their loopback up.
func newGround(names ...string) (*ground, error) {
	if _, err := newLab(); err != nil {
		return nil, err
	}
	g := &ground{}
	for _, n := range names {
		if _, err := g.ip("netns add %s", n); err != nil {
			return nil, err
		}
		if _, err := g.ip("-n %s link set lo up", n); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// ip runs ip(8).
func (g *ground) ip(format string, args ...any) (string, error) {
	return output(exec.Command("ip", strings.Fields(fmt.Sprintf(format, args...))...))
}

// in is a command in a namespace.
func (g *ground) in(name string, argv ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/run/netns/" + name, "--"}, argv...)...)
}

// feed runs a command in a namespace with a text for it to read.
func (g *ground) feed(name, text string, argv ...string) error {
	c := g.in(name, argv...)
	c.Stdin = strings.NewReader(text)
	_, err := output(c)
	return err
}

// serve starts a command in a namespace that runs until the ground is left.
func (g *ground) serve(name string, argv ...string) error {
	c := g.in(name, argv...)
	// A process group: it is ended with all that it started.
	c.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return err
	}
	g.running = append(g.running, c)
	return nil
}

// leave ends what serves. The namespaces end with the mount namespace.
func (g *ground) leave() {
	for _, c := range g.running {
		_ = unix.Kill(-c.Process.Pid, unix.SIGTERM)
	}
	for _, c := range g.running {
		_ = c.Wait() // a server is ended by a signal
	}
}

// until tries something for ten seconds, until it works.
func until(try func() error) error {
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = try(); err == nil {
			return nil
		}
	}
	return err
}

// output is what a command that must succeed prints.
func output(c *exec.Cmd) (string, error) {
	out, err := c.Output()
	if err != nil {
		var e *exec.ExitError
		if errors.As(err, &e) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(e.Stderr)))
		}
		return "", fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
