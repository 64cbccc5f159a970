//go:build linux

package nat

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// One rule byte for byte. The others differ in the expressions alone, which
// TestRulePrograms has.
func TestRuleMessage(t *testing.T) {
	all := IPv4.rules()
	i := slices.IndexFunc(all, func(r rule) bool { return r.text == "oifname != @bridges accept" })
	goldenMessage{
		all[i].request(IPv4),
		"nft add rule ip container forward 'oifname != @bridges accept'",
		0xa06, flagsAppend, genmsg +
			nla(14, 1) + container + // NFTA_RULE_TABLE
			nla(12, 2) + "forward\x00" + // NFTA_RULE_CHAIN
			nest(144, 4) + // NFTA_RULE_EXPRESSIONS
			/**/ nest(36, 1) + // NFTA_LIST_ELEM
			/*  */ nla(9, 1) + "meta\x00" + pad(3) + // NFTA_EXPR_NAME
			/*  */ nest(20, 2) + // NFTA_EXPR_DATA
			/*    */ nla(8, 2) + be(7) + // NFTA_META_KEY: NFT_META_OIFNAME
			/*    */ nla(8, 1) + be(1) + // NFTA_META_DREG: NFT_REG_1
			/**/ nest(56, 1) + // NFTA_LIST_ELEM
			/*  */ nla(11, 1) + "lookup\x00" + pad(1) + // NFTA_EXPR_NAME
			/*  */ nest(40, 2) + // NFTA_EXPR_DATA
			/*    */ nla(8, 2) + be(1) + // NFTA_LOOKUP_SREG: NFT_REG_1
			/*    */ nla(8, 5) + be(1) + // NFTA_LOOKUP_FLAGS: NFT_LOOKUP_F_INV
			/*    */ nla(12, 1) + "bridges\x00" + // NFTA_LOOKUP_SET
			/*    */ nla(8, 4) + be(1) + // NFTA_LOOKUP_SET_ID
			/**/ nest(48, 1) + // NFTA_LIST_ELEM
			/*  */ nla(14, 1) + "immediate\x00" + pad(2) + // NFTA_EXPR_NAME
			/*  */ nest(28, 2) + // NFTA_EXPR_DATA
			/*    */ nla(8, 1) + be(0) + // NFTA_IMMEDIATE_DREG: NFT_REG_VERDICT
			/*    */ nest(16, 2) + // NFTA_IMMEDIATE_DATA
			/*      */ nest(12, 2) + // NFTA_DATA_VERDICT
			/*        */ nla(8, 1) + be(1), // NFTA_VERDICT_CODE: NF_ACCEPT
	}.check(t)
}

// The rules as the machine runs them, read back from the messages. What
// testdata/rules.txt shows is all that is in them: an attribute that the
// decoder below does not know, or that an expression should not have, shows up
// as it is.
func TestRulePrograms(t *testing.T) {
	var text strings.Builder
	for i, f := range Families {
		if i > 0 {
			text.WriteByte('\n')
		}
		fmt.Fprintf(&text, "table %s\n\n", f.table())
		for _, r := range allRules(f) {
			data := r.request(f).Data
			if Family(data[0]) != f {
				t.Errorf("rule %s: it is of the family %d, want %d", r.text, data[0], f)
			}
			chain, program := decodeRule(t, data)
			if chain != r.chain {
				t.Errorf("rule %s: it is in the chain %q, want %q", r.text, chain, r.chain)
			}
			fmt.Fprintf(&text, "%s: %s\n", chain, r.text)
			for _, line := range program {
				fmt.Fprintf(&text, "  [ %s ]\n", line)
			}
		}
	}
	golden(t, "rules.txt", text.String())
}

// allRules are a table's, with those that are optional.
func allRules(f Family) []rule { return append(f.rules(), f.cutRules()...) }

// attribute is a netlink attribute on its way to be read.
type attribute struct {
	typ  uint16 // with its flags
	data []byte
}

type attributes []attribute

