//go:build linux

package xtables

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Tables made by hand, and what becomes of them; no kernel is asked.

// maker puts a table together.
type maker struct {
	table
	chain int // the hook whose chain is being made, or -1
}

func newMaker(f Family) *maker { return &maker{table: table{Family: f}, chain: -1} }

// begin begins a hook's chain, end ends it: a policy is behind.
func (m *maker) begin(hook int) {
	m.valid |= 1 << hook
	m.hook[hook] = uint32(len(m.blob))
	m.chain = hook
}

func (m *maker) end(policy int32) uint32 {
	m.underflow[m.chain] = uint32(len(m.blob))
	return m.rule("", policy)
}

// rule adds an entry with a standard target, for packets that came in by an
// interface, and tells where.
func (m *maker) rule(in string, verdict int32) uint32 {
	e := m.acceptEntry(0, in, false)
	if in == "" {
		clear(e[:m.cache()])
	}
	binary.NativeEndian.PutUint32(e[entry{m.Family, e}.target()+head:], uint32(verdict))
	return m.add(e)
}

// extension adds an entry with a target of another name, and its data.
func (m *maker) extension(name, data string, size int) uint32 {
	e := m.acceptEntry(0, "", false)
	clear(e[:m.cache()])
	e = e[:m.entrySize()+2]
	e = append(append(e, name...), make([]byte, head-2-len(name))...)
	e = append(append(e, data...), make([]byte, align(size)-len(data))...)
	binary.NativeEndian.PutUint16(e[m.entrySize():], uint16(head+align(size)))
	binary.NativeEndian.PutUint16(e[m.cache()+6:], uint16(len(e)))
	return m.add(e)
}

func (m *maker) add(e []byte) uint32 {
	at := uint32(len(m.blob))
	m.blob = append(m.blob, e...)
	return at
}

// jump makes the entry at an offset go on at another.
func (t *table) jump(from, to uint32) {
	e := t.entry(from)
	binary.NativeEndian.PutUint32(e.b[e.target()+head:], to)
}

// done is the table, read.
func (m *maker) done(t testing.TB) *table {
	t.Helper()
	m.extension("ERROR", "ERROR", 30)
	check(t, m.parse())
	m.count = len(m.starts)
	for i := range m.starts {
		m.old = append(m.old, i)
	}
	return &m.table
}

func (t *table) clone() *table {
	c := *t
	c.blob, c.starts, c.old = slices.Clone(t.blob), slices.Clone(t.starts), slices.Clone(t.old)
	return &c
}

// Whether the kernel knows of comments.
func known() bool   { return true }
func unknown() bool { return false }

// example is the one of the package comment.
func example(t testing.TB, f Family) *table {
	m := newMaker(f)
	m.begin(unix.NF_INET_LOCAL_IN)
	m.end(accept)
	m.begin(forward)
	to := m.rule("eth0", 0)
	m.end(drop)
	m.begin(unix.NF_INET_LOCAL_OUT)
	m.end(accept)
	m.extension("ERROR", "mine", 30)
	m.jump(to, m.rule("", returns))
	return m.done(t)
}

func TestExample(t *testing.T) {
	if align(1) != 8 {
		t.Skip("the package comment's offsets are those of other machines than " + runtime.GOARCH)
	}
	tab := example(t, IPv4)
	if want := []uint32{0, 152, 304, 456, 608, 784, 936}; !slices.Equal(tab.starts, want) {
		t.Errorf("got the entries %d, want %d", tab.starts, want)
	}
	if v, _ := tab.entry(152).standard(); v != 784 {
		t.Errorf("the jump goes to %d, want 784", v)
	}
	if want := [hooks]uint32{0, 0, 152, 456, 0}; tab.hook != want {
		t.Errorf("got the hooks %d, want %d", tab.hook, want)
	}
}

// The sizes of the structures, as a C compiler has them.
func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		f                                          Family
		flags, cache, counters, entry, accept, all int
		name                                       string
	}{
		{IPv4, 82, 84, 96, 112, 152, 440, "64-bit"},
		{IPv6, 131, 136, 152, 168, 208, 496, "64-bit"},
		{IPv4, 82, 84, 96, 112, 148, 436, "386"},
		{IPv6, 131, 136, 148, 164, 200, 488, "386"},
	} {
		if (tt.name == "386") != (runtime.GOARCH == "386") {
			continue
		}
		f := tt.f
		got := []int{f.flags(), f.cache(), f.counters(), f.entrySize(), len(f.acceptEntry(0, "br0", false)), len(f.acceptEntry(0, "br0", true))}
		if want := []int{tt.flags, tt.cache, tt.counters, tt.entry, tt.accept, tt.all}; !slices.Equal(got, want) {
			t.Errorf("%s %s: got %d, want %d", f.tool, tt.name, got, want)
		}
	}
}

