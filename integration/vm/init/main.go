//go:build linux

// Command init is the first process of a bare machine: what a test of ./main
// needs of a host, and the test. It mounts the kernel's file systems, loads the
// modules, makes a machine outside out of a network namespace, runs its cases
// and says what came of them on the console:
//
//	vm: up
//	vm: ok CASE 1.2s
//	vm: failed CASE 1.2s: WHY
//	vm: done PASSED TOTAL PEAK
//
// PEAK is the most memory that was in use, in MB. With an argument it is what
// runs in the containers (see verbs). Words for it on the kernel's command line:
//
//	vm.cases=NAME,NAME   these cases only; "none" for none
//	vm.tests=yes         and the tests of the packages
//	vm.modules=no        load no more than what the cable to the outside takes, and
//	                     leave the rest to ./main
//	vm.clock=wall        the machine's clock is as slow or fast as that on the wall
//	vm.want=WORD,WORD    what ./main must say in the case "missing"; "ok" if it must run
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 || len(os.Args) > 1 {
		if err := verb(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "init:", err)
			os.Exit(1)
		}
		return
	}
	if err := boot(); err != nil {
		say("failed boot 0s: %v", err)
		say("done 0 1 0")
	}
	// The host ends the machine when it has read this; some can end themselves.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}

// say writes a line for the host.
func say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i > 0 {
			line = "     " + line
			fmt.Println(line)
			continue
		}
		fmt.Println("vm: " + line)
	}
}

// word is the value of a word of the kernel's command line.
func word(key string) string {
	b, _ := os.ReadFile("/proc/cmdline")
	for _, w := range strings.Fields(string(b)) {
		if value, ok := strings.CutPrefix(w, key+"="); ok {
			return value
		}
	}
	return ""
}

func boot() error {
	if err := mounts(); err != nil {
		return err
	}
	say("up")
	if err := loadModules(word("vm.modules") == "no"); err != nil {
		return err
	}
	m, err := newMachine()
	if err != nil {
		return err
	}
	peak := watchMemory()
	passed, total := 0, 0
	list := chosen(word("vm.cases"))
	if word("vm.tests") != "" {
		list = append(list, testCase{name: "tests", run: testPackages})
	}
	for _, c := range list {
		began := time.Now()
		err := c.run(m)
		reap()
		took := time.Since(began).Round(10 * time.Millisecond)
		if total++; err != nil {
			say("failed %s %v: %v", c.name, took, err)
			continue
		}
		passed++
		say("ok %s %v", c.name, took)
	}
	say("done %d %d %d", passed, total, peak()>>20)
	return nil
}

// chosen is the cases of those names, in their own order; all, if there are
// none, but for those that want to be asked for.
func chosen(names string) []testCase {
	var list []testCase
	for _, c := range cases {
		asked := c.asked && (c.name != "modules" || word("vm.modules") != "no")
		if names == "" && !asked || slices.Contains(strings.Split(names, ","), c.name) {
			list = append(list, c)
		}
	}
	if names == "none" {
		list = []testCase{{name: "boot", run: func(*machine) error { return nil }}}
	}
	return list
}

// reap waits for the processes that lost their parent and are nobody's now.
func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 || err != nil {
			return
		}
	}
}
