//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stop ends connections in every state, and the sockets can be relayed again.
func TestRelayStop(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	server, _ := echoUDP(t)
	ports := []relayed{
		{hold(t, unix.IPPROTO_TCP, toLoopback()).fd, unix.IPPROTO_TCP, netip.MustParseAddrPort(listen(t, echo))},
		{hold(t, unix.IPPROTO_TCP, toLoopback()).fd, unix.IPPROTO_TCP, netip.MustParseAddrPort(silent(t))},
		{hold(t, unix.IPPROTO_UDP, toLoopback()).fd, unix.IPPROTO_UDP, netip.MustParseAddrPort(server)},
	}
	at := func(i int) string {
		sa, err := unix.Getsockname(ports[i].fd)
		if err != nil {
			t.Fatal(err)
		}
		return held{port: sa.(*unix.SockaddrInet6).Port}.at("::1")
	}
	reaches("::1") // now the runtime's poller has its files
	goroutines, fds := runtime.NumGoroutine(), openFiles(t)
	for range 2 {
		r, err := startRelay(ports)
		if err != nil {
			t.Fatal(err)
		}
		open := dial(t, "tcp", at(0)).(*net.TCPConn)
		ask(t, open, "hello")
		half := dial(t, "tcp", at(0)).(*net.TCPConn)
		ask(t, half, "hello")
		half.CloseWrite()
		if _, err := io.ReadAll(half); err != nil { // its other half is closed by echo
			t.Fatal(err)
		}
		dials := dial(t, "tcp", at(1))
		eventually(t, "a connection to the silent container", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			for c := range r.conns {
				connecting := false
				onFD(c.inside, func(fd int) {
					info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
					connecting = err == nil && info.State == unix.BPF_TCP_SYN_SENT
				})
				if connecting {
					return true
				}
			}
			return false
		})
		flow := dial(t, "udp", at(2))
		ask(t, flow, "hello")

		r.stop()
		if n, err := open.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("an open connection: got %d bytes, %v, want the end", n, err)
		}
		if n, err := dials.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("one that waits for the container: got %d bytes, %v, want ECONNRESET", n, err)
		}
		r.stop()
		for _, c := range []net.Conn{open, half, dials, flow} {
			c.Close()
		}
		eventually(t, fmt.Sprintf("%d goroutines and %d open files again", goroutines, fds), func() bool {
			return runtime.NumGoroutine() <= goroutines && openFiles(t) <= fds
		})
		runtime.KeepAlive(r) // what it forgot to close, the garbage collector would
	}
	if r, err := startRelay(nil); r != nil || err != nil {
		t.Errorf("no ports: got %v, %v", r, err)
	} else {
		r.stop()
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// stall makes a connection whose client has not taken yet what the container has
// sent, want, before it closed its end; all of that has been received by the
// relay, which is stuck.
func stall(t *testing.T, limits relayLimits) (r *relay, c *net.TCPConn, want []byte) {
	t.Helper()
	want = pattern(64<<10, 4)
	sent := make(chan *net.TCPConn)
	h := hold(t, unix.IPPROTO_TCP, toLoopback())
	if err := unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil {
		t.Fatal(err)
	}
	r = serveRelay(t, limits, relayed{h.fd, unix.IPPROTO_TCP, netip.MustParseAddrPort(listen(t, func(c *net.TCPConn) {
		c.Write(want)
		sent <- c
	}))})
	small := func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	}
	c = dialFrom(t, &net.Dialer{Control: small}, "tcp", h.at("::1")).(*net.TCPConn)
	server := <-sent
	eventually(t, "the receipt of all that was sent", func() bool { return queue(t, server, unix.TIOCOUTQ) == 0 })
	server.Close()
	eventually(t, "bytes that the relay has not read", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for c := range r.conns {
			return queue(t, c.inside, unix.TIOCINQ) > 0
		}
		return false
	})
	return r, c, want
}

// queue is how many bytes are in a socket's queue (tcp(7), SIOCINQ, SIOCOUTQ).
func queue(t *testing.T, c syscall.Conn, which uint) (n int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), which) })
	}
	if err != nil {
		t.Error(err)
	}
	return n
}

