//go:build linux

package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/dissect"
	"container/nat"
	"container/nl"
	"container/pcap"
)

// narration is what a caller wants to hear of what is done.
type narration struct {
	level   int    // 1 for -x, 2 for -xx
	capture string // the file of -pcap, "" for none
}

// flags declares the flags that have to do with it.
func (n *narration) flags(fs *flag.FlagSet) {
	fs.BoolFunc("x", "tell on standard error what is done, as it is done: commands that do the same, system calls", func(s string) error {
		on, err := strconv.ParseBool(s)
		if n.level = min(n.level+1, 2); !on {
			n.level = 0
		}
		return err
	})
	fs.BoolFunc("xx", "-x, and each netlink message byte by byte, with the kernel's answer", func(s string) error {
		on, err := strconv.ParseBool(s)
		if n.level = 2; !on {
			n.level = 0
		}
		return err
	})
	fs.StringVar(&n.capture, "pcap", "", "write the netlink messages to `FILE`, for Wireshark and tshark")
}

// narrator tells what a command does, as it does it. A line begins with a plus:
//
//   - 0.412ms ip link add name br0 group 1835100526 address 02:42:ac:10:00:64 up type bridge
//   - 1.520ms clone3(CLONE_NEWNS|…) = 4711
//   - [child] pivot_root(".", ".")
//   - 2.034ms # nf_tables transaction: begin
//
// Behind the time since the start stands a command line that would do the same,
// or a system call, or a note. A line that begins with a label in place of the
// time is a step of a child, which can't tell itself what it does: they are
// printed when it has been cloned, as what it will do. A line that begins with an
// equals sign is the kernel's answer.
//
// A nil narrator tells nothing: every method can be called.
type narrator struct {
	level    int
	w        io.Writer
	terminal int // w's descriptor, if that is a terminal, or -1
	coloured bool
	since    func() time.Duration // the start

	file    *os.File // of the capture, nil for none
	capture *pcap.Writer

	dissect.Dissector
	dialogue
}

// dialogue is requests that were sent together, and whose answers are to come.
type dialogue struct {
	conn *nl.Conn
	reqs []nl.Request
	rest []byte // the bytes of those that aren't shown
	next int    // of them
	seq  uint32 // of the first
	at   string
	by   string // before each command: "nsenter -t 4711 -n "
	last []byte // the bytes of the one that was shown last
}

