//go:build linux

package xtables

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// forward is the hook, and the bit of its chain in valid_hooks.
const forward = unix.NF_INET_FORWARD

// table is a table as the kernel hands it out and takes it.
type table struct {
	Family
	valid           uint32        // a bit for each hook that it has a chain in
	hook, underflow [hooks]uint32 // offsets: a chain's first entry, and its policy
	blob            []byte

	starts []uint32 // the offsets of the entries
	old    []int    // which entry each was in the kernel's table; -1 if none
	count  int      // the entries there
}

// parse finds the entries. What it lets pass can be followed without another
// look at any length.
func (t *table) parse() error {
	t.starts = nil
	for at := 0; at < len(t.blob); {
		b := t.blob[at:]
		if len(b) < t.entrySize()+head {
			return fmt.Errorf("an entry at %d, and %d bytes left", at, len(b))
		}
		e := entry{t.Family, b}
		target, next := e.target(), e.next()
		if target < t.entrySize() || next < target+head || next > len(b) {
			return fmt.Errorf("entry at %d: its target at %d, its end at %d, and %d bytes left", at, target, next, len(b))
		}
		for m := t.entrySize(); m < target; m += int(u16(b[m:])) {
			if target-m < head || int(u16(b[m:])) < head || int(u16(b[m:])) > target-m {
				return fmt.Errorf("entry at %d: a match at %d, and its target at %d", at, m, target)
			}
		}
		if n := int(u16(b[target:])); n < head || n > next-target || name(b[target:]) == "" && n < head+4 {
			return fmt.Errorf("entry at %d: a target of %d bytes in %d", at, n, next-target)
		}
		t.starts = append(t.starts, uint32(at))
		at += next
	}
	for _, at := range t.starts {
		if v, _ := t.entry(at).standard(); v > 0 {
			if _, ok := t.index(uint32(v)); !ok {
				return fmt.Errorf("entry at %d: it goes on at %d, and no entry is there", at, v)
			}
		}
	}
	for h := range hooks {
		first, ok := t.index(t.hook[h])
		last, ok2 := t.index(t.underflow[h])
		if t.valid&(1<<h) != 0 && (!ok || !ok2 || first > last) {
			return fmt.Errorf("the chain of hook %d goes from %d to %d, and no entries are there", h, t.hook[h], t.underflow[h])
		}
	}
	if t.valid&(1<<forward) == 0 {
		return errors.New("no chain FORWARD")
	}
	policy := t.entry(t.underflow[forward])
	if v, ok := policy.standard(); !ok || v >= 0 || !policy.covers(-1, "") {
		return fmt.Errorf("entry at %d: no policy", t.underflow[forward])
	}
	return nil
}

// index is which entry begins at an offset.
func (t *table) index(at uint32) (int, bool) { return slices.BinarySearch(t.starts, at) }

func (t *table) entry(at uint32) entry { return entry{t.Family, t.blob[at:]} }

// chain is the offsets of FORWARD's entries, the last of which is its policy.
func (t *table) chain() []uint32 {
	first, _ := t.index(t.hook[forward])
	last, _ := t.index(t.underflow[forward])
	return t.starts[first : last+1]
}

// open adds what lets a bridge's packets pass to and fro, as far as it isn't
// there, and tells the command lines that do the same. Whether the kernel knows
// of comments is asked only then: it may run modprobe to find out.
func (t *table) open(bridge string, hasComment func() bool) (cmds []string) {
	for side, option := range []string{"-i", "-o"} {
		any, own := t.end(-1, ""), t.end(side, bridge)
		// Another end is somebody's word about this bridge: it is accepted,
		// or dropped on purpose.
		if any.verdict != drop || own.rule != any.rule {
			continue
		}
		words, withComment := "", hasComment()
		if withComment {
			words = " -m comment --comment " + quote(comment+bridge)
		}
		number := slices.Index(t.chain(), own.base) + 1
		cmds = append(cmds, fmt.Sprintf("%s -w -I FORWARD %d %s %s%s -j ACCEPT", t.tool, number, option, quote(bridge), words))
		t.splice(own.base, 0, t.acceptEntry(side, bridge, withComment))
	}
	return cmds
}

// close takes away what open adds.
func (t *table) close(bridge string, withComment bool) (changed bool) {
	for side := range 2 {
		ours := entry{t.Family, t.acceptEntry(side, bridge, withComment)}
		for _, at := range slices.Backward(t.chain()) {
			if e := t.entry(at); e.same(ours) {
				t.splice(at, e.next(), nil)
				changed = true
			}
		}
	}
	return changed
}

