//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel sends nothing that is for ::1 to another host: IPv6 has no
// route_localnet. So what comes to a published port at [::1] is the one thing
// that passes through the runner. It takes it at the sockets that hold the ports
// (reserve.go) and passes it on from a socket of its own; the container sees the
// bridge's address as the source.
//
// One goroutine looks after all held sockets, by an epoll instance which the
// runtime's poller watches in turn, and after all of UDP. A TCP connection has
// two goroutines. While nothing is sent nothing runs; there is a timer while there
// are flows of UDP.

// relayed is a published port as the relay sees it: the socket that holds it is
// an IPv6 one that doesn't block, listens if it is TCP's, and has had the filter
// toLoopback since before it was bound.
type relayed struct {
	fd    int
	proto uint8          // unix.IPPROTO_TCP or IPPROTO_UDP
	to    netip.AddrPort // in the container
}

// relay passes on what comes to held sockets.
type relay struct {
	ports []relayed
	relayLimits

	running  sync.WaitGroup
	stopping atomic.Bool
	mu       sync.Mutex
	conns    map[*conn]struct{} // under mu

	// What follows is serve's alone.
	epfd  int      // the epoll instance
	epoll *os.File // the same
	poll  interface {
		Read(func(uintptr) bool) error
	}
	events [64]unix.EpollEvent
	due    time.Time // when tick is called; zero: never
	paused []int     // ports that could not be accepted from
	flows  map[flowKey]*flow
	bySock map[int32]*flow
	buf    []byte // for a datagram
}

type relayLimits struct {
	idle     time.Duration // a UDP flow that was idle for so long ends
	maxFlows int           // at once
	pause    time.Duration // how long a port rests that could not be accepted from
	grace    time.Duration // what a client has to take the last that was sent to it
}

var defaultLimits = relayLimits{idle: 60 * time.Second, maxFlows: 1024, pause: 100 * time.Millisecond, grace: time.Second}

// startRelay relays ports until stop is called. With none it is nil, which can
// be stopped.
func startRelay(ports []relayed) (*relay, error) {
	if len(ports) == 0 {
		return nil, nil
	}
	r, err := newRelay(ports, defaultLimits)
	if err != nil {
		return nil, fmt.Errorf("relay of [::1]: %w", err)
	}
	r.running.Go(r.serve)
	return r, nil
}

// newRelay is a relay that waits to be served.
func newRelay(ports []relayed, limits relayLimits) (*relay, error) {
	r := &relay{
		ports:       ports,
		relayLimits: limits,
		flows:       make(map[flowKey]*flow),
		bySock:      make(map[int32]*flow),
		conns:       make(map[*conn]struct{}),
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	r.epfd = fd
	for i := range ports {
		if err := r.watch(i); err != nil {
			_ = unix.Close(fd)
			return nil, err
		}
	}
	// So that the runtime's poller takes it, which then watches the whole set
	// as one descriptor.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	r.epoll = os.NewFile(uintptr(fd), "epoll")
	r.poll, err = r.epoll.SyscallConn()
	if err == nil {
		err = r.epoll.SetReadDeadline(time.Time{}) // fails where the poller did
	}
	if err != nil {
		_ = r.epoll.Close()
		return nil, err
	}
	return r, nil
}

// What an event is about is in its data: a port, by its number, or a flow, by
// its socket.
const (
	ofPort = iota
	ofFlow
)

func (r *relay) watch(port int) error {
	return r.add(r.ports[port].fd, unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(port), Pad: ofPort})
}

func (r *relay) add(fd int, e unix.EpollEvent) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(r.epfd, unix.EPOLL_CTL_ADD, fd, &e))
}

func (r *relay) unwatch(fd int) {
	// Not left to close: a child that was just cloned has a copy for a while.
	_ = unix.EpollCtl(r.epfd, unix.EPOLL_CTL_DEL, fd, nil)
}