func decodeAttributes(t testing.TB, b []byte) (all attributes) {
	t.Helper()
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		t.Fatal(err)
	}
	for ad.Next() {
		all = append(all, attribute{ad.Type() | ad.TypeFlags(), ad.Bytes()})
	}
	if err := ad.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// take takes one attribute out of the list: nil if it is not there.
func (a *attributes) take(typ uint16) []byte {
	i := slices.IndexFunc(*a, func(a attribute) bool { return a.typ == typ })
	if i < 0 {
		return nil
	}
	data := (*a)[i].data
	*a = slices.Delete(*a, i, i+1)
	return data
}

func (a *attributes) name(typ uint16) string {
	b := a.take(typ)
	if len(b) == 0 || b[len(b)-1] != 0 {
		return fmt.Sprintf("%q", b) // in quotes it is no name that the kernel would take
	}
	return string(b[:len(b)-1])
}

// number is a number, or -1.
func (a *attributes) number(typ uint16) int32 {
	if b := a.take(typ); len(b) == 4 {
		return int32(binary.BigEndian.Uint32(b))
	}
	return -1
}

// data is the value in an attribute of a register's data.
func (a *attributes) data(t testing.TB, typ uint16) []byte {
	d := decodeAttributes(t, a.take(unix.NLA_F_NESTED|typ))
	return d.take(1) // NFTA_DATA_VALUE
}

func decodeRule(t testing.TB, b []byte) (chain string, program []string) {
	t.Helper()
	r := decodeAttributes(t, b[4:])
	if table := r.name(1); table != Table { // NFTA_RULE_TABLE
		t.Errorf("a rule of the table %q", table)
	}
	chain = r.name(2)                                                                             // NFTA_RULE_CHAIN
	exprs := decodeAttributes(t, r.take(unix.NLA_F_NESTED|4))                                     // NFTA_RULE_EXPRESSIONS
	machine := make(machine)                                                                      // empty registers
	for e := exprs.take(unix.NLA_F_NESTED | 1); e != nil; e = exprs.take(unix.NLA_F_NESTED | 1) { // NFTA_LIST_ELEM
		e := decodeAttributes(t, e)
		name, data := e.name(1), decodeAttributes(t, e.take(unix.NLA_F_NESTED|2)) // NFTA_EXPR_NAME, NFTA_EXPR_DATA
		line := machine.decode(t, name, &data)
		for _, rest := range slices.Concat(e, data) {
			line += fmt.Sprintf(" and attribute %#x: % x", rest.typ, rest.data)
		}
		program = append(program, line)
	}
	if len(r)+len(exprs) > 0 {
		t.Errorf("chain %s: a rule with more than expressions: %v %v", chain, r, exprs)
	}
	return chain, program
}

// machine is what kind of data each register holds, which says how a constant
// that it is compared with is to be read.
type machine map[int32]kind

type kind int

const (
	packet kind = iota // bytes of the packet
	name               // an interface's name, padded with NULs
	number             // in the host's byte order
	label              // a number of 128 bits in the host's byte order
)

func (k kind) format(b []byte) string {
	switch {
	case k == name && len(b) == unix.IFNAMSIZ:
		return fmt.Sprintf("%q", strings.TrimRight(string(b), "\x00"))
	case k == number && len(b) == 4:
		return fmt.Sprintf("0x%08x", binary.NativeEndian.Uint32(b))
	}
	if k == label && binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		b = slices.Clone(b)
		slices.Reverse(b)
	}
	return fmt.Sprintf("% x", b)
}

