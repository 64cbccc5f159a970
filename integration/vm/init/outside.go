//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What happens outside of ./main, and only in a machine of its own can be made
// to happen: both settings are of the whole machine.

// A host that has no clock of its own starts in 1970, and hears of the right time
// when containers run: nothing waits for it, nothing ends by it.
func testClock(m *machine) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return err
	}
	epoch := unix.NsecToTimespec((24 * time.Hour).Nanoseconds())
	if now.Sec < epoch.Sec {
		// This one has no clock. It can't be set back to less than it has run.
		now = unix.NsecToTimespec(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	}
	set := func(t unix.Timespec) error {
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &t); err != nil {
			return fmt.Errorf("set the clock to %d: %w", t.Sec, err)
		}
		return nil
	}
	works := func() error {
		return errors.Join(
			m.away(func() error {
				return answered("tcp", netip.AddrPortFrom(hostPrefixes[0].Addr(), 8080), outsidePrefixes[0].Addr().String())
			}),
			expect(0, "8080:80/tcp", "", "ls"),
			expect(9, "", "", "exec", address, "/init", "exit", "9"),
			expect(0, "container\n", "", "172.16.0.31", "/init", "hostname"),
		)
	}
	if err := set(epoch); err != nil {
		return err
	}
	defer set(now)
	h, err := hold(both(published...)...)
	if err != nil {
		return err
	}
	errs := []error{works(), set(now), works(), set(epoch), works(), h.end()}
	// A guardian does its work as well.
	if h, err = hold(both(published...)...); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, set(now), h.kill(), eventually(func() error { return gone(m) }))...)
}

// Where connection tracking is full the kernel drops what is new. What is known
// goes on, containers come and go, and all is well once there is room again.
func testFull(m *machine) error {
	const limit = "/proc/sys/net/netfilter/nf_conntrack_max"
	before, err := os.ReadFile(limit)
	if err != nil {
		return err
	}
	h, err := hold(both(published...)...)
	if err != nil {
		return err
	}
	in := netip.AddrPortFrom(hostPrefixes[0].Addr(), 8080).String()
	var known net.Conn
	err = m.away(func() (err error) { known, err = net.DialTimeout("tcp", in, askPatience); return err })
	if err != nil {
		return errors.Join(err, h.end())
	}
	defer known.Close()
	if err := os.WriteFile(limit, []byte("1"), 0); err != nil {
		return errors.Join(err, h.end())
	}
	defer os.WriteFile(limit, before, 0)
	errs := []error{m.away(func() error { return dropped(in) })}
	r, err := run("172.16.0.31", "/init", "hostname")
	if err == nil && (r.status != 0 || r.stdout != "container\n") {
		err = fmt.Errorf("a run: status %d, output %q\n%s", r.status, r.stdout, r.stderr)
	}
	errs = append(errs, err)
	if err := known.SetDeadline(time.Now().Add(askPatience)); err != nil {
		errs = append(errs, err)
	}
	_, err = fmt.Fprintln(known, "?")
	line, err2 := bufio.NewReader(known).ReadString('\n')
	if want := outsidePrefixes[0].Addr().String() + "\n"; err != nil || line != want {
		errs = append(errs, fmt.Errorf("the connection from before: %q (%v, %v), want %q", line, err, err2, want))
	}
	errs = append(errs, os.WriteFile(limit, before, 0), m.away(func() error {
		return answered("tcp", netip.MustParseAddrPort(in), outsidePrefixes[0].Addr().String())
	}))
	return errors.Join(append(errs, h.end())...)
}

// dropped is nil when a connection is not answered. The kernel makes room for it
// as long as it finds connections that had no answer, or have ended.
func dropped(to string) error {
	for range 50 {
		c, err := net.DialTimeout("tcp", to, time.Second)
		if err == nil {
			_ = c.Close()
			continue
		}
		if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
			return nil
		}
		return fmt.Errorf("a new connection: %w, want it to be dropped", err)
	}
	return errors.New("new connections are made, though connection tracking is full")
}