// stop ends all connections and flows, and returns when nothing runs any more.
// What the container has sent is passed on before. The held sockets stay as they
// are, the caller's.
func (r *relay) stop() {
	if r == nil {
		return
	}
	r.stopping.Store(true)
	_ = r.epoll.SetReadDeadline(time.Now()) // wakes serve
	r.mu.Lock()
	for c := range r.conns {
		c.finish(r.grace)
	}
	r.mu.Unlock()
	r.running.Wait()
}

func (r *relay) serve() {
	defer r.close()
	// stop's deadline may be overwritten by another, but only before this looks.
	for !r.stopping.Load() {
		n, err := r.wait()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.tick(time.Now())
		case err != nil:
			return
		}
		r.handle(r.events[:n])
	}
}

func (r *relay) close() {
	for _, f := range r.flows {
		r.answers(f) // the last
		r.endFlow(f)
	}
	_ = r.epoll.Close()
}

// wait returns when there are events, so many, or when r.due has come.
func (r *relay) wait() (n int, err error) {
	var failed error
	err = r.poll.Read(func(fd uintptr) bool {
		n, failed = ignoringEINTR(func() (int, error) { return unix.EpollWait(int(fd), r.events[:], 0) })
		return n != 0
	})
	if failed != nil {
		return 0, os.NewSyscallError("epoll_wait", failed)
	}
	return n, err
}

func (r *relay) handle(events []unix.EpollEvent) {
	for _, e := range events {
		if e.Pad == ofFlow {
			// None: an event before this one ended it.
			if f := r.bySock[e.Fd]; f != nil {
				r.answers(f)
			}
			continue
		}
		if p := int(e.Fd); r.ports[p].proto == unix.IPPROTO_UDP {
			r.datagrams(p)
		} else {
			r.accept(p)
		}
	}
}

// schedule has tick called at a time, or before.
func (r *relay) schedule(at time.Time) {
	if r.due.IsZero() || at.Before(r.due) {
		r.due = at
		_ = r.epoll.SetReadDeadline(at)
	}
}

// tick does what is due: it ends flows that were idle for too long, and goes
// back to the ports that rest. It is called again only if some are left.
func (r *relay) tick(now time.Time) {
	r.due = time.Time{}
	_ = r.epoll.SetReadDeadline(r.due)
	for _, f := range r.flows {
		if end := f.used.Add(r.idle); end.After(now) {
			r.schedule(end)
		} else {
			r.endFlow(f)
		}
	}
	paused := r.paused
	r.paused = nil
	for _, p := range paused {
		if r.watch(p) != nil {
			r.rest(p, now)
		}
	}
}

// rest leaves a port alone for a while. Its clients wait in the backlog.
func (r *relay) rest(port int, now time.Time) {
	r.paused = append(r.paused, port)
	r.schedule(now.Add(r.pause))
}

// toLoopback is a socket filter, for SO_ATTACH_FILTER, that keeps what is for ::1
// alone, and so nothing that is IPv4. The connections that a socket accepts
// inherit it, and it suits them. It looks at the network header, as what is
// loaded from offset 0 on is TCP's or UDP's (net/core/filter.c).
//
//	struct ipv6hdr {
//		__u8   priority:4, version:4; …
//		struct in6_addr saddr; // from 8 on
//		struct in6_addr daddr; // from 24 on
//	};
func toLoopback() []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K

		netOff = 1<<32 - 0x100000 // SKF_NET_OFF, -0x100000
	)
	return []unix.SockFilter{
		{Code: load | unix.BPF_B, K: netOff},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf0},
		{Code: equal, K: 6 << 4, Jf: 9},
		{Code: load | unix.BPF_W, K: netOff + 24},
		{Code: equal, K: 0, Jf: 7},
		{Code: load | unix.BPF_W, K: netOff + 28},
		{Code: equal, K: 0, Jf: 5},
		{Code: load | unix.BPF_W, K: netOff + 32},
		{Code: equal, K: 0, Jf: 3},
		{Code: load | unix.BPF_W, K: netOff + 36},
		{Code: equal, K: 1, Jf: 1},
		{Code: ret, K: ^uint32(0)}, // all of it
		{Code: ret, K: 0},
	}
}