// decode is an expression in the words of `nft --debug=netlink`. The numbers
// of attributes and their values are those of linux/netfilter/nf_tables.h.
func (m machine) decode(t testing.TB, expr string, a *attributes) string {
	load := func(reg int32, k kind) int32 { m[reg] = k; return reg }
	switch expr {
	case "meta":
		key, reg := a.number(2), a.number(1)
		what := map[int32]struct {
			name string
			kind
		}{
			0:  {"len", packet},
			1:  {"protocol", packet},
			4:  {"iif", number},
			5:  {"oif", number},
			6:  {"iifname", name},
			7:  {"oifname", name},
			16: {"l4proto", packet},
			19: {"pkttype", packet},
		}[key]
		return fmt.Sprintf("meta load %s => reg %d", what.name, load(reg, what.kind))
	case "payload":
		base := map[int32]string{0: "link", 1: "network", 2: "transport"}[a.number(2)]
		return fmt.Sprintf("payload load %db @ %s header + %d => reg %d", a.number(4), base, a.number(3), load(a.number(1), packet))
	case "ct":
		key := map[int32]string{0: "state", 1: "direction", 2: "status", 13: "label", 19: "src_ip", 21: "src_ip6"}[a.number(2)]
		if from := a.number(4); from >= 0 {
			return fmt.Sprintf("ct set %s with reg %d", key, from)
		}
		line := fmt.Sprintf("ct load %s => reg %d", key, load(a.number(1), map[string]kind{"state": number, "status": number, "label": label}[key]))
		if dir := a.take(3); dir != nil {
			line += fmt.Sprintf(", dir % x", dir)
		}
		return line
	case "fib":
		flags := map[int32]string{2: "daddr"}[a.number(3)]
		result := map[int32]string{3: "type"}[a.number(2)]
		return fmt.Sprintf("fib %s %s => reg %d", flags, result, load(a.number(1), number))
	case "cmp":
		reg, op := a.number(1), map[int32]string{0: "eq", 1: "neq", 4: "gt"}[a.number(2)]
		return fmt.Sprintf("cmp %s reg %d %s", op, reg, m[reg].format(a.data(t, 3)))
	case "bitwise":
		from, to := a.number(1), a.number(2)
		n, k := a.number(3), m[from]
		mask, xor := a.data(t, 4), a.data(t, 5)
		if n != int32(len(mask)) || n != int32(len(xor)) {
			return fmt.Sprintf("bitwise of %d bytes with %d and %d", n, len(mask), len(xor))
		}
		return fmt.Sprintf("bitwise reg %d = ( reg %d & %s ) ^ %s", load(to, k), from, k.format(mask), k.format(xor))
	case "byteorder":
		op := map[int32]string{0: "ntoh", 1: "hton"}[a.number(3)]
		return fmt.Sprintf("byteorder reg %d = %s(reg %d, %d, %d)", load(a.number(2), packet), op, a.number(1), a.number(5), a.number(4))
	case "reject":
		return fmt.Sprintf("reject type %d code %x", a.number(1), a.take(2))
	case "lookup":
		line := fmt.Sprintf("lookup reg %d set %s (id %d)", a.number(2), a.name(1), a.number(4))
		if to := a.number(3); to >= 0 {
			line += fmt.Sprintf(" dreg %d", load(to, packet))
		}
		if flags := a.number(5); flags >= 0 {
			line += fmt.Sprintf(" %#x", flags)
		}
		return line
	case "nat":
		kind := map[int32]string{0: "snat", 1: "dnat"}[a.number(1)]
		family := map[int32]string{2: "ip", 10: "ip6"}[a.number(2)]
		return fmt.Sprintf("nat %s %s addr_min reg %d proto_min reg %d", kind, family, a.number(3), a.number(5))
	case "masq":
		return "masq"
	case "immediate":
		to := a.number(1)
		data := decodeAttributes(t, a.take(unix.NLA_F_NESTED|2)) // NFTA_IMMEDIATE_DATA
		if value := data.take(1); value != nil {                 // NFTA_DATA_VALUE
			return fmt.Sprintf("immediate reg %d %s", to, label.format(value))
		}
		v := decodeAttributes(t, data.take(unix.NLA_F_NESTED|2)) // NFTA_DATA_VERDICT
		line := fmt.Sprintf("immediate reg %d ", to)
		switch code := int32(binary.BigEndian.Uint32(v.take(1))); code { // NFTA_VERDICT_CODE
		case 0:
			return line + "drop"
		case 1:
			return line + "accept"
		case -5:
			return line + "return"
		case -3:
			return line + "jump -> " + v.name(2)
		default:
			return line + fmt.Sprint("verdict ", code)
		}
	}
	return expr
}
