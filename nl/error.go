//go:build linux

package nl

import (
	"errors"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Error is a request that the kernel refused.
type Error struct {
	What string // the request's own words
	Cmd  string // the command that would have been refused likewise
	Err  error  // the errno, as a unix.Errno

	// Message is the kernel's explanation (NLMSGERR_ATTR_MSG), if it gave one.
	Message string
	// Offset is where in the request the kernel stopped (NLMSGERR_ATTR_OFFS),
	// counted from the start of its header; 0 when it did not say.
	Offset int

	// Advice is the request's advice for this errno, if it has one.
	Advice string
}

// Error reads "bridge br0: add port veth1f3a: device or resource busy: <the
// kernel's explanation>".
func (e *Error) Error() string {
	s := e.What + ": " + e.Err.Error()
	if e.Message != "" {
		s += ": " + strings.TrimSuffix(e.Message, ".")
	}
	if e.Advice != "" {
		s += " (" + e.Advice + ")"
	}
	return s
}

// Unwrap gives the errno to errors.Is.
func (e *Error) Unwrap() error { return e.Err }

func wrap(r Request, err error) *Error {
	e := &Error{What: r.What, Cmd: r.Cmd, Err: errnoOf(err)}
	var op *netlink.OpError
	if errors.As(err, &op) {
		e.Message, e.Offset = op.Message, op.Offset
	}
	e.advise(r.Advice)
	return e
}

// errnoOf digs the errno out of what package netlink and package os put
// around it, which is for programmers: "netlink receive: recvmsg: …".
func errnoOf(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// Advise adds advice to an *Error that Dial or Do gave.
func Advise(err error, advice []Advice) error {
	var e *Error
	if errors.As(err, &e) {
		e.advise(advice)
	}
	return err
}

func (e *Error) advise(advice []Advice) {
	for _, a := range advice {
		if e.Err == error(a.Errno) {
			e.Advice = a.Text
		}
	}
}