// splice puts an entry before the one at an offset in FORWARD, or, if e is nil,
// takes the n bytes of that one away.
//
// Offsets of what is behind the place are corrected. What stands right there is
// behind it only if it is the policy: where the chain begins, and where a rule
// without a target before it goes on, there is then what has come in.
func (t *table) splice(at uint32, n int, e []byte) {
	i, _ := t.index(at)
	by := uint32(len(e) - n)
	for _, s := range t.starts {
		en := t.entry(s)
		if v, ok := en.standard(); ok && int64(v) > int64(at) {
			binary.NativeEndian.PutUint32(en.b[en.target()+head:], uint32(v)+by)
		}
	}
	for h := range hooks {
		if t.valid&(1<<h) != 0 && t.hook[h] > at {
			t.hook[h] += by
		}
		if t.valid&(1<<h) != 0 && t.underflow[h] >= at {
			t.underflow[h] += by
		}
	}
	t.blob = slices.Concat(t.blob[:at], e, t.blob[int(at)+n:])
	if e != nil {
		t.old = slices.Insert(t.old, i, -1)
	} else {
		t.old = slices.Delete(t.old, i, i+1)
	}
	if err := t.parse(); err != nil {
		panic("xtables: a table of ours: " + err.Error())
	}
}

// ending is where packets end in FORWARD.
type ending struct {
	verdict int32
	base    uint32 // FORWARD's entry that ended them, or led to what did
	rule    uint32 // the entry that ended them
}

// end finds what becomes of packets of which the name of the interface on one
// side is known (0 where they came in, 1 where they go; -1 neither) and nothing
// else: rules that are only for some of them are passed over.
func (t *table) end(side int, name string) ending {
	e := t.follow(t.hook[forward], side, name, make(map[uint32]ending))
	if e.verdict == returns {
		e.rule = t.underflow[forward]
		e.verdict, _ = t.entry(e.rule).standard()
	}
	return e
}

// follow is end from any chain's first entry on; returns if they come back from
// it. Each chain is looked at once, so loops do no harm.
func (t *table) follow(chain uint32, side int, name string, seen map[uint32]ending) (end ending) {
	if e, ok := seen[chain]; ok {
		return e
	}
	end = ending{verdict: returns}
	seen[chain] = end
	defer func() { seen[chain] = end }()
	first, _ := t.index(chain)
	for _, at := range t.starts[first:] {
		e := t.entry(at)
		if !e.covers(side, name) {
			continue
		}
		v, standard := e.standard()
		switch {
		case !standard && e.targetName() == "REJECT":
			return ending{drop, at, at}
		case !standard && e.targetName() == "NFQUEUE": // a program decides
			return ending{accept, at, at}
		case !standard && e.targetName() == "ERROR": // the next chain's head
			return end
		case !standard:
			// LOG and the like go on
		case v < 0:
			return ending{v, at, at}
		case int(v) != int(at)+e.next(): // to another chain, not just the next entry
			sub := t.follow(uint32(v), side, name, seen)
			if sub.verdict != returns || e.isGoto() {
				return ending{sub.verdict, at, sub.rule}
			}
		}
	}
	return end
}

// entry is an entry, with what is behind it.
type entry struct {
	Family
	b []byte
}

// head is sizeof(struct xt_entry_match), and of struct xt_entry_target.
const head = 32

// Verdicts, as they stand in a table: -NF_DROP - 1 and so on, and XT_RETURN.
const (
	drop    = -1
	accept  = -2
	returns = -5
)

// Where things are in struct ipt_entry and struct ip6t_entry (see the package
// comment): behind four addresses the names, behind proto, and tos, the flags,
// and so on.
func (f Family) ifaces() int    { return 4 * f.address }
func (f Family) flags() int     { return f.ifaces() + 66 + f.address/16 }
func (f Family) cache() int     { return (f.flags() + 2 + 3) &^ 3 }
func (f Family) counters() int  { return align(f.cache() + 12) }
func (f Family) entrySize() int { return f.counters() + 16 }

func (e entry) target() int { return int(u16(e.b[e.cache()+4:])) }
func (e entry) next() int   { return int(u16(e.b[e.cache()+6:])) }

