//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// line is what a child and its parent talk over: a pair of connected sockets
// that keep messages apart. When either end's last holder is gone the other
// reads the end of file, which is how each learns of the other's death. A
// failing step, the terminal's descriptor and "go" travel over it.
type line struct {
	ours, theirs int
}

func newLine() (*line, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	return &line{ours: fds[0], theirs: fds[1]}, nil
}

// handOver closes the child's end here, once the child has it. Only then does
// the child's death show.
func (l *line) handOver() { l.theirs = closeFD(l.theirs) }

func (l *line) close() {
	l.handOver()
	l.ours = closeFD(l.ours)
}

// closeFD closes a descriptor if it is one, and gives what is none.
func closeFD(fd int) int {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
	return -1
}

// release lets a child that waits for it go on.
func (l *line) release() error {
	if _, err := ignoringEINTR(func() (int, error) { return unix.Write(l.ours, []byte{1}) }); err != nil {
		return fmt.Errorf("let the child go on: %w", err)
	}
	return nil
}

// message is what a child sent: its report when a step failed, or a word; or
// nothing, which is the end of file.
type message struct {
	report *report
	word   byte
	fd     int // a descriptor that came along (SCM_RIGHTS), or -1
	from   int // the process that sent it (SCM_CREDENTIALS), if the line tells
	end    bool
}

// tellSenders has messages tell who sent them.
func (l *line) tellSenders() error {
	return os.NewSyscallError("setsockopt SO_PASSCRED", unix.SetsockoptInt(l.ours, unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
}

// hear waits for a message of the child.
func (l *line) hear() (message, error) {
	m := message{fd: -1}
	buf := make([]byte, reportSize)
	oob := make([]byte, unix.CmsgSpace(4)+unix.CmsgSpace(unix.SizeofUcred))
	oobn, flags := 0, 0
	n, err := ignoringEINTR(func() (n int, err error) {
		n, oobn, flags, _, err = unix.Recvmsg(l.ours, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.ECONNRESET) {
			// The child ended before it had read what we wrote. The kernel tells
			// that first, and once; what it had sent is there still.
			n, oobn, flags, _, err = unix.Recvmsg(l.ours, buf, oob, unix.MSG_CMSG_CLOEXEC)
		}
		return n, err
	})
	if err != nil {
		return m, fmt.Errorf("hear from the child: %w", err)
	}
	if flags&unix.MSG_CTRUNC != 0 {
		// There is no number for the descriptor (scm_detach_fds, net/core/scm.c).
		return m, fmt.Errorf("take a descriptor from the child: %w", unix.EMFILE)
	}
	if oobn > 0 {
		if err = m.take(oob[:oobn]); err != nil {
			return m, err
		}
	}
	m.end = n <= 0
	m.word = buf[0]
	if n == int(reportSize) {
		m.report = &report{
			step:  int32(binary.NativeEndian.Uint32(buf)),
			errno: int32(binary.NativeEndian.Uint32(buf[4:])),
		}
	}
	return m, nil
}

// take takes what control messages say (unix(7)).
func (m *message) take(oob []byte) error {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("hear from the child: control message: %w", err)
	}
	for i := range msgs {
		// What parses them trusts the kernel with their size.
		switch len(msgs[i].Data) {
		case 4:
			if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil && len(fds) == 1 {
				m.fd = fds[0]
			}
		case unix.SizeofUcred:
			if c, err := unix.ParseUnixCredentials(&msgs[i]); err == nil {
				m.from = int(c.Pid)
			}
		}
	}
	if m.fd < 0 && m.from == 0 {
		return errors.New("hear from the child: a control message without a descriptor or a process")
	}
	return nil
}

// ignoringEINTR makes a call again as long as a signal interrupts it.
func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
