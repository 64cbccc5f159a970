//go:build linux

package nat

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What comes from the kernel is taken apart by set.parse. It trusts no length:
// whatever the bytes are, they are elements of the set's measures, or an error.

func FuzzParseElements(f *testing.F) {
	sets := slices.Concat(IPv4.sets(), IPv6.sets(), Bridge.sets())
	for _, r := range append(bothClaim().Take(), IPv4.Remember(0, settings)...) {
		for i := range sets {
			f.Add(uint8(i), r.Data)
		}
		for n := range r.Data {
			f.Add(uint8(n), r.Data[:n]) // cut off, aligned or not
		}
		// A length that lies, of each attribute in turn: too short for its own
		// head, odd, and beyond the end.
		for at := 4; at+4 <= len(r.Data); at += 4 {
			for _, lie := range []uint16{0, 3, 5, 0xffff} {
				b := append([]byte(nil), r.Data...)
				binary.NativeEndian.PutUint16(b[at:], lie)
				f.Add(uint8(at), b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		s := sets[int(which)%len(sets)]
		elems, err := s.parse(data)
		if err != nil {
			return
		}
		size := 0
		for _, e := range elems {
			if len(e.key) != int(s.key.length()) || s.value != nil && len(e.value) != int(s.value.length()) {
				t.Errorf("%s: an element of %d and %d bytes", s.name, len(e.key), len(e.value))
			}
			size += len(e.key) + len(e.value) + len(e.comment)
		}
		if size > len(data) {
			t.Errorf("%s: %d bytes of elements out of %d", s.name, size, len(data))
		}
	})
}

func FuzzTableName(f *testing.F) {
	f.Add([]byte(nil))
	for _, family := range Families {
		data := family.newTable().Data
		for n := range data {
			f.Add(data[:n])
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		name, err := tableName(data)
		if err != nil {
			return
		}
		if len(data) < 4 || !strings.Contains(string(data[4:]), name) {
			t.Errorf("got the name %q out of %q", name, data)
		}
	})
}

func FuzzParseComment(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(commentData("net.ipv4.ip_forward=0"))
	f.Add(append([]byte{1, 2, 'x', 'y'}, commentData("behind another")...))
	f.Add([]byte{0})                // no length
	f.Add([]byte{0, 0})             // an empty one
	f.Add([]byte{0, 255, 'x'})      // a length that lies
	f.Add([]byte{0, 3, 'a', 'b'})   // by one
	f.Add([]byte{1, 0, 1, 0, 1, 0}) // none
	f.Add([]byte{0, 3, 'a', 0, 'b'})
	f.Fuzz(func(t *testing.T, data []byte) {
		if c := parseComment(data); !strings.Contains(string(data), c) {
			t.Errorf("got the comment %q out of %q", c, data)
		}
	})
}

// What the builders write is what the parser reads: the kernel's answers have
// the same form.
func TestParseWhatIsBuilt(t *testing.T) {
	s := set{key: fields{ipv4Addr, mark}, value: fields{mark}}
	want := []element{
		{key: []byte("12345678"), value: []byte("abcd")},
		{key: []byte("23456789"), value: []byte("bcde"), comment: "a comment"},
		{key: []byte("34567890"), value: []byte("cdef"), comment: strings.Repeat("x", 127)},
	}
	got, err := s.parse(s.elements(unix.NFT_MSG_NEWSETELEM, add, want...).Data)
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %d elements (error %v), want %d", len(got), err, len(want))
	}
	for i, w := range want {
		if g := got[i]; string(g.key) != string(w.key) || string(g.value) != string(w.value) || g.comment != w.comment {
			t.Errorf("got %+v, want %+v", g, w)
		}
	}
}

// A list with an element twice lacks another: see set.list.
func TestTwice(t *testing.T) {
	a, b, c := element{key: []byte("a")}, element{key: []byte("b")}, element{key: []byte("c")}
	for _, once := range [][]element{nil, {a}, {a, b, c}} {
		if twice(once) {
			t.Errorf("%v: each is there once", once)
		}
	}
	for _, again := range [][]element{{a, a}, {a, b, c, a}, {a, b, b}} {
		if !twice(again) {
			t.Errorf("%v: one is there twice", again)
		}
	}
}

func TestParseErrors(t *testing.T) {
	s := set{key: fields{ipv4Addr}, value: fields{mark}}
	message := func(e element) []byte { return s.elements(unix.NFT_MSG_NEWSETELEM, add, e).Data }
	whole := message(element{key: []byte("1234"), value: []byte("1234")})
	for name, data := range map[string][]byte{
		"no message":   nil,
		"half a head":  {2, 0, 0},
		"a short key":  message(element{key: []byte("123"), value: []byte("1234")}),
		"a long key":   message(element{key: []byte("12345"), value: []byte("1234")}),
		"no value":     message(element{key: []byte("1234")}),
		"a long value": message(element{key: []byte("1234"), value: []byte("12345")}),
		"cut off":      whole[:len(whole)-1],
	} {
		if got, err := s.parse(data); err == nil {
			t.Errorf("%s: got %+v and no error", name, got)
		}
	}
}
