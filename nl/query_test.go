//go:build linux

package nl_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// list asks for a dump of which only the answers matter here.
var list = nl.Request{
	Type:  unix.RTM_GETLINK,
	Flags: netlink.Request | netlink.Dump,
	Data:  make([]byte, unix.SizeofIfInfomsg),
	What:  "links: list",
	Cmd:   "ip link show",
}

// message is a message as the kernel sends it.
func message(typ netlink.HeaderType, flags netlink.HeaderFlags, seq uint32, data []byte) []byte {
	b := cat(u32(uint32(16+len(data))), u16(uint16(typ)), u16(uint16(flags)), u32(seq), u32(0), data)
	return append(b, make([]byte, -len(b)&3)...)
}

func part(seq uint32, data string) []byte {
	return message(unix.RTM_NEWLINK, netlink.Multi, seq, []byte(data))
}

func end(seq uint32) []byte { return message(netlink.Done, netlink.Multi, seq, u32(0)) }

// play is a connection to a kernel that does what can't be had of a real one
// at will: its answers to the nth request are what answer says, a datagram
// each. stop ends it and gives the sequence numbers of all it was asked.
//
// A socket of SOCK_SEQPACKET keeps messages apart as a netlink socket does.
func play(t *testing.T, answer func(n int, seq uint32) [][]byte) (c *nl.Conn, stop func() []uint32) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c = nl.New(fds[0], unix.NETLINK_ROUTE, nil)
	asked := make(chan []uint32, 1)
	go func() {
		defer unix.Close(fds[1])
		asked <- serve(fds[1], answer)
	}()
	return c, func() []uint32 {
		_ = c.Close() // which the other end reads as the end of file
		return <-asked
	}
}

func serve(fd int, answer func(n int, seq uint32) [][]byte) (asked []uint32) {
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n < 16 {
			return asked
		}
		seq := binary.NativeEndian.Uint32(buf[8:])
		asked = append(asked, seq)
		for _, b := range answer(len(asked), seq) {
			if _, err := unix.Write(fd, b); err != nil {
				return asked
			}
		}
	}
}

// torn is a kernel whose links change while it lists them, so many times.
func torn(times int) func(int, uint32) [][]byte {
	return func(n int, seq uint32) [][]byte {
		last := end(seq)
		if n <= times {
			last = message(netlink.Done, netlink.Multi|netlink.DumpInterrupted, seq, u32(0))
		}
		return [][]byte{cat(part(seq, "one"), part(seq, "two")), last}
	}
}

func TestQueryTorn(t *testing.T) {
	for _, times := range []int{0, 1, 2, 49} {
		c, stop := play(t, torn(times))
		answers, err := c.Query(list)
		asked := stop()
		if err != nil {
			t.Errorf("torn %d times: %v", times, err)
			continue
		}
		if len(asked) != times+1 {
			t.Errorf("torn %d times: asked %d times", times, len(asked))
		}
		if len(answers) != 2 || string(answers[0].Data) != "one" || string(answers[1].Data) != "two" {
			t.Errorf("torn %d times: got the answers %v", times, answers)
		}
	}
}

func TestQueryTornForEver(t *testing.T) {
	c, stop := play(t, torn(1000))
	answers, err := c.Query(list)
	asked := stop()
	if answers != nil {
		t.Errorf("got a torn list of %d answers", len(answers))
	}
	if e := asError(t, err); e.What != list.What || e.Cmd != list.Cmd {
		t.Errorf("the error is about %q (%s)", e.What, e.Cmd)
	}
	if want := "links: list: the list changed while it was read, 50 times"; err.Error() != want {
		t.Errorf("got the error %q, want %q", err, want)
	}
	if len(asked) != 50 {
		t.Errorf("asked %d times, want 50", len(asked))
	}
}

// A dump that fails after its first part says so in its last.
func TestQueryFailsInTheMiddle(t *testing.T) {
	c, stop := play(t, func(_ int, seq uint32) [][]byte {
		words := cat(u16(8), u16(1), []byte("why\x00"))
		minus := -int32(unix.ENOMEM)
		return [][]byte{
			part(seq, "one"),
			message(netlink.Done, netlink.Multi|netlink.AcknowledgeTLVs, seq, cat(u32(uint32(minus)), words)),
		}
	})
	_, err := c.Query(list)
	stop()
	if e := asError(t, err); !errors.Is(err, unix.ENOMEM) || e.Message != "why" {
		t.Errorf("got %v, want ENOMEM and why", err)
	}
}

// What answers something else is passed over, by Query and by Do.
func TestStaleAnswers(t *testing.T) {
	stale := func(_ int, seq uint32) [][]byte {
		minus := -int32(unix.EBUSY)
		return [][]byte{
			message(netlink.Error, 0, seq-1, cat(u32(uint32(minus)), make([]byte, 16))),
			message(netlink.Error, 0, seq+1, cat(u32(uint32(minus)), make([]byte, 16))),
			cat(part(seq-1, "stale"), end(seq-1)),
			cat(part(seq, "fresh"), message(netlink.Error, 0, seq, cat(u32(0), make([]byte, 16)))),
		}
	}
	c, stop := play(t, stale)
	answers, err := c.Query(list)
	stop()
	if err != nil || len(answers) != 1 || string(answers[0].Data) != "fresh" {
		t.Errorf("Query: got %v, %v", answers, err)
	}
	c, stop = play(t, stale)
	if err := c.Do(nl.Request{Flags: netlink.Request | netlink.Acknowledge}); err != nil {
		t.Errorf("Do: %v", err)
	}
	stop()
}

