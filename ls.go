//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"container/nat"
)

// listed is a running container, as "main ls -json" prints it. Fields may be
// added; those that are here stay as they are.
type listed struct {
	Address string    `json:"address"` // "172.16.0.30"
	PID     int       `json:"pid"`     // of the container's first process, in the host's PID namespace
	Veth    string    `json:"veth"`    // the host's end
	Started time.Time `json:"started"`
	Ports   []string  `json:"ports"` // "80:8000/tcp", "127.0.0.1:53:53/udp"
	Command string    `json:"command"`
}

// ls prints the running containers, which it reads from the kernel: the leases
// and ports from nf_tables, what runs from the veths' aliases.
func ls(args []string, w io.Writer) error {
	fs := flag.NewFlagSet("main ls", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	asJSON := fs.Bool("json", false, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("ls takes no arguments, and here is %q", fs.Arg(0))
	}
	s, err := survey()
	if err != nil {
		return err
	}
	all, err := s.list()
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	return table(w, all)
}

func (s *inventory) list() ([]listed, error) {
	slices.SortFunc(s.live, func(a, b tenant) int { return a.Address.Compare(b.Address) })
	slices.SortFunc(s.ports, func(a, b nat.Published) int {
		return cmp.Or(cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Proto, b.Proto), a.HostIP.Compare(b.HostIP))
	})
	all := []listed{}
	for _, t := range s.live {
		started, err := startTime(t.who.pid)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return nil, err
		}
		l := listed{
			Address: t.Address.String(), PID: t.who.pid, Veth: t.link.Name,
			Started: started, Ports: []string{}, Command: t.who.command,
		}
		for _, p := range s.ports {
			if p.Address == t.Address {
				l.Ports = append(l.Ports, p.String())
			}
		}
		all = append(all, l)
	}
	return all, nil
}

func table(w io.Writer, all []listed) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ADDRESS\tPID\tUP\tPORTS\tCOMMAND")
	for _, l := range all {
		ports := strings.Join(l.Ports, ",")
		if ports == "" {
			ports = "-"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", l.Address, l.PID, upTime(time.Since(l.Started)), ports, l.Command)
	}
	return t.Flush()
}

// upTime is a duration in its largest unit.
func upTime(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// startTime is when a process began: field 22 of /proc/PID/stat, in ticks
// since the machine did (proc_pid_stat(5)). A tick is 1/100 s on every
// architecture that Go has (USER_HZ).
func startTime(pid int) (time.Time, error) {
	const startField, ticks = 22, 100
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, err
	}
	// The name, field 2, stands in parentheses and may have any in itself.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	f := strings.Fields(rest)
	if len(f) <= startField-3 {
		return time.Time{}, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	start, err := strconv.ParseInt(f[startField-3], 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, err
	}
	up := time.Duration(now.Nano()) - time.Duration(start)*time.Second/ticks
	return time.Now().Add(-up).Round(time.Second / ticks), nil
}