// TCP

// conn is a connection: two sockets.
type conn struct {
	client, inside *os.File
	broken         atomic.Bool // one of them; it ends with a RST on both
}

// accept takes one connection. When there is no descriptor left for it (EMFILE,
// ENFILE), or anything else is wrong, it would be offered again and again, so
// the port rests. The connection's other socket is made before, lest it be
// accepted in vain.
func (r *relay) accept(port int) {
	inside, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	client := -1
	if err == nil {
		client, _, err = unix.Accept4(r.ports[port].fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	}
	if err != nil {
		closeFD(inside)
		if err != unix.EAGAIN && err != unix.ECONNABORTED && err != unix.EINTR {
			r.unwatch(r.ports[port].fd)
			r.rest(port, time.Now())
		}
		return
	}
	c := &conn{
		client: os.NewFile(uintptr(client), "client"),
		inside: os.NewFile(uintptr(inside), "container"),
	}
	if !cameToLoopback(client) {
		c.broken.Store(true)
		c.close()
		return
	}
	r.mu.Lock()
	r.conns[c] = struct{}{}
	if r.stopping.Load() {
		c.finish(r.grace)
	}
	r.mu.Unlock()
	r.running.Go(func() { r.carry(c, r.ports[port].to) })
}

// cameToLoopback is whether a connection's own address is ::1. The filter has
// seen to that: this is for the day when it has not.
func cameToLoopback(fd int) bool {
	sa, err := unix.Getsockname(fd)
	a, ok := sa.(*unix.SockaddrInet6)
	return err == nil && ok && netip.AddrFrom16(a.Addr) == netip.IPv6Loopback()
}

// carry is the life of a connection.
func (r *relay) carry(c *conn, to netip.AddrPort) {
	defer func() {
		c.close()
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
	}()
	if err := c.connect(to); err != nil {
		c.broken.Store(true)
		return
	}
	// What was written at once was to be sent at once.
	for _, f := range []*os.File{c.client, c.inside} {
		onFD(f, func(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) })
	}
	var up sync.WaitGroup
	up.Go(func() { c.pass(c.inside, c.client) })
	c.pass(c.client, c.inside)
	up.Wait()
}

// connect connects to the container. How long that may take the kernel knows
// (net.ipv4.tcp_syn_retries).
func (c *conn) connect(to netip.AddrPort) error {
	raw, err := c.inside.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	// Asked again, connect(2) tells how the first went: EALREADY as long as it
	// is under way.
	err = raw.Write(func(fd uintptr) bool {
		failed = unix.Connect(int(fd), sockaddr(to))
		return failed != unix.EINPROGRESS && failed != unix.EALREADY && failed != unix.EINTR
	})
	return errors.Join(err, failed)
}

func sockaddr(a netip.AddrPort) *unix.SockaddrInet6 {
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// pass passes on what comes from one socket, up to its end, and the end too.
func (c *conn) pass(to, from *os.File) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return // see finish
		case err == nil:
		case errors.Is(err, io.EOF) && !c.broken.Load():
			onFD(to, func(fd int) { _ = unix.Shutdown(fd, unix.SHUT_WR) })
			return
		default:
			c.broken.Store(true)
			c.close() // which ends the other direction too
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			// "to" is gone. What it sent before is passed on yet: the other
			// direction finds its end behind that.
			c.broken.Store(true)
			return
		}
	}
}

// finish ends a connection from the outside. The container is gone, so nothing
// is sent to it any more; but its last words may have come no further than here,
// and the client gets them, and the end behind them, if it takes them in time.
func (c *conn) finish(grace time.Duration) {
	now := time.Now()
	_ = c.client.SetReadDeadline(now)
	_ = c.inside.SetWriteDeadline(now)
	_ = c.client.SetWriteDeadline(now.Add(grace))
	// What has been received can be read yet; behind it is the end.
	onFD(c.inside, func(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RD) })
}

