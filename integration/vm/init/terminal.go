//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A container has a terminal of its own, of the size of that which ./main runs
// on.
func testTerminal(*machine) error {
	master, slave, err := openTerminal()
	if err != nil {
		return err
	}
	defer master.Close()
	size := &unix.Winsize{Row: 33, Col: 101}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, size); err != nil {
		return err
	}
	cmd := exec.Command("/main", address, "/init", "terminal")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return err
	}
	var said []string
	for lines := bufio.NewScanner(master); lines.Scan(); {
		said = append(said, strings.TrimSpace(lines.Text()))
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(said, "\n"))
	}
	if got := strings.Join(said, "\n"); got != "terminal 33 101" {
		return fmt.Errorf("it says %q", got)
	}
	return nil
}

// openTerminal makes a terminal: what a person would have, and what a program
// has of it.
func openTerminal() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	return master, slave, err
}