func (e entry) targetName() string { return name(e.b[e.target():]) }

// standard is the verdict of a standard target.
func (e entry) standard() (verdict int32, ok bool) {
	if e.targetName() != "" {
		return 0, false
	}
	return int32(u32(e.b[e.target()+head:])), true
}

// isGoto tells of a jump that it isn't returned from (IPT_F_GOTO, IP6T_F_GOTO).
func (e entry) isGoto() bool { return e.b[e.flags()]&e.gotoFlag() != 0 }

func (f Family) gotoFlag() byte {
	if f.domain == unix.AF_INET6 {
		return 0x04
	}
	return 0x02
}

// covers tells whether the entry is for all packets of which is known that much:
// see table.end.
func (e entry) covers(side int, bridge string) bool {
	ip := slices.Clone(e.b[:e.cache()])
	for s := range 2 {
		iface, mask := ip[e.ifaces()+16*s:][:16], ip[e.ifaces()+32+16*s:][:16]
		matches := true
		for i := range mask {
			if s != side && mask[i] != 0 {
				return false
			}
			var c byte
			if i < len(bridge) {
				c = bridge[i]
			}
			matches = matches && (c^iface[i])&mask[i] == 0
		}
		// IPT_INV_VIA_IN and IPT_INV_VIA_OUT are 1 and 2.
		if inverted := ip[e.flags()+1]&(1<<s) != 0; matches == inverted {
			return false
		}
		ip[e.flags()+1] &^= 1 << s
		clear(iface)
		clear(mask)
	}
	ip[e.flags()] &^= e.gotoFlag()
	return bytes.Count(ip, []byte{0}) == len(ip) && !slices.ContainsFunc(e.matches(), func(m []byte) bool { return name(m) != "comment" })
}

// matches are the entry's matches.
func (e entry) matches() (all [][]byte) {
	for m := e.entrySize(); m < e.target(); m += int(u16(e.b[m:])) {
		all = append(all, e.b[m:][:u16(e.b[m:])])
	}
	return all
}

// comment is the text of the entry's comment.
//
//	struct xt_comment_info { char comment[256]; };
func (e entry) comment() string {
	for _, m := range e.matches() {
		if name(m) == "comment" {
			text, _, _ := bytes.Cut(m[head:], []byte{0})
			return string(text)
		}
	}
	return ""
}

// same tells whether entries are the same, counters and what is the kernel's own
// aside.
func (e entry) same(o entry) bool {
	plain := func(e entry) []byte {
		b := slices.Clone(e.b[:e.next()])
		clear(b[e.cache():][:4]) // nfcache, that nobody looks at
		clear(b[e.cache()+8 : e.entrySize()])
		return b
	}
	return bytes.Equal(plain(e), plain(o))
}

// acceptEntry is "-i BRIDGE -j ACCEPT", of side 0, or "-o …".
func (f Family) acceptEntry(side int, bridge string, withComment bool) []byte {
	b := make([]byte, f.entrySize())
	copy(b[f.ifaces()+16*side:][:15], bridge)
	mask := b[f.ifaces()+32+16*side:][:16]
	for i := range min(len(bridge)+1, len(mask)) {
		mask[i] = 0xff
	}
	extension := func(name, data string, size int) {
		n := head + align(size)
		ext := binary.NativeEndian.AppendUint16(nil, uint16(n))
		ext = append(ext, name...)
		ext = append(ext, make([]byte, head-len(ext))...)
		ext = append(ext, data...)
		b = append(append(b, ext...), make([]byte, n-len(ext))...)
	}
	if withComment {
		extension("comment", comment+bridge, 256)
	}
	binary.NativeEndian.PutUint16(b[f.cache()+4:], uint16(len(b)))
	verdict := int32(accept)
	extension("", string(binary.NativeEndian.AppendUint32(nil, uint32(verdict))), 4)
	binary.NativeEndian.PutUint16(b[f.cache()+6:], uint16(len(b)))
	return b
}

// name is that of a match or a target.
func name(b []byte) string {
	text, _, _ := bytes.Cut(b[2:31], []byte{0})
	return string(text)
}

// align is XT_ALIGN: up to the alignment of a __u64, which on 386 is 4.
func align(n int) int {
	if runtime.GOARCH == "386" {
		return (n + 3) &^ 3
	}
	return (n + 7) &^ 7
}

func u16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
func u32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

// quote makes a word of the shell of any text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