// close closes both sockets, with a RST if the connection is broken: what was
// cut off is not to look complete.
func (c *conn) close() {
	for _, f := range []*os.File{c.client, c.inside} {
		if c.broken.Load() {
			onFD(f, func(fd int) {
				_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 0})
			})
		}
		_ = f.Close()
	}
}

// onFD calls f with a file's descriptor, unless it is closed.
func onFD(file *os.File, f func(fd int)) {
	if raw, err := file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// UDP

// flow is the datagrams between one client and one port. To the container each
// client is another source port, and so its answers are told apart.
type flow struct {
	key  flowKey
	fd   int       // connected to the container
	used time.Time // last
}

type flowKey struct {
	port   int
	client netip.AddrPort
	zone   uint32 // of a link-local client
}

// burst is how many datagrams are taken from one socket in turn.
const burst = 64

// datagrams passes on what clients have sent to a port.
func (r *relay) datagrams(port int) {
	for range burst {
		n, from, err := r.receive(r.ports[port].fd)
		if err != nil {
			return
		}
		a, ok := from.(*unix.SockaddrInet6)
		if !ok {
			continue
		}
		f := r.flow(flowKey{port, netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)), a.ZoneId})
		if f == nil {
			continue // as lost as any datagram may be
		}
		// ECONNREFUSED is what became of one before, which the kernel tells
		// instead of sending this one.
		if unix.Send(f.fd, r.buf[:n], unix.MSG_DONTWAIT) == unix.ECONNREFUSED {
			_ = unix.Send(f.fd, r.buf[:n], unix.MSG_DONTWAIT)
		}
	}
}

// answers passes on what the container has sent to a flow.
func (r *relay) answers(f *flow) {
	to := sockaddr(f.key.client)
	to.ZoneId = f.key.zone
	for range burst {
		n, _, err := r.receive(f.fd)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			continue // ECONNREFUSED: nobody there has the port
		}
		f.used = time.Now()
		// Left to itself, the kernel would answer a client at another address of
		// the host from that one.
		_, _ = unix.SendmsgN(r.ports[f.key.port].fd, r.buf[:n], fromLoopback(), to, unix.MSG_DONTWAIT)
	}
}

func (r *relay) receive(fd int) (int, unix.Sockaddr, error) {
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	return unix.Recvfrom(fd, r.buf, unix.MSG_DONTWAIT)
}

// fromLoopback is the control message for a datagram whose source is to be ::1
// (ipv6(7), IPV6_PKTINFO).
func fromLoopback() []byte {
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: netip.IPv6Loopback().As16()})
}

// flow is the flow of a client, now in use; nil when none can be made.
func (r *relay) flow(key flowKey) *flow {
	now := time.Now()
	if f := r.flows[key]; f != nil {
		f.used = now
		return f
	}
	if len(r.flows) >= r.maxFlows {
		r.endFlow(r.oldestFlow())
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return nil
	}
	err = unix.Connect(fd, sockaddr(r.ports[key.port].to))
	if err == nil {
		err = r.add(fd, unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd), Pad: ofFlow})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil
	}
	f := &flow{key, fd, now}
	r.flows[key], r.bySock[int32(fd)] = f, f
	r.schedule(now.Add(r.idle))
	return f
}

// oldestFlow is the one that was idle for longest.
func (r *relay) oldestFlow() (oldest *flow) {
	for _, f := range r.flows {
		if oldest == nil || f.used.Before(oldest.used) {
			oldest = f
		}
	}
	return oldest
}

func (r *relay) endFlow(f *flow) {
	delete(r.flows, f.key)
	delete(r.bySock, int32(f.fd))
	r.unwatch(f.fd)
	_ = unix.Close(f.fd)
}
