//go:build linux

package nl

// What reads the kernel's answers, for tests with answers that no kernel gives.
var (
	Answer = Request.Answer
)

// SetSequence sets the number of the last request.
func (c *Conn) SetSequence(seq uint32) { c.seq = seq }