// What the two entries move, and what they don't.
func TestOpenMoves(t *testing.T) {
	for _, f := range []Family{IPv4, IPv6} {
		tab := example(t, f)
		was := tab.clone()
		cmds := tab.open("br0", known)
		want := []string{
			f.tool + ` -w -I FORWARD 2 -i 'br0' -m comment --comment 'container: br0' -j ACCEPT`,
			f.tool + ` -w -I FORWARD 3 -o 'br0' -m comment --comment 'container: br0' -j ACCEPT`,
		}
		if !slices.Equal(cmds, want) {
			t.Errorf("got the commands\n%s\nwant\n%s", strings.Join(cmds, "\n"), strings.Join(want, "\n"))
		}
		n := uint32(2 * len(f.acceptEntry(0, "br0", true)))
		if v, _ := tab.entry(tab.starts[1]).standard(); v != int32(was.starts[5]+n) {
			t.Errorf("the jump goes to %d, want %d", v, was.starts[5]+n)
		}
		if tab.hook != [hooks]uint32{0, 0, was.hook[2], was.hook[3] + n, 0} || tab.underflow != [hooks]uint32{0, 0, was.underflow[2] + n, was.underflow[3] + n, 0} {
			t.Errorf("got the hooks %d and policies %d of %d and %d", tab.hook, tab.underflow, was.hook, was.underflow)
		}
		if want := []int{0, 1, -1, -1, 2, 3, 4, 5, 6}; !slices.Equal(tab.old, want) {
			t.Errorf("the entries were %d, want %d", tab.old, want)
		}
		if !tab.close("br0", true) {
			t.Error("nothing was closed")
		}
		if !bytes.Equal(tab.blob, was.blob) || tab.hook != was.hook || tab.underflow != was.underflow || !slices.Equal(tab.old, was.old) {
			t.Error("closed, the table is another than before")
		}
	}
}

// Verdicts of the kernel's that no rule of iptables makes, and loops, which no
// table of the kernel's has.
func TestEnds(t *testing.T) {
	m := newMaker(IPv4)
	m.begin(forward)
	to := m.rule("", 0)
	m.end(drop)
	m.jump(to, to) // back to itself, and to the policy from there
	if cmds := m.done(t).open("br0", known); len(cmds) != 2 {
		t.Errorf("got the commands %q of a loop", cmds)
	}

	m = newMaker(IPv4)
	m.begin(forward)
	m.rule("", -4) // -NF_QUEUE - 1
	m.end(drop)
	if cmds := m.done(t).open("br0", known); cmds != nil {
		t.Errorf("got the commands %q where a program decides", cmds)
	}
}

func TestParseErrors(t *testing.T) {
	for name, spoil := range map[string]func(t *table){
		"nothing":                        func(t *table) { t.blob = nil },
		"cut off":                        func(t *table) { t.blob = t.blob[:len(t.blob)-1] },
		"no length":                      func(t *table) { t.put(6, 0) },
		"a length beyond the end":        func(t *table) { t.put(6, 0xfff8) },
		"a target in the head":           func(t *table) { t.put(4, 8) },
		"a target beyond the end":        func(t *table) { t.put(4, 0xfff8) },
		"a target without a size":        func(t *table) { binary.NativeEndian.PutUint16(t.blob[t.entrySize():], 0) },
		"a target of the greatest size":  func(t *table) { t.blob[t.entrySize()], t.blob[t.entrySize()+1] = 0xff, 0xff },
		"FORWARD begins where none does": func(t *table) { t.hook[forward] += 8 },
		"FORWARD ends where none does":   func(t *table) { t.underflow[forward] = ^uint32(0) },
		"FORWARD ends before its start":  func(t *table) { t.underflow[forward] = 0 },
		"no FORWARD":                     func(t *table) { t.valid &^= 1 << forward },
		"a jump to where none begins":    func(t *table) { t.jump(t.hook[forward], t.starts[5]+8) },
		"no policy":                      func(t *table) { t.underflow[forward] = t.hook[forward] },
	} {
		tab := example(t, IPv4)
		spoil(tab)
		if err := tab.parse(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// put writes a number into the first entry, so far behind nfcache.
func (t *table) put(offset int, n uint16) {
	binary.NativeEndian.PutUint16(t.blob[t.cache()+offset:], n)
}

// Whatever a table is, it is an error or can be followed, opened and closed,
// and is then what it was before.
func FuzzTable(f *testing.F) {
	for six := range 2 {
		tab := example(f, []Family{IPv4, IPv6}[six])
		add := func(blob []byte, hook, underflow uint32) { f.Add(six == 1, slices.Clone(blob), hook, underflow) }
		hook, underflow := tab.hook[forward], tab.underflow[forward]
		add(tab.blob, hook, underflow)
		add(tab.blob, underflow, underflow)
		add(tab.blob, tab.starts[3], tab.starts[3]) // OUTPUT's
		for at := 0; at+2 <= len(tab.blob); at += 2 {
			for _, lie := range []uint16{0, 33, 0xffff} {
				b := slices.Clone(tab.blob)
				binary.NativeEndian.PutUint16(b[at:], lie)
				add(b, hook, underflow)
			}
			add(tab.blob[:at], hook, underflow)
		}
		tab.open("br0", known)
		add(tab.blob, tab.hook[forward], tab.underflow[forward])
	}
	f.Fuzz(func(t *testing.T, six bool, blob []byte, hook, underflow uint32) {
		fam := IPv4
		if six {
			fam = IPv6
		}
		tab := &table{Family: fam, valid: 1 << forward, blob: slices.Clone(blob)}
		tab.hook[forward], tab.underflow[forward] = hook, underflow
		if tab.parse() != nil {
			return
		}
		tab.old = make([]int, len(tab.starts))
		for _, withComment := range []bool{true, false} {
			tab.close("br0", withComment)
			was := tab.clone()
			cmds := tab.open("br0", func() bool { return withComment })
			if again := tab.open("br0", func() bool { return withComment }); again != nil {
				t.Errorf("opened by %q, and %q is missing", cmds, again)
			}
			if tab.close("br0", withComment) != (cmds != nil) {
				t.Errorf("opened by %q, and closed otherwise", cmds)
			}
			if !bytes.Equal(tab.blob, was.blob) || tab.hook != was.hook || tab.underflow != was.underflow {
				t.Error("closed, the table is another than before")
			}
		}
	})
}
