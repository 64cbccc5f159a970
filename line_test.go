//go:build linux

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// aLine is a line whose other end the test has.
func aLine(t *testing.T) *line {
	t.Helper()
	l, err := newLine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

func TestLineRelease(t *testing.T) {
	l := aLine(t)
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	if n, err := unix.Read(l.theirs, b); n != 1 || err != nil {
		t.Errorf("the other end reads %d bytes (error %v), want 1", n, err)
	}
}

// Nobody is there any more to go on; no SIGPIPE comes of it.
func TestLineReleaseNobody(t *testing.T) {
	l := aLine(t)
	l.handOver()
	if err := l.release(); err == nil || err.Error() != "let the child go on: broken pipe" {
		t.Errorf("got the error %v, want a broken pipe", err)
	}
}

func TestLineEnd(t *testing.T) {
	l := aLine(t)
	l.handOver()
	if m, err := l.hear(); err != nil || !m.end || m.report != nil || m.fd != -1 {
		t.Errorf("got %+v (error %v), want the end", m, err)
	}
}

// A child that dies with a message unread resets the line, which is an end too.
func TestLineReset(t *testing.T) {
	l := aLine(t)
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	l.handOver()
	if m, err := l.hear(); err != nil || !m.end {
		t.Errorf("got %+v (error %v), want the end", m, err)
	}
}

// A child's report, as its steps write it.
func TestLineReport(t *testing.T) {
	_, r, _ := perform(t, 0, func(p *program) {
		p.setUp = []step{call("", unix.SYS_GETPID), call("", unix.SYS_CLOSE, ^uintptr(0))}
	})
	if r == nil || r.step != 1 || r.errno != int32(unix.EBADF) {
		t.Errorf("got the report %+v, want step 1 and EBADF", r)
	}
}

// A descriptor comes along with a byte, and messages keep apart.
func TestLineDescriptor(t *testing.T) {
	l := aLine(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := &program{line: uintptr(l.theirs)}
	p.setUp = []step{
		p.sendFD("send a descriptor", int(w.Fd())),
		call("write", unix.SYS_WRITE, p.line, p.data([]byte{1}), 1),
	}
	pid, err := p.spawn()
	if err != nil {
		t.Fatal(err)
	}
	l.handOver()
	w.Close()
	m, err := l.hear()
	if err != nil || m.fd < 0 || m.report != nil || m.end {
		t.Fatalf("got %+v (error %v), want a descriptor", m, err)
	}
	flags, err := unix.FcntlInt(uintptr(m.fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("its flags are %#x (error %v), want FD_CLOEXEC", flags, err)
	}
	f := os.NewFile(uintptr(m.fd), "pipe")
	defer f.Close()
	if _, err := f.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	if n, err := r.Read(b); string(b[:n]) != "hello" {
		t.Errorf("through the descriptor comes %q (error %v)", b[:n], err)
	}
	if m, err := l.hear(); err != nil || m.fd != -1 || m.report != nil || m.end {
		t.Errorf("got %+v (error %v), want the other message", m, err)
	}
	if m, err := l.hear(); err != nil || !m.end {
		t.Errorf("got %+v (error %v), want the end", m, err)
	}
	if _, err := ignoringEINTR(func() (int, error) { return unix.Wait4(pid, nil, 0, nil) }); err != nil {
		t.Fatal(err)
	}
}

func TestControlMessages(t *testing.T) {
	rights, creds := unix.UnixRights(7), unix.UnixCredentials(&unix.Ucred{Pid: 42})
	for name, c := range map[string]struct {
		oob      []byte
		fd, from int
	}{
		"a descriptor": {rights, 7, 0},
		"a sender":     {creds, -1, 42},
		"both":         {slices.Concat(creds, rights), 7, 42},
	} {
		m := message{fd: -1}
		if err := m.take(c.oob); err != nil || m.fd != c.fd || m.from != c.from {
			t.Errorf("%s: got %+v (error %v)", name, m, err)
		}
	}
	for name, oob := range map[string][]byte{
		"two descriptors": unix.UnixRights(0, 1),
		"cut off":         creds[:unix.CmsgLen(0)+1],
		"rubbish":         []byte(strings.Repeat("x", 32)),
	} {
		m := message{fd: -1}
		if err := m.take(oob); err == nil {
			t.Errorf("%s: got %+v and no error", name, m)
		}
	}
}

// Who has sent a message is told in the numbers of the one who asks.
func TestLineTellsSenders(t *testing.T) {
	l := aLine(t)
	if err := l.tellSenders(); err != nil {
		t.Fatal(err)
	}
	p := &program{line: uintptr(l.theirs)}
	p.setUp = []step{p.say("a word", 'x'), p.sendFD("a descriptor", l.theirs)}
	pid, err := p.spawn()
	if err != nil {
		t.Fatal(err)
	}
	l.handOver()
	if m, err := l.hear(); err != nil || m.word != 'x' || m.from != pid || m.fd != -1 || m.end {
		t.Errorf("got %+v (error %v), want x from %d", m, err, pid)
	}
	m, err := l.hear()
	if err != nil || m.from != pid || m.fd < 0 || m.end {
		t.Errorf("got %+v (error %v), want a descriptor from %d", m, err, pid)
	}
	closeFD(m.fd)
	if m, err := l.hear(); err != nil || !m.end {
		t.Errorf("got %+v (error %v), want the end", m, err)
	}
	if _, err := ignoringEINTR(func() (int, error) { return unix.Wait4(pid, nil, 0, nil) }); err != nil {
		t.Fatal(err)
	}
}

func TestIgnoringEINTR(t *testing.T) {
	calls := 0
	n, err := ignoringEINTR(func() (int, error) {
		if calls++; calls < 3 {
			return -1, unix.EINTR
		}
		return 42, unix.EIO
	})
	if n != 42 || err != unix.EIO || calls != 3 {
		t.Errorf("got %d and %v after %d calls; want 42 and EIO after 3", n, err, calls)
	}
}
