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
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/rtnl"
)

// On lo of the tests' network namespaces are more addresses: the one that stands
// for the container's, and others of the host's.
const (
	inside  = "fd00::1"
	outside = "fd00::5"
	similar = "::2" // to ::1
)

const netnsTest = "CONTAINER_TEST_IN_NETNS"

// relayNetns gives a test a process of its own in a new network namespace, and
// is true there: the relay's goroutines make sockets on any thread.
func relayNetns(t *testing.T) bool {
	t.Helper()
	if os.Getenv(netnsTest) == t.Name() {
		c, err := rtnl.Dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.Do(rtnl.Up(rtnl.LoopbackIndex, "lo"))
		all := []string{inside, outside, similar}
		for _, a := range all {
			err = errors.Join(err, c.Do(rtnl.Address(rtnl.LoopbackIndex, "lo", netip.MustParsePrefix(a+"/128"))))
		}
		if err != nil {
			t.Fatal(err)
		}
		// The kernel puts their routes in place in a work queue.
		for _, a := range append(all, "::1") {
			eventually(t, "a route to "+a, func() bool { return reaches(a) })
		}
		return true
	}
	need.Root(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.timeout=5m", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), netnsTest+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) {
		need.Skip(t, "needs a new network namespace: "+err.Error())
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a network namespace: %v\n%s", err, out)
	}
	return false
}

// reaches is whether a datagram to a local address arrives.
func reaches(addr string) bool {
	s, err := net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
	if err != nil {
		return false
	}
	defer s.Close()
	if _, err := s.WriteTo([]byte{1}, s.LocalAddr()); err != nil {
		return false
	}
	s.SetDeadline(time.Now().Add(100 * time.Millisecond))
	_, _, err = s.ReadFrom(make([]byte, 1))
	return err == nil
}

// held is a socket that holds a port, as the relay wants it.
type held struct {
	fd   int
	port int
}

// hold binds a port that is free on every address of the host.
func hold(t *testing.T, proto uint8, filter []unix.SockFilter) held {
	t.Helper()
	kind := unix.SOCK_STREAM
	if proto == unix.IPPROTO_UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET6, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	// IPv4 too, which nothing may come by.
	err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	if err == nil && filter != nil {
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet6{})
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 1024)
	}
	sa, err2 := unix.Getsockname(fd)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return held{fd, sa.(*unix.SockaddrInet6).Port}
}

func (h held) at(addr string) string { return net.JoinHostPort(addr, fmt.Sprint(h.port)) }

// limitsOfTests are longer than any test takes.
var limitsOfTests = relayLimits{idle: time.Hour, maxFlows: 1024, pause: time.Hour, grace: time.Hour}

// relayTo holds a port and relays it, until the test ends.
func relayTo(t *testing.T, proto uint8, to string) (held, *relay) {
	t.Helper()
	h := hold(t, proto, toLoopback())
	return h, serveRelay(t, limitsOfTests, relayed{h.fd, proto, netip.MustParseAddrPort(to)})
}

func serveRelay(t *testing.T, limits relayLimits, ports ...relayed) *relay {
	t.Helper()
	r, err := newRelay(ports, limits)
	if err != nil {
		t.Fatal(err)
	}
	r.running.Go(r.serve)
	t.Cleanup(r.stop)
	return r
}

