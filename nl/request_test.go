//go:build linux

package nl_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// u16 and u32 are numbers as a message has them, in the host's byte order.
func u16(n uint16) []byte { return binary.NativeEndian.AppendUint16(nil, n) }
func u32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestMarshal(t *testing.T) {
	reqs := []nl.Request{
		{Type: 0x10, Flags: 0x605, Data: []byte("eight by")},
		{Type: 0x12, Flags: netlink.Request},
		{Type: 0xffff, Flags: 0xffff, Data: []byte("four")},
	}
	got := nl.Marshal(reqs)
	want := cat(
		u32(24), u16(0x10), u16(0x605), u32(1), u32(0), []byte("eight by"), // sequence 1, port 0
		u32(16), u16(0x12), u16(1), u32(2), u32(0), //                         sequence 2
		u32(20), u16(0xffff), u16(0xffff), u32(3), u32(0), []byte("four"), //  sequence 3
	)
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", hex.Dump(got), hex.Dump(want))
	}

	// And back again: what another program would read.
	msgs, err := nl.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	if len(msgs) != len(reqs) {
		t.Fatalf("read %d messages of %d", len(msgs), len(reqs))
	}
	for i, m := range msgs {
		r := reqs[i]
		want := netlink.Header{Length: uint32(16 + len(r.Data)), Type: r.Type, Flags: r.Flags, Sequence: uint32(i + 1)}
		if m.Header != want || !bytes.Equal(m.Data, r.Data) {
			t.Errorf("message %d: got %+v, want header %+v, data %q", i, m, want, r.Data)
		}
	}
}

func TestMarshalNothing(t *testing.T) {
	if b := nl.Marshal(nil); len(b) != 0 {
		t.Errorf("got %x, want nothing", b)
	}
}

// What Marshal has written down is read again, but for the words.
func TestUnmarshal(t *testing.T) {
	reqs := []nl.Request{
		{Type: 0x10, Flags: 0x605, Data: []byte("eight by"), What: "one", Cmd: "ip one"},
		{Type: 0x12, Flags: netlink.Request, Data: []byte("four")},
		{Type: 0xffff, Flags: 0xffff, Data: bytes.Repeat([]byte("long"), 1<<16)},
	}
	b := nl.Marshal(reqs)
	got, err := nl.Unmarshal(b, "what it was")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(reqs) {
		t.Fatalf("got %d requests of %d", len(got), len(reqs))
	}
	for i, r := range got {
		w := reqs[i]
		if r.Type != w.Type || r.Flags != w.Flags || !bytes.Equal(r.Data, w.Data) || r.What != "what it was" || r.Cmd != "" || r.Advice != nil {
			t.Errorf("request %d: got %+v, want %+v", i, r, w)
		}
	}
	if again := nl.Marshal(got); !bytes.Equal(again, b) {
		t.Error("written down again they are other bytes")
	}
	// The requests are not in the memory that they were read from.
	clear(b)
	if !bytes.Equal(got[0].Data, reqs[0].Data) {
		t.Error("they change with what they were read from")
	}

	if got, err := nl.Unmarshal(nil, "nothing"); err != nil || len(got) != 0 {
		t.Errorf("of nothing: got %d requests (error %v)", len(got), err)
	}
}