// narrate is a narrator that tells what is wanted; nil when that is nothing.
func (n narration) narrate(w io.Writer) (*narrator, error) {
	if n == (narration{}) {
		return nil, nil
	}
	x := &narrator{level: n.level, w: w, terminal: -1}
	if f, ok := w.(*os.File); ok && isTerminal(int(f.Fd())) {
		x.terminal = int(f.Fd())
		x.coloured = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	if n.capture != "" {
		var err error
		if x.file, err = os.Create(n.capture); err != nil {
			return nil, fmt.Errorf("-pcap: %w", err)
		}
		if x.capture, err = pcap.NewWriter(x.file); err != nil {
			return nil, fmt.Errorf("-pcap: %w", err)
		}
	}
	if x.level > 1 {
		// The elements of our sets can be read only by who has seen the sets
		// made, which this run may have no need to do.
		for _, f := range nat.Families {
			x.Message(unix.NETLINK_NETFILTER, nl.Marshal(f.Ruleset()))
		}
	}
	start := time.Now()
	x.since = func() time.Duration { return time.Since(start) }
	return x, nil
}

// close ends the narration.
func (x *narrator) close() {
	if x == nil {
		return
	}
	x.flush()
	if x.file != nil {
		x.lose(x.file.Close())
		x.capture = nil
	}
}

// lose ends a capture that can't be written. What it is of goes on.
func (x *narrator) lose(err error) {
	if err != nil && x.capture != nil {
		x.capture = nil
		fmt.Fprintf(x.w, "main: warning: -pcap: %v\n", err)
	}
}

// tracer is the narrator for a connection of this process's own.
func (x *narrator) tracer() nl.Tracer {
	if x == nil {
		return nil
	}
	return x
}

// inside is the narrator for a connection to the kernel about the network
// namespace of a process.
func (x *narrator) inside(pid int) nl.Tracer {
	if x == nil {
		return nil
	}
	return &insider{x, fmt.Sprintf("nsenter -t %d -n ", pid)}
}

type insider struct {
	*narrator
	by string
}

func (i *insider) Send(c *nl.Conn, reqs []nl.Request, b []byte) { i.send(c, reqs, b, i.by) }

// Send implements nl.Tracer.
func (x *narrator) Send(c *nl.Conn, reqs []nl.Request, b []byte) { x.send(c, reqs, b, "") }

func (x *narrator) send(c *nl.Conn, reqs []nl.Request, b []byte, by string) {
	if x.capture != nil {
		x.lose(x.capture.Sent(time.Now(), c.Family(), b))
	}
	if x.level == 0 {
		return
	}
	x.flush()
	x.dialogue = dialogue{conn: c, reqs: reqs, rest: b, at: x.time(), by: by, seq: sequence(b)}
	if x.level == 1 {
		x.show(len(reqs))
	}
}

// Receive implements nl.Tracer. With -xx a request is shown when it is answered,
// so that the answer stands below it.
func (x *narrator) Receive(c *nl.Conn, b []byte) {
	if x.capture != nil {
		x.lose(x.capture.Received(time.Now(), c.Family(), b))
	}
	msgs, err := nl.Parse(b)
	if err != nil || x.level == 0 {
		return // Receive fails, and says so
	}
	for _, m := range msgs {
		raw := b[:m.Header.Length]
		b = b[min((len(raw)+3)&^3, len(b)):]
		i := int(m.Header.Sequence - x.seq)
		if c != x.conn || i < 0 || i >= len(x.reqs) {
			if x.level > 1 {
				x.line(x.time(), "# news")
				x.below(x.Message(c.Family(), raw))
			}
			continue
		}
		x.show(i + 1)
		x.answer(m, raw, x.reqs[i])
	}
}

// show tells of the requests up to one.
func (x *narrator) show(end int) {
	for ; x.next < end; x.next++ {
		r := x.reqs[x.next]
		size := min(16+len(r.Data), len(x.rest))
		x.last, x.rest = x.rest[:size], x.rest[size:]
		x.line(x.at, x.by+words(r))
		if x.level > 1 {
			x.below(x.Message(x.conn.Family(), x.last))
		}
	}
}

// flush tells of requests that nothing has come in answer to.
func (x *narrator) flush() {
	x.show(len(x.reqs))
	x.dialogue = dialogue{}
}

// answer tells of the kernel's answer to a request: of its refusal at least.
func (x *narrator) answer(m netlink.Message, raw []byte, r nl.Request) {
	kind := "= answer"
	switch m.Header.Type {
	case netlink.Error, netlink.Done:
		err := r.Answer(m)
		switch {
		case err == nil && m.Header.Type == netlink.Error:
			kind = "= ack"
		case err == nil:
			kind = "= done"
		default:
			kind = "= " + err.Error()
		}
		if err == nil && x.level == 1 {
			return
		}
	default:
		if x.level == 1 {
			return
		}
	}
	x.write("  " + kind)
	if x.level > 1 && kind != "= ack" {
		x.below(x.Answer(x.conn.Family(), raw, x.last))
	}
}

// sequence is the number of the first of several messages.
func sequence(b []byte) uint32 { return binary.NativeEndian.Uint32(b[8:]) }

// words is a request as a command line, or as a comment when no command does
// that alone.
func words(r nl.Request) string {
	if r.Cmd == "" {
		return "# " + r.What
	}
	return r.Cmd
}

// command tells of a command line that does what is about to be done.
func (x *narrator) command(format string, args ...any) { x.tell(fmt.Sprintf(format, args...)) }

// note tells of something that no command does, and no single system call.
func (x *narrator) note(format string, args ...any) { x.tell("# " + fmt.Sprintf(format, args...)) }

// call tells of a system call that was made, or is about to be.
func (x *narrator) call(format string, args ...any) { x.tell(fmt.Sprintf(format, args...)) }

func (x *narrator) tell(text string) {
	if x == nil || x.level == 0 {
		return
	}
	x.flush()
	x.line(x.time(), text)
}

// set makes a setting, and tells of it.
func (x *narrator) set(name, value string) error {
	x.sysctl(name, value)
	return writeSysctl(name, value)
}

// sysctl tells of a setting. A name whose parts have
// dots in themselves keeps its slashes, which sysctl(8) takes as well.
func (x *narrator) sysctl(name, value string) {
	if !strings.Contains(name, ".") {
		name = strings.ReplaceAll(name, "/", ".")
	}
	x.command("sysctl -w %s=%s", name, value)
}

// cloned tells of a child that was cloned and of what it will do. label stands
// before each of its steps.
func (x *narrator) cloned(p *program, label string, pid int) {
	if x == nil {
		return
	}
	x.carriedOut(p, label == "child")
	if x.level == 0 {
		return
	}
	x.call("%s = %d", p.cloneWords("SIGCHLD"), pid)
	x.willDo(p, label, pid)
}

// willDo tells of what a child will do.
func (x *narrator) willDo(p *program, label string, pid int) {
	x.note("process %d, the %s, will do this by itself:", pid, p.called())
	if p.plain {
		if p.args.flags&unix.CLONE_PARENT == 0 { // the guardian has done it for its brother
			x.step(label, "rt_sigaction(1…64, SIG_DFL)  # but of those that are ignored")
		}
		x.steps(p, p.instead, label)
	}
	x.steps(p, p.setUp, label)
	if len(p.command) > 0 {
		x.step(label, "clone(SIGCHLD)  # the command's process, which then does this:")
		x.steps(p, p.command, "command")
	}
	x.steps(p, p.after, label)
	if len(p.command) > 0 {
		x.step(label, "rt_sigtimedwait(~[])  # pass signals on, reap, end with the command")
	}
	x.steps(p, p.last, label)
}

// brother tells of a child that another one has made.
func (x *narrator) brother(p *program, pid int) {
	if x == nil {
		return
	}
	x.carriedOut(p, true)
	if x.level > 0 {
		x.step("guardian", fmt.Sprintf("%s = %d", p.cloneWords(), pid))
		x.willDo(p, "child", pid)
	}
}

// cloneWords is the system call that makes a child.
func (p *program) cloneWords(signal ...string) string {
	name, flags := "clone3", p.args.flags
	if p.plain {
		name, flags = "clone", flags&^(unix.CLONE_CLEAR_SIGHAND|unix.CLONE_INTO_CGROUP)
	}
	return name + "(" + bits(cloneFlags, flags, signal...) + ")"
}

func (x *narrator) steps(p *program, steps []step, label string) {
	if x == nil || x.level == 0 {
		return
	}
	objects := p.objects()
	instead, before := int32(0), label
	for _, s := range steps {
		if instead--; instead < 0 {
			label = before
		}
		x.step(label, s.words(objects))
		if s.skip > 0 && s.pass[0] != 0 {
			instead, label = s.skip, label+" if "+unix.Errno(s.pass[0]).Error()
		}
		if s.sends == nil {
			continue
		}
		for _, r := range s.sends.reqs {
			x.step(label, words(r))
			if x.level > 1 {
				x.below(x.Message(s.sends.family, nl.Marshal([]nl.Request{r})))
			}
		}
	}
}

// carriedOut puts into the capture what a child has sent, if it has.
func (x *narrator) carriedOut(p *program, has bool) {
	if x == nil || x.capture == nil || !has {
		return
	}
	for _, s := range p.steps() {
		if s.sends != nil {
			x.lose(x.capture.Sent(time.Now(), s.sends.family, nl.Marshal(s.sends.reqs)))
		}
	}
}

// group tells of the control group that is about to be made.
func (x *narrator) group(name string, l cgroup.Limits) {
	if x == nil || x.level == 0 || !l.Any() {
		return
	}
	before, _, _, err := cgroup.Script(name, l)
	if err != nil {
		return // the making of it fails too, and says why
	}
	for _, cmd := range before {
		x.command("%s", cmd)
	}
}

// held tells of a port that was bound.
func (x *narrator) held(fd int, p nat.Port, v4, v6 bool) {
	if x == nil || x.level == 0 || fd < 0 {
		return
	}
	a := p.HostIP
	switch {
	case a.IsValid():
	case v6:
		a = netip.IPv6Unspecified()
	case v4:
		a = netip.IPv4Unspecified()
	}
	x.call("bind(%d, %s)  # %s: keep it from others", fd, netip.AddrPortFrom(a, p.HostPort), p)
}

// time is the time since the start.
func (x *narrator) time() string {
	return fmt.Sprintf("%.3fms", float64(x.since().Nanoseconds())/1e6)
}

// line is something that is done by this process.
func (x *narrator) line(at, text string) { x.write("+ " + x.dim(at) + " " + x.bold(printable(text))) }

// step is something that a child will do.
func (x *narrator) step(label, text string) {
	x.write("+ " + x.dim("["+label+"]") + " " + printable(text))
}

// below is text that explains the line above it.
func (x *narrator) below(text string) {
	x.write("    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    "))
}

func (x *narrator) dim(s string) string  { return x.paint("\x1b[2m", s) }
func (x *narrator) bold(s string) string { return x.paint("\x1b[1m", s) }

func (x *narrator) paint(how, s string) string {
	if !x.coloured {
		return s
	}
	return how + s + "\x1b[0m"
}

// printable is a text that does nothing to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// write writes lines. A terminal that the command has is set to take a newline
// for no more than that (raw).
func (x *narrator) write(s string) {
	s += "\n"
	if x.terminal >= 0 {
		if t, err := unix.IoctlGetTermios(x.terminal, unix.TCGETS); err == nil && t.Oflag&unix.OPOST == 0 {
			s = strings.ReplaceAll(s, "\n", "\r\n")
		}
	}
	_, _ = io.WriteString(x.w, s)
}