// listen is a TCP server in the container: serve has each connection.
func listen(t *testing.T, serve func(*net.TCPConn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(inside, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	return l.Addr().String()
}

// echo sends back what comes, and ends when that does.
func echo(c *net.TCPConn) {
	defer c.Close()
	// Bare, it would be spliced, by way of pipes that stay open for a while.
	io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
}

// echoUDP is a server in the container that answers each datagram with who has
// sent it, as far as the server can tell, and what: "[fd00::1]:4242 hello".
func echoUDP(t *testing.T) (addr string, got func() []string) {
	t.Helper()
	s, err := net.ListenPacket("udp", net.JoinHostPort(inside, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var mu sync.Mutex
	var all []string
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, from, err := s.ReadFrom(b)
			if err != nil {
				return
			}
			mu.Lock()
			all = append(all, string(b[:n]))
			mu.Unlock()
			s.WriteTo(append([]byte(from.String()+" "), b[:n]...), from)
		}
	}()
	return s.LocalAddr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// dial connects, with a time by which everything must be over. It is no part of
// what is tested.
func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	return dialFrom(t, &net.Dialer{}, network, addr)
}

func dialFrom(t *testing.T, d *net.Dialer, network, addr string) net.Conn {
	t.Helper()
	c, err := d.DialContext(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// tryRead connects and reads. When the connection is reset at once, it is
// already connecting that fails, or it isn't.
func tryRead(t *testing.T, addr string) (int, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.Read(make([]byte, 1))
}

func ask(t *testing.T, c net.Conn, question string) string {
	t.Helper()
	if _, err := c.Write([]byte(question)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	if err != nil {
		t.Fatalf("asked %.20q: %v", question, err)
	}
	return string(b[:n])
}

// eventually waits for what happens behind the test's back.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never came: " + what)
		}
	}
}

// pattern is bytes in which a piece that is missing, or comes twice, shows.
func pattern(size int, seed uint32) []byte {
	b := make([]byte, size)
	for i := range b {
		seed = seed*1664525 + 1013904223
		b[i] = byte(seed >> 24)
	}
	return b
}

// exchange sends all of what and ends it, while it receives all there is.
func exchange(c *net.TCPConn, what []byte) ([]byte, error) {
	sent := make(chan error)
	go func() {
		_, err := c.Write(what)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(c)
	return got, errors.Join(err, <-sent)
}

func TestRelayBothWays(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	question, answer := pattern(10<<20, 1), pattern(10<<20, 2)
	asked := make(chan []byte, 1)
	h, _ := relayTo(t, unix.IPPROTO_TCP, listen(t, func(c *net.TCPConn) {
		defer c.Close()
		got, err := exchange(c, answer)
		if err != nil {
			t.Error("in the container:", err)
		}
		asked <- got
	}))
	got, err := exchange(dial(t, "tcp", h.at("::1")).(*net.TCPConn), question)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, answer) {
		t.Errorf("the client received %d bytes, other than the %d that were sent", len(got), len(answer))
	}
	if got := <-asked; !bytes.Equal(got, question) {
		t.Errorf("the container received %d bytes, other than the %d that were sent", len(got), len(question))
	}
}

// The end of what one side sends is passed on, and the other may go on.
func TestRelayHalfClose(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	clientFirst, _ := relayTo(t, unix.IPPROTO_TCP, listen(t, func(c *net.TCPConn) {
		defer c.Close()
		got, err := io.ReadAll(c)
		fmt.Fprintf(c, "all of %q, %v", got, err)
	}))
	c := dial(t, "tcp", clientFirst.at("::1")).(*net.TCPConn)
	io.WriteString(c, "question")
	c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != `all of "question", <nil>` {
		t.Errorf("the client is first: got %q, %v", got, err)
	}

	late := make(chan string, 1)
	containerFirst, _ := relayTo(t, unix.IPPROTO_TCP, listen(t, func(c *net.TCPConn) {
		defer c.Close()
		io.WriteString(c, "greeting")
		c.CloseWrite()
		got, err := io.ReadAll(c)
		late <- fmt.Sprintf("%q, %v", got, err)
	}))
	c = dial(t, "tcp", containerFirst.at("::1")).(*net.TCPConn)
	if got, err := io.ReadAll(c); err != nil || string(got) != "greeting" {
		t.Errorf("the container is first: got %q, %v", got, err)
	}
	io.WriteString(c, "late")
	c.CloseWrite()
	if got := <-late; got != `"late", <nil>` {
		t.Errorf("the container is first: it got %s", got)
	}
}

// A connection that was cut off doesn't look complete.
func TestRelayReset(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	seen := make(chan error, 1)
	h, _ := relayTo(t, unix.IPPROTO_TCP, listen(t, func(c *net.TCPConn) {
		defer c.Close()
		c.SetLinger(0)
		b := make([]byte, 5)
		if _, err := io.ReadFull(c, b); err != nil || string(b) == "reset" {
			seen <- err
			return
		}
		c.Write(b)
		_, err := io.ReadAll(c)
		seen <- err
	}))
	c := dial(t, "tcp", h.at("::1")).(*net.TCPConn)
	io.WriteString(c, "reset")
	if _, err := io.ReadAll(c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("reset in the container: the client sees %v, want ECONNRESET", err)
	}
	if err := <-seen; err != nil {
		t.Fatal(err)
	}

	c = dial(t, "tcp", h.at("::1")).(*net.TCPConn)
	if got := ask(t, c, "hello"); got != "hello" {
		t.Fatalf("got %q", got)
	}
	c.SetLinger(0)
	c.Close()
	if err := <-seen; !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("reset by the client: the container sees %v, want ECONNRESET", err)
	}
}

func TestRelayRefused(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	h, r := relayTo(t, unix.IPPROTO_TCP, net.JoinHostPort(inside, "9"))
	if n, err := tryRead(t, h.at("::1")); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("got %d bytes, %v, want ECONNRESET", n, err)
	}
	eventually(t, "the end of the connection", func() bool { return isIdle(r) })
}