// Sequence numbers start again at 0, and an answer is known by them even then.
func TestSequenceWraps(t *testing.T) {
	c, stop := play(t, func(_ int, seq uint32) [][]byte {
		return [][]byte{message(netlink.Error, 0, seq, cat(u32(0), make([]byte, 16)))}
	})
	c.SetSequence(^uint32(0) - 1)
	for range 3 {
		if err := c.Do(nl.Request{Flags: netlink.Request | netlink.Acknowledge}); err != nil {
			t.Error(err)
		}
	}
	if asked, want := stop(), []uint32{^uint32(0), 0, 1}; !slices.Equal(asked, want) {
		t.Errorf("the requests had the numbers %d, want %d", asked, want)
	}
}

// Answers that lie about their length, or are none, are errors: no panic, and
// no wait for more.
func TestBadAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(seq uint32) []byte
		want   string
	}{
		{
			"a message longer than the datagram",
			func(seq uint32) []byte { return cat(u32(4096), u16(2), u16(0), u32(seq), u32(0), u32(0)) },
			"a message of 4096 bytes in an answer of 20",
		},
		{
			"a message of no length",
			func(seq uint32) []byte { return cat(u32(0), u16(2), u16(0), u32(seq), u32(0), u32(0)) },
			"a message of 0 bytes in an answer of 20",
		},
		{
			"a message of the greatest length",
			func(seq uint32) []byte { return cat(u32(^uint32(0)), u16(2), u16(0), u32(seq), u32(0), u32(0)) },
			"a message of 4294967295 bytes in an answer of 20",
		},
		{
			"an error without an errno",
			func(seq uint32) []byte { return message(netlink.Error, 0, seq, []byte{1, 2}) },
			"an answer of 2 bytes",
		},
		{
			"more than there is room for",
			func(seq uint32) []byte { return part(seq, strings.Repeat("x", 70_000)) },
			"an answer of 70016 bytes, and room for 65536",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := func(_ int, seq uint32) [][]byte { return [][]byte{tt.answer(seq)} }
			c, stop := play(t, answer)
			_, err := c.Query(list)
			stop()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Query: got the error %v, want %q", err, tt.want)
			}
			c, stop = play(t, answer)
			err = c.Do(nl.Request{What: "x", Flags: netlink.Request | netlink.Acknowledge})
			stop()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Do: got the error %v, want %q", err, tt.want)
			}
		})
	}
}

// A kernel before 4.3 repeats the whole request behind the errno, and one
// before 4.12 has no words to follow.
func TestAnswerOfOldKernels(t *testing.T) {
	minus := -int32(unix.EBUSY)
	request := cat(u16(8), u16(1), []byte("no!\x00")) // reads like words
	err := nl.Answer(nl.Request{What: "x"}, netlink.Message{
		Header: netlink.Header{Type: netlink.Error},
		Data:   cat(u32(uint32(minus)), make([]byte, 16), request),
	})
	if e := asError(t, err); !errors.Is(err, unix.EBUSY) || e.Message != "" || e.Offset != 0 {
		t.Errorf("got %v, want EBUSY alone", err)
	}
}

// FuzzParse looks for a datagram that makes the reader panic, or give more
// than was in it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(part(1, "one"))
	f.Add(cat(part(1, "one"), part(1, "three"), end(1)))
	f.Add(part(1, "one")[:17])
	f.Add(cat(u32(0), make([]byte, 12)))
	f.Add(cat(u32(^uint32(0)), make([]byte, 12)))
	f.Add(cat(u32(17), make([]byte, 13))) // a message of odd length at the end
	words := cat(u16(8), u16(1), []byte("why\x00"), u16(8), u16(2), u32(32))
	minus := -int32(unix.EINVAL)
	f.Add(message(netlink.Error, netlink.AcknowledgeTLVs, 1, cat(u32(uint32(minus)), make([]byte, 16), words)))
	f.Add(message(netlink.Done, netlink.Multi|netlink.AcknowledgeTLVs, 1, cat(u32(uint32(minus)), words)))
	f.Fuzz(func(t *testing.T, b []byte) {
		msgs, err := nl.Parse(b)
		if err != nil && msgs != nil {
			t.Errorf("messages beside the error %v", err)
		}
		size := 0
		for _, m := range msgs {
			size += 16 + len(m.Data)
			err := nl.Answer(nl.Request{What: "x"}, m)
			var e *nl.Error
			if errors.As(err, &e) && len(e.Message) > len(m.Data) {
				t.Errorf("an explanation of %d bytes in a message of %d", len(e.Message), len(m.Data))
			}
			if err != nil && err.Error() == "" {
				t.Error("an error without words")
			}
		}
		if size > len(b) {
			t.Errorf("messages of %d bytes in all, of a datagram of %d", size, len(b))
		}
	})
}
