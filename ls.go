//go:build linux

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"container/nat"
)

// listed is a running container, as "main ls -json" prints it. Fields may be
// added; those that are here stay as they are.
type listed struct {
	Address   string // "172.16.0.30", the first
	Addresses []string
	PID       int    // of the container's first process, in the host's PID namespace
	Veth      string // the host's end
	Bridge    string // that it is on
	Started   time.Time
	Ports     []string // "80:8000/tcp", "127.0.0.1:53:53/udp", "8000-8099:8000-8099/tcp"
	Isolated  bool
	Lost      bool // somebody has taken its leases and ports out of nf_tables
	Command   string
}

func (l listed) fields() []field {
	return []field{
		{"address", jsonString(l.Address)},
		{"addresses", jsonStrings(l.Addresses)},
		{"pid", strconv.Itoa(l.PID)},
		{"veth", jsonString(l.Veth)},
		{"bridge", jsonString(l.Bridge)},
		{"started", jsonString(utc(l.Started))},
		{"ports", jsonStrings(l.Ports)},
		{"isolated", strconv.FormatBool(l.Isolated)},
		{"lost", strconv.FormatBool(l.Lost)},
		{"command", jsonString(l.Command)},
	}
}

// ls prints the running containers, which it reads from the kernel: the leases
// and ports from nf_tables, what runs from the veths' aliases.
func ls(args []string, w, stderr io.Writer) error {
	o, x, err := parseVerb(args, stderr)
	if err != nil {
		return err
	}
	defer x.close()
	k, err := dialKernel(x)
	if err != nil {
		return err
	}
	defer k.close()
	s, err := k.survey()
	if err != nil {
		return err
	}
	all, err := s.list()
	if err != nil {
		return err
	}
	if o.json {
		return writeObjects(w, all)
	}
	return table(w, all)
}

func (s *inventory) list() ([]listed, error) {
	sort.SliceStable(s.live, func(i, j int) bool { return s.live[i].who.addresses[0].Less(s.live[j].who.addresses[0]) })
	var isolated []uint32
	if slices.Contains(s.families, nat.Bridge) {
		var err error
		if isolated, err = nat.Isolated(s.nat); err != nil {
			return nil, err
		}
	}
	all := []listed{}
	for _, t := range s.live {
		started, err := startTime(t.who.pid)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return nil, err
		}
		if t.lost() {
			if _, err := record(t.who.pid); err != nil {
				continue // it is about to begin
			}
		}
		l := listed{
			Address: t.who.addresses[0].String(), PID: t.who.pid, Veth: t.link.Name, Bridge: s.bridges[t.link.Master],
			Started: started, Ports: portList(s.portsOf(t)), Isolated: slices.Contains(isolated, t.link.Index),
			Lost: t.lost(), Command: t.who.command,
		}
		for _, a := range t.who.addresses {
			l.Addresses = append(l.Addresses, a.String())
		}
		all = append(all, l)
	}
	return all, nil
}

// portsOf are the ports that lead to a container, each as it was asked for: one
// that is published in all the families that the container has addresses of
// has no HostIP.
func (s *inventory) portsOf(t tenant) []nat.Port {
	count := make(map[nat.Port]int)
	for _, p := range s.ports {
		if t.who.has(p.Address) {
			q := p.Port
			if q.HostIP.IsUnspecified() {
				q.HostIP = netip.Addr{}
			}
			count[q]++
		}
	}
	var all []nat.Port
	for _, p := range s.ports {
		if !t.who.has(p.Address) {
			continue
		}
		q := p.Port
		if q.HostIP.IsUnspecified() {
			q.HostIP = netip.Addr{}
			if count[q] == len(t.who.addresses) {
				if p.Address != t.who.addresses[0] {
					continue // once is enough
				}
			} else {
				q = p.Port
			}
		}
		all = append(all, q)
	}
	sort.SliceStable(all, func(i, j int) bool {
		a, b := all[i], all[j]
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), a.HostIP.Compare(b.HostIP), cmp.Compare(a.HostPort, b.HostPort)) < 0
	})
	return all
}

// portList is ports as -p takes them, those that follow one upon another as a
// range, in the order of the host's ports.
func portList(ports []nat.Port) []string {
	type span struct {
		first nat.Port
		n     uint16
	}
	var spans []span
	for _, p := range ports {
		if len(spans) > 0 {
			s := &spans[len(spans)-1]
			next := s.first
			next.HostPort += s.n
			next.Port += s.n
			if p == next {
				s.n++
				continue
			}
		}
		spans = append(spans, span{p, 1})
	}
	sort.SliceStable(spans, func(i, j int) bool { return spans[i].first.HostPort < spans[j].first.HostPort })
	all := []string{}
	for _, s := range spans {
		all = append(all, s.first.RangeString(s.n))
	}
	return all
}

func table(w io.Writer, all []listed) error {
	rows := [][]string{{"ADDRESS", "PID", "UP", "NETWORK", "PORTS", "COMMAND"}}
	for _, l := range all {
		ports := strings.Join(l.Ports, ",")
		switch {
		case l.Lost:
			ports = "lost"
		case ports == "":
			ports = "-"
		}
		bridge := l.Bridge
		if bridge == "" {
			bridge = "-" // somebody has taken it away, or the container off it
		}
		rows = append(rows, []string{
			strings.Join(l.Addresses, ","), strconv.Itoa(l.PID), upTime(time.Since(l.Started)), bridge, ports, l.Command,
		})
	}
	return writeTable(w, rows)
}

// utc is a time as RFC 3339 has it, to the hundredth of a second, which is as
// far as the kernel tells when a process began. (Package time's way of printing
// any time brings 30 KB.)
func utc(t time.Time) string {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	return fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%02dZ", year, month, day, hour, minute, second, t.Nanosecond()/1e7)
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
	f, err := procStat(pid)
	if err != nil {
		return time.Time{}, err
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