// isIdle is whether a relay has no connection.
func isIdle(r *relay) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns) == 0
}

func TestRelayManyClients(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	const clients = 200
	h, r := relayTo(t, unix.IPPROTO_TCP, listen(t, echo))
	var all []*net.TCPConn
	for i := range clients {
		c := dial(t, "tcp", h.at("::1")).(*net.TCPConn)
		if got, want := ask(t, c, fmt.Sprint(i)), fmt.Sprint(i); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		all = append(all, c)
	}
	r.mu.Lock()
	for c := range r.conns {
		for _, f := range []*os.File{c.client, c.inside} {
			onFD(f, func(fd int) {
				if on, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on != 1 {
					t.Errorf("the %s's socket: TCP_NODELAY is %d, %v", f.Name(), on, err)
				}
			})
		}
	}
	r.mu.Unlock()
	// All at once, while all are open.
	var done sync.WaitGroup
	for i, c := range all {
		done.Go(func() {
			want := pattern(100_000, uint32(i))
			if got, err := exchange(c, want); err != nil || !bytes.Equal(got, want) {
				t.Errorf("client %d: got %d bytes, %v; want the %d that were sent", i, len(got), err, len(want))
			}
		})
	}
	done.Wait()
	eventually(t, "the end of all connections", func() bool { return isIdle(r) })
}

// silent is a TCP server in the container that no packet reaches.
func silent(t *testing.T) (addr string) {
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	return net.JoinHostPort(inside, fmt.Sprint(hold(t, unix.IPPROTO_TCP, drop).port))
}

// A container that doesn't answer keeps nobody else waiting.
func TestRelaySilentContainer(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	never, answers := hold(t, unix.IPPROTO_TCP, toLoopback()), hold(t, unix.IPPROTO_TCP, toLoopback())
	serveRelay(t, limitsOfTests,
		relayed{never.fd, unix.IPPROTO_TCP, netip.MustParseAddrPort(silent(t))},
		relayed{answers.fd, unix.IPPROTO_TCP, netip.MustParseAddrPort(listen(t, echo))})
	dial(t, "tcp", never.at("::1"))
	if got := ask(t, dial(t, "tcp", answers.at("::1")), "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestRelayUDP(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	server, _ := echoUDP(t)
	h, _ := relayTo(t, unix.IPPROTO_UDP, server)
	// Connected sockets, so what has another source is not received. The third
	// is at another address of the host than ::1.
	clients := []net.Conn{
		dial(t, "udp", h.at("::1")),
		dial(t, "udp", h.at("::1")),
		dialFrom(t, &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(outside)}}, "udp", h.at("::1")),
	}
	sources := make(map[string]int)
	for range 3 {
		for i, c := range clients {
			source, got, _ := strings.Cut(ask(t, c, fmt.Sprint("hello ", i)), " ")
			if want := fmt.Sprint("hello ", i); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			if was, ok := sources[source]; ok && was != i {
				t.Errorf("clients %d and %d have the same source, %s", was, i, source)
			}
			sources[source] = i
		}
	}
	if len(sources) != len(clients) {
		t.Errorf("%d clients have the sources %v", len(clients), sources)
	}
	for _, size := range []int{0, 60_000} {
		want := string(pattern(size, 3))
		if _, got, _ := strings.Cut(ask(t, clients[0], want), " "); got != want {
			t.Errorf("sent a datagram of %d bytes, got %d back", size, len(got))
		}
	}
}

