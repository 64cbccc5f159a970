//go:build linux

package nl

// Tracer hears what is said over connections, as it is said: whatever narrates
// or records a conversation. It is told in the goroutine that speaks, which
// waits for it.
type Tracer interface {
	// Send is told of requests that are about to be sent in one system call,
	// and of their bytes. The sequence number of each is in its header there.
	Send(c *Conn, reqs []Request, b []byte)

	// Receive is told of a datagram that has come: the answers to requests, or
	// events (Conn.Join). The bytes are good until it returns.
	Receive(c *Conn, b []byte)
}