// What the container has sent before it ended arrives.
func TestRelayLastWords(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	r, c, want := stall(t, limitsOfTests)
	stopped := make(chan struct{})
	go func() {
		r.stop()
		close(stopped)
	}()
	eventually(t, "the stop's beginning", r.stopping.Load)
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v; want all %d that were sent", len(got), err, len(want))
	}
	<-stopped
}

// A client that takes nothing doesn't keep a run from ending, and sees that
// something is missing.
func TestRelayStalledClient(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	limits := limitsOfTests
	limits.grace = time.Millisecond
	r, c, want := stall(t, limits)
	r.stop()
	if got, err := io.ReadAll(c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("got %d of %d bytes, %v; want ECONNRESET", len(got), len(want), err)
	}
}

// And its last datagram.
func TestRelayLastDatagram(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	server, _ := echoUDP(t)
	h := hold(t, unix.IPPROTO_UDP, toLoopback())
	r := stillRelay(t, limitsOfTests, relayed{h.fd, unix.IPPROTO_UDP, netip.MustParseAddrPort(server)})
	c := dial(t, "udp", h.at("::1"))
	io.WriteString(c, "hello")
	r.turn(t)
	var f *flow
	for _, f = range r.flows {
	}
	eventually(t, "the answer", func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}, 0)
		return n == 1 && err == nil
	})
	r.stopping.Store(true)
	r.serve()
	b := make([]byte, 64)
	if n, err := c.Read(b); err != nil || !strings.HasSuffix(string(b[:n]), " hello") {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

// still is a relay that does one thing at a time, when told to.
type still struct{ *relay }

func stillRelay(t *testing.T, limits relayLimits, ports ...relayed) still {
	t.Helper()
	r, err := newRelay(ports, limits)
	if err != nil {
		t.Fatal(err)
	}
	return still{r}
}

// turn waits for events and handles them.
func (s still) turn(t *testing.T) {
	t.Helper()
	n, err := s.wait()
	if err != nil || n < 1 {
		t.Fatalf("%d events, %v", n, err)
	}
	s.handle(s.events[:n])
}

// ready is how many events there are now.
func (s still) ready(t *testing.T) int {
	t.Helper()
	n, err := unix.EpollWait(s.epfd, s.events[:], 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRelayIdleFlows(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	limits := limitsOfTests
	limits.idle = time.Minute
	server, _ := echoUDP(t)
	h := hold(t, unix.IPPROTO_UDP, toLoopback())
	r := stillRelay(t, limits, relayed{h.fd, unix.IPPROTO_UDP, netip.MustParseAddrPort(server)})
	defer r.close()

	clients := []net.Conn{dial(t, "udp", h.at("::1")), dial(t, "udp", h.at("::1"))}
	if !r.due.IsZero() {
		t.Errorf("a timer runs without a flow: %v", r.due)
	}
	var flows []*flow
	for _, c := range clients {
		io.WriteString(c, "hello")
		for len(r.flows) == len(flows) {
			r.turn(t) // or it was an answer
		}
		flows = append(flows, r.flows[keyOf(c)])
	}
	if r.due.IsZero() || r.due.After(flows[0].used.Add(time.Minute)) {
		t.Errorf("flows since %v: the timer is at %v", flows[0].used, r.due)
	}
	// What comes from either side is use.
	for i, f := range flows {
		for _, send := range []func(){
			func() { io.WriteString(clients[i], "more"); r.datagrams(0) },
			func() { r.turn(t) }, // the answer
		} {
			f.used = time.Time{}
			for f.used.IsZero() {
				send()
			}
		}
	}

	first := time.Now()
	second := first.Add(30 * time.Second)
	flows[0].used, flows[1].used = first, second
	for _, c := range []struct {
		at   time.Time
		left int
		due  time.Time
	}{
		{first.Add(59 * time.Second), 2, first.Add(time.Minute)},
		{first.Add(time.Minute), 1, second.Add(time.Minute)},
		{second.Add(time.Minute), 0, time.Time{}},
	} {
		r.tick(c.at)
		if len(r.flows) != c.left || len(r.bySock) != c.left || !r.due.Equal(c.due) {
			t.Errorf("after %v: %d flows and the timer at %v, want %d and %v", c.at.Sub(first), len(r.flows), r.due, c.left, c.due)
		}
	}
}

func keyOf(c net.Conn) flowKey {
	return flowKey{client: c.LocalAddr().(*net.UDPAddr).AddrPort()}
}

// The timer ends flows, and a client that comes back has another.
func TestRelayFlowTimer(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	limits := limitsOfTests
	limits.idle = 50 * time.Millisecond
	server, _ := echoUDP(t)
	h := hold(t, unix.IPPROTO_UDP, toLoopback())
	r := serveRelay(t, limits, relayed{h.fd, unix.IPPROTO_UDP, netip.MustParseAddrPort(server)})
	c := dial(t, "udp", h.at("::1"))
	for range 2 {
		// On a busy machine a flow may end before it has an answer.
		eventually(t, "an answer", func() bool {
			io.WriteString(c, "hello")
			c.SetReadDeadline(time.Now().Add(time.Second))
			n, err := c.Read(make([]byte, 64))
			return n > 0 && err == nil
		})
		eventually(t, "the end of the flow", func() bool { return connectedTo(t, server) == 0 })
	}
	r.stop()
	if !r.due.IsZero() {
		t.Errorf("a timer runs without a flow: %v", r.due)
	}
}

// connectedTo is how many UDP sockets are connected to a port.
func connectedTo(t *testing.T, addr string) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/udp6")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprintf(":%04X", netip.MustParseAddrPort(addr).Port())
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.HasSuffix(f[2], port) {
			n++
		}
	}
	return n
}

func TestRelayTooManyFlows(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	limits := limitsOfTests
	limits.maxFlows = 2
	server, _ := echoUDP(t)
	h := hold(t, unix.IPPROTO_UDP, toLoopback())
	r := stillRelay(t, limits, relayed{h.fd, unix.IPPROTO_UDP, netip.MustParseAddrPort(server)})
	defer r.close()
	var clients []net.Conn
	for range 3 {
		clients = append(clients, dial(t, "udp", h.at("::1")))
	}
	for _, i := range []int{0, 1, 0, 2} { // 1 is idle for longest when 2 comes
		io.WriteString(clients[i], "hello")
		r.datagrams(0)
	}
	if got := connectedTo(t, server); len(r.flows) != 2 || len(r.bySock) != 2 || got != 2 {
		t.Errorf("%d flows, %d sockets, %d in the kernel; want 2 of each", len(r.flows), len(r.bySock), got)
	}
	for i, want := range []bool{true, false, true} {
		if r.flows[keyOf(clients[i])] != nil != want {
			t.Errorf("client %d has a flow: %v, want %v", i, !want, want)
		}
	}
}

// When there are no descriptors left a port rests, and its client waits.
func TestRelayShortage(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	h := hold(t, unix.IPPROTO_TCP, toLoopback())
	r := stillRelay(t, limitsOfTests, relayed{h.fd, unix.IPPROTO_TCP, netip.MustParseAddrPort(listen(t, echo))})
	c := dial(t, "tcp", h.at("::1"))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 128, Max: 128}); err != nil {
		t.Fatal(err)
	}
	files := openFiles(t)
	for left := range 2 { // a connection takes two
		var taken []int
		for {
			fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				break
			}
			taken = append(taken, fd)
		}
		for range left {
			unix.Close(taken[0])
			taken = taken[1:]
		}
		r.turn(t)
		if n := r.ready(t); len(r.paused) != 1 || n != 0 || r.due.IsZero() || len(r.conns) != 0 {
			t.Errorf("%d descriptors left: %d ports rest, %d events, the timer is at %v, %d connections; want 1, 0, some time, 0",
				left, len(r.paused), n, r.due, len(r.conns))
		}
		for _, fd := range taken {
			unix.Close(fd)
		}
		r.tick(r.due)
		if n := openFiles(t); len(r.paused) != 0 || !r.due.IsZero() || n != files {
			t.Errorf("after the rest: %d ports rest, the timer is at %v, %d open files; want 0, never, %d", len(r.paused), r.due, n, files)
		}
	}
	r.running.Go(r.serve)
	defer r.stop()
	if got := ask(t, c, "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// A port that isn't fit is refused at the start.
func TestRelayNoSocket(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		r, err := startRelay([]relayed{{fd: int(fd)}})
		if r != nil || err == nil || err.Error() != "relay of [::1]: epoll_ctl: operation not permitted" {
			t.Errorf("got %v, %v", r, err)
		}
	})
}