// A datagram is not lost to the news that nobody had the port before.
func TestRelayUDPRefused(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	probe, err := net.ListenPacket("udp", net.JoinHostPort(inside, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := probe.LocalAddr().String()
	probe.Close()

	h := hold(t, unix.IPPROTO_UDP, toLoopback())
	r := stillRelay(t, limitsOfTests, relayed{h.fd, unix.IPPROTO_UDP, netip.MustParseAddrPort(server)})
	c := dial(t, "udp", h.at("::1"))
	io.WriteString(c, "nobody there")
	r.turn(t)
	s, err := net.ListenPacket("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(c, "somebody there")
	r.datagrams(0) // before it looks at the flow
	b := make([]byte, 64)
	if n, _, err := s.ReadFrom(b); err != nil || string(b[:n]) != "somebody there" {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

// What is sent to another address of the host reaches nobody.
func TestRelayLoopbackAlone(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	others := []string{outside, inside, similar, "127.0.0.1", "127.0.0.2"}

	server, got := echoUDP(t)
	udp, _ := relayTo(t, unix.IPPROTO_UDP, server)
	for _, a := range others {
		io.WriteString(dial(t, "udp", udp.at(a)), "to "+a)
	}
	// An IPv4 header with options can have what looks like ::1 where an IPv6 one
	// has the destination: two of no operation, one that nobody knows.
	options := string([]byte{1, 1, 0x9e, 18, 19: 1})
	trick := func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) { err = unix.SetsockoptString(int(fd), unix.IPPROTO_IP, unix.IP_OPTIONS, options) })
		return err
	}
	io.WriteString(dialFrom(t, &net.Dialer{Control: trick}, "udp", udp.at("127.0.0.1")), "with options")
	ask(t, dial(t, "udp", udp.at("::1")), "to ::1")
	if all := got(); len(all) != 1 || all[0] != "to ::1" {
		t.Errorf("UDP: the container received %q", all)
	}

	tcp, _ := relayTo(t, unix.IPPROTO_TCP, listen(t, echo))
	calls := make(map[string]int)
	for _, a := range others {
		calls[a] = beginCall(t, tcp.at(a))
	}
	c := dial(t, "tcp", tcp.at("::1"))
	if got := ask(t, c, "to ::1"); got != "to ::1" {
		t.Errorf("got %q", got)
	}
	// The packets of loopback are taken one after another, so the others' have
	// been looked at.
	for a, fd := range calls {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Fatal(err)
		}
		if info.State != unix.BPF_TCP_SYN_SENT {
			t.Errorf("TCP: a call to %s is answered: state %d, want %d (SYN_SENT)", a, info.State, unix.BPF_TCP_SYN_SENT)
		}
	}
}

// beginCall begins to connect.
func beginCall(t *testing.T, addr string) int {
	t.Helper()
	a := netip.MustParseAddrPort(addr)
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, sockaddr(a)); !errors.Is(err, unix.EINPROGRESS) {
		t.Fatalf("connect: %v", err)
	}
	return fd
}

// Without the filter a connection to another address is accepted, and cut off.
func TestRelayLooksAtAddress(t *testing.T) {
	if !relayNetns(t) {
		return
	}
	h := hold(t, unix.IPPROTO_TCP, nil)
	serveRelay(t, limitsOfTests, relayed{h.fd, unix.IPPROTO_TCP, netip.MustParseAddrPort(listen(t, echo))})
	for _, a := range []string{outside, "127.0.0.1"} {
		if n, err := tryRead(t, h.at(a)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("to %s: got %d bytes, %v, want ECONNRESET", a, n, err)
		}
	}
	if got := ask(t, dial(t, "tcp", h.at("::1")), "hello"); got != "hello" {
		t.Errorf("to ::1: got %q", got)
	}
}