// Cut off anywhere but between two requests is not less, but an error.
func TestUnmarshalRefuses(t *testing.T) {
	b := nl.Marshal([]nl.Request{{Type: 1, Data: []byte("eight by")}, {Type: 2, Data: []byte("four")}})
	for n := range b {
		got, err := nl.Unmarshal(b[:n], "the list")
		if between := n == 0 || n == 24; between != (err == nil) {
			t.Errorf("the first %d bytes of %d: got %d requests (error %v)", n, len(b), len(got), err)
		}
	}
	for name, b := range map[string][]byte{
		"a message without a family": nl.Marshal([]nl.Request{{Type: 1}}),
		"one of 2 bytes":             cat(u32(18), u16(1), u16(0), u32(0), u32(0), []byte("xx")),
		"one that is longer":         cat(u32(21), u16(1), u16(0), u32(0), u32(0), []byte("four")),
		"one shorter than its head":  cat(u32(15), u16(1), u16(0), u32(0), u32(0), []byte("four")),
		"one of no length":           make([]byte, 64),
		"one of all lengths":         bytes.Repeat([]byte{0xff}, 64),
	} {
		if got, err := nl.Unmarshal(b, "the list"); err == nil || !strings.HasPrefix(err.Error(), "the list: ") {
			t.Errorf("%s: got %+v and the error %v", name, got, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(nl.Marshal([]nl.Request{{Type: 1, Flags: 5, Data: []byte("eight by")}, {Type: 2, Data: []byte("four")}}))
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		reqs, err := nl.Unmarshal(b, "what it was")
		if err != nil {
			return
		}
		// But for the numbers, which it counts itself, it is what it was.
		again, err := nl.Unmarshal(nl.Marshal(reqs), "what it was")
		if err != nil || len(again) != len(reqs) {
			t.Fatalf("%x: got %d requests, and again %d (error %v)", b, len(reqs), len(again), err)
		}
		for i, r := range again {
			if w := reqs[i]; r.Type != w.Type || r.Flags != w.Flags || !bytes.Equal(r.Data, w.Data) {
				t.Errorf("%x: request %d is %+v, and again %+v", b, i, w, r)
			}
		}
	})
}

func TestSilent(t *testing.T) {
	reqs := []nl.Request{
		{Type: 1, Flags: netlink.Request | netlink.Acknowledge | netlink.Create},
		{Type: 2, Flags: netlink.Request},
	}
	silent := nl.Silent(reqs)
	if got, want := silent[0].Flags, netlink.Request|netlink.Create; got != want {
		t.Errorf("the first has the flags %s, want %s", got, want)
	}
	if got, want := silent[1].Flags, netlink.Request; got != want {
		t.Errorf("the second has the flags %s, want %s", got, want)
	}
	if reqs[0].Flags&netlink.Acknowledge == 0 {
		t.Error("the requests that were given have changed")
	}
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  nl.Error
		want string
	}{
		{"an errno alone",
			nl.Error{What: "link lo: set up", Err: unix.EPERM},
			"link lo: set up: operation not permitted"},
		{"with the kernel's words, less their full stop",
			nl.Error{What: "bridge br0: create", Err: unix.EOPNOTSUPP, Message: "Unknown device type."},
			"bridge br0: create: operation not supported: Unknown device type"},
		{"with advice",
			nl.Error{What: "bridge br0: create", Err: unix.EOPNOTSUPP, Advice: "load it"},
			"bridge br0: create: operation not supported (load it)"},
		{"with both",
			nl.Error{What: "bridge br0: create", Err: unix.EOPNOTSUPP, Message: "Unknown", Advice: "load it"},
			"bridge br0: create: operation not supported: Unknown (load it)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestAdvise(t *testing.T) {
	advice := []nl.Advice{
		{Errno: unix.EPERM, Text: "become root"},
		{Errno: unix.EBUSY, Text: "wait"},
	}
	err := nl.Advise(&nl.Error{What: "x", Err: unix.EBUSY}, advice)
	if got, want := err.Error(), "x: device or resource busy (wait)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	err = nl.Advise(&nl.Error{What: "x", Err: unix.EEXIST, Advice: "as it was"}, advice)
	if got, want := err.Error(), "x: file exists (as it was)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	other := errors.New("another kind of error")
	if got := nl.Advise(other, advice); !errors.Is(got, other) {
		t.Errorf("got %v, want the error as it was", got)
	}
	if got := nl.Advise(nil, advice); got != nil {
		t.Errorf("got %v of no error", got)
	}
}
