//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// quantile is the value that a part of the samples is below.
func quantile[T cmp.Ordered](c *contender, part float64, of func(sample) T) T {
	values := make([]T, len(c.samples))
	for i, s := range c.samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[min(int(part*float64(len(values))), len(values)-1)]
}

func wall(s sample) time.Duration     { return s.wall }
func cpu(s sample) time.Duration      { return s.cpu }
func detached(s sample) time.Duration { return s.detached }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }

// printTable prints medians, and their ratio to those of the floor that does as
// much, and to those of the floor whose children share its memory.
func printTable(w io.Writer, all []*contender) {
	floor, reckless := make(map[string]*contender), make(map[string]*contender)
	for _, c := range all {
		switch c.name {
		case "floor":
			floor[c.mode] = c
		case "reckless floor":
			reckless[c.mode] = c
		}
	}
	fmt.Fprintln(w, "| | | wall ms | 10-90 % | × floor | × reckless | CPU ms | × floor | × reckless | detached CPU ms | peak RSS MiB | page faults | switches |")
	fmt.Fprintln(w, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, c := range all {
		if len(c.samples) == 0 {
			continue
		}
		mode := ""
		if floor[c.mode] != nil {
			mode = "(" + c.mode + ")"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s-%s | %s | %s | %s | %s | %s | %s | %.1f | %d | %d |\n",
			c.name, mode,
			milliseconds(quantile(c, 0.5, wall)), milliseconds(quantile(c, 0.1, wall)), milliseconds(quantile(c, 0.9, wall)), ratio(c, floor[c.mode], wall), ratio(c, reckless[c.mode], wall),
			milliseconds(quantile(c, 0.5, cpu)), ratio(c, floor[c.mode], cpu), ratio(c, reckless[c.mode], cpu),
			milliseconds(quantile(c, 0.5, detached)),
			float64(quantile(c, 0.5, func(s sample) int64 { return s.rss }))/1024,
			quantile(c, 0.5, func(s sample) int64 { return s.faults }),
			quantile(c, 0.5, func(s sample) int64 { return s.switches }))
	}
}

// ratio is how many times another's median a contender's is.
func ratio(c, other *contender, of func(sample) time.Duration) string {
	if other == nil || len(other.samples) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(quantile(c, 0.5, of))/float64(quantile(other, 0.5, of)))
}

// machine tells what is measured, and on what.
func machine(w io.Writer, _ *tools, o options) error {
	var u unix.Utsname
	_ = unix.Uname(&u)
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(w, "%s, %d CPUs, Linux %s, load %s\n", processor(), runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]), strings.TrimSpace(string(load)))
	fmt.Fprintf(w, "%s; %s; %s\n", firstLine(o.runner, "version"), firstLine("gcc", "--version"), firstLine("go", "version"))
	for _, v := range [][]string{
		{"ip", "-V"}, {"nft", "-v"}, {"unshare", "-V"}, {"bwrap", "--version"}, {"crun", "--version"}, {"runc", "--version"},
		{"systemd-nspawn", "--version"}, {"podman", "--version"}, {"dockerd", "--version"}, {"iptables", "-V"}, {"iperf3", "-v"},
	} {
		if s := firstLine(v...); s != "" {
			fmt.Fprintf(w, "%s; ", s)
		}
	}
	_, err := fmt.Fprintf(w, "medians of %d, interleaved\n", o.rounds)
	return err
}

// processor is the CPU's name, where the architecture tells it.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// firstLine of a command's output; empty when it is not installed.
func firstLine(argv ...string) string {
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

func printNotes(w io.Writer, o options, l *lab, missing []string) {
	fmt.Fprintln(w, `
(a) namespaces alone; (b) and the network; (c) and a published port. Wall time
from start to exit of the whole process. CPU time is its own and of those that
it waited for; detached is of those that it left behind (the guardian, whose
wait for RCU nobody waits for). The floor clones with the flags that main does;
the children of the reckless one share its memory. "At once" is right after another such run, whose
veth and guardian are still on their way out; all else waits for them (-settle).
"Asking to be sure" is the floor with the runner's questions that change nothing
(the bridge's addresses, the table, two sysctls, what killed runs left behind).`)
	if o.fifo {
		fmt.Fprintln(w, "\nEverything ran at real-time priority (-fifo): other work on the machine counts less. Docker's daemon, and what\nit starts, ran at the usual one.")
	}
	if o.settle == 0 {
		fmt.Fprintln(w, "\nWith -settle 0 every measurement is disturbed by the one before, and detached CPU time is not known.")
	}
	if l.waits > 0 {
		fmt.Fprintf(w, "\n%d times the links were still there after %v.\n", l.waits, o.settle)
	}
	for _, m := range missing {
		fmt.Fprintf(w, "\nNot measured: %s.\n", strings.TrimSpace(m))
	}
}
